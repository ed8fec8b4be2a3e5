"""Opening a state: where to find or make it, and whether it is one."""

import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from flujo.exceptions import StateCorrupt, StateUnavailable
from flujo_state_sqlite import forks, workers
from flujo_state_sqlite.errors import RECOVER, code_of, explained
from flujo_state_sqlite.locations import make_folder, present
from flujo_state_sqlite.schema import APPLICATION_ID, SCHEMA
from flujo_state_sqlite.statefile import Connect, StateFile
from flujo_state_sqlite.values import NOT_OURS

__all__ = ["connect", "open_state", "read_state", "sync_folder"]


#: Reads text; what is no UTF-8 is a `ValueError` then, as anything else that flujo has not written.
_TEXT = partial(str, encoding="utf-8")


def connect(uri: str) -> sqlite3.Connection:
    """A connection as this package uses it: explicit transactions, waiting done by the caller."""
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=0)


def open_state(
    path: Path, *, connect: Connect = connect, busy_s: float = 30.0, monotonic: Callable[[], float] = time.monotonic
) -> StateFile:
    """Open the state at `path` for writing, made if it is missing, and join the processes at work there.

    Raises `StateUnavailable`, `StateCorrupt` or `StateBackendBusy`. Waits for locks up to `busy_s` seconds.
    """
    with explained(path):
        make_folder(path.parent)
        forks.hold(path)
        try:
            if not present(path):
                _create(path, connect)
            file = StateFile(path, connect, busy_s, monotonic)
            try:
                _bring_up(file)
                _join(file)
            except BaseException:
                file.connection.close()
                raise
        except BaseException:
            forks.release(path)
            raise
    return file


def _bring_up(file: StateFile) -> None:
    version = file.patiently(partial(_check_ours, file.connection, file.path))
    if version > SCHEMA:
        raise StateUnavailable(
            f"{str(file.path)!r} was written by a newer flujo (schema {version}, this one writes {SCHEMA})",
            suggestion="upgrade flujo; what is in the file can still be looked at",
        )
    if version < SCHEMA:
        file.migrate()
    file.start_log()


def _join(file: StateFile) -> None:
    file.worker, deaths = workers.join(workers.folder_of(file.path))
    try:
        if deaths:
            file.check_whole()
    except BaseException:
        file.worker.leave()
        raise


def _create(path: Path, connect: Connect) -> None:
    """Make a state at `path`: complete under another name first, so that nobody ever sees half of one.

    A link can't replace what another process has put there meanwhile; then that is used.
    """
    fresh = path.with_name(f"{path.name}.new-{secrets.token_hex(8)}")
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        file = StateFile(fresh, connect, 0.0, time.monotonic)
        with closing(file.connection):
            file.migrate()
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names of new files in `folder` survive the machine. Raises `OSError`."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def read_state(path: Path, connect: Connect = connect) -> Iterator[sqlite3.Connection | None]:
    """A connection that only reads the state at `path`, or None if there is none; also where nothing may be written.

    Raises `StateUnavailable` or `StateCorrupt`, for errors of the body as well.
    """
    with explained(path):
        if not present(path):
            yield None
            return
        forks.hold(path)
        try:
            with closing(_open_to_read(path, connect)) as connection:
                yield connection
        except NOT_OURS as error:
            raise StateCorrupt(
                f"{str(path)!r} holds what no flujo has written: {error}",
                suggestion="don't use this file: it is damaged, or somebody has changed it",
                cause=error,
            ) from error
        finally:
            forks.release(path)


def _open_to_read(path: Path, connect: Connect) -> sqlite3.Connection:
    uri = f"{path.as_uri()}?mode=ro"
    try:
        return _checked(connect(uri), path)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_ROLLBACK:
            return _rolled_back(path, connect)
        # A log can't be made in a folder that may not be written, or is full, nor is it needed when there is none.
        logged = _length_of_log(path)
        full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE and not logged
        if not full and code_of(error) not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise
        if logged:
            files = f"'{path.name}-wal' and '{path.name}-shm'"
            what = f"is at work, and its log can't be read by this user: {error}"
            advice = f"get the right to read {files}, or wait for the run's end"
            if not path.with_name(f"{path.name}-shm").exists():
                what = f"has a log, which can't be read where nothing may be written: {error}"
                advice = f"copy '{path.name}' and '{path.name}-wal' to a folder of your own, and read it there"
            raise StateUnavailable(f"the state {str(path)!r} {what}", suggestion=advice, cause=error) from error
    return _checked(connect(f"{uri}&immutable=1"), path)


def _rolled_back(path: Path, connect: Connect) -> sqlite3.Connection:
    """A connection to a state without a log, in which a commit broke off: who reads it has to undo that commit first.

    Raises what SQLite raises where the file may not be written.
    """
    with closing(connect(f"{path.as_uri()}?mode=rw")) as writing:
        writing.execute("PRAGMA user_version").fetchone()
    return _checked(connect(f"{path.as_uri()}?mode=ro"), path)


def _checked(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """`connection`, if this version can read what it leads to; else it is closed."""
    try:
        connection.text_factory = _TEXT
        for setting in ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON", "PRAGMA busy_timeout = 5000"):
            connection.execute(setting)
        version = _check_ours(connection, path)
        least = connection.execute("SELECT CAST(value AS INT) FROM meta WHERE key = 'min_reader'").fetchone()
        if least is None:
            raise StateCorrupt(f"{str(path)!r} doesn't say who can read it", suggestion=RECOVER)
        if version < 1 or least[0] > SCHEMA:
            raise StateUnavailable(
                f"{str(path)!r} has schema {version}, which this flujo can't read (its own is {SCHEMA})",
                suggestion="upgrade flujo",
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _check_ours(connection: sqlite3.Connection, path: Path) -> int:
    """The file's schema number. Raises `StateCorrupt` for a database of another program, or one with code in it."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StateCorrupt(
            f"{str(path)!r} is another program's database, expected a state of flujo",
            suggestion="name another file for the state",
        )
    code = connection.execute("SELECT type, name FROM sqlite_schema WHERE type IN ('trigger', 'view')").fetchone()
    if code is not None:
        raise StateCorrupt(
            f"{str(path)!r} holds the {code[0]} {code[1]!r}, which no state has",
            suggestion="don't use this file: somebody has changed it",
        )
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    assert isinstance(version, int)
    _check_length(connection, path)
    return version


def _check_length(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `StateCorrupt` for a file whose end is missing: what SQLite misses of the last page it takes for zeros.

    While there is a log, pages that the file lacks may be in it. The length of the file is asked for last, because
    the log may be copied into it at any moment; that only makes it longer.
    """
    expected = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[
        0
    ]
    if _length_of_log(path):
        return
    found = path.stat().st_size
    if found < expected:
        raise StateCorrupt(
            f"{str(path)!r} is damaged: it has {found:,} bytes, expected {expected:,}", suggestion=RECOVER
        )


def _length_of_log(path: Path) -> int:
    try:
        return os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return 0
