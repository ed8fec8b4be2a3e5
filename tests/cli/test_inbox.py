"""The inbox, and answering from it: one question or many, by token, field or file."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HEAD = 'version: "0.1"\nsteps:\n'
PLAIN = "  - { kind: hitl, name: ask, message: 'ok {{ previous_step }}?' }\n"
DECISION = """\
  - kind: hitl
    name: ask
    message: "pay?"
    input_schema:
      type: object
      properties: { decision: { enum: [approve, edit, reject] }, refund: { type: number }, note: { type: string } }
      required: [decision]
"""
TWO = """\
  - kind: parallel
    name: both
    branches:
      a: [{ kind: hitl, name: ask, message: "a?" }]
      b: [{ kind: hitl, name: ask, message: "b?\\nand more", deadline: 7d }]
"""
TICKETS = """\
  - kind: map
    name: tickets
    map:
      iterable_input: "{{ ['T-1', 'T-12', 'T-3'] }}"
      body: [{ kind: hitl, name: ask, message: "pay for {{ item }}?", input_schema: { type: string } }]
"""


@pytest.fixture
def waiting(flujo, project):
    """Run a pipeline until it asks; its questions."""

    def wait(steps: str, run_id: str = "r1") -> list[dict]:
        (project / "pipeline.yaml").write_text(HEAD + steps)
        ran = flujo("run", "--input", "poem", "--run-id", run_id, "--json")
        assert ran.code == 6, ran.err
        return ran.json["pending"]

    return wait


def test_the_inbox_lists_what_all_runs_wait_for(flujo, waiting):
    first, second = waiting(TWO), waiting(PLAIN, "r2")

    ran = flujo("inbox")
    lines = [re.split(r"  +", line) for line in ran.out.splitlines()]
    assert lines[0] == ["RUN", "PATH", "TOKEN", "SINCE", "UNTIL", "MESSAGE"]
    assert [[line[n] for n in (0, 1, 2, 5)] for line in lines[1:]] == [
        ["r1", "parallel:both/a/ask", first[0]["token"], "a?"],
        ["r1", "parallel:both/b/ask", first[1]["token"], "b?..."],
        ["r2", "ask", second[0]["token"], "ok poem?"],
    ]
    assert [line[4][:1] for line in lines[1:]] == ["-", "2", "-"]
    assert ran.err == "answer: flujo runs approve RUN --token TOKEN\n"


def test_a_question_past_its_deadline_is_marked_and_takes_an_answer(flujo, project):
    (project / "pipeline.yaml").write_text(HEAD + TWO.replace("7d", "0.001"))
    flujo("run", "--run-id", "r1")
    lines = [re.split(r"  +", line)[4] for line in flujo("inbox").out.splitlines()[1:]]
    assert [line.endswith(" (past its deadline)") for line in lines] == [False, True]
    asked = flujo("inbox", "--json").json["questions"]
    assert [each["past_deadline"] for each in asked] == [False, True]
    assert flujo("runs", "approve", "r1", "--no-resume", "--token", asked[1]["token"]).code == 0


def test_the_inbox_as_json_has_the_command_that_answers(flujo, waiting):
    pending = waiting(TWO)
    waiting(PLAIN, "r2")

    told = flujo("inbox", "--json", "--run", "r1").json

    assert told["schema"] == "flujo.inbox/1"
    assert [{key: each[key] for key in pending[0]} for each in told["questions"]] == pending
    first = told["questions"][0]
    assert (first["run_id"], first["pipeline"], first["status"]) == ("r1", "pipeline", "paused")
    assert flujo(*first["command"].split()[1:], "--no-resume").code == 0
    assert len(flujo("inbox", "--json").json["questions"]) == 2


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{ type: boolean }", "runs approve {} --token {}"),
        ("{ enum: [approved, rejected] }", "runs approve {} --token {}"),
        ("{ properties: { approved: { type: boolean } } }", "runs approve {} --token {}"),
        ("{ type: integer }", "resume {} --token {} --answer-json JSON"),
        ("{ type: object, required: [usd] }", "resume {} --token {} --answer-json JSON"),
        ("{ properties: { decision: {} }, required: [usd] }", "resume {} --token {} --answer-json JSON"),
        ("{ type: string }", "resume {} --token {} --answer TEXT"),
        ("{ enum: [left, right] }", "resume {} --token {} --answer TEXT"),
    ],
)
def test_the_inbox_tells_to_approve_only_where_that_answers(flujo, waiting, schema, words):
    (asked,) = waiting(f"  - {{ kind: hitl, name: ask, message: '?', input_schema: {schema} }}\n")
    (told,) = flujo("inbox", "--json").json["questions"]
    assert told["command"] == "flujo " + words.format("r1", asked["token"])
    assert flujo("inbox").err == f"answer: flujo {words.format('RUN', 'TOKEN')}\n"


def test_the_inbox_tells_of_each_question_how_it_is_answered_where_they_differ(flujo, waiting):
    (decision,) = waiting(DECISION)
    (number,) = waiting("  - { kind: hitl, name: n, message: '?', input_schema: { type: number } }\n", "r2")
    assert flujo("inbox").err.splitlines() == [
        f"answer: flujo runs approve r1 --token {decision['token']}",
        f"answer: flujo resume r2 --token {number['token']} --answer-json JSON",
    ]


def test_an_approval_that_is_no_answer_says_so_in_the_words_of_json_and_names_the_options(flujo, waiting):
    waiting("  - { kind: hitl, name: q, message: '?', input_schema: { type: integer } }\n")
    for word, value in (("approve", "true"), ("reject", "false")):
        message, advice = flujo("runs", word, "r1").err.splitlines()
        assert message.endswith(f"the answer to 'q' does not fit its schema: $: {value} is not of type 'integer'")
        assert advice.endswith("answer again as the schema says, by --answer TEXT or --answer-json JSON")
    assert "--answer" not in flujo("runs", "approve", "r1", "--answer", "x").err


def test_an_empty_inbox_says_so(flujo):
    assert (flujo("inbox").out, flujo("inbox").err) == ("", "no run waits for an answer here\n")
    assert flujo("inbox", "--json").json["questions"] == []


@pytest.mark.parametrize(
    ("steps", "words", "output"),
    [
        (PLAIN, ["approve"], True),
        (PLAIN, ["reject"], False),
        (PLAIN, ["approve", "--answer", "fine"], "fine"),
        (PLAIN, ["approve", "--answer-json", "[1]"], [1]),
        (
            PLAIN,
            ["approve", "--set", "usd=5", "--set", "why=so be it"],
            {"approved": True, "usd": 5, "why": "so be it"},
        ),
        (DECISION, ["approve"], {"decision": "approve"}),
        (DECISION, ["approve", "--set", "refund=5"], {"decision": "approve", "refund": 5}),
        (DECISION, ["approve", "--set", "decision=edit"], {"decision": "edit"}),
        (DECISION, ["reject", "--set", "note=no"], {"decision": "reject", "note": "no"}),
        (DECISION, ["reject", "--set", "note=1.50"], {"decision": "reject", "note": "1.50"}),
    ],
)
def test_approving_and_rejecting_answer_and_go_on(flujo, waiting, steps, words, output):
    waiting(steps)

    ran = flujo("runs", words[0], "@last", *words[1:], "--json")

    assert (ran.code, ran.json["status"], ran.json["output"]) == (0, "completed", output)
    assert "recorded the answer to ask\n" in ran.err


def test_who_answers_is_recorded(flujo, waiting, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    waiting(PLAIN)
    waiting(PLAIN, "r2")
    flujo("runs", "approve", "r1", "-q")
    flujo("runs", "reject", "r2", "-q", "--by", "bob")

    assert "ask  ann answers: true" in flujo("runs", "show", "r1").out
    assert "ask  bob answers: false" in flujo("runs", "show", "r2").out
    late = flujo("runs", "approve", "r2")
    assert late.code == 2
    assert "run 'r2' is completed and waits for no answer; 'ask' was answered by bob at 2" in late.err


def test_after_the_last_answer_that_is_only_recorded_the_next_command_is_told(flujo, waiting):
    waiting(PLAIN)
    assert flujo("runs", "reject", "r1", "--no-resume").err == "recorded the answer to ask\nnext: flujo resume r1\n"


def test_an_answer_can_be_recorded_without_going_on(flujo, waiting):
    pending = waiting(TWO)

    ran = flujo("runs", "approve", "r1", "--token", pending[0]["token"], "--no-resume", "--json")

    assert ran.code == 0
    assert ran.json == {
        "schema": "flujo.answers/1",
        "run_id": "r1",
        "answered": [{"path": "parallel:both/a/ask", "token": pending[0]["token"]}],
        "pending": [pending[1]],
    }
    assert flujo("runs", "list", "--status", "paused", "--json").json["runs"][0]["run_id"] == "r1"
    assert ran.err == "recorded the answer to parallel:both/a/ask\nnext: flujo inbox --run r1\n"
    assert flujo("resume", "r1").code == 6
    assert flujo("runs", "approve", "r1", "--json").json["output"] == {"a": True, "b": True}


def test_without_a_token_several_questions_are_not_answered(flujo, waiting):
    pending = waiting(TWO)

    ran = flujo("runs", "approve", "r1")

    assert ran.code == 2
    assert "run 'r1' waits for 2 answers, and no token says which this is" in ran.err
    assert all(asked["token"] in ran.err for asked in pending)
    assert len(flujo("inbox", "--json").json["questions"]) == 2


def test_the_path_or_the_beginning_of_its_token_names_a_question_and_its_schema(flujo, waiting):
    schema = "input_schema: { properties: { decision: { type: string } } }"
    b = f'b: [{{ kind: hitl, name: ask, message: "b?", {schema} }}]'
    waiting(TWO.replace(TWO[TWO.index("b: [") :], f"{b}\n"))

    first = flujo("runs", "approve", "r1", "--token", "parallel:both/b/ask", "--json")
    assert first.code == 6
    beginning = first.json["pending"][0]["token"][:6]
    done = flujo("runs", "reject", "r1", "--token", beginning, "--json")
    assert done.json["output"] == {"a": False, "b": {"decision": "approve"}}


def test_many_answers_come_from_a_file_and_again_from_the_same(flujo, waiting, project):
    waiting(TICKETS)
    (project / "some.json").write_text(json.dumps({"T-1": "a", "T-12": "b"}))
    (project / "all.json").write_text(json.dumps({"T-1": "a", "T-12": "b", "2": "c"}))

    some = flujo("runs", "approve", "@last", "--from", "some.json")
    assert some.code == 6
    assert "recorded 2 answers to map:tickets[0]/ask, map:tickets[1]/ask\n" in some.err
    done = flujo("runs", "approve", "@last", "--from", "all.json", "--json")
    assert (done.code, done.json["output"]) == (0, ["a", "b", "c"])
    again = flujo("runs", "reject", "r1", "--from", "all.json")
    assert again.code == 0
    assert "run r1 has these answers already\n" in again.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "none.json"], "error[FLUJO-701] --from 'none.json' can't be read: No such file or directory"),
        (["--from", "list.json"], "--from 'list.json' is a JSON list, expected an object"),
        (["--from", "unknown.json"], "'T-9' names no question of run 'r1'"),
        (["--from", "bad.json"], "the answer to 'map:tickets[2]/ask' does not fit its schema: $: 3 is not of type"),
        (["--from", "bad.json", "--token", "x"], "--from names its questions itself, and takes no --token"),
        (["--set", "a=1", "--answer", "x"], "give one answer: --set, --answer, --answer-json or --from"),
        (["--set", "a"], "--set 'a' is no key=value pair"),
        (["--set", "decision=Rejected"], "--set decision=Rejected is not to approve: use `flujo runs reject`"),
        (["--set", "approved=false"], "--set approved=false is not to approve: use `flujo runs reject`"),
        (["--by", " "], "--by is empty: say who answers, or leave it out"),
        (["--token", "nope"], "run 'r1' has no question 'nope'"),
    ],
)
def test_wrong_answers_end_with_2_and_nothing_is_recorded(flujo, waiting, project, words, message):
    waiting(TICKETS)
    (project / "list.json").write_text("[1]")
    (project / "unknown.json").write_text('{"T-1": "a", "T-9": "b"}')
    (project / "bad.json").write_text('{"T-1": "a", "T-3": 3}')

    ran = flujo("runs", "approve", "r1", *words)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert len(flujo("inbox", "--json").json["questions"]) == 3


def test_an_answer_that_does_not_fit_says_what_is_wrong(flujo, waiting):
    waiting(DECISION)

    ran = flujo("runs", "approve", "r1", "--set", "refund=lots", "--json")

    assert ran.code == 2
    assert ran.json["error"]["message"] == (
        "the answer to 'ask' does not fit its schema: $.refund: 'lots' is not of type 'number'"
    )
    assert flujo("resume", "r1").code == 6


def test_a_question_that_takes_no_decision_can_not_be_rejected_by_fields(flujo, waiting):
    waiting("  - { kind: hitl, name: ask, message: '?', input_schema: { properties: { usd: {} } } }\n")

    ran = flujo("runs", "reject", "r1", "--set", "usd=5")

    assert ran.code == 2
    assert "the question has neither 'decision' nor 'approved': give the answer by --answer-json" in ran.err
    assert flujo("runs", "approve", "r1", "--set", "usd=5", "--json").json["output"] == {"usd": 5}


def test_a_waiting_run_is_cancelled_once_and_an_ended_one_says_so(flujo, waiting):
    waiting(PLAIN)

    ran = flujo("runs", "cancel", "@last")
    assert (ran.code, ran.out, ran.err) == (0, "", "run r1 is cancelled\n")
    again = flujo("runs", "cancel", "r1", "--json")
    assert again.json == {"schema": "flujo.cancel/1", "run_id": "r1", "status": "cancelled", "before": "cancelled"}
    assert again.err == "run r1 has ended before: cancelled\n"

    assert flujo("inbox", "--json").json["questions"] == []
    assert flujo("runs", "show", "r1", "--json").json["pending"] == []
    ran = flujo("runs", "approve", "r1")
    assert (ran.code, "run 'r1' is cancelled and waits for no answer" in ran.err) == (2, True)
    assert "help: to resume it without an answer takes the cancellation back" in ran.err


def test_a_key_has_one_run(flujo, project):
    first = flujo("run", "--input", "x", "--key", "invoice 7", "--json")
    second = flujo("run", "--input", "x", "--key", "invoice 7", "--json")
    assert (second.code, second.json["run_id"], second.json["output"]) == (0, first.json["run_id"], "x")

    other = flujo("run", "--input", "y", "--key", "invoice 7")
    assert other.code == 2
    assert f"run '{first.json['run_id']}' was started with another input" in other.err
    assert flujo("run", "--input", "x", "--key", " ").code == 2
    runs = flujo("runs", "list", "--json").json["runs"]
    assert [run["key"] for run in runs] == ["invoice 7"]


@pytest.mark.parametrize("name", ["--key", "--run-id"])
def test_a_cancelled_run_that_is_started_again_stays_so_until_it_is_resumed(flujo, waiting, name):
    waiting(PLAIN, "other")
    run = ("run", "--input", "x", "--no-input")
    assert flujo(*run, "--run-id", "c", "--key", "c").code == 6
    assert flujo("runs", "cancel", "c").code == 0

    ran = flujo(*run, name, "c")
    assert (ran.code, ran.out, ran.err.splitlines()[:2]) == (
        1,
        "",
        ["error the run was cancelled", "  help: only to resume it by its id takes that back: flujo resume c"],
    )
    assert flujo(*run, name, "c", "--json", "-q").json["status"] == "cancelled"
    assert flujo("resume", "c", "--no-input").code == 6


def test_a_key_that_another_run_has_is_refused_with_the_ways_on(flujo):
    assert flujo("run", "--input", "x", "--key", "work", "--run-id", "r1").code == 0
    ran = flujo("run", "--input", "x", "--key", "work", "--run-id", "r2")
    assert (ran.code, ran.err) == (
        2,
        "error[FLUJO-612] run 'r1' has the key 'work'\n"
        "  help: leave the id 'r2' out to go on with that run, or take another key\n",
    )


def test_runs_are_listed_by_their_status(flujo, waiting):
    waiting(PLAIN)
    waiting(PLAIN, "r2")
    flujo("runs", "approve", "r1")

    def listed(*words: str) -> list[str]:
        return [run["run_id"] for run in flujo("runs", "list", *words, "--json").json["runs"]]

    assert (listed(), listed("--status", "completed"), listed("--status", "failed")) == (["r2", "r1"], ["r1"], [])
    assert listed("--status", "paused", "--limit", "1") == ["r2"]
    assert flujo("runs", "list", "--status", "lost").code == 2


SLOW = """\
import asyncio


async def nap(data):
    open("begun", "w").close()
    await asyncio.sleep(60)
"""


LONG = "  - { name: first }\n  - { name: long, uses: 'skills:nap' }\n"
BESIDE = (
    "  - name: p\n    kind: parallel\n    branches:\n"
    "      asks: [{ name: q, kind: hitl, message: ok? }]\n      works: [{ name: long, uses: 'skills:nap' }]\n"
)


@pytest.fixture
def at_work(project, request) -> Iterator[subprocess.Popen]:
    """A process that is in a long step of run r1."""
    (project / "skills" / "__init__.py").write_text(SLOW)
    (project / "pipeline.yaml").write_text(HEAD + getattr(request, "param", LONG))
    command = [Path(sys.executable).with_name("flujo"), "run", "--input", "x", "--run-id", "r1", "--key", "k", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    while not (project / "begun").exists():
        assert process.poll() is None
        time.sleep(0.01)
    yield process
    process.kill()
    process.communicate()


def test_a_run_at_work_is_cancelled_from_another_process(flujo, at_work):
    told = flujo("runs", "approve", "r1").err
    assert "run 'r1' is running and waits for no answer\n  help: wait: it is at work, and may ask later" in told
    ran = flujo("runs", "cancel", "r1", "--json")
    assert (ran.code, ran.json["status"]) == (0, "running")
    assert ran.err == "run r1 is at work: its process has been asked to stop\n"

    out, err = at_work.communicate(timeout=60)

    assert (at_work.returncode, json.loads(out)["status"]) == (1, "cancelled")
    assert "\nerror the run was cancelled\ncancelled in " in err.decode()
    assert "\nerror     the run was cancelled\n" in flujo("runs", "show", "r1").out
    shown = flujo("runs", "show", "r1", "--json").json
    assert (shown["status"], [record["path"] for record in shown["records"]]) == ("cancelled", ["first"])


def test_a_key_whose_run_is_at_work_tells_which_run_it_is(flujo, at_work):
    ran = flujo("run", "--input", "x", "--key", "k", "--json")

    assert (ran.code, ran.json["run_id"]) == (75, "r1")
    assert "run 'r1' is at work in '" in ran.err


@pytest.mark.parametrize("at_work", [BESIDE], indirect=True)
def test_an_answer_to_a_run_at_work_is_recorded_and_not_said_to_be_refused(flujo, at_work):
    while not flujo("inbox", "--json").json["questions"]:
        time.sleep(0.01)
    ran = flujo("runs", "approve", "r1", "--answer", "yes", "--quiet")
    assert (ran.code, "--force" in ran.err) == (75, False)
    assert "help: the answer is recorded, and that process goes on with it" in ran.err


def test_a_run_that_is_taken_over_stops_with_75_where_it_was(flujo, at_work, project):
    (project / "skills" / "__init__.py").write_text("def nap(data):\n    return data\n")
    ran = flujo("resume", "r1", "--force", "--json")
    assert (ran.code, ran.json["output"]) == (0, "x")

    _, err = at_work.communicate(timeout=60)

    assert at_work.returncode == 75
    assert "run 'r1' was taken over by a process that has let go of it since" in err.decode()
    assert flujo("runs", "show", "r1", "--json").json["status"] == "completed"
