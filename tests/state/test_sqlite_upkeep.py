"""Looking after a state: what is wrong with it, copies of it, and files of older schemas."""

import os
import sqlite3
import stat
from contextlib import closing
from functools import partial

import pytest

from flujo.domain.caching import CacheEntry
from flujo.domain.interfaces import JournalRecord, MaintainedBackend, RecordKind
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import RunNotFound, StateCorrupt, StateStorageFull, StateUnavailable
from flujo_state_sqlite.schema import INLINE_LIMIT, MIGRATIONS, SCHEMA

ASKED = b'{"token":"t","message":"?","schema":null,"deadline":null}'
CHANGED = b'[["set",["a"],1],["set",["a","b",0],null],["add",["a"],[1]],["del",["a","b"]]]'
LARGE = b'"%s"' % (b"x" * INLINE_LIMIT)


def change(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
async def made(path, opened, run):
    """A state with a run that has a record, a question, a large value and files."""
    backend = opened(path)
    claim = await backend.create_run(run(files={"a.yaml": "steps: []"}))
    await backend.append(claim, JournalRecord("a", out=LARGE, delta=b'[["del",["a"]]]'))
    await backend.append(claim, JournalRecord("b?", RecordKind.WAIT, out=ASKED))
    await backend.finish(claim, RunStatus.PAUSED, at=2.0)
    await backend.close()
    return path


def brought_to(path, version):
    """A state of an older schema, with one run of two records."""
    change(path, *(statement for step in MIGRATIONS[:version] for statement in step))
    change(
        path,
        "INSERT INTO definition VALUES (x'64', '{}')",
        """
        INSERT INTO run VALUES (1, 'run-1', 'p', '1', x'64', '', 2, 1, NULL, x'00', 1, x'31', NULL, x'7b7d', NULL, NULL,
                                NULL, NULL, '{}', 1.0, 2.0, 2.0)
        """,
        """
        INSERT INTO journal VALUES (1, 1, 'a', 0, 1, 1, x'00', x'', 0, 1, x'31', NULL, NULL, NULL, NULL, NULL, 0, 0, 0,
                                    NULL, 1.0, 1.0)
        """,
        """
        INSERT INTO journal VALUES (2, 1, 'b?', 3, 1, 1, x'01', x'', 1, 1,
                                    CAST('{"token":"t","message":"?"}' AS BLOB), NULL, NULL, NULL, NULL, NULL, 0, 0, 0,
                                    NULL, 1.0, 1.0)
        """,
    )


async def test_backend_can_be_looked_after(backend):
    assert isinstance(backend, MaintainedBackend)


async def test_nothing_is_wrong_with_a_state_that_was_used(made, opened, run):
    backend = opened(made)
    claim = await backend.create_run(run("run-2", input=LARGE))
    assert await backend.check() == []
    await backend.finish(claim, RunStatus.COMPLETED, output=LARGE, at=3.0)
    await backend.delete("run-1")
    await backend.delete("run-2")
    assert await backend.check() == []
    await backend.close()
    with closing(sqlite3.connect(made)) as connection:
        left = [connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() for table in ("blob", "definition")]
    assert left == [(0,), (0,)]


async def test_definition_that_no_run_has_any_more_is_forgotten(path, backend, run):
    claim = await backend.create_run(run(files={"p.yaml": "1"}))
    for number in (1, 2, 2):
        await backend.redefine(claim, "{}", bytes([number]), {"p.yaml": str(number)})
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT hash FROM definition").fetchall() == [(b"\x02",)]
        assert connection.execute("SELECT COUNT(*) FROM blob").fetchone() == (1,)


async def test_only_a_run_that_begins_makes_a_state(path, backend):
    calls = (backend.claim, backend.delete, partial(backend.cancel, at=1.0), partial(backend.claim, force=True))
    for call in (*calls, lambda run_id: backend.answer(run_id, JournalRecord("a!1"))):
        with pytest.raises(RunNotFound):
            await call("run-1")
    assert await backend.gc(ended_before=9.0, trust_clock=True) == 0
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO definition VALUES (x'00', '{}')", "definitions of no run: 1"),
        ("DELETE FROM definition", "runs without a definition: 1"),
        ("UPDATE journal SET run = 7", "records of no run: 2"),
        (
            "DELETE FROM blob WHERE size > 1000",
            "value of record 'a' of run 'run-1': it can't be read: a large value is missing from the state or was",
        ),
        ("INSERT INTO blob VALUES (x'00', 0, x'')", "large values of nothing: 1"),
        ("UPDATE blob SET size = 1 WHERE size < 1000", "large values of another size than is noted: 1"),
        (
            "UPDATE blob SET data = x'00' WHERE size < 1000",
            "files of run 'run-1': it can't be read: a large value is missing from the state or was",
        ),
        ("CREATE TABLE other(x)", "'other' is no part of a state"),
        ("DROP INDEX run_key", "'run_key' is missing"),
        ("ALTER TABLE run ADD COLUMN x INT AS (abs(id))", "'run' is not as flujo makes it"),
    ],
)
async def test_what_is_wrong_is_said(made, opened, statement, said):
    change(made, statement)
    assert said in " ".join(await opened(made).check())


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET cost = 'free' WHERE kind = 3", "run 'run-1' can't be read: [<class"),
        ("UPDATE journal SET error = '[]', cost = NULL WHERE kind = 3", "error of record 'b?' of run 'run-1': list"),
        ("UPDATE journal SET enc = 9 WHERE kind = 3", "record 'b?' of run 'run-1' can't be read: the values of 'b?'"),
        ("UPDATE journal SET kind = 9 WHERE kind = 3", "record 'b?' of run 'run-1' can't be read: the record 'b?' is"),
        ("UPDATE run SET tags = '{'", "run 'run-1' can't be read: Expecting"),
        ("UPDATE run SET error = '{}'", "error of run 'run-1': 'type'"),
        ("UPDATE run SET enc = 9", "run 'run-1' can't be read: the values of 'run-1' are in encoding 9"),
        ("UPDATE run SET status = 9", "run 'run-1' can't be read: 9"),
        ("UPDATE definition SET document = substr(document, 2)", "run 'run-1' can't be read: '"),
        ("UPDATE definition SET document = 'null'", "run 'run-1' can't be read: 'null' is no definition"),
        ('UPDATE run SET tags = \'{"plugins": "{"}\'', "run 'run-1' can't be read: its tag 'plugins' can't be read"),
        ('UPDATE run SET tags = \'{"plugins": "[]"}\'', "run 'run-1' can't be read: its tag 'plugins' can't be"),
        (
            """UPDATE run SET tags = '{"plugins": "{\\"acme 1\\": [1]}"}'""",
            "run 'run-1' can't be read: its tag 'plugins' can't be read: it is not what was stored",
        ),
        ("UPDATE run SET tags = '3'", "run 'run-1' can't be read: '3' is no JSON object of texts"),
        ("UPDATE run SET tags = '{\"a\": 3}'", "run 'run-1' can't be read: '{\"a\": 3}' is no JSON object of texts"),
        ("UPDATE run SET source = char(0)", "run 'run-1' can't be read: '\\x00' is no name of a file"),
        ("UPDATE run SET updated_at = -1e300", "run 'run-1' can't be read: -1e+300 is no time"),
        ("UPDATE journal SET ended_at = 9e999 WHERE kind = 3", "record 'b?' of run 'run-1' can't be read: inf is no"),
        ("UPDATE run SET owner = CAST(x'ff' AS TEXT)", "run 'run-1' can't be read: 'utf-8' codec"),
        ("UPDATE run SET run_id = CAST(x'61ff' AS TEXT)", "run 'a\\\\xff' can't be read: 'utf-8' codec"),
        (
            "UPDATE journal SET path = CAST(x'ff' AS TEXT) WHERE kind = 3",
            "record '\\\\xff' of run 'run-1' can't be read: ",
        ),
        ("UPDATE run SET base = x'5b5d'", "first context of run 'run-1': it can't be read: it is not what was stored"),
        ("UPDATE journal SET out = x'5b5d' WHERE kind = 3", "value of record 'b?' of run 'run-1': it can't be read"),
        (
            "UPDATE journal SET out = CAST(replace(CAST(out AS TEXT), 'null}', '1e300}') AS BLOB) WHERE kind = 3",
            "value of record 'b?' of run 'run-1': it can't be read: it is not what was stored",
        ),
    ],
)
async def test_each_row_that_can_not_be_read_is_named(made, opened, run, statement, said):
    change(made, statement)
    backend = opened(made)
    await backend.create_run(run("run-2"))
    told = await backend.check()
    assert [line for line in told if line.startswith(said)]


@pytest.mark.parametrize("column", ["started_at", "ended_at"])
@pytest.mark.parametrize("time", ["9e999", "-1e300"])
async def test_a_result_with_a_time_that_no_calendar_has_is_named(path, opened, run, column, time):
    backend = opened(path)
    claim = await backend.create_run(run("run-1"))
    for name in "ab":
        await backend.append(claim, JournalRecord(name, RecordKind.RESULT, out=b"1"))
    change(path, f"UPDATE journal SET {column} = {time} WHERE path = 'b'")
    with pytest.raises(StateCorrupt, match=r"record 'b' of run 'run-1' can't be read: .* is no time"):
        await opened(path).load("run-1")


@pytest.fixture
async def full(path, opened, run):
    """A state with records of every kind, large and small, and a cached result."""
    backend = opened(path)
    claim = await backend.create_run(run(input=LARGE, files={"a.yaml": "steps: []"}))
    said = {
        RecordKind.WAIT: ASKED,
        RecordKind.ANSWER: b'{"value":1,"by":"me"}',
        RecordKind.SETTLED: b'{"output":1,"again":false,"by":"me"}',
        RecordKind.CALL: b'{"calls":1,"tokens_in":0,"tokens_out":0,"cost_usd":{"$":"decimal","v":"0"}}',
    }
    for kind in RecordKind:
        await backend.append(claim, JournalRecord(f"p{kind}", kind, out=said.get(kind, b"1"), delta=CHANGED))
    gone = b'{"$":"gone:Class","v":{"n":{"$":"set","v":[{"$":"gone:Other","v":{"m":1}}]}}}'
    await backend.append(claim, JournalRecord("of a class that is gone", out=gone))
    await backend.append(
        claim, JournalRecord("large", out=LARGE.replace(b"x", b"y"), delta=b'[["set",["a"],%s]]' % LARGE)
    )
    await backend.cache.put(CacheEntry(b"k", "a step", b"[1]", CHANGED, {"input": "d1"}, 1.0))
    await backend.finish(claim, RunStatus.COMPLETED, output=b"1.5", at=2.0)
    await backend.close()
    assert await opened(path).check() == []
    return path


NOT_JSON = ": it can't be read: it is not the JSON that was stored"
NOT_THERE = ": it can't be read: a large value is missing from the state or was changed: "


@pytest.mark.parametrize(
    ("change_of", "told"),
    [
        ("run SET base = $", [f"first context of run 'run-1'{NOT_JSON}"]),
        ("run SET output = $", [f"output of run 'run-1'{NOT_JSON}"]),
        ("journal SET out = $ WHERE kind = 3", [f"value of record 'p3' of run 'run-1'{NOT_JSON}"]),
        ("journal SET delta = $ WHERE path = 'p0'", [f"context change of record 'p0' of run 'run-1'{NOT_JSON}"]),
        ("cache SET value = $", [f"value of a cached result of 'a step'{NOT_JSON}"]),
        ("cache SET parts = '{'", ["parts of a cached result of 'a step': Expecting property name"]),
        ("cache SET parts = '[3]'", ["parts of a cached result of 'a step': b'[3]' is no JSON object of texts"]),
        ("cache SET enc = 9", ["a cached result of 'a step' can't be read: the values of 'a step' are in encoding 9"]),
        (
            "blob SET data = CAST(replace(data, 'yy', 'zz') AS BLOB)",
            [f"value of record 'large' of run 'run-1'{NOT_THERE}"],
        ),
        (
            "blob SET data = CAST(replace(data, 'xx', 'zz') AS BLOB)",
            [f"input of run 'run-1'{NOT_THERE}", f"context change of record 'large' of run 'run-1'{NOT_THERE}"],
        ),
        (
            "journal SET out = $",
            [f"value of record {path!r}" for path in (*(f"p{kind}" for kind in RecordKind), "of a class that is gone")],
        ),
    ],
)
async def test_each_value_that_is_damaged_is_named(full, opened, change_of, told):
    """By its run, its path and what it is; one is no reason to leave out the others."""
    change(full, "UPDATE " + change_of.replace("$", "x'7b'"))
    found = await opened(full).check()
    assert [line[: len(start)] for line, start in zip(found, told, strict=True)] == told


@pytest.mark.parametrize(
    "change_of",
    [
        '{"a":1}',
        "[1]",
        '[["set",["a"]]]',
        '[["add",["a"],2]]',
        '[["del",["a"],1]]',
        '[["del",[]]]',
        '[["put",["a"],1]]',
    ],
)
async def test_a_change_of_the_context_that_can_not_be_applied_is_named(full, opened, change_of):
    for table in ("journal WHERE path = 'p0'", "cache"):
        name, _, where = table.partition(" ")
        change(full, f"UPDATE {name} SET delta = CAST('{change_of}' AS BLOB) {where}")
    assert await opened(full).check() == [
        f"context change of {what}: it can't be read: it is not what was stored"
        for what in ("record 'p0' of run 'run-1'", "a cached result of 'a step'")
    ]


async def test_damage_is_found(made, opened):
    """An index that has lost an entry is no longer as its table."""
    change(
        made,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX run_created ON run(updated_at)' WHERE name = 'run_created'",
    )
    assert "run_created" in " ".join(await opened(made).check())


async def test_looking_changes_nothing(made, opened):
    before = made.read_bytes()
    assert await opened(made).check() == []
    assert made.read_bytes() == before


@pytest.mark.parametrize("call", ["check", "migrate", "backup"])
async def test_state_that_is_not_there_is_not_made(path, opened, call):
    backend = opened(path)
    with pytest.raises(StateUnavailable, match=r"no state at '.*state\.db'"):
        await getattr(backend, call)(*[str(path) + ".copy"] * (call == "backup"))
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("version", range(1, SCHEMA))
async def test_state_of_an_older_schema_can_be_looked_at_and_brought_up(path, opened, run, version):
    """Looking at it changes nothing; the first write brings it up, and so does the request."""
    brought_to(path, version)
    reader = opened(path)
    row = await reader.get("run-1")
    assert (row.status, row.key, row.claims, row.cancelled, dict(row.files)) == (RunStatus.PAUSED, None, 0, False, {})
    assert [row.run_id for row in await reader.list()] == ["run-1"]
    assert [wait.record.path for wait in await reader.waits()] == ["b?"]
    assert await reader.check() == []
    assert await reader.migrate() == (version, SCHEMA)
    assert await reader.migrate() == (SCHEMA, SCHEMA)
    claim = await reader.claim("run-1")
    await reader.append(claim, JournalRecord("b", out=b"1"))
    await reader.create_run(run("run-2", key="k"))
    assert await reader.check() == []
    assert [record.path for record in await reader.load("run-1")] == ["a", "b?", "b"]


@pytest.mark.parametrize("version", range(1, SCHEMA))
async def test_values_of_an_older_schema_are_looked_at(path, opened, version):
    brought_to(path, version)
    change(path, "UPDATE journal SET out = x'7b' WHERE id = 1")
    assert await opened(path).check() == [f"value of record 'a' of run 'run-1'{NOT_JSON}"]


async def test_newer_state_is_only_looked_at_for_damage(made, opened):
    change(made, "CREATE TABLE other(x)", f"PRAGMA user_version = {SCHEMA + 1}")
    assert await opened(made).check() == []
    with pytest.raises(StateUnavailable, match="newer flujo"):
        await opened(made).migrate()


async def test_copy_is_whole_and_its_owners_alone(made, opened, run, tmp_path):
    """It has what was committed when it was begun, also what is in the log only, and can be used as a state."""
    backend = opened(made)
    claim = await backend.create_run(run("run-2"))
    await backend.append(claim, JournalRecord("a", out=LARGE))
    size = await backend.backup(str(tmp_path / "copy.db"))
    await backend.append(claim, JournalRecord("late"))
    copy = tmp_path / "copy.db"
    assert (copy.stat().st_size, stat.S_IMODE(copy.stat().st_mode)) == (size, 0o600)
    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name) == ["copy.db"]
    other = opened(copy)
    assert await other.check() == []
    assert [record.path for record in await other.load("run-2")] == ["a"]
    assert (await other.claim("run-1")).epoch == 2


async def test_copy_takes_nobodys_place(made, opened, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    os.symlink(tmp_path / "elsewhere", tmp_path / "link")
    for name in ("taken", "link"):
        with pytest.raises(StateUnavailable, match=f"{name}' is there already, expected the name of a new file"):
            await opened(made).backup(str(tmp_path / name))
    assert taken.read_text() == "mine"
    assert not [file for file in tmp_path.iterdir() if ".new-" in file.name or file.name == "elsewhere"]


async def test_copy_that_can_not_be_written_says_why(made, opened, tmp_path):
    with pytest.raises(StateUnavailable, match=r"copy '.*' can't be written: No such file") as caught:
        await opened(made).backup(str(tmp_path / "nowhere" / "copy.db"))
    assert "folder" in caught.value.suggestion


@pytest.mark.parametrize(
    ("code", "kind", "named"),
    [(sqlite3.SQLITE_FULL, StateStorageFull, "copy"), (sqlite3.SQLITE_CORRUPT, StateCorrupt, "state.db")],
)
async def test_copy_that_fails_leaves_nothing(made, opened, tmp_path, code, kind, named):
    """The error names the file that is the reason: the copy for a full disk, the state for damage."""

    class Failing(sqlite3.Connection):
        def execute(self, statement, values=()):
            if statement.startswith("VACUUM"):
                error = sqlite3.OperationalError("as SQLite puts it")
                error.sqlite_errorcode = code
                raise error
            return super().execute(statement, values)

    backend = opened(
        made,
        connect=lambda uri: sqlite3.connect(
            uri, uri=True, isolation_level=None, factory=Failing, check_same_thread=False
        ),
    )
    with pytest.raises(kind, match=named):
        await backend.backup(str(tmp_path / "copy.db"))
    assert [file.name for file in tmp_path.iterdir() if "copy" in file.name] == []


async def test_wish_to_cancel_is_seen_by_a_backend_that_has_written_nothing(made, opened):
    """It has no connection of its own yet."""
    claim = await opened(made).claim("run-1")
    looking = opened(made)
    assert await looking.is_cancelled(claim) is False
    await opened(made).cancel("run-1", at=3.0)
    assert await looking.is_cancelled(claim) is True


async def test_key_index_of_an_unknown_conflict_is_reported(made, opened, run):
    """A refusal that no run explains is told as it is."""
    change(made, "CREATE UNIQUE INDEX odd ON run(pipeline)")
    with pytest.raises(StateUnavailable, match="UNIQUE constraint failed"):
        await opened(made).create_run(run("run-2"))
