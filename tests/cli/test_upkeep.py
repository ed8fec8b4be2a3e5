"""Looking after the state: forgetting old runs, checking, migrating and copying the file."""

import re
import sqlite3

import pytest


def test_old_runs_are_forgotten_and_young_ones_stay(flujo):
    flujo("run", "--input", "x", "--run-id", "r1")

    kept = flujo("gc", "--json")
    assert (kept.code, kept.json, kept.err) == (0, {"schema": "flujo.gc/1", "forgotten": 0}, "0 runs are forgotten\n")
    assert flujo("runs", "list", "--json").json["runs"] != []
    assert flujo("gc", "--older-than", "0.001s", "--trust-clock").err == "1 run is forgotten\n"
    assert flujo("runs", "list", "--json").json["runs"] == []


def test_what_only_the_clock_says_is_asked_about(flujo):
    """No run was begun since: nobody but this machine says that so much time has passed."""
    flujo("run", "--input", "x", "--run-id", "r1")

    told, question = flujo("gc", "--older-than", "0.001s").err.splitlines()
    assert told == "0 runs are forgotten"
    assert re.fullmatch(
        r"no run was begun in that time: if it is \d{4}-\d\d-\d\d \d\d:\d\d:\d\d now, as this machine says, add "
        "--trust-clock",
        question,
    )
    assert flujo("gc", "--older-than", "1h").err == "0 runs are forgotten\n"
    assert [run["run_id"] for run in flujo("runs", "list", "--json").json["runs"]] == ["r1"]


def test_where_there_is_no_state_nothing_is_forgotten_and_none_is_made(flujo, project):
    ran = flujo("gc")

    where = f"no runs are recorded in 'sqlite:///.flujo/state.db' of '{project}'\n"
    assert (ran.code, ran.err) == (0, f"0 runs are forgotten\n{where}")
    assert not (project / ".flujo").exists()


@pytest.mark.parametrize("time", ["soon", "0", "-1d"])
def test_a_time_that_is_none_is_refused(flujo, time):
    ran = flujo("gc", "--older-than", time)

    assert ran.code == 2
    assert "is no duration, expected more than 0 seconds, or text like" in ran.err


def test_a_sound_state_is_ok_and_a_broken_one_is_told(flujo, project):
    flujo("run", "--input", "x")
    ran = flujo("db", "check")
    assert (ran.code, ran.out) == (0, "ok\n")

    file = project / ".flujo" / "state.db"
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO journal SELECT * FROM journal WHERE 0")
        connection.execute("UPDATE journal SET run = 99")
    connection.close()
    ran = flujo("db", "check", "--json")
    assert (ran.code, ran.json["valid"], len(ran.json["problems"])) == (2, False, 1)
    assert flujo("db", "check").out == ran.json["problems"][0] + "\n"


def test_every_value_that_can_not_be_read_is_told(flujo, project):
    flujo("run", "--input", "x", "--run-id", "r1")
    connection = sqlite3.connect(project / ".flujo" / "state.db")
    with connection:
        connection.execute("UPDATE run SET input = x'7b', input_blob = NULL")
        connection.execute("UPDATE journal SET out = x'ff'")
    connection.close()
    ran = flujo("db", "check")
    assert ran.code == 2
    assert ran.out == (
        "input of run 'r1': it can't be read: it is not the JSON that was stored\n"
        "value of record 'echo' of run 'r1': it can't be read: it is not the JSON that was stored\n"
    )
    assert ran.err.startswith("error[FLUJO-609] 2 things are wrong with the state\n")


def test_a_state_is_brought_up_to_date(flujo):
    flujo("run", "--input", "x")

    told = flujo("db", "migrate", "--json").json
    assert told["before"] == told["now"]
    assert flujo("db", "migrate").out == f"the schema is {told['now']}\n"


def test_a_copy_is_a_state_of_its_own(flujo, project):
    flujo("run", "--input", "x", "--run-id", "r1")

    ran = flujo("db", "backup", "copy.db", "--json")

    assert (ran.code, ran.json["file"]) == (0, str(project / "copy.db"))
    assert ran.json["bytes"] == (project / "copy.db").stat().st_size
    copied = flujo("runs", "list", "--state", "sqlite:///copy.db", "--json").json["runs"]
    assert [run["run_id"] for run in copied] == ["r1"]
    assert flujo("db", "backup", "copy.db").code == 2
    assert flujo("db", "backup", "other.db").out.startswith(f"{project / 'other.db'}: ")


def test_a_state_in_memory_can_not_be_looked_after(flujo):
    ran = flujo("db", "check", "--state", "memory:")

    assert ran.code == 2
    assert "InMemoryBackend is no state that can be checked, brought up to date or copied" in ran.err
