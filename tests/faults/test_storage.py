"""Disks that are full, locks that are kept, commits nobody knows the effect of, and files that are none of ours."""

import asyncio
import importlib.util
import itertools
import random
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from flujo.domain.interfaces import JournalRecord
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import StateBackendBusy, StateCorrupt, StateStorageFull, StateUnavailable
from flujo_state_sqlite import opening
from flujo_state_sqlite.backend import SqliteBackend
from flujo_state_sqlite.opening import connect
from flujo_state_sqlite.schema import MIGRATIONS, SCHEMA

_SPEC = importlib.util.spec_from_file_location("faults_history", Path(__file__).with_name("history.py"))
history = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(history)

SEED = 20_261_125


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.db"


@pytest.fixture
async def opened():
    """Makes backends that are closed after the test."""
    backends = []

    def make(path, **options):
        backends.append(SqliteBackend(path, **options))
        return backends[-1]

    yield make
    for backend in backends:
        await backend.close()


async def through(path, told):
    """Check that nothing of `told` is missing, go on with the run undisturbed, and compare with what it should be."""
    backend = SqliteBackend(path)
    if path.exists():
        known = {record.path for record in await backend.load("run-1")} if await backend.get("run-1") else set()
        assert {what for what in told if what in history.JOURNAL} <= known
        assert "run-1" not in told or await backend.get("run-1") is not None
    await history.live(backend, lambda what: None)
    row = await backend.get("run-1")
    assert (row.status, row.output, row.key) == (RunStatus.COMPLETED, b'"done"', "k")
    assert [record.path for record in await backend.load("run-1") if "map" not in record.path] == [
        path for path in history.JOURNAL if "map" not in path
    ]
    assert sorted(record.path for record in await backend.load("run-1")) == sorted(history.JOURNAL)
    assert await backend.check() == []
    await backend.close()


async def test_state_that_is_full_from_any_transaction_on_keeps_what_it_acknowledged(tmp_path, figures):
    """29: it may not grow from its first, second, ... transaction on; when there is room again the run goes on."""
    errors = []
    for number in itertools.count(1):
        begun = itertools.count(1)

        def limit(connection, _, statement, begun=begun, number=number):
            if statement in ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE") and next(begun) == number:
                pages = sqlite3.Connection.execute(connection, "PRAGMA page_count").fetchone()[0]
                sqlite3.Connection.execute(connection, f"PRAGMA max_page_count = {max(pages, 1)}").fetchall()

        path = tmp_path / str(number) / "state.db"
        backend, told = SqliteBackend(path, connect=history.Faulty(before=limit)), []
        try:
            await history.live(backend, told.append)
        except StateStorageFull as error:
            errors.append(error)
        await backend.close()
        await through(path, told)
        if next(begun) <= number:
            break
    figures("29 full from a transaction on", transactions=number - 1)
    assert all("state.db" in str(error) and "bytes free" in str(error) for error in errors)
    assert all(error.suggestion.startswith("make room") for error in errors)
    assert len(errors) > 5
    assert number > 10


async def test_disk_that_is_full_loses_nothing_that_was_acknowledged(mounts, figures):
    """29: on disks of 64 KiB, 128 KiB, ..., until one is large enough; each gets room after the run has stopped."""
    full = 0
    for kib in itertools.count(64, 64):
        place = mounts.mount(kib)
        told, ended = history.in_child(place / "state.db", history.live)
        mounts.grow(place, 4096)
        await through(place / "state.db", told)
        if ended == []:
            break
        assert ended is not None, kib
        assert ended[0] == "StateStorageFull", ended
        full += 1
    figures("29 full disks", disks=full)
    assert full > 5


async def test_state_on_a_disk_that_is_full_can_be_read(mounts):
    place = mounts.mount(4096)
    assert history.in_child(place / "state.db", history.live)[1] == []
    with suppress(OSError), (place / "filling").open("wb", buffering=0) as filling:
        while True:
            filling.write(bytes(4096))

    backend = SqliteBackend(place / "state.db")

    assert [row.status for row in await backend.list()] == [RunStatus.COMPLETED]
    await backend.close()


def test_file_system_that_a_killed_test_left_is_unmounted_by_the_next(mounts):
    with subprocess.Popen(["true"]) as ended:
        pass
    left = type(mounts)(ended.pid)
    place = left.mount(64)
    assert place.is_mount()
    with (place / "in use").open("w"):
        mounts.clear_left()
    assert not left.folder.exists()
    assert mounts.folder.exists()


def keep_locked(path, seconds):
    """Another program that holds the lock for so long."""

    def keep():
        with closing(connect(path.as_uri())) as other:
            other.execute("BEGIN IMMEDIATE")
            held.set()
            threading.Event().wait(seconds)
            other.execute("COMMIT")

    held = threading.Event()
    thread = threading.Thread(target=keep)
    thread.start()
    held.wait()
    return thread


@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.slow)])
async def test_lock_of_another_program_is_waited_for(path, opened, seconds):
    """30: both ways to write wait for it, and the run goes on."""
    backend = opened(path)
    claim = await backend.create_run(history.new_run("run-1"))
    thread = keep_locked(path, seconds)
    await asyncio.gather(*(backend.append(claim, record) for record in history.STEPS))
    await asyncio.to_thread(thread.join)
    assert len(await backend.load("run-1")) == len(history.STEPS)


async def test_lock_that_is_kept_beyond_the_deadline_stops_the_run_where_it_can_be_resumed(path, opened):
    """30: the error names the file, and says that the run can be gone on with."""
    backend = opened(path, busy_s=0.2)
    claim = await backend.create_run(history.new_run("run-1", key="k"))
    thread = keep_locked(path, 1)
    with pytest.raises(StateBackendBusy, match=r"state\.db") as caught:
        await backend.append(claim, history.STEPS[0])
    assert caught.value.suggestion.endswith(
        "then resume the run, or do this again: it is not recorded, and what is recorded is intact"
    )
    await backend.close()
    await asyncio.to_thread(thread.join)
    other = opened(path)
    await other.append(await other.claim("run-1"), history.STEPS[0])
    assert len(await other.load("run-1")) == 1


@pytest.mark.slow
async def test_lock_that_is_kept_for_a_minute_is_told_at_the_deadline_that_nobody_chose(path, opened):
    """30: the run is told before the lock is let go, and is gone on with afterwards."""
    backend = opened(path)
    claim = await backend.create_run(history.new_run("run-1"))
    thread = keep_locked(path, 60)
    with pytest.raises(StateBackendBusy, match=r"state\.db"):
        await backend.append(claim, history.STEPS[0])
    assert thread.is_alive()
    await asyncio.to_thread(thread.join)
    await backend.append(claim, history.STEPS[0])
    assert len(await backend.load("run-1")) == 1


@pytest.mark.parametrize("each", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_commit_of_unknown_effect_is_settled_whichever_it_is(tmp_path, when, each, figures):
    """31: an error at the first, second, ... commit, before it took place or after; nobody notices."""
    for number in itertools.count(1, each):
        passed = itertools.count(1)

        def fail(connection, _, statement, passed=passed, number=number):
            alone = statement.startswith("INSERT") and not connection.in_transaction
            if (statement == "COMMIT" or alone) and next(passed) == number:
                raise sqlite3.OperationalError("disk I/O error")

        path = tmp_path / str(number) / "state.db"
        backend = SqliteBackend(path, connect=history.Faulty(**{when: fail}))
        path.parent.mkdir()
        older(path, SCHEMA)
        await history.forget(backend)
        await history.live(backend, lambda what: None)
        await backend.redefine(await backend.claim("run-1"), "{}", b"e", {})
        await backend.close()
        await through(path, history.JOURNAL)
        if next(passed) <= number:
            break
    figures(f"31 errors {when} a commit, each {each}", commits=number // each)
    assert number > 25


@pytest.mark.parametrize("version", range(SCHEMA))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_migration_whose_commit_has_an_unknown_effect_is_settled(path, opened, version, when):
    """31: one that took place is not noticed; one that did not leaves what was there, and is done by the next."""
    if version:
        older(path, version)
    passed = itertools.count(1)

    def fail(connection, _, statement):
        if statement == "COMMIT" and next(passed) == 1:
            raise sqlite3.OperationalError("disk I/O error")

    backend = opened(path, connect=history.Faulty(**{when: fail}))
    if when == "before":
        with pytest.raises(StateUnavailable, match="disk I/O error"):
            await backend.create_run(history.new_run("run-1"))
        assert schema(path) == version if version else not path.exists()
    await backend.create_run(history.new_run("run-1"))
    assert schema(path) == SCHEMA
    assert await backend.check() == []


def killed_at_every_statement(template, folder, work, each=1, **options):
    """Copies of `template` on which `work` was killed before its first, second, ... statement; at last undisturbed."""
    for number in itertools.count(1, each):
        path = folder / str(number) / "state.db"
        path.parent.mkdir(parents=True)
        if template is not None:
            shutil.copy(template, path)
        told, ended = history.in_child(path, work, connect=history.Faulty(before=history.dying_at(number), **options))
        yield path, told
        if ended is not None:
            assert ended == []
            return


def older(path, version):
    """A state of an older schema with a run."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in itertools.chain.from_iterable(MIGRATIONS[:version]):
            connection.execute(statement)
        connection.execute("INSERT INTO definition VALUES (x'64', '{}')")
        connection.execute(
            """
            INSERT INTO run(run_id, pipeline, version, def_hash, source, status, epoch, wid, enc, tags, created_at,
                            updated_at)
            VALUES ('run-0', 'p', '1', x'64', '', 2, 1, x'00', 1, '{}', 1.0, 1.0)
            """
        )


def schema(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("PRAGMA user_version").fetchone()[0]


@pytest.mark.parametrize("version", range(1, SCHEMA))
async def test_migration_that_is_killed_at_any_statement_is_done_or_not(tmp_path, version, figures, monkeypatch):
    """11: never half; the next process goes on with it, and an older program refuses what is newer."""
    older(tmp_path / "older.db", version)
    found = []
    for path, _ in killed_at_every_statement(tmp_path / "older.db", tmp_path, _migrate):
        found.append(schema(path))
        backend = SqliteBackend(path)
        assert (await backend.get("run-0")).status is RunStatus.PAUSED
        assert (await backend.migrate())[1] == SCHEMA
        assert await backend.check() == []
        await backend.close()
        with monkeypatch.context() as patch:
            patch.setattr(opening, "SCHEMA", version)
            old = SqliteBackend(path)
            with pytest.raises(StateUnavailable, match="written by a newer flujo"):
                await old.claim("run-0")
            await old.close()
    figures(f"11 killed in the migration from {version}", statements=len(found))
    assert set(found) == {version, SCHEMA}
    assert found == sorted(found)


async def _migrate(backend):
    await backend.migrate()


@pytest.mark.parametrize("each", [7, pytest.param(1, marks=pytest.mark.slow)])
async def test_new_state_that_is_killed_at_any_statement_is_whole_or_not_there(tmp_path, each, figures):
    """11: the file gets its name when it is complete."""
    count = 0
    for path, told in killed_at_every_statement(None, tmp_path, _begin, each):
        assert not path.exists() or schema(path) == SCHEMA
        await through(path, told)
        count += 1
    figures(f"11 killed while a state is made, each {each}", statements=count)


async def _begin(backend):
    await backend.list()
    await backend.create_run(history.new_run("run-1", key="k", files={"a.yaml": "x"}))


async def test_removal_that_is_killed_at_any_statement_leaves_whole_runs(tmp_path, figures):
    """12: nothing is left of a run that is gone, everything of one that is not; no number is used again."""
    made = SqliteBackend(tmp_path / "made.db")
    for number in range(3):
        claim = await made.create_run(history.new_run(f"run-{number}", files={"a.yaml": str(number // 2)}))
        for record in (history.STEPS[3], JournalRecord("own", out=b'"%s"' % (b"%d" % number * history.LARGE))):
            await made.append(claim, record)
        await made.finish(claim, RunStatus.FAILED, at=2.0)
    await made.close()
    left = []
    for path, _ in killed_at_every_statement(tmp_path / "made.db", tmp_path, _forget_two):
        backend = SqliteBackend(path)
        left.append(len(await backend.list()))
        assert await backend.check() == []
        assert await backend.gc(ended_before=9.0, trust_clock=True) == left[-1]
        assert (await backend.create_run(history.new_run("run-0"))).number == 4
        await backend.close()
    figures("12 killed in gc", statements=len(left))
    assert set(left) == {3, 1}
    assert left == sorted(left, reverse=True)


async def _forget_two(backend):
    await backend.gc(ended_before=9.0, limit=2, trust_clock=True)


@pytest.mark.parametrize("each", [9, pytest.param(1, marks=pytest.mark.slow)])
async def test_file_system_without_a_log_loses_nothing_to_kills(tmp_path, each, figures):
    """37: the older journal, synced at every record; killed at every statement, in CI at every ninth."""
    count = 0
    for path, told in killed_at_every_statement(None, tmp_path, history.live, each, log=False):
        await through(path, told)
        count += 1
    figures(f"37 killed without a log, each {each}", kills=count - 1)


async def test_file_without_its_log_is_an_older_state_that_is_whole(path, opened):
    """33: what was only in the log is gone, which nobody can see; what is there is not mended and not made up."""
    told, _ = history.in_child(path, history.live, connect=history.Faulty(before=history.dying_at(110)))
    for ending in ("-wal", "-shm"):
        path.with_name(f"state.db{ending}").unlink()
    backend = opened(path)
    assert await backend.check() == []
    assert [row.run_id for row in await backend.list()] in ([], ["run-1"])
    assert told[0] == "run-1"


@pytest.mark.parametrize("damage", ["header", "page", "half"])
async def test_damaged_state_is_refused_with_advice_and_left_as_it_is(path, opened, damage):
    """33: neither read, written, mended nor made anew."""
    await through(path, [])
    whole = bytearray(path.read_bytes())
    if damage == "header":
        whole[:16] = b"SQLite format 2\0"
    elif damage == "page":
        whole[4096:] = random.Random(SEED).randbytes(len(whole) - 4096)
    else:
        del whole[len(whole) // 2 :]
    path.write_bytes(whole)
    for call in (opened(path).load("run-1"), opened(path).claim("run-1"), opened(path).check()):
        with pytest.raises(StateCorrupt, match=r"state\.db") as caught:
            print(await call)
        assert caught.value.suggestion
    assert path.read_bytes() == whole


HOSTILE = {
    "trigger": "CREATE TRIGGER t AFTER UPDATE ON run BEGIN SELECT load_extension('evil'); END",
    "endless view": "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n",
}


@pytest.mark.parametrize("statement", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_schema_is_refused_before_anything_is_read(path, opened, statement):
    """53: by readers, writers and those who look for damage."""
    await through(path, [])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    backend = opened(path)
    for call in (backend.get("run-1"), backend.list(), backend.claim("run-1"), backend.check(), backend.waits()):
        with pytest.raises(StateCorrupt, match="which no state has") as caught:
            await call
        assert caught.value.suggestion.startswith("don't use this file")


@pytest.mark.parametrize("column", ["x AS (load_extension('evil'))", "x AS (zeroblob(2000000000))"])
async def test_computed_columns_are_not_computed(path, opened, column):
    """53: nobody reads a column that is none of ours; what looks for damage names the table, or fails to read it."""
    await through(path, [])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'document TEXT NOT NULL', ?) WHERE name = 'definition'",
            (f"document TEXT NOT NULL, {column.replace('x AS', 'x BLOB AS')}",),
        )
        connection.commit()
    backend = opened(path)
    if "zeroblob" in column:
        assert (await backend.get("run-1")).status is RunStatus.COMPLETED
        assert await backend.check() == ["'definition' is not as flujo makes it"]
    else:
        with pytest.raises(StateCorrupt, match=r"state\.db"):
            await backend.get("run-1")
