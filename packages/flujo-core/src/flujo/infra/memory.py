"""Runs kept in memory: the rules of a durable backend, without the durability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from flujo.domain.interfaces import (
    CacheBackend,
    CacheEntry,
    Claim,
    JournalRecord,
    NewRun,
    RecordKind,
    RunRow,
    StateBackend,
)
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.usage import NO_USAGE
from flujo.exceptions import RunNotFound, RunOwnedElsewhere, SettingsError, StateError, StateUnavailable

__all__ = ["InMemoryBackend", "InMemoryCache", "open_memory"]

#: How many bytes of cached results are kept.
_CACHE_BYTES = 256 * 1024 * 1024

#: What an entry counts beside its values.
_ENTRY_BYTES = 512


def open_memory(url: str, root: Path) -> StateBackend:
    """The backend for `memory:` or `memory://`; `root` is not used. Raises `SettingsError` for anything else."""
    if url not in ("memory:", "memory://"):
        raise SettingsError(
            f"{url!r} is not a state in memory, expected 'memory:'",
            suggestion="a state in memory has neither a name nor options; for a file write 'sqlite:///path'",
        )
    return InMemoryBackend()


@dataclass(slots=True)
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
    records: dict[str, JournalRecord] = field(default_factory=dict)

    def row(self) -> RunRow:
        """The run as a backend shows it."""
        return RunRow(
            **self.new._asdict(),
            status=self.status,
            output=self.output,
            error=self.error,
            updated_at=self.updated_at,
            ended_at=self.ended_at,
            owner="this process" if self.owned else None,
            epoch=self.epoch,
            recorded=sum(record.kind is RecordKind.RESULT for record in self.records.values()),
            usage=reduce(add, (record.usage for record in self.records.values()), NO_USAGE),
        )


class InMemoryBackend:
    """A `StateBackend` that forgets everything when it is closed.

    With `encodes` it is handed bytes, so that what can't be stored is found here as on a disk; without, it keeps
    copies of plain data and other values themselves, which is faster but leaves those open to later changes.
    """

    def __init__(self, *, encodes: bool = True) -> None:
        self._encodes = encodes
        self._runs: dict[str, _Run] = {}
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
        """Keep the run and own it. Raises `StateError` when the id is taken."""
        self._check_open()
        if run.run_id in self._runs:
            raise StateError(f"there is a run {run.run_id!r} already", suggestion="give the new run another id")
        self._created += 1
        self._runs[run.run_id] = _Run(run, self._created, updated_at=run.created_at)
        return Claim(run.run_id, self._created, epoch=1)

    async def claim(self, run_id: str, /, *, force: bool = False) -> Claim:
        """Own a run that was let go of, or any by `force`."""
        run = self._find(run_id)
        if run.owned and not force:
            raise RunOwnedElsewhere(
                f"run {run_id!r} is at work in this process", suggestion="wait until it ends, or take it over by force"
            )
        run.epoch += 1
        run.owned, run.status = True, RunStatus.RUNNING
        run.output = run.error = run.ended_at = None
        return Claim(run_id, run.number, run.epoch)

    async def load(self, run_id: str, /) -> Sequence[JournalRecord]:
        """The run's records in the order they were written."""
        return list(self._find(run_id).records.values())

    async def append(self, claim: Claim, record: JournalRecord, /) -> None:
        """Keep one record. Raises `StateError` when its path is recorded already."""
        run = self._owned(claim)
        if record.path in run.records:
            raise StateError(f"run {claim.run_id!r} has a record at {record.path!r} already")
        run.records[record.path] = record

    async def finish(
        self, claim: Claim, status: RunStatus, /, *, output: Any = None, error: ErrorInfo | None = None, at: float
    ) -> None:
        """Let go of the run with `status`."""
        run = self._owned(claim)
        run.owned, run.status = False, status
        run.output, run.error = output, error
        run.updated_at = run.ended_at = at

    async def get(self, run_id: str, /) -> RunRow | None:
        """The run with exactly this id."""
        self._check_open()
        run = self._runs.get(run_id)
        return run.row() if run else None

    async def list(self, *, prefix: str = "", limit: int = 50, offset: int = 0) -> Sequence[RunRow]:
        """Runs whose id starts with `prefix`, the one created last first; without inputs, bases and outputs."""
        self._check_open()
        # The dict holds the runs in the order in which they were created.
        runs = [run for run_id, run in reversed(self._runs.items()) if run_id.startswith(prefix)]
        return [run.row()._replace(input=None, base=None, output=None) for run in runs[offset : offset + limit]]

    async def close(self) -> None:
        """Forget every run. A second call does nothing."""
        self._closed = True
        self._runs.clear()
        self._cache.close()

    def _find(self, run_id: str) -> _Run:
        self._check_open()
        run = self._runs.get(run_id)
        if run is None:
            raise RunNotFound(f"there is no run {run_id!r} in this state")
        return run

    def _check_open(self) -> None:
        if self._closed:
            raise StateUnavailable("the state in memory is closed")

    def _owned(self, claim: Claim) -> _Run:
        """The run that may be written under `claim`. Raises `StateError` for one that may not."""
        run = self._find(claim.run_id)
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


def _size(entry: CacheEntry) -> int:
    return len(entry.value) + len(entry.delta or b"") + _ENTRY_BYTES
