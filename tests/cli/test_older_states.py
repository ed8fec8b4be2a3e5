"""States that older code has written: kept in `states/`, one for each schema, and used as they are."""

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flujo.domain.interfaces import RecordKind
from flujo_state_sqlite.schema import SCHEMA

STATES = Path(__file__).with_name("states")

# What the runs in the files were begun with: a step that fails until there is a file `mended`, and a question, which
# the code that made the first file could not ask.
STEPS = """\
import pathlib


def shaky(data):
    if not pathlib.Path("mended").exists():
        raise OSError("away")
    return data.upper()
"""
FAILS = """\
version: "0.1"
name: "old"
steps:
  - kind: step
    name: shout
    agent: { id: "flujo.builtins.stringify" }
    input: "{{ previous_step }}!"
  - kind: step
    name: shaky
    agent: { id: "older_steps:shaky" }
"""
ASKS = FAILS + '  - { kind: hitl, name: ask, message: "is it right?" }\n'
INPUT = "x" * 70_000

#: The command that goes on with the question: what tells one pipeline from another is written down otherwise since.
ANSWERING = {
    2: ("resume", "paused", "--answer", "yes", "--allow-changed"),
    3: ("resume", "paused", "--answer", "yes"),
}


@pytest.fixture
def state(project, request):
    """The state that code of this schema has made, in a project as it was then, but mended."""
    (project / "flujo.toml").write_text('blueprint_allowed_imports = ["older_steps"]\n')
    (project / "older_steps.py").write_text(STEPS)
    (project / "fails.yaml").write_text(FAILS)
    (project / "asks.yaml").write_text(ASKS)
    (project / "mended").touch()
    path = project / ".flujo" / "state.db"
    path.parent.mkdir()
    path.write_bytes(gzip.decompress((STATES / f"schema-{request.param}.db.gz").read_bytes()))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (request.param,)
    return path


def test_there_is_a_state_of_every_schema():
    """Whoever adds a schema adds a file that was written with it."""
    assert {path.name for path in STATES.iterdir()} == {f"schema-{number}.db.gz" for number in range(1, SCHEMA + 1)}


def test_the_kinds_of_records_are_those_of_the_schema():
    """Whoever adds a kind adds a schema, whose number tells an older flujo that it can't write there."""
    assert (SCHEMA, [kind.value for kind in RecordKind]) == (3, [*range(8)])


@pytest.mark.parametrize("state", range(1, SCHEMA + 1), indirect=True)
def test_an_older_state_can_be_looked_at_as_it_is(flujo, state):
    before = state.read_bytes()
    listed = flujo("runs", "list", "--json").json["runs"]
    shown = flujo("runs", "show", "failed", "--json").json

    assert {run["run_id"]: run["status"] for run in listed}["failed"] == "failed"
    assert (shown["input"], [record["path"] for record in shown["records"]]) == (INPUT, ["shout", "shaky#a1"])
    assert flujo("db", "check").out == "ok\n"
    assert state.read_bytes() == before


@pytest.mark.parametrize("state", range(1, SCHEMA + 1), indirect=True)
def test_a_run_of_an_older_state_comes_to_what_a_new_one_does(flujo, state):
    new = flujo("run", "fails.yaml", "--input", INPUT, "--state", "memory:", "--json").json
    old = flujo("resume", "failed", "--json")

    assert (old.code, old.json["output"]) == (0, new["output"])
    assert [step["recalled"] for step in old.json["steps"]] == [True, False]
    assert flujo("db", "check").out == "ok\n"


@pytest.mark.parametrize(("state", "answering"), ANSWERING.items(), indirect=["state"])
def test_a_question_of_an_older_state_is_answered(flujo, state, answering):
    (asked,) = flujo("inbox", "--json").json["questions"]
    assert (asked["run_id"], asked["path"], asked["message"]) == ("paused", "ask", "is it right?")

    ran = flujo(*answering, "--json")

    assert (ran.code, ran.json["output"]) == (0, "yes")
    assert [step["recalled"] for step in ran.json["steps"]] == [True, True, False]
