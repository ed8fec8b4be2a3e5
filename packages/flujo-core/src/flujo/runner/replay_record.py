"""A run's record as a replay uses it: each step's end, and the order in which they came."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

from flujo.domain.interfaces import Codec, JournalRecord, RecordKind, RunRow, StateBackend
from flujo.domain.lives import is_abort
from flujo.domain.outcomes import Aborted, ErrorInfo, PendingAnswer, RecordedError, RunStatus
from flujo.domain.steps import Step
from flujo.engine.journal import Item, Journal
from flujo.engine.recorded import is_in
from flujo.exceptions import ReplayMismatchError
from flujo.runner.definitions import bare_path, place_of, places_of

__all__ = ["CANCELLED", "ReplayRecord", "order_of"]

#: Where a run stands whose process was not done with it: what was at work then has no end.
_BROKEN_OFF = (RunStatus.RUNNING, RunStatus.INTERRUPTED)

#: What a step can have come to for good.
_ENDS = (RecordKind.RESULT, RecordKind.FAILED, RecordKind.WAIT)

_FALLBACK = "/fallback:"
_ON_FAILURE = "/on:failure"

#: What `Quota.overdraft` says, and no refusal of a call that would use something.
_ASKED_NOTHING = ", asked 0, left -"

#: The error of a run that somebody has stopped from outside.
CANCELLED = ErrorInfo("Aborted", "the run was cancelled")


class ReplayRecord(Journal):
    """A closed journal in which nothing is looked up ahead: a step is come to again before its end is known."""

    def __init__(self, backend: StateBackend, codec: Codec, row: RunRow, records: Sequence[JournalRecord]) -> None:
        super().__init__(backend, None, codec, records)
        self.row = row
        #: Where each step has asked last: a function asks several questions, each at a path of its own.
        self._asking = {bare_path(each): each.path[:-1] for each in records if each.kind is RecordKind.WAIT}
        self._begun = {bare_path(each) for each in records}
        self._numbers = {each.path: number for number, each in enumerate(records)}
        self._tried_again = {
            bare_path(each): number
            for number, each in enumerate(records)
            if each.kind is RecordKind.ATTEMPT and each.attempt and not each.fallback
        }
        #: Which steps have last asked for the run's end by themselves. Older journals have no record of that.
        self._aborts = {bare_path(each): each for each in records if is_abort(each)}
        aborted = (self._numbers[each.path] for each in self._aborts.values() if row.status is RunStatus.CANCELLED)
        self._aborted_at = min(aborted, default=len(records))
        self.results = tuple(each.path for each in records if each.kind is RecordKind.RESULT)
        #: The paths of steps that were cancelled the last time the replay came by them.
        self.cut_short: set[str] = set()

    @property
    def broken_off(self) -> bool:
        """Whether the run stopped where it was: its process died, is at work, or somebody has cancelled it."""
        row = self.row
        return row.status in _BROKEN_OFF or (row.status is RunStatus.CANCELLED and row.error in (None, CANCELLED))

    @property
    def last(self) -> Aborted[Any] | None:
        """What a step came to that has ended the run: on purpose, or because the budget allowed no more."""
        error = self.row.error
        if error is None or self.broken_off or self.row.status not in (RunStatus.STOPPED, RunStatus.CANCELLED):
            return None
        if self.row.status is RunStatus.STOPPED:
            return Aborted(error.message, error=RecordedError(error))
        return None if self._aborts else Aborted(error.message)  # each that is recorded has its turn

    def ended_before(self, paths: Iterable[str]) -> Aborted[Any] | None:
        """What ended the run before the steps at `paths` came to an end; if that is recorded, before they began."""
        error = self.row.error
        if self._aborted_at == len(self._numbers) or error is None or any(map(self.has_begun, paths)):
            return self.last
        return Aborted(error.message)

    def stopped_before(self, path: str) -> bool:
        """Whether the budget let nothing more begin, and nothing at `path`, or in it, had: such a step has no line.

        What stopped the run tells which it was: nothing was asked for then, as a call does that is refused.
        """
        error = self.row.error
        if self.row.status is not RunStatus.STOPPED or error is None or _ASKED_NOTHING not in error.message:
            return False
        return not self.has_begun(path)

    def has_begun(self, path: str) -> bool:
        """Whether anything is recorded at `path`, or in it."""
        return any(is_in(each, path) for each in self._begun)

    def was_first(self, path: str, error: ErrorInfo) -> bool | None:
        """Whether the run, or a step around the one at `path`, has failed with its `error`, by what they have recorded.

        None where there is none that failed. What a fallback took over from is not around the steps of the fallback.
        """
        places = {path[:number] for number, each in enumerate(path) if each in "/[" or not number}
        places -= {path[: each.start()] for each in re.finditer(_FALLBACK, path)}
        around = map(self.end, places)
        told = [each.error[:2] == error[:2] for each in around if each and each.error]
        told += [message == error.message for at, message in self._gone_on_from if is_in(path, at)]
        if (ended := self.row.error) and self.row.status is RunStatus.FAILED:  # a fallback's error is told of its step
            told.append(is_in(ended.path, path) or (is_in(path, ended.path) and ended[:2] == error[:2]))
        return any(told) if told else None

    def nearness(self, path: str) -> int:
        """How many steps are around the one at `path` that are also around where the run failed."""
        failed = self.row.error.path if self.row.error else ""
        return sum(is_in(failed, path[:number]) for number, each in enumerate(path) if each in "/[")

    @cached_property
    def _gone_on_from(self) -> list[tuple[str, str]]:
        """The places of what failed and was gone on from by a step around it, which has noted the error's message."""
        notes = [
            (path.removesuffix(_ON_FAILURE), self.recall(path)) for path in self.results if path.endswith(_ON_FAILURE)
        ]
        values = [(at, each.value) for at, each in notes if each]
        return [(at, told["error"]) for at, told in values if isinstance(told, Mapping) and "error" in told]

    def begin(self, path: str) -> None:
        """The replay comes by the step at `path`, and will come by what is in it: nothing there is cut short."""
        self.cut_short = {each for each in self.cut_short if not is_in(each, path)}

    def knows(self, path: str) -> bool:
        """False: what a step has gone on from is come to again, too."""
        return False

    def failed(self, path: str) -> JournalRecord | None:
        """None: what has failed fails again."""
        return None

    def fell_back(self, path: str) -> bool:
        """False: what the fallback took the place of is come to first."""
        return False

    def attempts(self, path: str) -> tuple[JournalRecord, ...]:
        """The attempts since the step gave up before its last time, up to the one that its fallback came after."""
        records = super().attempts(path)
        given_up = [number for number, each in enumerate(records[:-1]) if each.kind is RecordKind.FAILED]
        last = records[given_up[-1] + 1 :] if given_up else records
        return last[: next((number + 1 for number, each in enumerate(last) if each.fallback), len(last))]

    def end(self, path: str) -> JournalRecord | None:
        """The attempt after which the step gave up, or handed over to its fallback."""
        last = self.attempts(path)[-1:]
        return last[0] if last and (last[0].fallback or last[0].kind is RecordKind.FAILED) else None

    def aborted(self, path: str) -> Aborted[Any] | None:
        """What the step came to that has asked for the run's end by itself, and neither failed nor asked since."""
        record = self._aborts.get(path)
        if record is None or record.error is None or record is not super().attempts(path)[-1]:
            return None
        asked = self._numbers.get(f"{self._asking.get(path)}?", -1)
        return None if asked > self._numbers[record.path] else Aborted(record.error.message)

    def question(self, path: str, item: Item | None) -> PendingAnswer | None:
        """What the step at `path` waited for when the run stopped; None if it had its answer, and was to go on."""
        at = self._asking.get(path)
        if at is None or (self.row.status in _BROKEN_OFF and self.answer(at) is not None):
            return None
        return self.wait(at, item)

    def is_passed_over(self, written: str, path: str, within: str) -> bool:
        """Whether a step around the one at `path` was tried again after the record at `written`, which is of that step.

        What is around the step `within`, in the background, was not: it is launched once.

        It went on from that record then, and its new line had nothing more of what had failed or paused before it.
        """
        number = self._numbers[written]
        return any(
            tried > number and path != around and is_in(path, around) and is_in(around, within)
            for around, tried in self._tried_again.items()
        )

    def is_left_out(self, path: str) -> bool:
        """Whether a result is rightly not come to.

        It is of a fallback, and the step has been through since then; or a step around it was cancelled, or another
        has ended the run before, and by how much that came later in the run no record tells.
        """
        if any(is_in(path, each) for each in self.cut_short) or self._numbers[path] > self._aborted_at:
            return True
        parts = path.split(_FALLBACK)
        owners = (_FALLBACK.join(parts[:number]) for number in range(1, len(parts)))
        return any(map(self._went_without, owners))

    def _went_without(self, path: str) -> bool:
        """Whether the step at `path` can have been through without its fallback in the end."""
        if (recorded := self.recall(path)) is not None:
            return recorded.record.fallback is None
        last = super().attempts(path)[-1:]
        return not last or last[0].kind is RecordKind.FAILED or not last[0].fallback

    def refuse(self, what: str, advice: str = "") -> NoReturn:
        """Raise `ReplayMismatchError`, which ends the replay."""
        raise self.mismatch(what, "")

    def mismatch(self, what: str, path: str, advice: str = "") -> ReplayMismatchError:
        """The error for a step at `path` that is not as the record has it, after which the replay ends."""
        self.failure = error = ReplayMismatchError(
            f"run {self.row.run_id!r} can't be replayed: {what}",
            suggestion="put the pipeline back as it was; let conditions and mappers decide by their arguments alone"
            + advice,
        )
        error.path = path
        return error


def order_of(pipeline: Step[Any, Any], records: Sequence[JournalRecord]) -> list[str]:
    """The paths of the pipeline's steps of which there are records, in the order of their recorded ends."""
    places = places_of(pipeline)
    order: dict[str, int] = {}
    handed_over: set[str] = set()
    for number, each in enumerate(records):
        path = bare_path(each)
        if each.kind is RecordKind.FAILED and path in handed_over:
            handed_over.remove(path)  # its own end was when its fallback began
        elif each.kind in _ENDS or each.fallback or is_abort(each):
            order[path] = number
        if each.kind is RecordKind.ATTEMPT and each.fallback:
            handed_over.add(path)
    return sorted((path for path in order if place_of(path) in places), key=order.__getitem__)
