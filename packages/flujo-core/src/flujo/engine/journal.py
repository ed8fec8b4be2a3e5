"""The record of one run: what each path came to, known before anything is executed."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from flujo.domain.interfaces import Claim, Codec, JournalRecord, RecordKind, StateBackend
from flujo.domain.outcomes import ErrorInfo
from flujo.domain.usage import Usage
from flujo.exceptions import PayloadTooLarge, StateError

__all__ = ["Journal", "Recorded"]


class Recorded(NamedTuple):
    """A result read back from the journal, with its values as they were before they were written down."""

    value: Any
    delta: Any
    record: JournalRecord


class Journal:
    """Looks results up by path, and writes new ones down before anyone uses them.

    Values pass through the codec when the backend `encodes`. A write that fails for a reason of the state's sets
    `failure`: the run can't go on, whatever the steps around it would make of the error.
    """

    __slots__ = ("_attempts", "_backend", "_claim", "_codec", "_results", "failure")

    def __init__(
        self, backend: StateBackend, claim: Claim, codec: Codec, records: Iterable[JournalRecord] = ()
    ) -> None:
        self._backend = backend
        self._claim = claim
        self._codec = codec if backend.encodes else None
        self._results: dict[str, JournalRecord] = {}
        self._attempts: dict[str, list[JournalRecord]] = {}
        self.failure: BaseException | None = None
        for record in records:
            self._note(record)

    def _note(self, record: JournalRecord) -> None:
        if record.kind is RecordKind.RESULT:
            self._results[record.path] = record
        else:
            self._attempts.setdefault(record.path.rpartition("#")[0], []).append(record)

    def __len__(self) -> int:
        """How many results are recorded."""
        return len(self._results)

    def recall(self, path: str) -> Recorded | None:
        """The result recorded at `path`, if any. Raises `StateCorrupt` for one that can't be read."""
        record = self._results.get(path)
        if record is None:
            return None
        if self._codec is None:
            return Recorded(record.out, record.delta, record)
        value = self._codec.decode(record.out, where=path)
        delta = None if record.delta is None else self._codec.decode(record.delta, where=path)
        return Recorded(value, delta, record)

    def knows(self, path: str) -> bool:
        """Whether a result is recorded at `path`."""
        return path in self._results

    def attempts(self, path: str) -> tuple[JournalRecord, ...]:
        """The failed attempts recorded at `path`, by this process or one before it, oldest first."""
        return tuple(self._attempts.get(path, ()))

    def retries_used(self, path: str) -> int:
        """How many recorded attempts count against the step's retries: those since it last gave up."""
        used = 0
        for record in reversed(self._attempts.get(path, ())):
            if record.kind is RecordKind.FAILED:
                break
            used += 1
        return used

    def encoded(self, value: Any, where: str) -> Any:
        """`value` as a record holds it. Raises `ValueNotStorable` when it can't be written; names `where`."""
        return value if self._codec is None else self._codec.encode(value, where=where)

    async def record(self, record: JournalRecord) -> None:
        """Write the result of a step down, its `out` and `delta` `encoded`, and return when it is safe.

        Raises `PayloadTooLarge` for a value that can't be written (the step's fault), and any other `StateError` when
        the state can't take it (the run's end).
        """
        await self._append(record)
        self._results[record.path] = record

    async def record_attempt(
        self, path: str, error: ErrorInfo, *, final: bool, usage: Usage, started_at: float, ended_at: float
    ) -> None:
        """Write a failed attempt down; `final` says that the step gave up after it.

        Attempts of one path are numbered from 1, over every process that worked on the run.
        """
        attempt = len(self._attempts.get(path, ())) + 1
        record = JournalRecord(
            f"{path}#a{attempt}",
            RecordKind.FAILED if final else RecordKind.ATTEMPT,
            attempt,
            error=error,
            usage=usage,
            started_at=started_at,
            ended_at=ended_at,
        )
        await self._append(record)
        self._note(record)

    async def _append(self, record: JournalRecord) -> None:
        try:
            await self._backend.append(self._claim, record)
        except PayloadTooLarge:
            raise
        except StateError as error:
            self.failure = error
            raise
