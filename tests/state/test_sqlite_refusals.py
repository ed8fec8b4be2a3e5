"""Files that are not a state, are damaged, or may not be written: nothing is lost in them, and the reason is said."""

import sqlite3
from contextlib import closing

import pytest

from flujo.domain.interfaces import JournalRecord
from flujo.domain.outcomes import UNREADABLE
from flujo.exceptions import RunNotFound, StateCorrupt, StateUnavailable
from flujo.infra.codec import JsonCodec


def change(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
async def made(path, opened, run):
    """A state with one run of two records."""
    backend = opened(path)
    claim = await backend.create_run(run())
    for name in ("a", "b"):
        await backend.append(claim, JournalRecord(name, out=b"1"))
    await backend.close()
    return path


def text_file(path):
    path.write_text("dear diary, " * 1000)


def short_text_file(path):
    path.write_text("x")


def foreign_database(path):
    change(path, "CREATE TABLE mine(x)")


def foreign_empty_database(path):
    change(path, "PRAGMA user_version = 3")


def empty_file(path):
    path.touch()


@pytest.mark.parametrize("make", [text_file, short_text_file, foreign_database, foreign_empty_database, empty_file])
async def test_file_that_is_not_ours_is_refused_and_left_alone(path, opened, run, make):
    """It is neither read nor written nor made anew, and nothing appears beside it."""
    make(path)
    before = path.read_bytes()
    for call in (opened(path).create_run(run()), opened(path).claim("run-1"), opened(path).get("run-1")):
        with pytest.raises(StateCorrupt, match=r"state\.db") as caught:
            await call
        assert caught.value.suggestion
    assert path.read_bytes() == before
    assert not path.with_name("state.db.workers").exists()


async def test_newer_state_is_not_written(made, opened, run):
    """What a newer version wrote can be looked at as long as it says so."""
    change(made, "PRAGMA user_version = 4")
    with pytest.raises(StateUnavailable, match=r"newer flujo \(schema 4, this one writes 3\)") as caught:
        await opened(made).create_run(run("run-2"))
    assert caught.value.suggestion.startswith("upgrade flujo")
    assert (await opened(made).get("run-1")).recorded == 2


@pytest.mark.parametrize(
    "statement",
    ["UPDATE meta SET value = '4'", "PRAGMA user_version = 0"],
)
async def test_state_this_version_can_not_read_is_not_read(made, opened, statement):
    change(made, statement)
    with pytest.raises(StateUnavailable, match="can't read"):
        await opened(made).list()


async def test_state_that_has_lost_who_can_read_it_is_damaged(made, opened):
    change(made, "DELETE FROM meta")
    with pytest.raises(StateCorrupt, match=r"state\.db' doesn't say who can read it"):
        await opened(made).list()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON journal BEGIN DELETE FROM run; END",
        "CREATE VIEW evil AS SELECT * FROM run",
    ],
)
async def test_file_with_code_in_it_is_refused(made, opened, run, statement):
    change(made, statement)
    for call in (opened(made).create_run(run("run-2")), opened(made).get("run-1")):
        with pytest.raises(StateCorrupt, match="'evil', which no state has"):
            await call


async def test_truncated_file_is_refused(made, opened, run):
    with made.open("r+b") as file:
        file.truncate(made.stat().st_size - 5000)
    for call in (opened(made).create_run(run("run-2")), opened(made).load("run-1")):
        with pytest.raises(StateCorrupt, match="malformed") as caught:
            await call
        assert "salvage" in caught.value.suggestion


@pytest.mark.parametrize("missing", [1, 100, 4095])
async def test_file_whose_last_page_is_cut_off_is_refused(made, opened, run, missing):
    """SQLite would read zeros for what is missing."""
    whole = made.stat().st_size
    with made.open("r+b") as file:
        file.truncate(whole - missing)
    for call in (opened(made).create_run(run("run-2")), opened(made).load("run-1")):
        with pytest.raises(StateCorrupt, match=f"it has {whole - missing:,} bytes, expected {whole:,}"):
            await call


async def test_damaged_page_is_refused(made, opened):
    """A page of the journal is overwritten: reading it says so, and does not invent records."""
    with made.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (made.stat().st_size - 4096))
    with pytest.raises(StateCorrupt, match=r"state\.db"):
        await opened(made).load("run-1")


async def test_damage_is_looked_for_after_a_process_died(made, opened, run):
    """A worker that went without leaving makes the next one check the whole file before it writes."""
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET rootpage = 3 WHERE name = 'blob'")
        connection.commit()
    folder = made.with_name("state.db.workers")
    (folder / "host-1-dead").write_text("{}")
    with pytest.raises(StateCorrupt, match="is damaged"):
        await opened(made).create_run(run("run-2"))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET cost = 'free'", "record 'a' of run 'run-1' can't be read: "),
        (
            "UPDATE journal SET path = CAST(x'ff' AS TEXT) WHERE path = 'a'",
            r"record '.*xff' of run 'run-1' can't be read",
        ),
        ("UPDATE journal SET enc = 9", "encoding 9, expected 1"),
    ],
)
async def test_records_that_nobody_has_written_are_refused(made, opened, statement, said):
    change(made, statement)
    with pytest.raises(StateCorrupt, match=said):
        await opened(made).load("run-1")


@pytest.mark.parametrize(
    ("error", "said"),
    [("'oops'", "Expecting"), ("'[]'", "list indices"), ("CAST(x'ff' AS TEXT)", "'utf-8' codec"), ("'{}'", "'type'")],
)
async def test_an_error_that_nobody_has_written_says_so_in_its_place(made, opened, error, said):
    change(made, f"UPDATE journal SET error = {error}")
    record, *_ = await opened(made).load("run-1")
    assert (record.error.type, record.error.code) == (UNREADABLE, "FLUJO-609")
    assert record.error.message.startswith(said)


async def test_a_large_value_that_is_missing_says_so_once_it_is_decoded(made, opened):
    change(made, "UPDATE journal SET out = NULL, out_blob = x'00'")
    record, *_ = await opened(made).load("run-1")
    with pytest.raises(StateCorrupt, match=r"^a can't be read: a large value is missing from the state or .*: 00\n"):
        JsonCodec().decode(record.out, where="a")


async def test_a_kind_of_record_that_a_newer_flujo_may_have_written_is_told_so(made, opened):
    change(made, "UPDATE journal SET kind = 77")
    with pytest.raises(StateCorrupt, match="is of kind 77, which this flujo doesn't know: a newer flujo") as refused:
        await opened(made).load("run-1")
    assert refused.value.suggestion == "upgrade flujo; if no newer one was at work here, restore a backup"


async def test_owner_that_is_no_name_leads_nowhere(made, opened):
    """An owner from the file is never used as a path."""
    change(made, "UPDATE run SET status = 1, owner = '../../etc/passwd'")
    for call in (opened(made).get("run-1"), opened(made).claim("run-1")):
        with pytest.raises(StateCorrupt, match="is not the name of a worker"):
            await call


async def test_folder_without_rights_is_said_before_anything_runs(unprivileged, opened, run):
    unprivileged.chmod(0o555)
    with pytest.raises(StateUnavailable, match="Permission denied"):
        await opened(unprivileged / "state.db").create_run(run())


async def test_folder_that_can_not_be_made_is_said_before_anything_runs(unprivileged, opened, run):
    unprivileged.chmod(0o555)
    with pytest.raises(StateUnavailable, match="Permission denied"):
        await opened(unprivileged / "deeper" / "state.db").create_run(run())


async def filled(path, opened, run):
    backend = opened(path)
    await backend.append(await backend.create_run(run()), JournalRecord("a", out=b"1"))
    await backend.close()


async def test_file_that_may_not_be_written_can_be_looked_at(unprivileged, opened, run):
    path = unprivileged / "state.db"
    await filled(path, opened, run)
    path.chmod(0o444)
    with pytest.raises(StateUnavailable, match="readonly"):
        await opened(path).create_run(run("run-2"))
    assert [record.path for record in await opened(path).load("run-1")] == ["a"]


async def test_folder_that_may_not_be_written_can_be_looked_at(unprivileged, opened, run):
    path = unprivileged / "state.db"
    await filled(path, opened, run)
    unprivileged.chmod(0o555)
    with pytest.raises(StateUnavailable):
        await opened(path).create_run(run("run-2"))
    assert [row.run_id for row in await opened(path).list()] == ["run-1"]
    assert (await opened(path).get("run-1")).recorded == 1


async def test_log_that_can_not_be_read_is_not_left_out(unprivileged, opened, run):
    """Without its log the file would show an older state as the newest."""
    path = unprivileged / "state.db"
    await filled(path, opened, run)
    (unprivileged / "state.db-wal").write_bytes(b"\x00" * 64)
    unprivileged.chmod(0o555)
    with pytest.raises(StateUnavailable, match="has a log, which can't be read where nothing may be written") as caught:
        await opened(path).list()
    assert caught.value.suggestion.startswith("copy 'state.db' and 'state.db-wal' to a folder of your own")


async def test_file_that_may_not_be_read_is_unavailable(unprivileged, opened, run):
    path = unprivileged / "state.db"
    await filled(path, opened, run)
    path.chmod(0)
    with pytest.raises(StateUnavailable):
        await opened(path).get("run-1")


async def test_state_works_again_after_the_reason_is_mended(path, opened, run):
    """A backend that could not open its file tries again at the next write."""
    path.touch()
    backend = opened(path)
    with pytest.raises(StateCorrupt):
        await backend.create_run(run())
    path.unlink()
    assert (await backend.create_run(run())).epoch == 1


async def test_run_that_is_not_in_the_state_is_not_found(made, opened):
    with pytest.raises(RunNotFound, match="'run-2'"):
        await opened(made).load("run-2")
