"""What SQLite's errors mean to somebody whose run stops because of them."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flujo.exceptions import (
    StateBackendBusy,
    StateCorrupt,
    StateError,
    StateStorageFull,
    StateUnavailable,
    ValueNotStorable,
)

__all__ = ["REFUSED_VALUE", "busy", "explain", "explained", "is_busy"]

#: What binding a value raises that no column takes: text with a lone surrogate, an integer of more than 64 bits.
REFUSED_VALUE = (ValueError, OverflowError)

_FULL_BELOW = 64 * 1024
_RECOVER = "keep the file as it is and restore a backup, or salvage it with: sqlite3 FILE .recover"


def _primary(error: sqlite3.Error) -> int:
    # An error of the module's own, say a misuse, carries no code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds the lock that was asked for."""
    return _primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def explain(error: BaseException, path: Path) -> StateError:
    """The state error that `error`, raised by a statement on the file at `path`, amounts to."""
    if isinstance(error, StateError):
        return error
    if not isinstance(error, sqlite3.Error):
        return ValueNotStorable(f"a value can't be written to {str(path)!r}: {error}", cause=error)
    code = _primary(error)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _out_of_room(path)):
        return StateStorageFull(
            f"the disk or the database is full: {str(path)!r}, {_free(path):,} bytes free on its file system",
            suggestion="make room and resume the run; what was recorded is intact",
            cause=error,
        )
    if is_busy(error):
        return busy(path, error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StateCorrupt(f"{str(path)!r} can't be read as a state: {error}", suggestion=_RECOVER, cause=error)
    return StateUnavailable(
        f"the state {str(path)!r} can't be used: {error}",
        suggestion="check that the file and its folder exist and may be read and written",
        cause=error,
    )


def busy(path: Path, error: sqlite3.Error) -> StateBackendBusy:
    """The error for a lock that was not given up in time."""
    return StateBackendBusy(
        f"another process holds the lock on {str(path)!r}",
        suggestion="find who keeps a transaction open there, then resume the run",
        cause=error,
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise SQLite's errors, and the file system's, as state errors about the file at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error
    except OSError as error:
        raise StateUnavailable(
            f"the state {str(path)!r} can't be used: {error.strerror or error}",
            suggestion="check that the file and its folder exist and may be read and written",
            cause=error,
        ) from error


def _free(path: Path) -> int:
    try:
        usage = os.statvfs(path.parent)
    except OSError:
        return _FULL_BELOW  # Nothing is known of a folder that is gone, so nothing is claimed.
    return usage.f_bavail * usage.f_frsize


def _out_of_room(path: Path) -> bool:
    """Whether a failed write is explained by a full disk or by the limit on the size of this process's files."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return limit != resource.RLIM_INFINITY or _free(path) < _FULL_BELOW
