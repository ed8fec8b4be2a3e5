"""Looking at a state that belongs to another user, while a run of theirs is at work."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from flujo.exceptions import StateUnavailable
from flujo_state_sqlite.opening import connect

NOBODY = 65534


@pytest.fixture
def path():
    """Where a state may be made that everybody may read."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as two users")
    folder = Path(tempfile.mkdtemp(prefix="flujo-"))
    folder.chmod(0o755)
    yield folder / "state.db"
    shutil.rmtree(folder)


@pytest.fixture
def at_work(path, process):
    """A run of another process, of which a part is in the log only."""
    first = process()
    first.ask("create run-1")
    first.ask("close")
    path.chmod(0o644)
    owner = process()
    assert owner.ask("create run-2") == "ok 1"
    return path


@pytest.fixture
def as_nobody():
    """Acts as a user without rights from the call on to the end of the test."""
    yield lambda: os.seteuid(NOBODY)
    os.seteuid(0)


async def test_others_may_look_at_a_run_at_work(at_work, opened, as_nobody):
    """They can't see whether its process lives; it is taken for alive."""
    as_nobody()
    rows = await opened(at_work).list()
    assert [(row.run_id, row.status.value) for row in rows] == [("run-2", "running"), ("run-1", "interrupted")]


async def test_log_that_may_not_be_read_is_the_reason_given(at_work, opened, as_nobody):
    for ending in ("-shm", "-wal"):
        at_work.with_name(f"state.db{ending}").chmod(0o600)
    as_nobody()
    with pytest.raises(StateUnavailable, match="its log can't be read by this user") as caught:
        await opened(at_work).list()
    assert "'state.db-wal'" in caught.value.suggestion


async def test_other_errors_of_reading_are_said_as_they_are(at_work, opened):
    def broken(uri):
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(StateUnavailable, match="disk I/O error"):
        await opened(at_work, connect=broken).list()
    assert len(await opened(at_work, connect=connect).list()) == 2


@pytest.fixture
async def broken_off(path, opened, run, tmp_path):
    """A state without a log, with one run, as a process leaves it that dies within a commit."""
    made = tmp_path / "made.db"
    backend = opened(made)
    await backend.create_run(run("run-1"))
    await backend.close()
    with closing(connect(f"{made.as_uri()}?mode=rw")) as connection:
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE run SET run_id = 'nobody'")
        connection.execute("INSERT INTO blob VALUES (x'00', 500000, zeroblob(500000))")
        for ending in ("", "-journal"):
            shutil.copy(f"{made}{ending}", f"{path}{ending}")
            os.chmod(f"{path}{ending}", 0o644)
        connection.execute("ROLLBACK")
    return path


async def test_commit_that_broke_off_is_undone_by_who_looks_first(broken_off, opened):
    """Nobody is shown what was never committed."""
    backend = opened(broken_off)
    assert [row.run_id for row in await backend.list()] == ["run-1"]
    assert await backend.check() == []


async def test_who_may_not_undo_a_commit_that_broke_off_is_shown_nothing(broken_off, opened, as_nobody):
    as_nobody()
    with pytest.raises(StateUnavailable, match=r"state\.db' can't be used: "):
        await opened(broken_off).list()
