"""A run as a tree of spans, told from its record alone: what each step took and used, and what it came to."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby, pairwise, takewhile
from typing import Any, NamedTuple, TypeAlias

from flujo.domain.interfaces import JournalRecord, RecordKind, RunRow, StateBackend
from flujo.domain.lives import LivesBackend
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.scope import NOTHING
from flujo.domain.steps import Step
from flujo.domain.usage import NO_USAGE, Usage
from flujo.infra.codec import readable
from flujo.runner.trace_status import Around, open_paths, status_of, went_through
from flujo.runner.trace_tree import MARKS, RECORDED, TRIES, Kinds, Node, node_at, place

__all__ = ["PEOPLES", "Given", "Settled", "Span", "Trace", "read_trace", "trace_of"]

Interval: TypeAlias = tuple[float, float]

#: What people have written, at a time when no process may have had the run.
PEOPLES = (RecordKind.ANSWER, RecordKind.SETTLED)
#: What a step that has begun has as its last record.
_BEGUN = (RecordKind.ATTEMPT, RecordKind.INTENT, RecordKind.CALL)
_OVER = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class Given(NamedTuple):
    """An answer to a question of a step: who gave it, when, and the start of its SHA-256, to compare it by.

    `digest` is of the record's bytes, with the name in them; nothing in states that keep values as they are.
    """

    by: str
    at: float
    digest: str = ""


class Settled(NamedTuple):
    """What became of a step that was in doubt: who said so, when, and whether it may run `again` or has its output."""

    by: str
    at: float
    again: bool


class Span(NamedTuple):
    """One step of a run, and under it its parts; times are in seconds since the epoch.

    `total_s` is how long the step or something in it was at work, `own_s` the part of that in which nothing in it was.
    A step made of others is at work from the beginning of the first step recorded in it to the end of the last.
    `usage` counts what is under it too, `own_usage` does not. `status` is what the step came to: a part that had no end
    has that of the run; it is None of a step made of others where the record can't tell. `error` is that of the last
    attempt that failed. `marks` are "background", "cached", "copied"
    (from another run, which counts no time), "empty" (made of others of which nothing is recorded, as a map of no
    items), "in doubt" and "went on" (after a failure or pause of its parts).
    """

    path: str
    name: str
    kind: str
    status: RunStatus | None
    started_at: float
    ended_at: float
    total_s: float = 0.0
    own_s: float = 0.0
    attempts: int = 1
    usage: Usage = NO_USAGE
    own_usage: Usage = NO_USAGE
    model: str = ""
    error: ErrorInfo | None = None
    fallback: str | None = None
    marks: tuple[str, ...] = ()
    children: tuple["Span", ...] = ()
    answers: tuple[Given, ...] = ()
    settled: tuple[Settled, ...] = ()

    def walk(self) -> Iterator["Span"]:
        """This span and those under it, in the order of the tree."""
        yield self
        for child in self.children:
            yield from child.walk()


class Trace(NamedTuple):
    """One run: `root` holds the pipeline's steps. It was at work for `took_s`, to its end or until now, and for
    `waited_s` beside that it only waited for people; the time between a process that stopped and the next one to go on
    is in neither."""

    run_id: str
    status: RunStatus
    root: Span
    took_s: float
    waited_s: float


async def read_trace(
    backend: StateBackend, row: RunRow, now: float, *, pipeline: Step[Any, Any] | None = None
) -> Trace:
    """`trace_of` a run in `backend`."""
    lives = await backend.lives(row.run_id) if isinstance(backend, LivesBackend) else NOTHING
    return trace_of(row, await backend.load(row.run_id), now, lives, pipeline=pipeline)


def trace_of(
    row: RunRow,
    records: Sequence[JournalRecord],
    now: float,
    lives: Mapping[str, int] = NOTHING,
    *,
    pipeline: Step[Any, Any] | None = None,
) -> Trace:
    """The trace of the run `row`, whose journal has `records`; what is at work is so until `now`.

    `lives` says which of the run's processes wrote each record, by its path; without it there was only one. `pipeline`,
    where it is at hand, tells of kinds that plugins have brought.
    """
    root = Node("", row.pipeline, "pipeline", json.loads(row.definition), Kinds(pipeline))
    for record in records:
        place(root, record)
    ended = _ended(row, records, now)
    waits = _waits(records, ended if row.status in _OVER else now, since=row.created_at)
    idle = _merged([*_between(row, records, lives, ended), *((start, min(end, ended)) for start, end in waits)])
    if row.status is RunStatus.FAILED and row.error is not None:  # where it failed there may be no record
        node_at(root, row.error.path or "").at = ended
    reader = _Reader(row, Around(row.status, open_paths(row, records)), now, idle)
    span, busy, _ = reader.read(root, row.status)
    waited = _length(_merged([*waits, *busy])) - _length(busy)
    took = max(ended - row.created_at - _length(_merged([*idle, *busy])) + _length(busy), _length(busy))
    span = span._replace(status=row.status, started_at=row.created_at, ended_at=ended, error=row.error)
    in_none = took - span.total_s + span.own_s
    return Trace(row.run_id, row.status, span._replace(total_s=took, own_s=in_none), took, waited)


def _ended(row: RunRow, records: Sequence[JournalRecord], now: float) -> float:
    """When the run ended, as far as it has; of one that broke off when it was last heard of."""
    if row.status is RunStatus.RUNNING:
        return now
    if row.ended_at is not None:
        return row.ended_at
    return max([row.updated_at, *(record.ended_at for record in records)])


def _between(
    row: RunRow, records: Sequence[JournalRecord], lives: Mapping[str, int], ended: float
) -> Iterator[Interval]:
    """When no process had the run: from the last record of each to the first one of the next."""
    spans: dict[int, Interval] = {1: (row.created_at, row.created_at)}
    for record in records:
        life = lives.get(record.path, 1)
        if record.kind not in PEOPLES and record.ended_at >= row.created_at:
            start, end = spans.get(life, (record.started_at, record.ended_at))
            spans[life] = min(start, record.started_at), max(end, record.ended_at)
    for one, other in pairwise(sorted(spans)):
        yield spans[one][1], spans[other][0]
    if lives and max(spans) < row.epoch:  # of the newest process nothing is recorded
        yield spans[max(spans)][1], ended


class _Reader(NamedTuple):
    """Reads spans of one run off the tree of its paths; in the times `idle` nobody had it, or it only waited."""

    row: RunRow
    around: Around
    now: float
    idle: Sequence[Interval]

    def read(
        self, node: Node, came_to: RunStatus | None, since: Sequence[float] = ()
    ) -> tuple[Span, list[Interval], list[Interval]]:
        """The node's span, when it was at work, and when so in the foreground.

        `came_to` is what it came to where its own records don't tell; `since` are the ends of the attempts that the
        steps around it made.
        """
        copied = [record for record in node.records if self._is_copied(record)]
        own = [record for record in node.records if record not in copied]
        tries = [record for record in node.records if record.kind in TRIES]
        since = sorted((*since, *(record.ended_at for record in tries)))
        known, children = self.around.known(node, came_to), _in_order(node)
        of_parts = self.around.of_parts(node, known, children)
        parts = [self.read(child, what, since) for child, what in zip(children, of_parts, strict=True)]
        read = [_as_sure(node, known, child, span) for child, (span, _, _) in zip(children, parts, strict=True)]
        spans = self._with_empty(node, read, to_its_end=went_through(node, known))
        statuses = (span.status for span in read)
        status = status_of(node, known, [*zip(children, statuses, strict=True)])
        under = _merged([interval for _, intervals, _ in parts for interval in intervals])
        timed = [record for record in own if record.kind is RecordKind.RESULT or record.kind in TRIES]
        if own and own[-1].kind in _BEGUN and status is RunStatus.RUNNING:
            timed.append(own[-1]._replace(ended_at=max(self.now, own[-1].ended_at)))
        at_work = [(each.started_at, each.ended_at) for each in timed]
        fore = sorted(each for _, _, intervals in parts for each in intervals)
        for _, attempt in groupby(fore, key=lambda each: bisect_right(since, each[0])):
            at_work += _reach([*attempt], self.idle)
        busy = _merged([*at_work, *under])
        own_usage = sum((record.usage for record in own), NO_USAGE)
        told: list[JournalRecord | Span] = [*node.records, *spans]
        times = [*busy, *((each.started_at, each.ended_at) for each in told)]
        times = times or [(node.at or self.row.created_at,) * 2]
        last = next(reversed([*tries, *node.results()]), None)
        total = _length(busy)
        span = Span(
            node.path,
            node.name,
            node.kind,
            status,
            min(start for start, _ in times),
            max(end for _, end in times),
            total,
            total - _length(under),
            _attempts(node, last, under, status),
            sum((span.usage for span in spans), own_usage),
            own_usage,
            str(node.defined.get("model", "")) if node.kind == "agent" else "",
            tries[-1].error if tries else None,
            None if last is None else last.fallback,
            tuple(sorted(self._marks(node, bool(copied)))),
            spans,
            tuple(_given(record) for record in node.records if record.kind is RecordKind.ANSWER),
            tuple(_settled(record) for record in node.records if record.kind is RecordKind.SETTLED),
        )
        return span, busy, [] if "background" in span.marks else at_work

    def _with_empty(self, node: Node, spans: Sequence[Span], *, to_its_end: bool) -> tuple[Span, ...]:
        """The node's parts as they follow each other, with those that came to an end without a record.

        They did where a later one has a record, unless they ran in the background; and the last ones where the whole
        went `to_its_end`.
        """
        steps, told = [*node.steps.values()], {span.name for span in spans}
        places = {name: number for number, name in enumerate(node.steps)}
        found: list[Span] = []
        come_to, at = 0, min((span.started_at for span in spans), default=self.row.created_at)
        for span in (*spans, None):
            upto = len(steps) * to_its_end if span is None else 0 if _is_fallback(span) else places.get(span.name, 0)
            for step in steps[come_to:upto]:
                if not (step["name"] in told or step["kind"] in RECORDED or "execution_mode" in step):
                    path = f"{node.path}/{node.kinds.segment(step)}".lstrip("/")
                    found.append(Span(path, step["name"], step["kind"], RunStatus.COMPLETED, at, at, marks=("empty",)))
            come_to = max(come_to, upto)
            found += [span] if span is not None else []
            at = found[-1].ended_at if found else at
        return tuple(found)

    def _is_copied(self, record: JournalRecord) -> bool:
        """Whether the record stood in another run's journal, where it counts."""
        return "rerun_of" in self.row.tags and record.ended_at < self.row.created_at

    def _marks(self, node: Node, copied: bool) -> Iterator[str]:
        if node.went:
            yield "went on"
        if copied:
            yield "copied"
        if any(record.attempt == 0 for record in node.results()):
            yield "cached"
        if node.is_background:
            yield "background"
        begun = any(record.kind is RecordKind.INTENT for record in node.records)
        ended = node.results() or any(record.kind in (RecordKind.FAILED, RecordKind.SETTLED) for record in node.records)
        if begun and not ended and self.row.status is not RunStatus.RUNNING:
            yield "in doubt"


def _is_fallback(span: Span) -> bool:
    """Whether it stands for what failed, in whose place it ran."""
    return span.path.rpartition("/")[2].startswith("fallback:")


def _given(record: JournalRecord) -> Given:
    stored = record.out
    if isinstance(stored, bytes):
        return Given(readable(stored)["by"], record.ended_at, sha256(stored).hexdigest()[:12])
    return Given(stored["by"], record.ended_at)


def _settled(record: JournalRecord) -> Settled:
    stored = readable(record.out) if isinstance(record.out, bytes) else record.out
    return Settled(stored["by"], record.ended_at, stored["again"])


def _attempts(node: Node, last: JournalRecord | None, under: Sequence[Interval], status: RunStatus | None) -> int:
    """How many attempts were made. That of a step made of others which is at work, or got through, has no record."""
    if last is None:
        return 1
    if last.kind is RecordKind.ATTEMPT and not last.attempt:
        tries = takewhile(lambda each: each.kind is not RecordKind.FAILED, reversed(node.records))
        return 1 + len([each for each in tries if each.kind is RecordKind.ATTEMPT and each.attempt])
    failed = last.kind is RecordKind.ATTEMPT and last.attempt > 0 and last.fallback is None and node.holds_steps
    went_on = status is RunStatus.COMPLETED or (under and under[-1][1] > last.ended_at)
    return last.attempt + bool(failed and went_on)


def _in_order(node: Node) -> list[Node]:
    """The children as they were recorded; those side by side as they began, items and iterations by their numbers."""
    children = list(node.children.values())
    if all(child.piece.startswith("[") for child in children):
        return sorted(children, key=lambda child: int(child.piece[1:-1]))
    return sorted(children, key=_began) if node.of.side_by_side else children


def _began(node: Node) -> float:
    times = [record.started_at for record in node.records]
    return min(times) if times else min(map(_began, node.children.values()), default=0.0)


def _waits(records: Sequence[JournalRecord], now: float, since: float) -> list[Interval]:
    """From each question to its first answer, without what was before `since`: in the run that it is copied from."""
    answered: dict[str, float] = {}
    for record in records:
        if record.kind is RecordKind.ANSWER:
            answered.setdefault(MARKS.sub("", record.path), record.ended_at)
    asked = ((each.ended_at, MARKS.sub("", each.path)) for each in records if each.kind is RecordKind.WAIT)
    return [(max(start, since), max(answered.get(path, now), since)) for start, path in asked]


def _reach(intervals: Sequence[Interval], idle: Sequence[Interval]) -> list[Interval]:
    """From the beginning of the first of `intervals` to the end of the last, without what is `idle`."""
    start = min((start for start, _ in intervals), default=0.0)
    end = max((end for _, end in intervals), default=0.0)
    edges = zip([start, *(back for _, back in idle)], [*(gone for gone, _ in idle), end], strict=True)
    return _merged((max(start, one), min(end, other)) for one, other in edges) if intervals else []


def _as_sure(around: Node, came_to: RunStatus | None, node: Node, span: Span) -> Span:
    """The span of a part: a branch beside one that failed may have been cancelled when all its steps were through."""
    is_sure = not around.of.side_by_side or came_to not in (None, RunStatus.FAILED) or node.results()
    return span if is_sure or span.status is not RunStatus.COMPLETED else span._replace(status=None)


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The times that any of `intervals` covers, without overlaps, in order; of one set back nothing is left."""
    merged: list[Interval] = []
    for start, end in sorted(each for each in intervals if each[0] <= each[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _length(intervals: Iterable[Interval]) -> float:
    return sum(end - start for start, end in intervals)
