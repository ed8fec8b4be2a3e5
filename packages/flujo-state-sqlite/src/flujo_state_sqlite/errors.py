"""What SQLite's errors mean to somebody whose run stops because of them."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flujo.exceptions import (
    StateBackendBusy,
    StateCorrupt,
    StateError,
    StateStorageFull,
    StateUnavailable,
    ValueNotStorable,
)

__all__ = ["RECOVER", "REFUSED_VALUE", "busy", "code_of", "explain", "explained", "is_busy"]

#: What binding a value raises that no column takes: text with a lone surrogate, an integer of more than 64 bits.
REFUSED_VALUE = (ValueError, OverflowError)

#: What to do with a damaged file.
RECOVER = "keep the file as it is and restore a backup; `flujo db check --help` says how to salvage what can be read"

#: A disk with less room than this is full.
_FULL_BELOW = 64 * 1024

#: No write makes a file longer than it is by more than this.
_AT_ONCE = 1024 * 1024

#: What SQLite makes of a state at `path`.
_FILES = ("", "-wal", "-shm", "-journal")


def code_of(error: sqlite3.Error) -> int:
    """SQLite's number for this kind of error."""
    # An error of the module's own, say a misuse, carries no code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds the lock that was asked for."""
    return code_of(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def explain(error: BaseException, path: Path) -> StateError:
    """The state error that `error`, raised by a statement on the file at `path`, amounts to."""
    if isinstance(error, StateError):
        return error
    if not isinstance(error, sqlite3.Error):
        return ValueNotStorable(f"a value can't be written to {str(path)!r}: {error}", cause=error)
    code = code_of(error)
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        full = _full(path, error, sure=code == sqlite3.SQLITE_FULL)
        if full is not None:
            return full
    if is_busy(error):
        return busy(path, error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "decode to UTF-8" in str(error):
        return StateCorrupt(f"{str(path)!r} can't be read as a state: {error}", suggestion=RECOVER, cause=error)
    return StateUnavailable(
        f"the state {str(path)!r} can't be used: {error}",
        suggestion="check that the file and its folder exist and may be read and written",
        cause=error,
    )


def busy(path: Path, error: sqlite3.Error) -> StateBackendBusy:
    """The error for a lock that was not given up in time."""
    return StateBackendBusy(
        f"another process holds the lock on {str(path)!r}",
        suggestion="find who keeps a transaction open there",
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


def _full(path: Path, error: sqlite3.Error, *, sure: bool) -> StateStorageFull | None:
    """The error for a write that found no room, or None if it failed for another reason; `sure` that it did not."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY and _longest(path) + _AT_ONCE > limit:
        return StateStorageFull(
            f"the state {str(path)!r} can't grow: this process may not make a file longer than {limit:,} bytes",
            suggestion="raise the limit (ulimit -f)",
            cause=error,
        )
    free = _free(path)
    if not sure and free >= _FULL_BELOW:
        return None
    return StateStorageFull(
        f"the disk or the database is full: {str(path)!r}, {free:,} bytes free on its file system",
        suggestion="make room",
        cause=error,
    )


def _longest(path: Path) -> int:
    """The length in bytes of the longest file of the state at `path`."""
    longest = 0
    for ending in _FILES:
        with suppress(OSError):
            longest = max(longest, os.stat(f"{path}{ending}").st_size)
    return longest


def _free(path: Path) -> int:
    try:
        usage = os.statvfs(path.parent)
    except OSError:
        return _FULL_BELOW  # Nothing is known of a folder that is gone, so nothing is claimed.
    return usage.f_bavail * usage.f_frsize
