"""Commands on a state that is damaged: they say so, and what to do, and show what can still be read."""

import re
import sqlite3
from contextlib import closing

import pytest

ASKS = 'version: "0.1"\nsteps: [{ kind: hitl, name: ask, message: "ok {{ previous_step }}?" }]\n'


@pytest.fixture
def file(flujo, project):
    """The state of a project with two runs that wait."""
    (project / "pipeline.yaml").write_text(ASKS)
    for run_id in ("r1", "r2"):
        assert flujo("run", "--input", run_id, "--run-id", run_id).code == 6
    return project / ".flujo" / "state.db"


@pytest.fixture
def overwrite(file):
    """Write Zs over the root page of a table or an index."""

    def over(name, with_=b"Z"):
        with closing(sqlite3.connect(file)) as connection:
            (size,) = connection.execute("PRAGMA page_size").fetchone()
            (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        with file.open("r+b") as stream:
            stream.seek((page - 1) * size)
            stream.write(with_ * (size // len(with_)))

    return over


def change(file, statement, *values):
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(statement, values)


MALFORMED = (
    "can't be read as a state: database disk image is malformed\n"
    "  help: keep the file as it is and restore a backup; "
    "`flujo db check --help` says how to salvage what can be read\n"
)


@pytest.mark.parametrize(
    "words", ["db backup copy.db", "runs show @last", "inbox", "resume r1 --answer yes", "runs cancel r1"]
)
def test_a_damaged_table_is_told_as_damage_by_every_command(flujo, overwrite, project, words):
    overwrite("journal")
    ran = flujo(*words.split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error[FLUJO-609] ")
    assert ran.err.endswith(MALFORMED)
    assert not (project / "copy.db").exists()


def test_the_check_says_which_table_is_damaged(flujo, overwrite):
    overwrite("journal")
    ran = flujo("db", "check")
    assert (ran.code, ran.out.splitlines()[-1]) == (2, "table 'journal' is damaged: database disk image is malformed")


@pytest.mark.parametrize("document", ["substr(document, 1, 9)", "''", "'null'", "'[]'"])
def test_a_damaged_definition_names_its_runs(flujo, file, document):
    change(file, f"UPDATE definition SET document = {document}")
    told = ["run 'r1' can't be read: ", "run 'r2' can't be read: "]
    assert [line[: len(told[0])] for line in flujo("db", "check").out.splitlines()] == told
    ran = flujo("runs", "list")
    assert (ran.code, ran.err.count("error[FLUJO-609] run 'r")) == (2, 2)
    assert flujo("runs", "show", "r1").err.startswith("error[FLUJO-609] run 'r1' can't be read: ")


def test_a_text_that_is_none_hides_no_question_of_another_run(flujo, file):
    change(file, "UPDATE run SET pipeline = CAST(x'ff' AS TEXT) WHERE id = 1")
    ran = flujo("inbox")
    assert (ran.code, [line.split()[0] for line in ran.out.splitlines()]) == (2, ["RUN", "r2"])
    assert ran.err.startswith("answer: ")
    assert "error[FLUJO-609] a question of run 'r1' can't be read: 'utf-8' codec" in ran.err
    assert flujo("resume", "r1", "--answer", "yes").err.startswith("error[FLUJO-609] run 'r1' can't be read: ")


@pytest.mark.parametrize("value", ["x'5b5d'", "x'7b'"])
def test_a_damaged_value_is_marked_and_hides_no_other(flujo, file, value):
    change(file, f"UPDATE journal SET out = {value} WHERE run = 1")
    change(file, "UPDATE run SET input = x'7b' WHERE id = 1")
    ran = flujo("runs", "show", "r1")
    assert ran.code == 2
    assert '\ninput     {"unreadable": "' in ran.out
    assert "\npipeline  p" in ran.out
    assert "\n  ask  asks: (can't be read)\n" in ran.out
    assert ran.err.startswith("error[FLUJO-609] input can't be read: ")
    assert "error[FLUJO-609] ask? can't be read: " in ran.err
    told = flujo("runs", "show", "r1", "--json")
    assert (told.code, told.json["pending"], list(told.json["input"])) == (2, [], ["unreadable"])


def test_a_run_whose_first_context_is_none_is_not_gone_on_with(flujo, file):
    change(file, "UPDATE run SET base = x'5b5d' WHERE id = 1")
    ran = flujo("resume", "r1", "--answer", "yes")
    assert ran.code == 2
    assert "error[FLUJO-609] context can't be read: it is not what was stored" in ran.err


def test_a_run_whose_record_can_not_be_written_says_what_to_look_at_next(flujo, overwrite):
    overwrite("journal")
    ran = flujo("run", "--input", "x", "--run-id", "r3")
    assert ran.code == 2
    assert "error[FLUJO-609]" in ran.err
    assert ran.err.endswith("interrupted, run r3\nnext: flujo db check\n")


def test_a_run_that_is_listed_and_not_found_by_its_id_says_that_the_state_is_damaged(flujo, overwrite, file):
    """An index that is empty is a page as good as any other."""
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.execute("CREATE TABLE a(x UNIQUE)")
        page = empty.serialize()[2 * 4096 :]
    overwrite("sqlite_autoindex_run_1", page)
    ran = flujo("runs", "show", "@last")
    assert (ran.code, ran.err) == (
        2,
        "error[FLUJO-609] run 'r2' is among those that are listed, and not found by its id\n"
        "  help: the state is damaged: `flujo db check` says where\n",
    )


def test_one_question_that_can_not_be_read_hides_no_other(flujo, file):
    change(file, "UPDATE journal SET out = x'7b' WHERE kind = 3 AND run = 1")
    ran = flujo("inbox")
    assert ran.code == 2
    assert [line.split()[0] for line in ran.out.splitlines()] == ["RUN", "r2"]
    assert ran.err.endswith(
        "error[FLUJO-609] a question of run 'r1': ask? can't be read: it is not the JSON that was stored\n"
        "  help: restore the state from a backup\n"
    )
    only = flujo("inbox", "--run", "r1", "--json")
    assert (only.code, only.json["questions"]) == (2, [])
    assert flujo("inbox", "--run", "r2").code == 0


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE run SET status = 9 WHERE id = 1", "9"),
        ("UPDATE run SET tags = 'null' WHERE id = 1", "'null' is no JSON object of texts"),
        ("UPDATE run SET ended_at = 9e999 WHERE id = 1", "inf is no time"),
        ("UPDATE run SET owner = CAST(x'ff' AS TEXT) WHERE id = 1", "'utf-8' codec can't decode byte 0xff"),
        ("UPDATE run SET tags = '{' WHERE id = 1", "Expecting property name"),
        ("UPDATE run SET def_hash = x'00' WHERE id = 1", "run 'r1' has no definition"),
        ("UPDATE journal SET cost = 'free' WHERE run = 1", "ConversionSyntax"),
        ("UPDATE journal SET enc = 9 WHERE run = 1; UPDATE run SET epoch = 2", "encoding 9, expected 1"),
    ],
)
def test_one_run_that_can_not_be_read_hides_no_other(flujo, file, statement, told):
    for each in statement.split(";"):
        change(file, each)
    assert flujo("run", "--input", "x", "--run-id", "r3").code == 6

    ran = flujo("runs", "list")

    assert (ran.code, [line.split()[0] for line in ran.out.splitlines()]) == (2, ["RUN", "r3", "r2"])
    assert ran.err.startswith("error[FLUJO-609] run 'r1' can't be read: ")
    assert told in ran.err
    assert [run["run_id"] for run in flujo("runs", "list", "--status", "paused", "--json").json["runs"]] == ["r3", "r2"]
    assert flujo("runs", "list", "--limit", "2").code == 0
    assert flujo("runs", "show", "r1").code == 2


def test_what_is_wrong_with_a_state_comes_with_a_code_and_a_way_on(flujo, file):
    change(file, "UPDATE journal SET run = 99 WHERE run = 1")
    ran = flujo("db", "check")
    assert (ran.code, ran.out) == (2, "records of no run: 1\n")
    assert ran.err == (
        "error[FLUJO-609] 1 thing is wrong with the state\n"
        "  help: restore a backup; without one `flujo db check --help` says how to salvage what can be read\n"
    )


def test_a_folder_in_the_place_of_the_state_is_told_with_what_to_do(flujo, project):
    (project / ".flujo" / "state.db").mkdir(parents=True)
    ran = flujo("runs", "list")
    assert ran.code == 2
    assert ran.err == (
        f"error[FLUJO-610] the state '{project}/.flujo/state.db' is a folder, expected a file\n"
        "  help: move it away, or name a file: --state sqlite:///runs.db, or state_uri in the settings\n"
    )


MADE = """
from dataclasses import dataclass


@dataclass
class {name}:
    number: int


def make(data: str) -> {name}:
    return {name}(1)
"""


def test_a_class_that_is_gone_is_told_with_its_module_and_is_no_damage(flujo, flujo_process, project):
    steps = '[{ name: make, uses: "skills.made:make" }, { kind: hitl, name: ask, message: "ok?" }]'
    (project / "pipeline.yaml").write_text(f'version: "0.1"\nsteps: {steps}\n')
    made = project / "skills" / "made.py"
    made.write_text(MADE.format(name="Order"))
    assert flujo("run", "--input", "x", "--run-id", "r1").code == 6
    made.write_text(MADE.format(name="Purchase"))

    ran = flujo_process("resume", "r1", "--answer", "yes")

    assert ran.code == 2
    assert "it holds an object of class 'skills.made:Order', which the pipeline does not declare" in ran.err
    assert "installed or in the project, as module 'skills.made' had it" in ran.err
    assert ran.err.endswith("interrupted, run r1\nnext: flujo resume r1\n")
    assert flujo("db", "check").out == "ok\n"


LARGE = """
version: "0.1"
steps:
  - { name: big, uses: flujo.builtins.stringify, sink_to: scratchpad.big }
  - { kind: hitl, name: ask, message: "ok?" }
  - { kind: hitl, name: then, message: "sure?" }
"""


@pytest.fixture
def large(flujo, project):
    """A run with values that are too large for their rows, one answer, and one open question; its state's file."""
    (project / "pipeline.yaml").write_text(LARGE)
    assert flujo("run", "--input", "x" * 100_000, "--run-id", "r1").code == 6
    assert flujo("resume", "r1", "--answer", "yes").code == 6
    return project / ".flujo" / "state.db"


@pytest.mark.parametrize("how", ["DELETE FROM blob", "UPDATE blob SET data = x'227822'"])
def test_a_large_value_that_is_lost_is_marked_and_hides_nothing_else(flujo, large, project, how):
    change(large, how)
    ran = flujo("runs", "show", "@last")
    assert ran.code == 2
    assert '\ninput     {"unreadable": "a stored value can\'t be read: a large value is missing...' in ran.out
    assert re.search(r'\n  big  .* {"unreadable": ', ran.out)
    assert "answers: yes\n" in ran.out
    assert "\nwaits     then [" in ran.out
    assert "error[FLUJO-609] big can't be read: a large value is missing from the state or was changed: " in ran.err
    assert ran.err.endswith(f"that is in run r1; the state is 'sqlite:///.flujo/state.db' of '{project}'\n")
    told = flujo("runs", "show", "r", "--json")
    assert (told.code, list(told.json["input"]), len(told.json["pending"])) == (2, ["unreadable"], 1)
    assert flujo("runs", "list").code == 0


def test_a_run_whose_large_value_is_lost_is_not_gone_on_with(flujo, large):
    change(large, "DELETE FROM blob")
    ran = flujo("resume", "r1", "--answer", "yes")
    assert ran.code == 2
    assert "error[FLUJO-609] input can't be read: a large value is missing from the state or was changed: " in ran.err
    ran = flujo("resume", "r1", "--answer", "yes", "--as-begun")
    assert (ran.code, "(missing from the state, or changed)" in ran.err) == (4, True)


def test_a_change_of_the_context_that_is_lost_is_told(flujo, large):
    change(large, "UPDATE journal SET delta = x'7b', delta_blob = NULL WHERE path = 'big'")
    ran = flujo("runs", "show", "r1")
    assert (ran.code, bool(re.search(r"\n  big  .*  xxx", ran.out))) == (2, True)
    assert ran.err.startswith("error[FLUJO-609] the context change of big can't be read: it is not the JSON that")


@pytest.mark.parametrize("change_of", ["[1]", "{}", '[["set",["a"]]]'])
def test_a_run_with_a_change_of_the_context_that_is_none_is_not_gone_on_with(flujo, large, change_of):
    change(large, f"UPDATE journal SET delta = CAST('{change_of}' AS BLOB), delta_blob = NULL WHERE path = 'big'")
    ran = flujo("resume", "r1", "--answer", "yes")
    assert ran.code == 2
    assert "error[FLUJO-609] big can't be read: it is not what was stored\n" in ran.err


def test_a_run_whose_note_of_its_plugins_is_damaged_is_not_gone_on_with(flujo, file):
    change(file, """UPDATE run SET tags = '{"plugins": "["}'""")
    ran = flujo("resume", "r1", "--answer", "yes")
    assert (ran.code, "the tag 'plugins' of run 'r1' can't be read: it is not what was stored" in ran.err) == (2, True)


FAILS = """
version: "0.1"
steps: [{ name: fail, uses: "skills.failing:fail", config: { max_retries: 1 } }]
"""


@pytest.mark.parametrize("error", ["'{'", "'[]'", "'{}'", "CAST(x'ff' AS TEXT)", "json_set(error, '$.message', 3)"])
def test_a_damaged_error_hides_nothing_else(flujo, project, error):
    (project / "pipeline.yaml").write_text(FAILS)
    (project / "skills" / "failing.py").write_text("def fail(data: str) -> str:\n    raise ValueError(data)\n")
    assert flujo("run", "--input", "x", "--run-id", "r1").code == 1
    for table in ("run", "journal"):
        change(project / ".flujo" / "state.db", f"UPDATE {table} SET error = {error}")

    shown, traced, why = flujo("runs", "show", "@last"), flujo("runs", "trace", "r1"), flujo("why", "fail")

    assert [ran.code for ran in (shown, traced, why)] == [2, 2, 2]
    assert "\nstatus    failed\n" in shown.out
    assert "\nerror     Unreadable: " in shown.out
    assert "\nfail  failed" in traced.out
    assert "attempt 2 was the last and failed: Unreadable: " in why.out
    assert shown.err.startswith("error[FLUJO-609] the error of run can't be read: ")
    for ran in (shown, traced, why):
        assert "\nerror[FLUJO-609] the error of fail#a2 can't be read: " in ran.err
    listed, checked = flujo("runs", "list"), flujo("db", "check")
    assert (listed.code, listed.out.splitlines()[1].split()[:2]) == (2, ["r1", "failed"])
    assert listed.err.startswith("error[FLUJO-609] the error of run 'r1' can't be read: ")
    assert [line.partition(":")[0] for line in checked.out.splitlines()] == [
        f"error of {each}run 'r1'" for each in ("", "record 'fail#a1' of ", "record 'fail#a2' of ")
    ]


@pytest.mark.parametrize("value", ["x'5b5d'", "x'7b'", "x'7b7d'", "NULL"])
def test_a_damaged_answer_hides_nothing_else(flujo, large, value):
    change(large, f"UPDATE journal SET out = {value} WHERE kind IN (3, 4) AND path LIKE 'ask%'")

    shown, traced, why = flujo("runs", "show", "r1"), flujo("runs", "trace", "r1"), flujo("why", "ask")

    assert [ran.code for ran in (shown, traced, why)] == [2, 2, 2]
    assert "\n  ask  (can't be read) answers: (can't be read)\n" in shown.out
    assert ("\n  big  " in shown.out, shown.out.count("waits     ")) == (True, 1)
    assert "(can't be read) answered" in traced.out
    assert ": (can't be read)\n" in why.out
    assert "\n  (can't be read) answered at " in why.out
    for ran in (shown, traced, why):
        assert "error[FLUJO-609] ask!1 can't be read: " in ran.err
    told = flujo("runs", "show", "r1", "--json").json["records"]
    assert [each["path"] for each in told if "unreadable" in each["output"]] == ["ask?", "ask!1"]


def test_damaged_words_that_settle_a_step_hide_nothing_else(flujo, project):
    (project / "pipeline.yaml").write_text(
        'version: "0.1"\nsteps: [{ name: pay, uses: "skills.paying:pay", effects: at-most-once }]\n'
    )
    (project / "skills" / "paying.py").write_text("def pay(data: str) -> str:\n    raise KeyboardInterrupt\n")
    assert flujo("run", "--input", "x", "--run-id", "r1").code == 130
    assert flujo("runs", "settle", "r1", "pay", "--again").code == 0
    change(project / ".flujo" / "state.db", "UPDATE journal SET out = x'7b' WHERE kind = 6")

    assert "(can't be read) settled it" in flujo("runs", "trace", "r1").out
    ran = flujo("why", "pay")
    assert (ran.code, "(can't be read) settled it at " in ran.out) == (2, True)
    assert ran.err.startswith("error[FLUJO-609] pay^1! can't be read: it is not the JSON that was stored\n")
