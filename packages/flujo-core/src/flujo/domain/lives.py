"""What is known of the processes that worked on a run one after the other."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from flujo.domain.interfaces import JournalRecord, RecordKind
from flujo.exceptions import PipelineAbortSignal, RunPoisoned

__all__ = ["CALL_LOST", "LivesBackend", "gets_on", "is_abort", "poisoned"]

#: The type of the `error` of an attempt whose process died while its call was made.
CALL_LOST = "CallLost"


def gets_on(record: JournalRecord) -> bool:
    """Whether the run has got on by this record: not by the beginning of a call, nor by an attempt that was no try."""
    return record.kind is not RecordKind.CALL and (record.kind is not RecordKind.ATTEMPT or record.attempt > 0)


def is_abort(record: JournalRecord) -> bool:
    """Whether the step of the record has asked for the run's end, which is no try."""
    return record.error is not None and not record.attempt and record.error.code == PipelineAbortSignal.default_code


def poisoned(run_id: str, claims: int, last: str | None) -> RunPoisoned:
    """The error for a run that was claimed so often without getting on after the record at `last`, if there is one."""
    where = "got no further than its beginning" if last is None else f"got no further than {last!r}"
    return RunPoisoned(
        f"run {run_id!r} was claimed {claims} times and {where}",
        suggestion=f"find out where it breaks off, then resume it with force=True: flujo resume {run_id} --force",
    )


@runtime_checkable
class LivesBackend(Protocol):
    """What a `StateBackend` can be beside: one that knows under which claim each record was written."""

    async def lives(self, run_id: str, /) -> Mapping[str, int]:
        """The epoch of each record of the run, by the record's path in the order of writing. Raises `RunNotFound`."""
        ...
