"""Runs that ask: what is told, how it is answered from the command line, and at a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flujo_cli.questions import reply_of

COMMAND = Path(sys.executable).with_name("flujo")
HEAD = 'version: "0.1"\nsteps:\n'
PLAIN = "  - { kind: hitl, name: ask, message: 'ok {{ previous_step }}?' }\n"
NUMBER = "  - { kind: hitl, name: ask, message: 'how much?', input_schema: { type: number, maximum: 100 } }\n"
OBJECT = """\
  - kind: hitl
    name: ask
    message: "first line\\nsecond line"
    input_schema: { type: object, properties: { refund: { type: number } } }
"""
TWO = """\
  - kind: parallel
    name: both
    branches:
      a: [{ kind: hitl, name: ask, message: "a?" }]
      b: [{ kind: hitl, name: ask, message: "b?", deadline: 7d }]
"""


@pytest.fixture
def asking(project):
    """Write the pipeline of the project."""
    return lambda steps: (project / "pipeline.yaml").write_text(HEAD + steps)


def test_a_run_that_asks_tells_what_and_how_to_answer_and_ends_with_6(flujo, asking):
    asking(PLAIN)

    ran = flujo("run", "--input", "poem", "--run-id", "r1")

    assert (ran.code, ran.out) == (6, "")
    lines = ran.err.splitlines()
    assert lines[0].endswith(" ask  waits for an answer")
    assert lines[1] == "? ask: ok poem?"
    assert re.fullmatch(r"paused in \d+ ms, run r1", lines[2])
    assert lines[3:] == ["next: flujo resume r1 --answer TEXT"]


def test_questions_are_told_to_those_who_want_it_quiet_too(flujo, asking):
    asking(PLAIN)

    told = flujo("run", "--input", "poem", "--run-id", "r1", "-q").err.splitlines()
    assert told[0] == "? ask: ok poem?"
    assert told[1].startswith("paused in ")
    assert told[1].endswith(", run r1")
    assert told[2:] == ["next: flujo resume r1 --answer TEXT"]


def test_the_schema_is_told_and_decides_which_option_is_advised(flujo, asking):
    asking(OBJECT)

    lines = flujo("run", "--run-id", "r1").err.splitlines()

    assert lines[1:4] == [
        "? ask: first line",
        "    second line",
        '    answers: {"type": "object", "properties": {"refund": {"type": "number"}}}',
    ]
    assert lines[-1] == "next: flujo resume r1 --answer-json JSON"


def test_several_questions_are_told_with_their_tokens_and_deadlines(flujo, asking):
    asking(TWO)

    ran = flujo("run", "--run-id", "r1")

    assert re.search(r"^\? parallel:both/a/ask \[[0-9a-f]{12}\]: a\?$", ran.err, re.MULTILINE)
    assert re.search(r"^\? parallel:both/b/ask \[[0-9a-f]{12}\]: b\?\n    until 2\d{3}-", ran.err, re.MULTILINE)
    assert ran.err.endswith("next: flujo resume r1 --token TOKEN --answer TEXT\n")


def test_very_many_questions_are_not_all_told(flujo, asking):
    branches = "".join(f"      b{n}: [{{ kind: hitl, name: ask, message: '?' }}]\n" for n in range(7))
    asking(f"  - kind: parallel\n    name: all\n    branches:\n{branches}")

    ran = flujo("run", "--run-id", "r1", "-q")

    assert ran.err.count("/ask [") == 5
    assert "and 2 more questions: `flujo runs show` lists them" in ran.err
    assert flujo("runs", "show", "r1").out.count("waits     parallel:all/") == 7


def test_json_has_the_open_questions(flujo, asking):
    asking(TWO)

    told = flujo("run", "--json").json

    assert (told["status"], told["success"], told["error"]) == ("paused", False, None)
    first, second = told["pending"]
    assert (first["path"], first["message"], first["schema"]) == ("parallel:both/a/ask", "a?", None)
    assert (first["deadline"], second["deadline"][:1]) == (None, "2")
    assert [step["paused"] for step in told["steps"]] == [True]


@pytest.mark.parametrize(
    ("steps", "words", "output"),
    [
        (PLAIN, ["--answer", "yes, please"], "yes, please"),
        (PLAIN, ["--answer", "5"], "5"),
        (PLAIN, ["--answer-json", "[1, null]"], [1, None]),
        (PLAIN, ["--answer-file", "answer.txt"], "from\na file"),
        (NUMBER, ["--answer", "5"], 5),
        (NUMBER, ["--answer-json", "5.5"], 5.5),
        (OBJECT, ["--answer", '{"refund": 5}'], {"refund": 5}),
        (OBJECT, ["--answer-json", '{"refund": 5}'], {"refund": 5}),
    ],
)
def test_an_answer_lets_the_run_go_on(flujo, project, asking, steps, words, output):
    (project / "answer.txt").write_text("from\na file\n")
    asking(steps)
    flujo("run", "--run-id", "r1")

    ran = flujo("resume", "r1", *words, "--json")

    assert (ran.code, ran.json["output"]) == (0, output)


def test_a_token_says_which_question_is_answered(flujo, asking):
    asking(TWO)
    pending = flujo("run", "--run-id", "r1", "--json").json["pending"]

    first = flujo("resume", "r1", "--token", pending[1]["token"], "--answer", "B")
    assert first.code == 6
    assert first.err.endswith("next: flujo resume r1 --answer TEXT\n")

    assert flujo("resume", "r1", "--answer", "A", "--json").json["output"] == {"a": "A", "b": "B"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--answer", "lots"], "the answer to 'ask' does not fit its schema: $: 'lots' is not of type 'number'"),
        (["--answer-json", "500"], "the answer to 'ask' does not fit its schema: $: 500 is greater than the maximum"),
        (["--answer-json", "{"], "--answer-json is not JSON: "),
        (["--answer-json", "NaN"], "--answer-json is not JSON: NaN is no JSON value"),
        (["--answer-json", '{"a": 1, "b": 2, "a": 3}'], "--answer-json is not JSON: key 'a' is given twice"),
        (["--answer-file", "none.txt"], "--answer-file 'none.txt' can't be read: No such file or directory"),
        (["--answer", "1", "--token", "zz"], "run 'r1' has no question 'zz'"),
        (["--answer", "1", "--answer-json", "1"], "give one answer: --answer, --answer-json or --answer-file"),
        (["--token", "zz"], "--token says what is answered: give --answer"),
    ],
)
def test_a_wrong_answer_ends_with_2_and_the_run_still_waits(flujo, asking, words, message):
    asking(NUMBER)
    flujo("run", "--run-id", "r1")

    ran = flujo("resume", "r1", *words)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert flujo("resume", "r1", "--answer", "7").out == "7\n"


def test_a_second_answer_is_told_who_gave_the_first(flujo, asking, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    asking(PLAIN)
    flujo("run", "--run-id", "r1")
    flujo("resume", "r1", "--answer", "yes")

    ran = flujo("resume", "r1", "--answer", "no")

    assert ran.code == 2
    assert "run 'r1' is completed and waits for no answer; 'ask' was answered by ann at 2" in ran.err


def test_a_user_without_a_name_can_answer(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)

    assert reply_of("yes", None, None, None) == ("yes", None, "")


def test_the_record_shows_questions_and_answers(flujo, asking):
    asking(PLAIN)
    token = flujo("run", "--input", "poem", "--run-id", "r1", "--json").json["pending"][0]["token"]

    shown = flujo("runs", "show", "r1").out
    assert f"waits     ask [{token}]: ok poem?\n" in shown
    assert "\n  ask  asks: ok poem?\n" in shown
    assert "error" not in shown
    assert [asked["token"] for asked in flujo("runs", "show", "r1", "--json").json["pending"]] == [token]

    flujo("resume", "r1", "--answer", "yes")
    shown = flujo("runs", "show", "r1").out
    assert "waits" not in shown
    assert re.search(r"^  ask  \w+ answers: yes$", shown, re.MULTILINE)
    told = flujo("runs", "show", "r1", "--json").json
    assert told["pending"] == []
    assert [record["kind"] for record in told["records"]] == ["wait", "answer", "result"]
    assert told["records"][1]["output"]["value"] == "yes"


def test_a_question_of_a_run_in_memory_names_no_command(flujo, asking):
    asking(PLAIN)

    ran = flujo("run", "--state", "memory:")

    assert ran.code == 6
    assert "next:" not in ran.err
    assert ran.err.endswith(
        "its record was in memory only: nobody can answer any more. To be answered later it needs a state that stays, "
        "as --state sqlite:///runs.db\n"
    )


class Terminal:
    """The command with a terminal as its standard input and stderr; `see` waits for words on it."""

    def __init__(self, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [COMMAND, *words],
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.PIPE,
            env={**os.environ, "NO_COLOR": "1"},
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = ""

    def see(self, words: str) -> None:
        while words not in self.seen:
            assert select.select([self._ours], [], [], 60)[0], f"{words!r} is not in {self.seen!r}"
            self.seen += os.read(self._ours, 1024).decode()
        self.seen = self.seen.partition(words)[2]

    def interrupt(self) -> None:
        """Press Ctrl-C until there is an answer: one that comes before the terminal is read waits for the next."""
        self.process.send_signal(signal.SIGINT)
        while not select.select([self._ours], [], [], 1)[0]:
            self.process.send_signal(signal.SIGINT)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> tuple[int, str]:
        out = self.process.communicate(timeout=60)[0].decode()
        return self.process.returncode, out

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._ours)


@pytest.fixture
def terminal(asking) -> Iterator[Terminal]:
    """A run at a terminal that asks twice."""
    asking(NUMBER + PLAIN.replace("ask", "more"))
    screen = Terminal("run", "--run-id", "r1")
    yield screen
    screen.close()


def test_at_a_terminal_the_questions_are_asked_there(terminal):
    terminal.see("? ask: how much?")
    terminal.see("answer: ")
    terminal.type("500\n")
    terminal.see("greater than the maximum of 100")
    terminal.see("? ask: how much?")
    terminal.see("answer: ")
    terminal.type("50\n")
    terminal.see("? more: ok 50?")
    terminal.see("answer: ")
    terminal.type("sure\n")

    terminal.see("completed in ")
    assert terminal.end() == (0, "sure\n")


def test_an_empty_answer_is_asked_again_and_why_is_said(terminal):
    terminal.see("answer: ")
    terminal.type("\n")
    terminal.see("nothing is no answer: type one, or Ctrl-C leaves the run waiting")
    terminal.see("answer: ")
    terminal.type("50\n")
    terminal.see("? more: ok 50?")
    terminal.see("answer: ")
    terminal.interrupt()
    assert terminal.end()[0] == 6


@pytest.mark.parametrize("how", ["interrupt", "end of input"])
def test_who_does_not_answer_leaves_the_run_waiting(terminal, flujo, how):
    terminal.see("answer: ")
    terminal.type("50\n")
    terminal.see("? more: ok 50?")
    terminal.see("answer: ")
    if how == "interrupt":
        terminal.interrupt()
    else:
        terminal.type("\x04")

    terminal.see("next: flujo resume r1 --answer TEXT")
    assert terminal.end() == (6, "")
    assert flujo("resume", "r1", "--answer", "sure").out == "sure\n"


def test_a_question_that_somebody_else_answers_meanwhile_is_not_asked_again(terminal, flujo):
    terminal.see("answer: ")
    assert flujo("runs", "approve", "r1", "--answer", "7", "--by", "ann").code == 6
    terminal.type("50\n")

    terminal.see("the answer comes too late: 'ask' was answered by ann at 2")
    terminal.see("? more: ok 7?")
    terminal.see("answer: ")
    terminal.type("sure\n")
    assert terminal.end() == (0, "sure\n")


def test_a_question_at_a_terminal_can_be_terminated(terminal, flujo):
    terminal.see("answer: ")
    terminal.process.send_signal(signal.SIGTERM)

    assert terminal.end() == (-signal.SIGTERM, "")
    assert flujo("resume", "r1").code == 6


@pytest.mark.parametrize("words", [["run", "--run-id", "r2"], ["resume", "r2"]])
def test_nothing_is_asked_where_that_is_forbidden(flujo, asking, words):
    asking(PLAIN)
    flujo("run", "--run-id", "r2")
    screen = Terminal(*words, "--no-input")

    screen.see("next: flujo resume r2 --answer TEXT")
    assert screen.end() == (6, "")
    screen.close()
