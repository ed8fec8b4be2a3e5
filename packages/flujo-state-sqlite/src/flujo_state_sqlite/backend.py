"""The state backend `sqlite`: runs and their journals in one file, shared by many processes."""

import asyncio
import sqlite3
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from flujo.domain.caching import CacheBackend
from flujo.domain.interfaces import Claim, JournalRecord, NewRun, RunRow, StateBackend, Sync, Wait
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.exceptions import StateBackendBusy, StateError, StateStorageFull, StateUnavailable
from flujo_state_sqlite import records, removal, runs, upkeep, workers
from flujo_state_sqlite.cache import SqliteCache
from flujo_state_sqlite.errors import explained
from flujo_state_sqlite.locations import parse_url, present, real_path
from flujo_state_sqlite.opening import connect, open_state, read_state
from flujo_state_sqlite.schema import INPUT_LIMIT, SCHEMA, VALUE_LIMIT
from flujo_state_sqlite.statefile import Connect, StateFile
from flujo_state_sqlite.values import check_size
from flujo_state_sqlite.writer import Writer

__all__ = ["SqliteBackend", "open_sqlite"]

T = TypeVar("T")

_FULL = Sync.FULL


def open_sqlite(url: str, root: Path) -> StateBackend:
    """The backend for `sqlite:///path[?sync=auto|full|normal]`; a relative path starts at `root`.

    Nothing is opened or made before it is used. Raises `SettingsError` for an address that can't be read.
    """
    location = parse_url(url, root)
    return SqliteBackend(location.path, sync=location.sync)


class SqliteBackend:
    """Keeps runs in the file at `path`, which is made by the first write.

    `sync` is `auto` (as each record asks), `full` or `normal`. A lock that another process holds is waited for up
    to `busy_s` seconds. `connect` opens connections. One object may serve several event loops and threads.
    """

    def __init__(self, path: Path, *, sync: str = "auto", busy_s: float = 30.0, connect: Connect = connect) -> None:
        self._path = path
        self._forced = None if sync == "auto" else sync == "full"
        self._connect = connect
        self._writer = Writer(path, partial(_open, path, connect, busy_s))
        self._cache = SqliteCache(path, self._writer, connect)
        self._finalizer = weakref.finalize(self, self._writer.desert)
        self._finalizer.atexit = False

    @property
    def encodes(self) -> bool:
        """Values reach this backend as bytes."""
        return True

    @property
    def cache(self) -> CacheBackend:
        """Cached results, in the same file and closed with it."""
        return self._cache

    @property
    def locations(self) -> dict[str, Path]:
        """The file, in which cached results are too, and the folder that says which processes are at work."""
        return {"state": self._path, "workers": workers.folder_of(self._path), "cached results": self._path}

    async def create_run(self, run: NewRun, /) -> Claim:
        """Write the run down and own it. Raises `RunKeyTaken`, and `StateError` when the id is taken."""
        size = check_size(run.input, "input", INPUT_LIMIT) + check_size(run.base, "context", INPUT_LIMIT)
        work = partial(_begin, run=run, wid=self._writer.new_id())
        return await self._writer.write(work, full=self._forced is not False, size=size)

    async def claim(self, run_id: str, /, *, force: bool = False) -> Claim:
        """Own a run whose owner is gone, or any by `force`.

        Raises `RunNotFound`, `RunOwnedElsewhere` and `RunPoisoned`.
        """
        self._expect(run_id)
        work = partial(runs.claim, run_id=run_id, wid=self._writer.new_id(), force=force)
        return await self._go_on(work, full=self._forced is not False)

    async def redefine(self, claim: Claim, definition: str, digest: bytes, files: Mapping[str, str], /) -> None:
        """Write down that the run goes on with another pipeline."""
        work = partial(removal.redefine, claim=claim, definition=definition, digest=digest, files=files)
        await self._go_on(work, full=self._forced is not False)

    async def append(self, claim: Claim, record: JournalRecord, /) -> None:
        """Write one record. Raises `StateError` when its path is recorded, `PayloadTooLarge` above 16 MiB.

        A small record that need not survive the machine is written in this thread, if nobody else writes: that
        is shorter than the way to the writer and back.
        """
        writer = self._writer
        full = record.sync is _FULL if self._forced is None else self._forced
        wid = writer.new_id()
        row = records.plain_row(claim, record, wid)
        if row is not None and not full and writer.write_now(*records.plain_insert(row)):
            return
        size = check_size(record.out, record.path, VALUE_LIMIT) + check_size(record.delta, record.path, VALUE_LIMIT)
        work = partial(records.add, claim=claim, record=record, wid=wid)
        try:
            await writer.write(work, full=full, size=size, row=row)
        except (StateStorageFull, StateBackendBusy) as error:
            raise _resumable(error) from error

    async def finish(
        self,
        claim: Claim,
        status: RunStatus,
        /,
        *,
        output: bytes | None = None,
        error: ErrorInfo | None = None,
        at: float,
    ) -> None:
        """Let go of the run with `status`; `CANCELLED` where it was asked to stop and could be gone on with.

        A run pauses after its question was acknowledged, which survives the machine: none is paused without one.
        """
        size = check_size(output, "output", VALUE_LIMIT)
        work = partial(
            runs.finish, claim=claim, wid=self._writer.new_id(), status=status, output=output, error=error, at=at
        )
        await self._go_on(work, full=self._forced is not False, size=size)

    async def answer(self, run_id: str, record: JournalRecord, /) -> bool:
        """Write an answer down, whoever owns the run: one of many at one path is written. Raises `RunNotFound`."""
        size = check_size(record.out, record.path, VALUE_LIMIT)
        self._expect(run_id)
        work = partial(records.answer, run_id=run_id, record=record, wid=self._writer.new_id())
        return await self._go_on(work, full=self._forced is not False, size=size)

    async def cancel(self, run_id: str, /, *, at: float) -> RunStatus:
        """Ask the run's owner to stop; a run without one that has not ended is cancelled. Raises `RunNotFound`."""
        self._expect(run_id)
        return await self._writer.write(partial(runs.cancel, run_id=run_id, at=at), full=self._forced is not False)

    async def is_cancelled(self, claim: Claim, /) -> bool:
        """Whether the owner was asked to stop, or is none any more; a look through a connection that is open."""
        look = partial(runs.is_cancelled, claim=claim)
        self._writer.check()
        with explained(self._path):
            found = await asyncio.to_thread(self._writer.read, look)
        return await self._look(lambda connection, _: look(connection), True) if found is None else found

    async def delete(self, run_id: str, /) -> None:
        """Forget a run and its journal. Raises `RunNotFound`, and `RunOwnedElsewhere` while its owner lives."""
        self._expect(run_id)
        work = partial(removal.delete, run_id=run_id, tried=[])
        await self._writer.write(work, full=self._forced is not False)

    async def gc(self, *, ended_before: float, limit: int = 200, trust_clock: bool = False) -> int:
        """Forget up to `limit` runs that ended before that time, in one transaction; how many there were.

        Without `trust_clock` none goes after which none was created at that time or later.
        """
        if not self._is_made():
            return 0
        work = partial(removal.gc, ended_before=ended_before, limit=limit, trust_clock=trust_clock, tried=[])
        return await self._writer.write(work, full=self._forced is not False)

    async def check(self) -> Sequence[str]:
        """What is wrong with the file, in words. Raises `StateUnavailable` and `StateCorrupt` if it can't be opened."""
        return await self._there(lambda connection, path: upkeep.check(connection, workers.folder_of(path)))

    async def migrate(self) -> tuple[int, int]:
        """Bring the file to this version's schema; the schema before, and now."""
        before = await self._there(lambda connection, _: upkeep.schema_of(connection))
        if before != SCHEMA:
            await self._writer.write(lambda _: None, full=True)  # opening it for writing brings it up
        return before, SCHEMA

    async def backup(self, to: str, /) -> int:
        """Copy the state, as it is at one moment, to the new file `to`; its size in bytes.

        Raises `StateUnavailable` for a name that is taken, and `StateStorageFull`.
        """
        return await self._there(lambda connection, path: upkeep.backup(connection, path, Path(to)))

    async def load(self, run_id: str, /) -> Sequence[JournalRecord]:
        """The run's journal in the order it was written. Raises `RunNotFound`."""
        found = await self._look(
            lambda connection, _: records.read_all(connection, runs.number_of(connection, run_id)), None
        )
        if found is None:
            raise runs.not_found(run_id)
        return found

    async def lives(self, run_id: str, /) -> dict[str, int]:
        """The epoch of each record of the run, by its path in the order of writing. Raises `RunNotFound`."""
        found = await self._look(
            lambda connection, _: records.read_epochs(connection, runs.number_of(connection, run_id)), None
        )
        if found is None:
            raise runs.not_found(run_id)
        return found

    async def waits(self, *, run_id: str | None = None, limit: int = 1000, offset: int = 0) -> Sequence[Wait]:
        """Questions without an answer, of one run or of all that have not ended for good, the oldest first."""
        return await self._look(
            lambda connection, path: records.read_waits(connection, workers.folder_of(path), run_id, limit, offset), []
        )

    async def get(self, run_id: str, /) -> RunRow | None:
        """The run with exactly this id. One whose process died at work is shown as interrupted."""
        return await self._look(
            lambda connection, path: runs.read_one(connection, workers.folder_of(path), run_id), None
        )

    async def list(self, *, prefix: str = "", limit: int = 50, offset: int = 0) -> Sequence[RunRow]:
        """Runs whose id starts with `prefix`, the one created last first, without their values and files."""
        return await self._look(
            lambda connection, path: runs.read_many(connection, workers.folder_of(path), prefix, limit, offset), []
        )

    async def close(self) -> None:
        """Write what waits, let go of every run and close the file. A second call does nothing."""
        self._finalizer.detach()
        await asyncio.to_thread(self._writer.close)

    def _is_made(self) -> bool:
        """Whether there is a file: what begins no run makes none."""
        self._writer.check()
        with explained(self._path):
            return present(real_path(self._path))

    def _expect(self, run_id: str) -> None:
        if not self._is_made():
            raise runs.not_found(run_id)

    async def _look(self, look: Callable[[sqlite3.Connection, Path], T], missing: T) -> T:
        """What `look` finds in the file; `missing` if there is none."""
        self._writer.check()
        return await asyncio.to_thread(_look, self._path, self._connect, look, missing)

    async def _there(self, look: Callable[[sqlite3.Connection, Path], T]) -> T:
        """What `look` finds in the file. Raises `StateUnavailable` if there is none."""
        found = await self._look(look, None)
        if found is None:
            raise StateUnavailable(f"there is no state at {str(self._path)!r}", suggestion="check the name of the file")
        return found

    async def _go_on(self, work: Callable[[StateFile], T], *, full: bool, size: int = 0) -> T:
        """Do `work` on a run that exists."""
        try:
            return await self._writer.write(work, full=full, size=size)
        except (StateStorageFull, StateBackendBusy) as error:
            raise _resumable(error) from error


def _resumable(error: StateStorageFull | StateBackendBusy) -> StateError:
    """The error, for a run that exists: it can be resumed once the reason of the failure is mended."""
    advice = (
        f"{error.suggestion}, then resume the run, or do this again: it is not recorded, and what is recorded is intact"
    )
    return type(error)(error.message, suggestion=advice)


def _begin(file: StateFile, run: NewRun, wid: bytes) -> Claim:
    claim = runs.create(file, run, wid)
    for record in run.records:
        records.add(file, claim, record, wid)
    return claim


def _open(path: Path, connect: Connect, busy_s: float) -> StateFile:
    return open_state(real_path(path), connect=connect, busy_s=busy_s)


def _look(path: Path, connect: Connect, look: Callable[[sqlite3.Connection, Path], T], missing: T) -> T:
    path = real_path(path)
    with read_state(path, connect) as connection:
        return missing if connection is None else look(connection, path)
