"""`flujo runs replay`, `flujo runs diff` and `flujo why`."""

import asyncio
import json
import re

import pytest

from flujo import Flujo, Step
from flujo.domain.interfaces import JournalRecord, RecordKind, RunRow
from flujo.domain.outcomes import RunStatus
from flujo_cli.differences import pairs_of
from flujo_cli.reasons import reasons_of, unrecorded

SKILLS = """\
import pathlib


def shout(text):
    with pathlib.Path("calls.txt").open("a") as calls:
        calls.write(f"{text}\\n")
    return text.upper()


def split(text):
    return list(text.split())


def broken(text):
    raise ValueError("no")


def until(text):
    if not pathlib.Path("ready").exists():
        raise OSError("not ready")
    return text
"""

POST = """\
name: post
steps:
  - {name: clean, uses: "skills.s:shout"}
  - name: kept
    kind: cache
    cache: {body: [{name: whisper, uses: "flujo.builtins.stringify"}], ttl: 1h}
  - name: risky
    uses: "skills.s:broken"
    fallback: {name: safe, uses: "flujo.builtins.stringify"}
    config: {max_retries: 0}
  - name: sized
    kind: conditional
    condition_expression: "previous_step | length > 3"
    branches:
      true: [{name: long, uses: "flujo.builtins.stringify", sink_to: "seen"}]
      false: [{name: short, uses: "flujo.builtins.stringify"}]
"""


COMPOSED = """\
name: composed
steps:
  - {name: many, uses: "skills.s:split"}
  - name: tickets
    kind: map
    map:
      body:
        - name: gate
          kind: conditional
          condition_expression: "previous_step | length > 1"
          branches:
            true: [{name: long}]
            false: [{name: short}]
  - name: shorten
    kind: loop
    loop: {max_loops: 2, exit_expression: "loop.index >= 2", body: [{name: cut}]}
  - name: none
    kind: map
    map: {iterable_input: "{{ nothing }}", body: [{name: never}]}
"""


def codes_of(flujo, *words):
    return [reason["code"] for reason in flujo("why", *words, "--json").json["steps"][0]["reasons"]]


@pytest.fixture
def post(project):
    (project / "skills" / "s.py").write_text(SKILLS)
    (project / "post.yaml").write_text(POST)
    return project


@pytest.fixture
def runs(flujo, post):
    """Three runs: the second one as the first, the third on something short."""
    for run_id, data in (("one", "hello"), ("two", "hello"), ("three", "hi")):
        assert flujo("run", "post.yaml", "--input", data, "--run-id", run_id, "-q").code == 0
    return post


def test_a_replay_writes_the_output_and_calls_nothing(flujo, runs):
    calls = (runs / "calls.txt").read_text()

    ran = flujo("runs", "replay", "one")

    assert (ran.code, ran.out) == (0, "HELLO\n")
    assert ran.err == "the same: run one completed, 6 steps taken from its record, none executed\n"
    assert (runs / "calls.txt").read_text() == calls


def test_a_replay_as_json_is_the_runs_result(flujo, runs):
    told = flujo("runs", "replay", "@last", "--json").json

    assert (told["schema"], told["run_id"], told["same"], told["difference"]) == ("flujo.replay/1", "three", True, None)
    assert (told["output"], told["steps"][0]["recalled"]) == ("HI", True)


def test_a_replay_reads_the_files_that_the_run_has_kept_or_another_one(flujo, runs):
    (runs / "post.yaml").write_text(POST.replace("name: long", "name: longer"))
    assert flujo("runs", "replay", "one").code == 0

    ran = flujo("runs", "replay", "one", "post.yaml")

    assert (ran.code, ran.out) == (1, "")
    assert "'conditional:sized/true/long' is no step any more" in ran.err
    told = flujo("runs", "replay", "one", "post.yaml", "--json").json
    assert (told["same"], told["difference"]["path"]) == (False, "conditional:sized/true/long")
    assert told["difference"]["code"] == "FLUJO-205"


def test_a_replay_of_a_run_that_waits_says_so(flujo, project):
    (project / "ask.yaml").write_text("name: ask\nsteps:\n  - {name: a}\n  - {name: ok, kind: hitl, message: Well?}\n")
    flujo("run", "ask.yaml", "--input", "x", "--run-id", "w", "--no-input", "-q")
    ran = flujo("runs", "replay", "w")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "the same: run w paused, 1 step taken from its record, none executed\n"


def test_two_runs_are_set_beside_each_other(flujo, runs):
    ran = flujo("runs", "diff", "two", "three")

    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert ran.code == 1
    assert lines[:5] == [
        "a two completed post",
        "b three completed post",
        "differs input",
        "differs output",
        "decision conditional:sized: true | false",
    ]
    assert lines[5] == "STEP A B TIME DIFFERS"
    rows = {line.split()[0]: line for line in lines[6:]}
    assert rows["clean"].startswith("clean HELLO HI ")
    assert rows["clean"].endswith(" output")
    assert rows["cache:kept"].startswith("cache:kept HELLO (cached) HI ")
    assert rows["conditional:sized/true/long"].endswith("only in a")
    assert rows["conditional:sized/false/short"].endswith("only in b")
    assert ran.err == "7 of 7 steps differ\n"


def test_the_columns_of_two_runs_stand_under_each_other(flujo, runs):
    a, b = flujo("runs", "diff", "one", "three").out.splitlines()[:2]
    assert a.startswith("a         one    completed  post")
    assert b.startswith("b         three  completed  post")


def test_what_is_the_same_is_shown_when_asked_for(flujo, runs):
    ran = flujo("runs", "diff", "one", "one")
    assert (ran.code, len(ran.out.splitlines()), ran.err) == (0, 2, "nothing differs but times\n")
    assert len(flujo("runs", "diff", "one", "one", "--all").out.splitlines()) == 9


def test_a_cached_result_differs_by_its_status(flujo, runs):
    (runs / "post.yaml").write_text(POST.replace("clean", "clear"))
    flujo("run", "post.yaml", "--input", "hello", "--run-id", "four", "-q")
    steps = {each["path"]: each for each in flujo("runs", "diff", "one", "four", "--json").json["steps"]}
    assert steps["cache:kept"]["differs"] == ["status"]
    assert steps["cache:kept"]["b"]["status"] == "cached"
    assert steps["clear"]["a"] is None


def test_one_value_is_compared_line_by_line(flujo, runs):
    ran = flujo("runs", "diff", "one", "three", "--path", "output")
    assert (ran.code, ran.err) == (1, "they differ\n")
    assert ran.out == "--- one output\n+++ three output\n@@ -1 +1 @@\n-HELLO\n+HI\n"

    gone = flujo("runs", "diff", "one", "three", "--path", "conditional:sized/true/long").out
    assert '-    "changes": [' not in gone
    assert '-  "output": "HELLO"' in gone
    same = flujo("runs", "diff", "one", "two", "--path", "clean")
    assert (same.code, same.out) == (0, "")
    assert same.err == "they are the same\n"
    unknown = flujo("runs", "diff", "one", "two", "--path", "claen")
    assert (unknown.code, "did you mean 'clean'?" in unknown.err) == (2, True)


def test_one_value_as_json_is_one_object(flujo, runs):
    ran = flujo("runs", "diff", "one", "three", "--path", "clean", "--json")
    told = {"schema": "flujo.diff-value/1", "path": "clean", "same": False, "a": "HELLO", "b": "HI"}
    told["inputs"] = {"a": "hello", "b": "hi"}
    assert (ran.code, ran.json, ran.err) == (1, told, "")
    assert flujo("runs", "diff", "one", "two", "--path", "input", "--json").json["same"]


@pytest.fixture
def sent(flujo, project):
    """Two runs whose step `send` is given another text in each, and gives the same; its code says when it is loaded."""
    (project / "skills" / "s.py").write_text("print('loaded')\n\n\ndef send(text):\n    return 'sent'\n")
    step = '{name: send, uses: "skills.s:send", input: "to {{ context.who }}"}'
    (project / "p.yaml").write_text(f"name: p\nsteps:\n  - {step}\n  - {{name: end}}\n")
    for run_id, who in (("one", "a"), ("two", "b")):
        assert flujo("run", "p.yaml", "--input", "x", "--context", f"who={who}", "--run-id", run_id, "-q").code == 0
    return project


def test_what_a_step_was_given_is_compared(flujo, sent):
    ran = flujo("runs", "diff", "one", "two")
    row = next(line for line in ran.out.splitlines() if line.startswith("send"))
    assert (ran.code, row.split()[-1], ran.err.splitlines()[-1]) == (1, "input", "1 of 2 steps differ")

    shown = flujo("runs", "diff", "one", "two", "--path", "send")
    assert shown.out == "--- one send input\n+++ two send input\n@@ -1 +1 @@\n-to a\n+to b\n"
    assert (shown.code, shown.err.splitlines()[-1]) == (1, "they differ")

    told = flujo("runs", "diff", "one", "two", "--json").json
    assert [(step["differs"], step["a"]["input"], step["b"]["input"]) for step in told["steps"]] == [
        (["input"], "to a", "to b"),
        ([], "sent", "sent"),
    ]
    assert (told["same"], told["inputs_unknown"]) == (False, {})


def test_inputs_are_not_known_where_the_pipeline_can_not_be_replayed(flujo, sent):
    (sent / "skills" / "s.py").unlink()

    ran = flujo("runs", "diff", "one", "two", "--all")

    assert next(line for line in ran.out.splitlines() if line.startswith("send")).split()[-1] == "-"
    lines = [line for line in ran.err.splitlines() if line.startswith("what steps of run ")]
    assert [line.partition(":")[0] for line in lines] == [
        f"what steps of run {run_id} were given is not known, and not compared" for run_id in ("one", "two")
    ]
    told = flujo("runs", "diff", "one", "two", "--json").json
    assert (list(told["inputs_unknown"]), "input" in told["steps"][0]["a"]) == (["one", "two"], False)
    assert "inputs" not in flujo("runs", "diff", "one", "two", "--path", "send", "--json").json


def test_inputs_of_a_run_without_a_pipeline_are_not_known(flujo, project):
    async def begin():
        async with Flujo(Step("a", str.upper), state_uri="sqlite:///runs.db") as runner:
            await runner.run("x", run_id="r")

    asyncio.run(begin())

    ran = flujo("runs", "diff", "r", "r", "--state", "sqlite:///runs.db")

    note = "what steps of run r were given is not known, and not compared: it has kept no pipeline: a program began it"
    assert (ran.code, ran.err) == (0, f"nothing differs but times\n{note}; name it by --pipeline MODULE:NAME\n")


def test_what_a_copied_result_was_made_of_is_not_known(flujo, sent):
    assert flujo("runs", "rerun", "one", "--from", "end", "--set", "context.who=c", "-q").code == 0
    steps = flujo("runs", "diff", "one", "@last", "--json").json["steps"]
    assert [(step["differs"], "input" in step["b"]) for step in steps] == [([], False), ([], True)]


def test_no_items_at_all_are_a_decision(flujo, project):
    body = 'map: {iterable_input: "{{ context.names or [] }}", body: [{name: q}]}'
    (project / "m.yaml").write_text(f"name: m\nsteps:\n  - name: each\n    kind: map\n    {body}\n")
    flujo("run", "m.yaml", "--input", "x", "--run-id", "none", "-q")
    flujo("run", "m.yaml", "--input", "x", "--run-id", "two", "--context", 'names=["a", "b"]', "-q")

    assert "decision  map:each: nothing | 2 times\n" in flujo("runs", "diff", "none", "two").out
    assert "decision  map:each: 2 times | nothing\n" in flujo("runs", "diff", "two", "none").out


def test_failures_usage_and_iterations_are_compared(flujo, project):
    (project / "skills" / "s.py").write_text(SKILLS)
    (project / "answers.json").write_text(json.dumps({"x": "one two", "y": "one"}))
    (project / "loop.yaml").write_text(
        'name: loops\nagents:\n  a: {model: "scripted:answers.json"}\nsteps:\n'
        "  - {name: ask, uses: agents.a}\n"
        "  - name: l\n    kind: loop\n    loop:\n      max_loops: 3\n"
        '      exit_expression: "loop.index >= (previous_step | length) / 3"\n      body: [{name: b}]\n'
        '  - {name: last, uses: "skills.s:until", config: {max_retries: 0}}\n'
    )
    flujo("run", "loop.yaml", "--input", "x", "--run-id", "a", "-q")
    (project / "ready").touch()
    ran = flujo("run", "loop.yaml", "--input", "y", "--run-id", "b", "-q")
    assert ran.code == 0, ran.err

    ran = flujo("runs", "diff", "a", "b")

    assert "decision  loop:l: 3 times | 1 time" in ran.out
    assert "failed: not ready" in ran.out
    assert "usage: 1 call" in ran.out


def test_why_a_step_ran(flujo, runs):
    assert flujo("why", "clean", "--run", "one").out.splitlines()[:2] == ["run one, completed", "clean"]
    risky = flujo("why", "risky").out
    assert "  attempt 1 failed, and its fallback safe took over: ValueError: no\n" in risky
    assert "  its fallback safe ran, and the result was recorded at " in risky


def test_why_a_cache_ran_or_served(flujo, runs):
    def codes(*words):
        return [reason["code"] for reason in flujo("why", *words, "--json").json["steps"][0]["reasons"]]

    assert "no kept result served: there was none of this step" in flujo("why", "kept", "--run", "one").out
    assert "a kept result served" in flujo("why", "cache:kept", "--run", "two").out
    assert "no kept result served: its input is not what the newest one was kept for" in flujo("why", "kept").out
    assert codes("kept", "--run", "one") == ["miss", "ran"]
    assert codes("kept", "--run", "two") == ["hit"]
    assert codes("cache:kept/body/whisper", "--run", "two") == ["hit-around"]
    assert codes("whisper", "--run", "two") == ["never"]
    assert codes("long") == ["never"]


def test_the_record_of_a_cache_that_missed_shows_no_error(flujo, runs):
    records = {each["path"]: each for each in flujo("runs", "show", "one", "--json").json["records"]}
    assert (records["cache:kept"]["error"], records["cache:kept"]["missed"]) == (None, True)
    assert (records["risky"]["error"]["type"], records["clean"]["missed"]) == ("ValueError", False)


def test_why_of_a_step_that_nobody_knows(flujo, runs):
    ran = flujo("why", "lonh")
    assert (ran.code, "run 'three' has no step 'lonh'" in ran.err, "did you mean 'long'?" in ran.err) == (2, True, True)


def test_a_name_in_the_data_of_a_step_is_no_steps(flujo, project):
    data = "input: {kind: step, name: Ann}, params: {greet: {kind: step, name: Bob}}"
    step = "{name: say, uses: skills.s:hello, " + data + "}"
    (project / "skills" / "s.py").write_text("def hello(data, greet):\n    return data\n")
    (project / "n.yaml").write_text(f"name: n\nsteps:\n  - {step}\n")
    assert flujo("run", "n.yaml", "--input", "x", "--run-id", "n", "-q").code == 0

    for name in ("Ann", "Bob"):
        ran = flujo("why", name, "--run", "n")
        assert (ran.code, f"run 'n' has no step {name!r}" in ran.err) == (2, True)


def test_why_does_not_say_of_a_completed_run_that_it_is_gone_on_with(flujo, project):
    (project / "n.yaml").write_text(f"name: n\nsteps: [{{ {FROM_FILE} }}]\n")
    assert flujo("run", "n.yaml", "--input", "x", "--run-id", "n", "-q").code == 1
    (project / "items.jsonl").write_text("1\n")
    assert flujo("resume", "n", "-q").code == 0

    assert "  it gave up: the run has completed all the same\n" in flujo("why", "each", "--run", "n").out
    assert "map:each  completed" in flujo("runs", "trace", "n").out


FROM_FILE = "kind: map, name: each, map: { iterable_input: { file: items.jsonl }, body: [{ name: s }] }"


def test_why_a_step_ran_again_was_used_again_and_was_copied(flujo, project):
    (project / "skills" / "s.py").write_text(SKILLS)
    steps = '  - {name: a}\n  - {name: b, uses: "skills.s:until", config: {max_retries: 0}}\n'
    (project / "p.yaml").write_text(f"name: p\nsteps:\n{steps}")
    flujo("run", "p.yaml", "--input", "x", "--run-id", "r", "-q")
    assert "  it gave up: when the run is gone on with, it is tried again\n" in flujo("why", "b").out
    (project / "ready").touch()
    flujo("resume", "r", "-q")

    assert "after that (once): the result was used, it did not run again" in flujo("why", "a").out
    again = flujo("why", "b").out
    assert "  attempt 1 was the last and failed: OSError: not ready\n" in again
    assert "the run was gone on with (once), and it was tried again\n" in again

    flujo("runs", "rerun", "r", "--from", "b", "-q")
    copied = "  it did not run here: its result was copied from run r, as this one began at b"
    assert flujo("why", "a").out.splitlines()[1:] == ["a", copied]
    begun = "  it ran again, as this run was begun at it: what came before is that of r"
    assert flujo("why", "b").out.splitlines()[1:3] == ["b", begun]


def test_why_show_and_trace_tell_of_every_attempt(flujo, project):
    flaky = "def flaky(text, *, run):\n    if run.attempt < 3:\n        raise OSError(run.attempt)\n    return text\n"
    (project / "skills" / "s.py").write_text(flaky)
    step = '{name: b, uses: "skills.s:flaky", config: {max_retries: 2}}'
    (project / "p.yaml").write_text(f"name: p\nsteps:\n  - {step}\n")
    assert flujo("run", "p.yaml", "--input", "x", "--run-id", "r", "-q").code == 0

    told = flujo("why", "b").out
    assert (
        "  attempt 1 failed, and it ran again: OSError: 1\n  attempt 2 failed, and it ran again: OSError: 2\n" in told
    )
    shown = flujo("runs", "show", "r").out
    assert ("OSError: 1" in shown, "OSError: 2" in shown) == (True, True)
    assert "3 attempts, OSError: 2" in flujo("runs", "trace", "r").out
    assert flujo("runs", "replay", "r").code == 0


def test_why_of_questions(flujo, project):
    (project / "ask.yaml").write_text("name: ask\nsteps:\n  - {name: ok, kind: hitl, message: Well?}\n  - {name: z}\n")
    flujo("run", "ask.yaml", "--input", "x", "--run-id", "w", "--no-input", "-q")
    assert "  it asked at " in flujo("why", "ok").out
    assert "  nobody has answered: the run waits here\n" in flujo("why", "ok").out
    assert flujo("why", "z").out.splitlines()[2:] == [
        "  the run has not come to it yet, or took another way: it is paused"
    ]
    flujo("runs", "approve", "w", "--no-resume", "--by", "ann")
    waiting = flujo("why", "ok").out
    assert "  ann answered at " in waiting
    assert "  it has its answer: the run is to be gone on with\n" in waiting
    flujo("resume", "w", "-q")
    assert codes_of(flujo, "ok") == ["asked", "answered", "ran"]


def test_many_steps_of_one_name_are_told_in_part(flujo, project):
    body = 'kind: map\n    map: {iterable_input: "{{ range_of }}", body: [{name: item}]}'
    (project / "m.yaml").write_text(f"name: m\nsteps:\n  - name: m\n    {body}\n")
    items = json.dumps(list(range(25)))
    ran = flujo("run", "m.yaml", "--input", "x", "--context", f"range_of={items}", "-q")
    assert ran.code == 0, ran.err
    ran = flujo("why", "item")
    assert (ran.out.count("map:m["), ran.err) == (
        20,
        "and 5 more of that name: give a path, or --json for all of them\n",
    )


def test_why_a_step_that_may_run_only_once_does_not_run_again(flujo, project):
    (project / "skills" / "s.py").write_text(SKILLS + "\n\ndef die(text):\n    raise KeyboardInterrupt\n")
    (project / "o.yaml").write_text('name: o\nsteps:\n  - {name: pay, uses: "skills.s:die", effects: at-most-once}\n')
    flujo("run", "o.yaml", "--input", "x", "--run-id", "o", "-q")
    assert "not called again until it is settled, with: flujo runs settle o pay\n" in flujo("why", "pay").out
    flujo("runs", "settle", "o", "pay", "--again")
    assert codes_of(flujo, "pay") == ["settled", "to-do"]
    assert "  it is settled: the run is to be gone on with\n" in flujo("why", "pay").out


@pytest.mark.parametrize(
    ("how", "word", "reasons"),
    [
        (["--again"], "to run again", ["not-called", "settled", "no-result", "ran"]),
        (["--output", '"p"'], "with its output", ["not-called", "settled", "taken"]),
    ],
)
def test_why_and_trace_of_a_step_that_somebody_has_settled(flujo, project, how, word, reasons):
    pay = "\n\ndef pay(text):\n    if not pathlib.Path('log').exists():\n"
    pay += "        pathlib.Path('log').touch()\n        raise KeyboardInterrupt\n    return text\n"
    (project / "skills" / "s.py").write_text(SKILLS + pay)
    steps = '[{name: a}, {name: pay, uses: "skills.s:pay", effects: at-most-once}]'
    (project / "o.yaml").write_text(f"name: o\nsteps: {steps}\n")
    flujo("run", "o.yaml", "--input", "x", "--run-id", "o", "-q")
    flujo("resume", "o", "-q")
    flujo("runs", "settle", "o", "pay", *how, "--by", "ann")
    flujo("resume", "o", "-q")

    told = flujo("why", "pay").out
    assert re.search(rf"\n  ann settled it at [-\d]+T[:\d]+\+00:00, {word}\n", told)
    assert ("attempt" in told, "it was in doubt when the run was gone on with, and not called: " in told) == (
        False,
        True,
    )
    assert codes_of(flujo, "pay") == reasons
    assert "after that (2 times): the result was used" in flujo("why", "a").out
    assert f"  ann settled it, {word}, EffectInDoubt: " in flujo("runs", "trace", "o").out
    (span,) = (each for each in flujo("runs", "trace", "o", "--json").json["root"]["children"] if each["settled"])
    ((by, at, again),) = (each.values() for each in span["settled"])
    assert (span["path"], by, at > 0, again) == ("pay", "ann", True, "again" in word)


def test_why_an_old_result_and_one_of_other_context_did_not_serve(flujo, project, monkeypatch):
    body = 'cache: {body: [{name: b, input: "{{ context.who }}"}], ttl: 0.001}'
    (project / "c.yaml").write_text(f"name: c\nsteps:\n  - name: k\n    kind: cache\n    {body}\n")
    for who in ("ann", "ann", "bob"):
        flujo("run", "c.yaml", "--input", "x", "--context", f"who={who}", "-q")
    assert "no kept result served: a kept result was too old\n" in flujo("why", "k", "--run", "@{2}").out
    told = "no kept result served: context.who, which its body reads is not what the newest one was kept for\n"
    assert told in flujo("why", "k").out


def test_why_of_steps_that_are_made_of_others_tells_what_of_them_ran(flujo, project):
    (project / "skills" / "s.py").write_text(SKILLS)
    (project / "composed.yaml").write_text(COMPOSED)
    ran = flujo("run", "composed.yaml", "--input", "a bb cc", "--context", "nothing=[]", "--run-id", "c", "-q")
    assert ran.code == 0, ran.err

    def told(step):
        return flujo("why", step).out.splitlines()[1:]

    assert told("tickets") == ["map:tickets", "  it ran: 3 items; it is completed"]
    assert told("loop:shorten") == told("shorten") == ["loop:shorten", "  it ran: 2 rounds; it is completed"]
    assert told("gate")[:3] == [
        "map:tickets[0]/conditional:gate",
        "  it ran: branch 'false'; it is completed",
        "map:tickets[1]/conditional:gate",
    ]
    assert told("conditional:gate") == told("gate")
    assert told("map:tickets[1]") == ["map:tickets[1]", "  it ran: step 'conditional:gate'; it is completed"]
    assert told("composed") == ["composed", "  it is the pipeline of the run: 6 steps recorded; it is completed"]
    assert told("none") == ["none", "  the run took another way, or found nothing to do in it: it is completed"]


def test_why_of_items_that_failed_and_of_what_comes_after_them(flujo, project):
    (project / "skills" / "s.py").write_text(SKILLS)
    last = '  - {name: last, uses: "skills.s:broken", config: {max_retries: 0}}\n  - {name: after}\n'
    many = '  - {name: many, uses: "skills.s:split"}\n  - name: m\n    kind: map\n    map:\n      on_error: collect\n'
    steps = many + '      body: [{name: b, uses: "skills.s:broken", config: {max_retries: 0}}]\n'
    (project / "f.yaml").write_text(f"name: f\nsteps:\n{steps}{last}")
    flujo("run", "f.yaml", "--input", "x y", "-q")

    assert "  it ran: 2 items, 0 of them to the end; it is completed\n" in flujo("why", "m").out
    assert "  the run ended before it, or took another way: it is failed at 'last'\n" in flujo("why", "after").out


def test_why_of_a_step_that_gave_up_and_may_run_only_once(flujo, project):
    (project / "skills" / "s.py").write_text(SKILLS)
    step = '{name: pay, uses: "skills.s:broken", effects: at-most-once, config: {max_retries: 0}}'
    (project / "o.yaml").write_text(f"name: o\nsteps:\n  - {step}\n")
    flujo("run", "o.yaml", "--input", "x", "--run-id", "o", "-q")
    told = flujo("why", "pay").out
    assert "attempt 1 was the last and failed: ValueError: no\n" in told
    assert "not called again until it is settled, with: flujo runs settle o pay\n" in told
    assert "tried again" not in told


def row_of(status, epoch=1):
    definition = '{"name":"p"}'
    times = (0.0, 0.0, None)
    return RunRow("r", status, "p", "", definition, b"", "", b"", b"", None, None, *times, epoch=epoch)


def test_why_a_step_at_work_and_one_that_another_process_had_begun():
    begun = JournalRecord("a^1", RecordKind.INTENT)
    assert [each.code for each in reasons_of(row_of(RunStatus.RUNNING), [begun], {}, in_doubt=False)] == ["at-work"]

    called = JournalRecord("a^c1", RecordKind.CALL)
    for status, code in [(RunStatus.RUNNING, "at-work"), (RunStatus.INTERRUPTED, "lost")]:
        assert [each.code for each in reasons_of(row_of(status), [called], {}, in_doubt=False)] == [code]

    done, other = JournalRecord("a", out=b"1", attempt=1), {"z": 1, "y": 2, "a": 2}
    first = reasons_of(row_of(RunStatus.COMPLETED, 2), [done], {"z": 1, "a": 2}, in_doubt=False)
    assert [each.code for each in first] == ["no-result", "ran"]
    assert first[0].words.endswith("(once), and it had no result: it was at work then, or about to begin")
    later = reasons_of(row_of(RunStatus.COMPLETED, 2), [done], other, in_doubt=False)
    assert later[0].words.endswith("(once), and it had no result")


def test_why_of_a_step_that_may_be_at_work_without_a_record():
    told = unrecorded(row_of(RunStatus.RUNNING), [], "p")
    assert told == ("not-yet", "it has not ended yet, or not begun, or took another way: it is running")


@pytest.mark.parametrize("status", [RunStatus.INTERRUPTED, RunStatus.CANCELLED])
def test_why_of_a_step_that_may_have_been_at_work_when_the_run_was_stopped(status):
    stopped = "it was at work when the run was stopped, or the run had not come to it, or took another way"
    assert unrecorded(row_of(status), [], "p") == ("not-yet", f"{stopped}: it is {status}")


def test_what_only_the_second_run_has_stands_where_it_has_it():
    a, b = ([JournalRecord(path) for path in paths] for paths in ("acd", "xabcyd"))
    assert "".join(pair.path for pair in pairs_of(a, b)) == "xabcyd"
    c = [JournalRecord(path) for path in "dca"]
    assert "".join(pair.path for pair in pairs_of(c, b)) == "xdcyab"


def test_why_show_trace_and_diff_tell_of_a_step_that_ended_the_run(flujo, project):
    (project / "skills" / "s.py").write_text(
        "from flujo.exceptions import PipelineAbortSignal\n\n\n"
        "def stop(text):\n    if text == 'x':\n        raise PipelineAbortSignal('enough')\n    return text\n"
    )
    (project / "p.yaml").write_text('name: p\nsteps:\n  - {name: b, uses: "skills.s:stop"}\n')
    assert flujo("run", "p.yaml", "--input", "x", "--run-id", "a", "-q").code != 0
    assert flujo("run", "p.yaml", "--input", "y", "--run-id", "b", "-q").code == 0

    ends = "it asked for the run's end: enough; when the run is gone on with, it runs again"
    assert f"\nb\n  {ends}\n" in flujo("why", "b", "--run", "a").out
    assert "  asks for the run's end: enough\n" in flujo("runs", "show", "a").out
    assert re.search(r"b +cancelled.*enough", flujo("runs", "trace", "a").out)
    assert re.search(r"\nb +aborted: enough +y ", flujo("runs", "diff", "a", "b").out)
    assert flujo("runs", "replay", "a").code == 0
