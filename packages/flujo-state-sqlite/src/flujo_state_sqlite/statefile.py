"""A state file that is open for writing: its transactions, and the upkeep of its log."""

import logging
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from flujo.exceptions import StateCorrupt, StateError, StateUnavailable
from flujo_state_sqlite import forks, workers
from flujo_state_sqlite.errors import RECOVER, REFUSED_VALUE, busy, code_of, is_busy
from flujo_state_sqlite.schema import APPLICATION_ID, MIGRATIONS

__all__ = ["Connect", "StateFile"]

T = TypeVar("T")

#: Opens a connection, in autocommit mode and for any thread, from SQLite's own kind of URI.
Connect = Callable[[str], sqlite3.Connection]

logger = logging.getLogger(__name__)

#: After so many inserts of their own, or so many seconds, the next one is followed by a look at the files.
_LOOK_EVERY = 32
_LOOK_AFTER_S = 0.05

#: The log is copied into the file, and emptied, whenever it has grown by this many bytes. Everybody waits meanwhile,
#: above all for two syncs, of which each step pays its part (measured: 15 us at 4 MiB, where all the rest takes 65).
_CHECKPOINT_BYTES = 16 * 1024 * 1024

#: A checkpoint waits for a commit or a reader of others, in milliseconds: longer than a commit takes.
_WAIT = "PRAGMA busy_timeout = 250"
_DO_NOT_WAIT = "PRAGMA busy_timeout = 0"

# With a log EXTRA is FULL. Without one a commit is the removal of a journal, which FULL alone leaves to the next sync.
_SYNC_FULL = "PRAGMA synchronous = EXTRA"
_SYNC_NORMAL = "PRAGMA synchronous = NORMAL"

_SETTINGS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA mmap_size = 0",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA journal_size_limit = 67108864",
    _SYNC_FULL,
)


class StateFile:
    """The one connection of a process that writes to the state at `path`, and the process's worker there."""

    def __init__(self, path: Path, connect: Connect, busy_s: float, monotonic: Callable[[], float]) -> None:
        self.path = path
        self.connection = connect(f"{path.as_uri()}?mode=rw")
        self.worker: workers.Worker
        self.holding = workers.Holding()
        self.inline = False
        self.log_is_long = False
        self._connect = connect
        self._busy_s = busy_s
        self._monotonic = monotonic
        self._pause = threading.Event()
        self._place = str(path)
        self._identity: tuple[int, int] | None = None
        self._stamp: tuple[int, int] | None = None
        self._log = f"{path}-wal"
        self._log_seen = 0
        self._full = True
        self._always_full = False
        self._checkpoint_at = _CHECKPOINT_BYTES
        self._unseen = 0
        self._look_at = 0.0
        try:
            self._identity, self._stamp = self._look()
            for setting in _SETTINGS:
                self.poll(setting)
        except BaseException:
            self.connection.close()
            raise

    def start_log(self) -> None:
        """Switch on the write-ahead log; where the file system can't have one, sync each transaction instead."""
        self.inline = self.poll("PRAGMA journal_mode = WAL").fetchone()[0] == "wal"
        self._always_full = not self.inline
        if not self.inline:
            logger.warning("%s: no write-ahead log on this file system, every record is synced to disk", self.path)
        self._stamp = self._look()[1]

    def migrate(self) -> None:
        """Apply the migrations that are missing, all or none; another process may do the same at this moment."""
        self.poll("BEGIN EXCLUSIVE")
        try:
            version = self.connection.execute("PRAGMA user_version").fetchone()[0]
            for statement in chain.from_iterable(MIGRATIONS[version:]):
                self.connection.execute(statement)
            self.poll("COMMIT")
        except sqlite3.Error:
            self._end()
            # A commit that failed may have taken place.
            if self.connection.execute("PRAGMA user_version").fetchone()[0] != len(MIGRATIONS):
                raise
        finally:
            self._end()

    def check_whole(self) -> None:
        """Look for damage, after a process died at work here. Raises `StateCorrupt`."""
        found = self.poll("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StateCorrupt(f"{str(self.path)!r} is damaged: {found}", suggestion=RECOVER)

    @contextmanager
    def transaction(self, *, full: bool) -> Iterator[None]:
        """Write in one transaction; whatever is raised, by the body or by the commit, nothing stays open.

        After a normal end the commit is known to have reached the file that lies at `path`.
        """
        self._sync(full)
        self.poll("BEGIN IMMEDIATE")
        try:
            yield
            self.poll("COMMIT")
        finally:
            self._end()
        self._look_around()

    def write_now(self, statement: str, values: tuple[object, ...]) -> bool:
        """Run one insert in a transaction of its own, safe from the process's death only.

        False says that nothing is known of it: that it has to be tried, and explained, in a transaction. That the
        file was taken away, which loses every record in it, shows at one of the next inserts or transactions.
        """
        try:
            if self._full:
                self.connection.execute(_SYNC_NORMAL)
                self._full = False
            if self.connection.execute(statement, values).rowcount != 1:
                return False
        except (sqlite3.Error, *REFUSED_VALUE):
            return False
        self._unseen += 1
        if self._unseen >= _LOOK_EVERY or self._monotonic() >= self._look_at:
            self._look_around()
        return True

    def poll(self, statement: str) -> sqlite3.Cursor:
        """Run `statement`, waiting for locks of others. Raises `StateBackendBusy` after the deadline."""
        return self.patiently(partial(self.connection.execute, statement))

    def patiently(self, action: Callable[[], T]) -> T:
        """Do `action` as soon as no lock of others is in its way. Raises `StateBackendBusy` after the deadline.

        Many short waits of odd length share a file more fairly than SQLite's growing ones.
        """
        deadline = self._monotonic() + self._busy_s
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if self._monotonic() >= deadline:
                    raise busy(self.path, error) from error
            self._pause.wait(random.uniform(0.0002, 0.001))  # noqa: S311 - spreads load, guards nothing

    def checkpoint(self) -> None:
        """Copy the log into the file and empty it, if no reader or writer is in the way; if one is, try later.

        TRUNCATE, and only by writers: it takes the write lock, so no commit can run inside it, which is where
        SQLite before 3.51.3 could lose one (https://www.sqlite.org/wal.html, "the WAL-reset bug"). It has to wait for
        that lock: a checkpoint that can't have it goes on without, beside the commit that has it.
        """
        self.log_is_long = False
        if self._fault() is not None:
            return  # A good first page on top would only hide it.
        blocked = True
        with suppress(sqlite3.Error):  # Nothing is lost by a checkpoint that fails.
            self.connection.execute(_WAIT)
            try:
                blocked = bool(self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
            finally:
                self.connection.execute(_DO_NOT_WAIT)
        self._checkpoint_at = _CHECKPOINT_BYTES + (self._log_size() if blocked else 0)
        self._stamp = self._look()[1]

    def close(self) -> None:
        """Empty the log, close the connection and leave the others."""
        try:
            self.checkpoint()
        finally:
            self.connection.close()
            self.worker.leave()
            forks.release(self.path)

    def _log_size(self) -> int:
        try:
            return os.stat(self._log).st_size
        except FileNotFoundError:
            return 0

    def _sync(self, full: bool) -> None:
        wanted = full or self._always_full
        if wanted is not self._full:
            self.poll(_SYNC_FULL if wanted else _SYNC_NORMAL)
            self._full = wanted

    def _end(self) -> None:
        # SQLite ends some failed transactions by itself.
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _look_around(self) -> None:
        """See how long the log is, and raise if the file was taken away or overwritten."""
        self._unseen, self._look_at = 0, self._monotonic() + _LOOK_AFTER_S
        self.log_is_long = self._log_size() >= self._checkpoint_at
        fault = self._fault()
        if fault is not None:
            raise fault

    def _fault(self) -> StateError | None:
        identity, stamp = self._look()
        if identity != self._identity:
            return StateUnavailable(
                f"the state {str(self.path)!r} was deleted or replaced while it was in use",
                suggestion="what was recorded since can't be relied on; put the file back and resume the run",
            )
        if self.inline and self._is_log_gone():
            return StateUnavailable(
                f"the log {self._log!r} was deleted or replaced while the state was in use",
                suggestion="what was recorded since can't be relied on; end all who use the state, then resume the run",
            )
        if stamp != self._stamp and self.inline and self._is_overwritten():
            return StateCorrupt(
                f"the state {str(self.path)!r} was overwritten by another program while it was in use",
                suggestion="what was recorded can't be relied on; restore a backup",
            )
        self._stamp = stamp
        return None

    def _is_log_gone(self) -> bool:
        """Whether another file, or none, lies where the log was: nobody else would find what goes into it."""
        try:
            found = os.stat(self._log).st_ino
        except FileNotFoundError:
            return self._log_seen != 0
        self._log_seen = self._log_seen or found
        return found != self._log_seen

    def _is_overwritten(self) -> bool:
        """Whether the file, as it is under the log, does not begin like a state any more.

        Another process's checkpoint is the usual reason for a change, and may just be under way: then the file can
        be shorter than it says. Read by SQLite, because closing a handle of our own would drop SQLite's locks.
        """
        try:
            with closing(self._connect(f"{self.path.as_uri()}?mode=ro&immutable=1")) as connection:
                found: int = connection.execute("PRAGMA application_id").fetchone()[0]
                return found != APPLICATION_ID
        except sqlite3.Error as error:
            return code_of(error) == sqlite3.SQLITE_NOTADB

    def _look(self) -> tuple[tuple[int, int], tuple[int, int]] | tuple[None, None]:
        """Which file lies at `path`, and what changes when somebody writes to it; None if there is none."""
        try:
            found = os.stat(self._place)
        except FileNotFoundError:
            return None, None
        return (found.st_dev, found.st_ino), (found.st_mtime_ns, found.st_size)
