"""What SQLite's errors are called, and that two processes may migrate one file."""

import os
import resource
import sqlite3
import time
from contextlib import closing

import pytest

from flujo.exceptions import StateBackendBusy, StateCorrupt, StateStorageFull, StateUnavailable, ValueNotStorable
from flujo_state_sqlite.errors import explain
from flujo_state_sqlite.opening import connect
from flujo_state_sqlite.schema import SCHEMA
from flujo_state_sqlite.statefile import StateFile


def sqlite_error(code):
    error = sqlite3.OperationalError("as SQLite puts it")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, StateStorageFull),
        (sqlite3.SQLITE_BUSY_RECOVERY, StateBackendBusy),
        (sqlite3.SQLITE_LOCKED, StateBackendBusy),
        (sqlite3.SQLITE_CORRUPT_INDEX, StateCorrupt),
        (sqlite3.SQLITE_NOTADB, StateCorrupt),
        (sqlite3.SQLITE_IOERR_WRITE, StateUnavailable),
        (sqlite3.SQLITE_CANTOPEN, StateUnavailable),
        (sqlite3.SQLITE_READONLY_DBMOVED, StateUnavailable),
    ],
)
def test_error_is_called_by_its_meaning(path, code, kind):
    error = explain(sqlite_error(code), path)
    assert type(error) is kind
    assert str(path) in str(error)
    assert error.suggestion


@pytest.fixture
def limited():
    """Limits the size of files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_limit_on_the_size_of_files_is_named(path, limited):
    """The disk is not blamed for it."""
    path.with_name("state.db-wal").write_bytes(b"x" * 2_000_000)
    limited(2_000_000)
    error = explain(sqlite_error(sqlite3.SQLITE_IOERR_WRITE), path)
    assert type(error) is StateStorageFull
    assert "not make a file longer than 2,000,000 bytes" in str(error)
    assert error.suggestion == "raise the limit (ulimit -f)"


def test_limit_that_is_far_away_is_not_blamed(path, limited):
    limited(10**12)
    assert type(explain(sqlite_error(sqlite3.SQLITE_IOERR_WRITE), path)) is StateUnavailable


@pytest.mark.parametrize("free", [0, 2**30])
def test_full_disk_is_told_with_its_room(path, monkeypatch, free):
    """A write that fails with next to no room is taken for a full disk; with room it is not."""
    found = os.statvfs(path.parent)
    places = os.statvfs_result((found.f_bsize, 1, *found[2:4], free, *found[5:]))
    monkeypatch.setattr(os, "statvfs", lambda folder: places)
    error = explain(sqlite_error(sqlite3.SQLITE_IOERR_WRITE), path)
    assert type(error) is (StateUnavailable if free else StateStorageFull)
    assert free or "is full" in str(error)


def test_failed_write_into_a_folder_that_is_gone_claims_nothing_of_the_disk(path):
    error = explain(sqlite_error(sqlite3.SQLITE_IOERR_WRITE), path / "gone" / "state.db")
    assert type(error) is StateUnavailable


def test_state_error_stays_as_it_is(path):
    error = StateUnavailable("gone")
    assert explain(error, path) is error


def test_value_that_no_column_takes_is_not_storable(path):
    assert type(explain(OverflowError("too large"), path)) is ValueNotStorable


async def test_migration_that_another_process_has_done_is_left_out(path, backend, run):
    await backend.create_run(run())
    with closing(connect(path.as_uri())) as connection:
        StateFile(path, connect, 1.0, time.monotonic).migrate()
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    assert (await backend.get("run-1")).run_id == "run-1"
