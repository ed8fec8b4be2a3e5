"""Why a step ran, or why it did not: told from the record of its run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from flujo.domain.interfaces import CACHE_MISSED, JournalRecord, RecordKind, RunRow
from flujo.domain.lives import is_abort
from flujo.domain.outcomes import RunStatus
from flujo.runner.definitions import bare_path, names_in
from flujo.runner.trace import PEOPLES, Span, Trace
from flujo_cli.output import one_line
from flujo_cli.progress import brief
from flujo_cli.questions import show_time
from flujo_cli.records import value_of

__all__ = ["Reason", "matching", "reasons_of", "unrecorded", "wholes", "without_settling"]

#: What each part of a cache step's key is called; any other is a name that its body reads.
_PARTS = {
    "input": "its input",
    "code": "the code of its body",
    "definition": "the definition of its body",
    "context": "the class of the context, or what it held",
    "ttl": "a kept result was too old",
    "value": "a kept result could not be read any more",
}

#: What is no difference between two keys, but wrong with the result itself.
_OF_THE_RESULT = ("ttl", "value")

#: What the numbered parts of a kind are called, and what is said of the others.
_NUMBERED = {"map": "item", "loop": "round", "state_machine": "state", "agentic_loop": "turn"}
_BRANCHING = ("conditional", "dynamic_router", "parallel")

#: Of as many parts the names are told.
_MOST = 12


class Reason(NamedTuple):
    """One thing to know of why a step ran or did not: `code` is for programs, `words` are for people."""

    code: str
    words: str


def matching(records: Sequence[JournalRecord], step: str) -> dict[str, list[JournalRecord]]:
    """The records of the steps that `step` means, by path: the step at that path, or all of that name."""
    found: dict[str, list[JournalRecord]] = {}
    for record in records:
        found.setdefault(bare_path(record), []).append(record)
    if step in found:
        return {step: found[step]}
    return {path: of for path, of in found.items() if step == _name(path)}


def _name(path: str) -> str:
    """The name of the step at a path, without what stands before it for its kind."""
    return path.rpartition("/")[2].partition("[")[0].rpartition(":")[2]


def wholes(row: RunRow, trace: Trace, step: str) -> dict[str, list[Reason]]:
    """Of the steps made of others that `step` means, by path: what of them ran. The pipeline's name means the run."""
    at = row.error.path if row.error is not None else None
    spans = [span for span in trace.root.walk() if span.path and (span.children or span.path == at)]
    meant = [span for span in spans if span.path == step] or [span for span in spans if _means(step, span)]
    if not meant and step == row.pipeline:
        count = sum(not span.children and "empty" not in span.marks for span in trace.root.walk() if span.path)
        words = f"it is the pipeline of the run: {_count(count, 'step')} recorded; it is {row.status}"
        return {step: [Reason("parts", words)]}
    return {span.path: [_whole(span, row)] for span in meant}


def _whole(span: Span, row: RunRow) -> Reason:
    """What ran of a step made of others, and what it came to, where that is known."""
    if row.error is not None and row.error.path == span.path:
        ran = f"it ran: {_parts(span)}; " if span.children else ""
        return Reason("failed", f"{ran}it failed: {brief(row.error, 200)}")
    return Reason("parts", f"it ran: {_parts(span)}" + (f"; it is {span.status}" if span.status else ""))


def _means(step: str, span: Span) -> bool:
    """Whether a name, or one with its kind before it, is that of a step made of others. Branches go by their paths."""
    segment = span.path.rpartition("/")[2]
    return ":" in segment and step in (segment, segment.partition(":")[2])


def _parts(span: Span) -> str:
    """Which parts of a step ran."""
    if all(part.path.endswith("]") for part in span.children):
        done = sum(part.status is RunStatus.COMPLETED for part in span.children)
        some = "" if done == len(span.children) else f", {done} of them to the end"
        return _count(len(span.children), _NUMBERED.get(span.kind, "round")) + some
    names = [repr(part.path.rpartition("/")[2]) for part in span.children]
    told = ", ".join(names[:_MOST]) + (", ..." if len(names) > _MOST else "")
    if span.kind in _BRANCHING:
        return f"branch{'es' if len(names) > 1 else ''} {told}"
    return f"step{'s' if len(names) > 1 else ''} {told}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def without_settling(
    row: RunRow, records: Sequence[JournalRecord], lives: Mapping[str, int]
) -> tuple[RunRow, dict[str, int]]:
    """The run and its records' lives without the claims under which somebody only settled a step."""
    said = {lives.get(record.path, 0) for record in records if record.kind is RecordKind.SETTLED}
    settling = said - {lives.get(record.path, 0) for record in records if record.kind not in PEOPLES}
    counted = {path: life - sum(each <= life for each in settling) for path, life in lives.items()}
    return row._replace(epoch=row.epoch - len(settling)), counted


def reasons_of(
    row: RunRow, records: Sequence[JournalRecord], lives: Mapping[str, int], *, in_doubt: bool
) -> list[Reason]:
    """Why the step ran that has these records; `lives` says which life of the run wrote each, where the state knows.

    `in_doubt` says that it may run only once, and nobody knows what became of it.
    """
    last = records[-1]
    if "rerun_of" in row.tags and last.ended_at < row.created_at:
        of, at = row.tags["rerun_of"], row.tags["rerun_from"]
        return [
            Reason("copied", f"it did not run here: its result was copied from run {of}, as this one began at {at}")
        ]
    found = [*_origin(row, bare_path(last)), *(reason for each in records for reason in (*_said(each), *_tried(each)))]
    if last.kind is RecordKind.RESULT:
        return [*found, *_ended(records, lives), *_after(row, last, lives)]
    return [*found, *_unended(row, records, in_doubt=in_doubt)]


def _origin(row: RunRow, path: str) -> Iterator[Reason]:
    """That a run which takes the place of another began at this step."""
    if path == row.tags.get("rerun_from"):
        yield Reason(
            "rerun", f"it ran again, as this run was begun at it: what came before is that of {row.tags['rerun_of']}"
        )


def _unended(row: RunRow, records: Sequence[JournalRecord], *, in_doubt: bool) -> Iterator[Reason]:
    """Where a step stands that has no result."""
    last = records[-1]
    if in_doubt:
        words = "it began, may run only once, and has no result: it is not called again until it is settled"
        yield Reason("in-doubt", f"{words}, with: flujo runs settle {row.run_id} {bare_path(last)}")
    elif last.kind is RecordKind.FAILED:
        completed = row.status is RunStatus.COMPLETED  # without it, or by what is in it when it was tried again
        then = "the run has completed all the same" if completed else "when the run is gone on with, it is tried again"
        yield Reason("failed", f"it gave up: {then}")
    elif last.kind is RecordKind.WAIT:
        yield Reason("waits", "nobody has answered: the run waits here")
    elif last.kind is RecordKind.ANSWER:
        yield Reason("to-do", "it has its answer: the run is to be gone on with")
    elif last.kind is RecordKind.CALL and row.status is not RunStatus.RUNNING:
        yield Reason("lost", "its process died while it was called: when the run is gone on with, that call counts")
    elif last.kind in (RecordKind.INTENT, RecordKind.CALL):
        yield Reason("at-work", "it began, and is at work")
    elif last.kind is RecordKind.SETTLED:
        yield Reason("to-do", "it is settled: the run is to be gone on with")


def _said(record: JournalRecord) -> Iterator[Reason]:
    when = _time(record.ended_at)
    if record.kind is RecordKind.WAIT:
        yield Reason("asked", f"it asked at {when}: {one_line(value_of(record.out)['message'], 200)}")
    elif record.kind is RecordKind.ANSWER:
        yield Reason("answered", f"{value_of(record.out)['by'] or 'somebody'} answered at {when}")
    elif record.kind is RecordKind.SETTLED:
        said = value_of(record.out)
        how = "to run again" if said["again"] else "with its output"
        yield Reason("settled", f"{said['by'] or 'somebody'} settled it at {when}, {how}")


def _tried(record: JournalRecord) -> Iterator[Reason]:
    if record.kind not in (RecordKind.ATTEMPT, RecordKind.FAILED) or record.error is None:
        return
    error = brief(record.error, 200)
    if record.error.type == "EffectInDoubt":
        yield Reason("not-called", f"it was in doubt when the run was gone on with, and not called: {error}")
    elif is_abort(record):
        yield Reason("aborted", f"it asked for the run's end: {error}; when the run is gone on with, it runs again")
    elif not record.attempt:
        yield Reason("cancelled", f"an attempt was broken off, and what it used counts: {error}")
    elif record.fallback:
        words = f"attempt {record.attempt} failed, and its fallback {record.fallback} took over: "
        yield Reason("fallback", words + error)
    elif record.kind is RecordKind.FAILED:
        yield Reason("attempt", f"attempt {record.attempt} was the last and failed: {error}")
    else:
        yield Reason("retried", f"attempt {record.attempt} failed, and it ran again: {error}")


def _ended(records: Sequence[JournalRecord], lives: Mapping[str, int]) -> list[Reason]:
    """How a step came to its result: by what somebody said of its last beginning, or by running."""
    last = records[-1]
    begun = [record.kind for record in records if record.kind in (RecordKind.INTENT, RecordKind.SETTLED)]
    if begun[-1:] == [RecordKind.SETTLED]:
        return [Reason("taken", f"it did not run again: that output became its result at {_time(last.ended_at)}")]
    return [*_before(records, lives), *_result(last)]


def _result(record: JournalRecord) -> Iterator[Reason]:
    when = _time(record.ended_at)
    if not record.attempt:
        yield Reason(
            "hit", f"it did not run: a kept result served at {when}, as input, code and definition were the same"
        )
        return
    if record.error is not None and record.error.type == CACHE_MISSED:
        yield Reason("miss", f"no kept result served: {_missed(record.error.message)}")
    number = f", at attempt {record.attempt}" if record.attempt > 1 else ""
    who = f"its fallback {record.fallback}" if record.fallback else "it"
    yield Reason("ran", f"{who} ran, and the result was recorded at {when}{'' if record.fallback else number}")


def _missed(changed: str) -> str:
    """Why no kept result served, from the names of what differed."""
    names = changed.split(", ") if changed else []
    if not names:
        return "there was none of this step"
    told = [_PARTS.get(name, f"{name}, which its body reads") for name in names]
    if names[0] in _OF_THE_RESULT:
        return told[0]
    return f"{' and '.join(told)} {'is' if len(told) == 1 else 'are'} not what the newest one was kept for"


def _before(records: Sequence[JournalRecord], lives: Mapping[str, int]) -> Iterator[Reason]:
    """What of a step with a result came of the processes before the one that brought it to its end."""
    last = records[-1]
    life = lives.get(last.path, 1)
    earlier = {record.kind for record in records if lives.get(record.path, 1) < life}
    if life == 1 or RecordKind.WAIT in earlier:  # it waited for its answer, which is told
        return
    if RecordKind.FAILED in earlier:
        yield Reason("no-result", f"the run was gone on with ({_times(life - 1)}), and it was tried again")
        return
    first = next(path for path, other in lives.items() if other == life)
    at_work = ": it was at work then, or about to begin" if first in {record.path for record in records} else ""
    yield Reason("no-result", f"the run was gone on with before ({_times(life - 1)}), and it had no result{at_work}")


def _after(row: RunRow, last: JournalRecord, lives: Mapping[str, int]) -> Iterator[Reason]:
    """What the processes made of a step's result that came after the one which recorded it."""
    life = lives.get(last.path, 1)
    if row.epoch > life:
        again = _times(row.epoch - life)
        yield Reason(
            "recalled", f"the run was gone on with after that ({again}): the result was used, it did not run again"
        )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _time(seconds: float) -> str:
    return str(show_time(seconds))


def unrecorded(row: RunRow, records: Sequence[JournalRecord], step: str) -> Reason | None:
    """Why nothing is recorded of `step`, a path or a name; None when there is no such step as far as anybody knows."""
    path = next((path for path in _served(records) if step.startswith((f"{path}/", f"{path}["))), None)
    if path is not None:
        return Reason("hit-around", f"it did not run: a kept result of {path!r}, which it stands in, served")
    if _name(step) not in names_in(row.definition):
        return None
    served = ", ".join(map(repr, _served(records)))
    around = f"; what stands in {served} did not run, as kept results served" if served else ""
    where = f" at {row.error.path!r}" if row.error is not None and row.error.path else ""
    stands = f"it is {row.status}{where}{around}"
    if row.status is RunStatus.COMPLETED:
        return Reason("never", f"the run took another way, or found nothing to do in it: {stands}")
    if row.status is RunStatus.FAILED:
        return Reason("never", f"the run ended before it, or took another way: {stands}")
    yet = _NOT_YET.get(row.status, "the run has not come to it yet")
    return Reason("not-yet", f"{yet}, or took another way: {stands}")


_STOPPED = "it was at work when the run was stopped, or the run had not come to it"

#: What may be of a step without a record, where it may have begun.
_NOT_YET = {
    RunStatus.RUNNING: "it has not ended yet, or not begun",
    RunStatus.INTERRUPTED: _STOPPED,
    RunStatus.CANCELLED: _STOPPED,
}


def _served(records: Sequence[JournalRecord]) -> list[str]:
    return [each.path for each in records if each.kind is RecordKind.RESULT and not each.attempt]
