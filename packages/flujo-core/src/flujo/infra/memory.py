"""Runs kept in memory: the rules of a durable backend, without the durability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from flujo.domain.caching import CacheBackend, CacheEntry
from flujo.domain.interfaces import Claim, JournalRecord, NewRun, RecordKind, RunRow, StateBackend, Wait
from flujo.domain.lives import gets_on
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.scope import NOTHING
from flujo.domain.usage import NO_USAGE
from flujo.exceptions import RunKeyTaken, RunNotFound, RunOwnedElsewhere, SettingsError, StateError, StateUnavailable

__all__ = ["InMemoryBackend", "InMemoryCache", "open_memory"]

#: How many bytes of cached results are kept.
_CACHE_BYTES = 256 * 1024 * 1024

#: What an entry counts beside its values.
_ENTRY_BYTES = 512

#: What takes no answers any more, and what may be forgotten: a failed run can be gone on with, but nobody waits for it.
_FOR_GOOD = (RunStatus.COMPLETED, RunStatus.CANCELLED)
_ENDED = (*_FOR_GOOD, RunStatus.FAILED)


def open_memory(url: str, root: Path) -> StateBackend:
    """The backend for `memory:` or `memory://`; `root` is not used. Raises `SettingsError` for anything else."""
    if url not in ("memory:", "memory://"):
        raise SettingsError(
            f"{url!r} is not a state in memory, expected 'memory:'",
            suggestion="a state in memory has neither a name nor options; for a file write 'sqlite:///path'",
        )
    return InMemoryBackend()


@dataclass(slots=True, eq=False)
class _Run:
    """A run and its journal. The dict of records is both the order of writing and the guard of paths."""

    new: NewRun
    number: int
    updated_at: float
    epoch: int = 1
    owned: bool = True
    status: RunStatus = RunStatus.RUNNING
    output: Any = None
    error: ErrorInfo | None = None
    ended_at: float | None = None
    claims: int = 0
    cancelled: bool = False
    records: dict[str, JournalRecord] = field(default_factory=dict)

    def row(self) -> RunRow:
        """The run as a backend shows it."""
        return RunRow(
            **self._told(),
            status=self.status,
            output=self.output,
            error=self.error,
            updated_at=self.updated_at,
            ended_at=self.ended_at,
            owner="this process" if self.owned else None,
            epoch=self.epoch,
            recorded=sum(record.kind is RecordKind.RESULT for record in self.records.values()),
            usage=reduce(add, (record.usage for record in self.records.values()), NO_USAGE),
            claims=self.claims,
            cancelled=self.cancelled,
        )

    def _told(self) -> dict[str, Any]:
        return {name: value for name, value in self.new._asdict().items() if name != "records"}

    def asks(self, question: JournalRecord) -> bool:
        """Whether a question is open: without an answer, or with one that its step has failed with since."""
        path = question.path.removesuffix("?")
        is_open = has_none = path.partition("?")[0] not in self.records
        for record in self.records.values():
            if record.kind is RecordKind.ANSWER and record.path.rpartition("!")[0] == path:
                is_open = False
            elif record.kind is RecordKind.FAILED and record.path.rpartition("#")[0] == path:
                is_open = (is_open or record.attempt > 0) and has_none
        return is_open and self.status not in _FOR_GOOD


class InMemoryBackend:
    """A `StateBackend` that forgets everything when it is closed.

    With `encodes` it is handed bytes, so that what can't be stored is found here as on a disk; without, it keeps
    copies of plain data and other values themselves, which is faster but leaves those open to later changes.
    """

    def __init__(self, *, encodes: bool = True) -> None:
        self._encodes = encodes
        self._runs: dict[str, _Run] = {}
        self._keys: dict[str, str] = {}
        self._asked: list[tuple[_Run, JournalRecord]] = []
        self._created = 0
        self._closed = False
        self._cache = InMemoryCache()

    @property
    def cache(self) -> CacheBackend:
        """Cached results, forgotten with the runs."""
        return self._cache

    @property
    def encodes(self) -> bool:
        """Whether values reach this backend as bytes."""
        return self._encodes

    async def create_run(self, run: NewRun, /) -> Claim:
        """Keep the run and own it. Raises `RunKeyTaken`, or `StateError` when the id is taken."""
        self._check_open()
        other = None if run.key is None else self._keys.get(run.key)
        if other is not None:
            raise RunKeyTaken(f"run {other!r} has the key {run.key!r}", run_id=other)
        if run.run_id in self._runs:
            raise StateError(f"there is a run {run.run_id!r} already", suggestion="give the new run another id")
        self._created += 1
        records = {record.path: record for record in run.records}
        if run.key is not None:
            self._keys[run.key] = run.run_id
        self._runs[run.run_id] = _Run(run, self._created, updated_at=run.created_at, records=records)
        return Claim(run.run_id, self._created, epoch=1)

    async def claim(self, run_id: str, /, *, force: bool = False) -> Claim:
        """Own a run that was let go of, or any by `force`."""
        run = self._find(run_id)
        if run.owned and not force:
            raise RunOwnedElsewhere(
                f"run {run_id!r} is at work in this process", suggestion="wait until it ends, or take it over by force"
            )
        run.epoch += 1
        run.claims = 1  # no more: who dies takes this state along
        run.owned, run.status, run.cancelled = True, RunStatus.RUNNING, False
        run.output = run.error = run.ended_at = None
        return Claim(run_id, run.number, run.epoch)

    async def load(self, run_id: str, /) -> Sequence[JournalRecord]:
        """The run's records in the order they were written."""
        return list(self._find(run_id).records.values())

    async def redefine(self, claim: Claim, definition: str, digest: bytes, files: Mapping[str, str], /) -> None:
        """Keep another definition and its files."""
        run = self._owned(claim)
        run.new = run.new._replace(definition=definition, digest=digest, files=files)

    async def append(self, claim: Claim, record: JournalRecord, /) -> None:
        """Keep one record. Raises `StateError` when its path is recorded already."""
        run = self._owned(claim)
        if record.path in run.records:
            raise StateError(f"run {claim.run_id!r} has a record at {record.path!r} already")
        self._note(run, record)

    async def answer(self, run_id: str, record: JournalRecord, /) -> bool:
        """Keep an answer, unless its path is recorded or the run has ended for good."""
        run = self._find(run_id)
        if record.path in run.records or run.status in _FOR_GOOD:
            return False
        self._note(run, record)
        return True

    async def waits(self, *, run_id: str | None = None, limit: int = 1000, offset: int = 0) -> Sequence[Wait]:
        """Questions without an answer, the oldest first."""
        self._check_open()
        waits = [
            Wait(run.new.run_id, run.new.pipeline, run.status, record)
            for run, record in self._asked
            if run_id in (None, run.new.run_id) and run.asks(record)
        ]
        return waits[offset : offset + limit]

    async def cancel(self, run_id: str, /, *, at: float) -> RunStatus:
        """Ask the run's owner to stop; cancel it if there is none and it has not ended."""
        run = self._find(run_id)
        if run.owned:
            run.cancelled, run.updated_at = True, at
        elif run.status not in _ENDED:
            run.status, run.updated_at, run.ended_at = RunStatus.CANCELLED, at, at
        return run.status

    async def is_cancelled(self, claim: Claim, /) -> bool:
        """Whether the owner was asked to stop, or is none any more."""
        self._check_open()
        run = self._runs.get(claim.run_id)
        return run is None or run.cancelled or (run.number, run.epoch) != (claim.number, claim.epoch)

    async def delete(self, run_id: str, /) -> None:
        """Forget a run that nobody works on."""
        run = self._find(run_id)
        if run.owned:
            raise RunOwnedElsewhere(
                f"run {run_id!r} is at work in this process", suggestion="cancel it, and delete it when it has ended"
            )
        self._forget([run])

    async def gc(self, *, ended_before: float, limit: int = 200, trust_clock: bool = False) -> int:
        """Forget runs that ended before that time and were created before a younger one, or by the clock alone."""
        self._check_open()
        old: dict[_Run, float] = {}
        for run in self._runs.values():
            if run.new.created_at >= ended_before:
                trust_clock = True
                break
            if run.status in _ENDED and run.ended_at is not None and run.ended_at < ended_before:
                old[run] = run.ended_at
        gone = sorted(old, key=old.__getitem__)[: limit if trust_clock else 0]
        self._forget(gone)
        return len(gone)

    async def finish(
        self, claim: Claim, status: RunStatus, /, *, output: Any = None, error: ErrorInfo | None = None, at: float
    ) -> None:
        """Let go of the run with `status`; one that is asked to stop, and could be gone on with, is cancelled."""
        run = self._owned(claim)
        if run.cancelled and status not in _ENDED:
            status = RunStatus.CANCELLED
        run.owned, run.status, run.claims = False, status, 0
        run.output, run.error = output, error
        run.updated_at = run.ended_at = at

    async def get(self, run_id: str, /) -> RunRow | None:
        """The run with exactly this id."""
        self._check_open()
        run = self._runs.get(run_id)
        return run.row() if run else None

    async def list(self, *, prefix: str = "", limit: int = 50, offset: int = 0) -> Sequence[RunRow]:
        """Runs whose id starts with `prefix`, the one created last first; without their values and files."""
        self._check_open()
        # The dict holds the runs in the order in which they were created.
        runs = [run for run_id, run in reversed(self._runs.items()) if run_id.startswith(prefix)]
        rows = [run.row() for run in runs[offset : offset + limit]]
        return [row._replace(input=None, base=None, output=None, files=NOTHING) for row in rows]

    async def close(self) -> None:
        """Forget every run. A second call does nothing."""
        self._closed = True
        self._forget(list(self._runs.values()))
        self._cache.close()

    def _find(self, run_id: str) -> _Run:
        self._check_open()
        run = self._runs.get(run_id)
        if run is None:
            raise _not_found(run_id)
        return run

    def _note(self, run: _Run, record: JournalRecord) -> None:
        run.records[record.path] = record
        run.claims = 0 if gets_on(record) else run.claims
        if record.kind is RecordKind.WAIT:
            self._asked.append((run, record))

    def _forget(self, runs: Sequence[_Run]) -> None:
        for run in runs:
            del self._runs[run.new.run_id]
            if run.new.key is not None:
                del self._keys[run.new.key]
        self._asked = [(run, record) for run, record in self._asked if run.new.run_id in self._runs]

    def _check_open(self) -> None:
        if self._closed:
            raise StateUnavailable("the state in memory is closed")

    def _owned(self, claim: Claim) -> _Run:
        """The run that may be written under `claim`. Raises `StateError` for one that may not."""
        run = self._find(claim.run_id)
        if run.number != claim.number:
            raise _not_found(claim.run_id)
        if run.epoch != claim.epoch:
            raise RunOwnedElsewhere(f"run {claim.run_id!r} was taken over by another owner")
        if not run.owned:
            raise StateError(f"run {claim.run_id!r} was let go of", suggestion="claim the run again to write to it")
        return run


class InMemoryCache:
    """A `CacheBackend` of up to `limit` bytes: what was not used for longest is forgotten first."""

    def __init__(self, *, limit: int = _CACHE_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._entries: dict[bytes, CacheEntry] = {}  # the one used last comes last
        self._newest: dict[str, CacheEntry] = {}
        self._closed = False

    async def get(self, key: bytes, /) -> CacheEntry | None:
        """The entry with this key, which is then the one used last."""
        self._check_open()
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._entries[key] = entry
        return entry

    async def put(self, entry: CacheEntry, /) -> None:
        """Keep `entry`, in place of an earlier one with its key."""
        self._check_open()
        if entry.key in self._entries:
            self._forget(entry.key)
        self._entries[entry.key] = self._newest[entry.scope] = entry
        self._size += _size(entry)
        while self._size > self._limit:
            self._forget(next(iter(self._entries)))

    async def nearest(self, scope: str, /) -> Mapping[str, str] | None:
        """The parts of the newest entry of `scope`, None if there is none."""
        self._check_open()
        newest = self._newest.get(scope)
        return None if newest is None else newest.parts

    def close(self) -> None:
        """Forget every result. A second call does nothing."""
        self._closed = True
        self._entries.clear()
        self._newest.clear()

    def _forget(self, key: bytes) -> None:
        entry = self._entries.pop(key)
        self._size -= _size(entry)
        if self._newest.get(entry.scope) is entry:
            del self._newest[entry.scope]

    def _check_open(self) -> None:
        if self._closed:
            raise StateUnavailable("the state in memory is closed")


def _not_found(run_id: str) -> RunNotFound:
    return RunNotFound(f"there is no run {run_id!r} in this state")


def _size(entry: CacheEntry) -> int:
    return len(entry.value) + len(entry.delta or b"") + _ENTRY_BYTES
