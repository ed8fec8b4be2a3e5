"""What the steps of a run came to, as far as its record and what is around them tell."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from flujo.domain.interfaces import JournalRecord, RecordKind, RunRow
from flujo.domain.outcomes import RunStatus
from flujo.engine.asides import Asides
from flujo.engine.recorded import asker_of
from flujo.runner.trace_tree import PIECES, TRIES, Node

__all__ = ["Around", "open_paths", "status_of", "went_through"]

#: The parts of a step, in order, with what they came to.
Parts: TypeAlias = Sequence[tuple[Node, RunStatus | None]]

#: What the state of a machine came to that went on from it.
_WENT = {"failure": RunStatus.FAILED, "pause": RunStatus.PAUSED}
#: What the definition of a pipeline holds that can't fail after its last step.
_PLAIN = {"execution_mode", "kind", "name", "steps"}
#: The runs of which no record tells where they stand.
_LOOSE = (RunStatus.RUNNING, RunStatus.INTERRUPTED, RunStatus.CANCELLED, RunStatus.STOPPED)


def open_paths(row: RunRow, records: Sequence[JournalRecord]) -> frozenset[str]:
    """Where a run that failed or waits stands, and what is around that."""
    stands = [row.error.path or ""] if row.status is RunStatus.FAILED and row.error is not None else []
    if row.status is RunStatus.PAUSED:
        asides, results = Asides(), {each.path for each in records if each.kind is RecordKind.RESULT}
        for record in records:
            if record.kind is not RecordKind.RESULT:
                asides.note(record)
        open_ones = (path for path in asides.waits if path in asides.reopened or path not in asides.answers)
        stands = [asker for path in open_ones if (asker := asker_of(path)) not in results]
    return frozenset(around for path in stands for around in accumulate(PIECES.findall(path)))


class Around(NamedTuple):
    """Tells what the parts of a step came to by what is around them: None where that doesn't tell."""

    status: RunStatus
    open_paths: frozenset[str]

    def known(self, node: Node, came_to: RunStatus | None) -> RunStatus | None:
        """What a step came to by its own records, or else by what is around it, which is `came_to`."""
        if node.results():
            return RunStatus.COMPLETED
        last = node.last_try()
        goes_on = node.children and came_to and not node.is_background
        goes_on = goes_on or (last is not None and _has_newer(node, last))
        if last is not None and last.kind is RecordKind.FAILED and not goes_on:
            return RunStatus.FAILED
        if last is not None and last.attempt == 0 and not goes_on and node.records[-1].kind is not RecordKind.CALL:
            return RunStatus.CANCELLED
        return came_to

    def of_parts(self, node: Node, known: RunStatus | None, children: Sequence[Node]) -> Iterator[RunStatus | None]:
        """What each of the children came to, that stand in order."""
        sure, beside = went_through(node, known), node.of.side_by_side
        if known is RunStatus.PAUSED is self.status:  # what doesn't wait itself came to its end beside what does
            sure = beside and not node.spares
        one_by_one = not beside and node.kind != "conditional"
        loose = known is self.status in _LOOSE
        follows = [not (each.is_background or each.is_fallback) for each in children]
        stands = next((each for each in reversed(children) if not each.is_background), None)
        for number, child in enumerate(children):
            if child.path in self.open_paths or (loose and (beside or child is stands)):
                yield self.status
            elif child.is_background:
                yield self.status if self.status in _LOOSE else None
            elif child.went:
                yield None
            elif child.is_fallback:
                yield known
            elif one_by_one and any(follows[number + 1 :]):
                yield RunStatus.COMPLETED
            else:
                yield RunStatus.COMPLETED if sure else None


def _has_newer(node: Node, last: JournalRecord) -> bool:
    """Whether anything in the step came to its end after its `last` try, as in a later life."""
    parts = node.children.values()
    return any(
        _has_newer(part, last) or any(each.ended_at > last.ended_at for each in part.results()) for part in parts
    )


def went_through(node: Node, known: RunStatus | None) -> bool:
    """Whether the step, of which so much is known, came to its end by all of its parts, and none of them failed."""
    last = next(iter(node.results()), None) or node.last_try()
    is_own = last is None or (last.attempt > 0 and last.fallback is None)
    return known is RunStatus.COMPLETED and is_own and not node.went and not node.spares


def status_of(node: Node, known: RunStatus | None, parts: Parts) -> RunStatus | None:
    """What the step came to: as is known of it, else as its parts did, or None where they don't tell."""
    if known is not None:
        return RunStatus.COMPLETED if known in _LOOSE and _is_whole(node, parts) else known
    if not parts and not node.went:
        return _of_leaf(node)
    last = node.last_try()
    if last is not None and last.fallback is not None:
        return next((status for part, status in parts if part.is_fallback), None)
    statuses = [status for part, status in parts if not part.is_background]
    if node.of.side_by_side:
        return RunStatus.FAILED if RunStatus.FAILED in statuses and not node.spares else None
    if node.went and node.defined.get("kind") == "state_machine":
        return _WENT[node.went]
    came_to = statuses[-1] if statuses else None
    return None if came_to is RunStatus.COMPLETED and not (node.went or _is_whole(node, parts)) else came_to


def _of_leaf(node: Node) -> RunStatus | None:
    """What a step came to in which nothing is recorded: one that holds steps may have had nothing to do."""
    if any(record.kind is RecordKind.WAIT for record in node.records):
        return RunStatus.PAUSED
    begun = any(record.kind not in TRIES for record in node.records)
    return RunStatus.CANCELLED if begun or not node.holds_steps else None


def _is_whole(node: Node, parts: Parts) -> bool:
    """Whether all the steps that follow each other in it came to their ends, after which nothing can fail."""
    steps: list[Mapping[str, object]] = [step for step in node.steps.values() if "execution_mode" not in step]
    done = {part.name for part, status in parts if status is RunStatus.COMPLETED and not part.is_fallback}
    plain = node.piece.startswith("[") or _PLAIN.issuperset(node.defined)
    return bool(steps) and plain and steps[-1]["name"] in done
