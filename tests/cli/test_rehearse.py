"""`flujo rehearse`: pipelines of every kind survive a kill anywhere, and those that break the promise are found."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flujo.exceptions import ExecutionError
from flujo.infra.clock import SystemClock
from flujo_cli import rehearsal
from flujo_cli.rehearsal import Job, live
from flujo_cli.stage import Ending, Stage, differences

COMMAND = Path(sys.executable).with_name("flujo")

#: Every kind that holds steps, a background step, agents that answer in order, and a person.
EVERYTHING = """\
version: "0.1"
name: everything
agents:
  judge: { model: "scripted:answers.json" }
imports: { child: child.yaml }
steps:
  - { name: first, uses: "skills.work:note", input: "{{ input }}" }
  - { name: aside, uses: "skills.work:note", config: { execution_mode: background } }
  - kind: loop
    name: refine
    loop:
      max_loops: 2
      exit_expression: "loop.index == 2"
      state: { append: [{ target: context.scratchpad.drafts, value: "{{ output }}" }] }
      body:
        - kind: parallel
          name: fan
          branches:
            a: [{ name: one, uses: "skills.work:note" }]
            b: [{ name: two, uses: "skills.work:note" }]
        - { name: judge, uses: agents.judge, input: "{{ previous_step | tojson }}" }
  - kind: conditional
    name: choose
    condition_expression: "previous_step == 'good'"
    branches:
      true: [{ name: keep, uses: "skills.work:note" }]
      false: [{ name: drop }]
  - { name: child, uses: imports.child }
  - { kind: cache, name: kept, cache: { body: [{ name: dear, uses: "skills.work:note" }] } }
  - kind: map
    name: each
    map: { iterable_input: "{{ ['x', 'y'] }}", concurrency: 2, body: [{ name: item, uses: "skills.work:note" }] }
  - kind: state_machine
    name: door
    start_state: closed
    end_states: [open]
    states: { closed: [{ name: knock, uses: "skills.work:note" }], open: [{ name: enter }] }
    transitions: [{ from: closed, on: success, to: open }]
  - { kind: hitl, name: ask, message: "publish {{ steps.choose.output }}?", sink_to: scratchpad.said }
  - { name: last, uses: "skills.work:note" }
"""

CHILD = 'version: "0.1"\nname: child\nsteps: [{ name: inner, uses: "skills.work:note", sink_to: scratchpad.inner }]\n'

WORK = """\
import asyncio
import os
import signal
import time
from pathlib import Path


async def note(data, *, run):
    await asyncio.sleep(0)
    Path("out").mkdir(exist_ok=True)
    Path("out", run.idempotency_key).write_text(f"{run.path} {data}")
    return data


def clock(data):
    return time.time()


def counted(data):
    place = Path(os.environ["OUTSIDE"])
    number = int(place.read_text()) + 1
    place.write_text(str(number))
    return number


def logged(output, context):
    with open("log.txt", "a") as log:
        log.write("asked\\n")
    return False


def boom(data):
    raise ValueError("boom")


def die(data):
    os.kill(os.getpid(), signal.SIGTERM)
"""

TWO = 'version: "0.1"\nsteps:\n  - { name: a, uses: "skills.work:note" }\n  - { name: b, uses: "skills.work:note" }\n'
ASKING = 'version: "0.1"\nsteps: [{ kind: hitl, name: ask, message: "publish it now?" }]\n'


@pytest.fixture
def pipeline(project):
    """Write the project's pipeline; a text without a head is its only step."""
    (project / "skills" / "work.py").write_text(WORK)

    def write(text: str) -> Path:
        body = text if text.startswith("version") else f'version: "0.1"\nsteps:\n  - {text}\n'
        (project / "pipeline.yaml").write_text(body)
        return project / "pipeline.yaml"

    return write


@pytest.fixture
def everything(pipeline, project):
    pipeline(EVERYTHING)
    (project / "child.yaml").write_text(CHILD)
    (project / "answers.json").write_text(json.dumps(["bad", "good"]))
    (project / "said.json").write_text(json.dumps({"publish": "yes"}))


@pytest.mark.slow
def test_a_pipeline_of_every_kind_survives_a_kill_after_every_record(flujo, everything):
    ran = flujo("rehearse", "--input", "x", "--answers", "said.json", "--json")

    assert ran.code == 0, ran.out
    found = ran.json["boundaries"]
    assert len(found) == ran.json["records"] > 15
    assert {each["verdict"] for each in found} == {"ok"}
    assert {"refine[1]/fan/a/one", "ask?", "ask!1"} <= {
        each["path"].replace("loop:", "").replace("parallel:", "") for each in found
    }


def test_so_it_does_at_a_sample_that_is_always_the_same(flujo, everything):
    words = ("rehearse", "--input", "x", "--answers", "said.json", "--boundaries", "1", "--json")
    (first,), (second,) = (flujo(*words).json["boundaries"] for _ in range(2))

    assert (first["verdict"], first["number"]) == ("ok", second["number"])


def test_each_boundary_is_told_and_the_project_is_left_as_it_was(flujo, pipeline, project):
    pipeline(TWO)

    ran = flujo("rehearse", "--input", "x")

    assert (ran.code, ran.out) == (0, "ok        1/2  killed after a\nok        2/2  killed after b\n")
    assert ran.err == "undisturbed: completed, records: 2\nkills: 2, as undisturbed: 2, in doubt: 0, differing: 0\n"
    assert not (project / "out").exists()
    assert not (project / ".flujo").exists()


def test_a_question_without_an_answer_ends_the_rehearsal(flujo, pipeline):
    pipeline(ASKING)

    ran = flujo("rehearse")

    assert (ran.code, ran.out) == (0, "ok        1/1  killed after ask?\n")
    assert "undisturbed: paused, records: 1, and asks at ask: publish it now?\n" in ran.err


def test_an_answer_that_nothing_is_asked_for_is_told(flujo, pipeline, project):
    pipeline(ASKING)
    (project / "answers.json").write_text('{"publish": true, "nope": 1}')

    ran = flujo("rehearse", "--answers", "answers.json")

    assert ran.code == 0
    assert "warning: no question was asked for these answers: 'nope'\n" in ran.err


def test_a_step_that_may_run_only_once_ends_in_doubt_when_it_is_killed_in_the_middle(flujo, pipeline):
    pipeline('{ name: pay, uses: "skills.work:note", effects: at-most-once }')

    ran = flujo("rehearse", "--yes")

    assert ran.code == 0
    assert ran.out == (
        "in doubt  1/2  killed after pay^1\n"
        "    step 'pay' began and may run only once: it is not repeated\n"
        "ok        2/2  killed after pay\n"
    )
    assert ran.err.startswith("these steps really run, again and again: pay (at-most-once)\n")
    assert ran.err.endswith("kills: 2, as undisturbed: 1, in doubt: 1, differing: 0\n")


def test_a_step_that_reads_the_clock_is_found(flujo, pipeline):
    pipeline('{ name: now, uses: "skills.work:clock" }')

    ran = flujo("rehearse")

    assert ran.code == 1
    assert re.search(
        r"^differs   1/1  killed after now\n    output: [\d.]+, undisturbed [\d.]+$", ran.out, re.MULTILINE
    )
    assert ran.err.endswith("in doubt: 0, differing: 1\n")


def test_a_counter_outside_the_project_is_found(flujo, pipeline, tmp_path, monkeypatch):
    (tmp_path / "counter").write_text("0")
    monkeypatch.setenv("OUTSIDE", str(tmp_path / "counter"))
    pipeline('{ name: count, uses: "skills.work:counted" }')

    assert "    output: 2, undisturbed 1\n" in flujo("rehearse").out


def test_a_decision_that_counts_in_a_file_is_found_with_a_diff_of_the_file(flujo, pipeline):
    body = '[{ name: s, uses: "skills.work:note" }]'
    part = f'exit_condition: "skills.work:logged", on_max: take_last, max_loops: 2, body: {body}'
    pipeline(f"{{ kind: loop, name: l, loop: {{ {part} }} }}")

    ran = flujo("rehearse")

    assert ran.code == 1
    assert "ok        1/2  killed after loop:l[0]/s\n" in ran.out
    assert "differs   2/2  killed after loop:l[1]/s\n" in ran.out
    assert "    file log.txt:\n      --- undisturbed\n      +++ rehearsed\n" in ran.out
    assert "\n      +asked\n" in ran.out


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ('{ name: s, uses: "skills.work:boom" }', "undisturbed the run is failed: s: ValueError: boom"),
        ('{ name: s, uses: "skills.work:die" }', "the run broke off: exit code -15"),
    ],
)
def test_a_run_that_does_not_work_is_not_rehearsed(flujo, pipeline, step, message):
    pipeline(step)

    ran = flujo("rehearse")

    assert (ran.code, ran.out) == (1, "")
    assert message in ran.err


@pytest.mark.parametrize(
    ("step", "named"),
    [
        ('{ name: s, uses: "skills.work:note", effects: external }', "s (external)"),
        ("{ kind: loop, name: l, loop: { max_loops: 1, body: [{ name: s, effects: external }] } }", "s (external)"),
    ],
)
def test_what_reaches_further_than_the_folder_needs_leave(flujo, pipeline, step, named):
    pipeline(step)

    ran = flujo("rehearse")

    assert (ran.code, ran.out) == (2, "")
    assert f"these steps really run, again and again: {named}\n" in ran.err
    assert "nobody has agreed that they run" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--boundaries", "0"], "'0' is neither 'all' nor a number of 1 or more"),
        (["--boundaries", "some"], "'some' is neither 'all' nor a number"),
        (["--answers", "none.json"], "--answers 'none.json' can't be read: No such file or directory"),
        (["--answers", "list.json"], "--answers 'list.json' is no JSON object"),
        (["--context", "x"], "--context 'x' is no key=value pair"),
        (["nothing.yaml"], "no pipeline file 'nothing.yaml'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(flujo, pipeline, project, words, message):
    (project / "list.json").write_text("[]")
    pipeline(TWO)

    ran = flujo("rehearse", *words)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_a_folder_that_is_no_project_is_not_copied(flujo, pipeline, project):
    (project / "flujo.toml").unlink()
    pipeline('version: "0.1"\nsteps: [{ name: s }]\n')

    ran = flujo("rehearse")

    assert ran.code == 2
    assert "'pipeline.yaml' is in no project, whose folder could be copied" in ran.err


def test_a_question_with_two_answers_is_told(flujo, pipeline, project):
    (project / "said.json").write_text('{"publish": 1, "now": 2}')
    pipeline(ASKING)

    ran = flujo("rehearse", "--answers", "said.json")

    assert ran.code == 1
    assert "the question 'publish it now?' of 'ask' has 2 answers: publish, now" in ran.err


def test_an_agent_that_is_no_script_needs_leave_and_a_step_made_in_python_too(flujo, pipeline, project):
    made = "from flujo import AgentStep, Step\n\n\nasync def ask(data):\n    return 'yes'\n\n\n"
    (project / "skills" / "made.py").write_text(made + "asks = AgentStep('asks', ask)\n")
    pipeline('{ name: s, uses: "skills.made:asks" }')

    assert "again and again: s (asks an agent)\n" in flujo("rehearse").err


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_leave_is_asked_for_at_a_terminal(pipeline, answer, code):
    pipeline("{ name: s, effects: external }")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "rehearse"], stdin=theirs, stderr=theirs, stdout=subprocess.DEVNULL, start_new_session=True
    )
    os.close(theirs)
    seen = ""
    try:
        while "rehearse them?" not in seen:
            assert select.select([ours], [], [], 60)[0], seen
            seen += os.read(ours, 1024).decode()
        os.write(ours, answer.encode())
        assert process.wait(60) == code
    finally:
        process.kill()
        process.wait()
        os.close(ours)


REPORT = rehearsal.Report("completed", None, {"n": [1, 2]}, {}, [], ["a", "b"], [], [], 2, [])


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"again": ["a"]}, ["step 'a' was recorded, and ran again"]),
        ({"steps": ["a"]}, ["step 'b' has no result"]),
        ({"steps": ["a", "b", "c"]}, ["step 'c' has a result, which it had not"]),
        ({"output": {"n": [1, 3]}}, ["output.n[1]: 3, undisturbed 2"]),
        ({"output": {"n": [1]}}, ["output.n: [1], undisturbed [1, 2]"]),
        (
            {"status": "failed", "error": "a: E: x"},
            ['status: "failed", undisturbed "completed"', 'error: "a: E: x", undisturbed null'],
        ),
        ({"doubts": ["b"], "status": "failed", "steps": ["a"]}, []),
        ({"doubts": ["b"], "again": ["a"]}, ["step 'a' was recorded, and ran again"]),
    ],
)
def test_what_differs_is_named(changes, found):
    assert differences(Ending(REPORT, {}), Ending(REPORT._replace(**changes), {})) == found


@pytest.mark.parametrize(
    ("want", "have", "found"),
    [
        ({"f": b"x"}, {}, ["file f: it is not there"]),
        ({}, {"f": b"x"}, ["file f: it is there, undisturbed it is not"]),
        ({"f": b"\xff"}, {"f": b"ab"}, ["file f: other bytes (2, undisturbed 1)"]),
        ({"f": b"a\nb\n"}, {"f": b"a\nc\n"}, ["file f:\n--- undisturbed\n+++ rehearsed\n@@ -1,2 +1,2 @@\n a\n-b\n+c"]),
    ],
)
def test_files_that_differ_are_named(want, have, found):
    assert differences(Ending(REPORT, want), Ending(REPORT, have)) == found


@pytest.fixture
def job(tmp_path):
    return Job("pipeline.yaml", f"sqlite:///{tmp_path}/rehearsed/state.db", "x", {"colour": "red"}, {"now": "yes"})


async def test_a_life_goes_on_where_the_one_before_has_died(pipeline, job, tmp_path):
    pipeline(TWO + '  - { kind: hitl, name: ask, message: "publish it now?" }\n')

    first = await live(job)
    assert (first.status, first.output, first.before, first.again, first.records) == ("completed", "yes", [], [], 5)
    assert first.context["colour"] == "red"
    assert first.context["hitl_history"] == [["publish it now?", "yes"]]
    second = await live(job)
    assert (second.output, second.before, second.again, second.records) == (
        "yes",
        ["a", "b", "ask?", "ask!1", "ask"],
        [],
        0,
    )


async def test_no_deadline_passes_while_the_run_has_no_process(pipeline, job, monkeypatch):
    """To begin takes a process a moment, and this one two hours: the question is as open as it was."""
    pipeline('{ kind: hitl, name: ask, message: "now?", deadline: 1h, on_deadline: { answer: "late" } }')
    assert (await live(job._replace(answers={}))).status == "paused"

    monkeypatch.setattr(SystemClock, "now", staticmethod(lambda: time.time() + 7200.0))
    again = await live(job._replace(answers={}))
    assert (again.status, again.before) == ("paused", ["ask?"])
    assert (await live(job)).output == "yes"


def test_the_process_of_a_life_reads_its_job_and_writes_its_report(pipeline, job, tmp_path, capsys):
    pipeline(TWO)
    told, report = tmp_path / "job.json", tmp_path / "report.json"
    told.write_text(json.dumps(job._asdict()))

    assert rehearsal.main(str(told), str(report)) == 0
    assert json.loads(report.read_text())["steps"] == ["a", "b"]

    pipeline('{ name: s, uses: "skills.work:nothing" }')
    assert rehearsal.main(str(told), str(report)) == 1
    assert "nothing" in capsys.readouterr().err


def test_links_are_files_and_what_is_no_part_of_the_project_is_left_out(pipeline, project, job, tmp_path):
    pipeline(TWO)
    (project / "link").symlink_to("nowhere")
    (project / "folder").symlink_to("skills", target_is_directory=True)
    for name in (".git", ".venv", "__pycache__"):
        (project / name).mkdir()
        (project / name / "file").touch()

    stage = tmp_path / "stage"
    stage.mkdir()
    files = Stage(stage, project, job).play().files

    assert (files["link"], files["folder"]) == (b"nowhere", b"skills")
    assert not [name for name in files if name.startswith((".", "__", "folder/"))]


def test_links_into_the_project_lead_into_its_copy_and_others_where_they_led(pipeline, project, job, tmp_path):
    (project / "data.txt").write_text("data\n")
    (tmp_path / "outside.txt").write_text("outside\n")
    (project / "skills" / "absolute").symlink_to(project / "data.txt")
    (project / "skills" / "around").symlink_to(f"../../{project.name}/data.txt")
    (project / "skills" / "out").symlink_to("../../outside.txt")
    (project / "skills" / "work.py").write_text(
        "from pathlib import Path\n\n\ndef copy(data):\n"
        "    text = Path('skills/out').read_text() + Path('skills/around').read_text()\n"
        "    Path('skills/absolute').write_text(text)\n"
        "    return Path('data.txt').read_text()\n"
    )
    pipeline('{ name: s, uses: "skills.work:copy" }')

    (tmp_path / "stage").mkdir()

    assert Stage(tmp_path / "stage", project, job).play().report.output == "outside\ndata\n"
    assert (project / "data.txt").read_text() == "data\n"


def test_what_is_no_file_is_refused_by_its_name(flujo, pipeline, project):
    pipeline(TWO)
    os.mkfifo(project / "skills" / "pipe")

    ran = flujo("rehearse", "--yes")

    assert ran.code == 2
    assert "error[FLUJO-100] 'skills/pipe' is no file that could be copied" in ran.err


def test_a_process_that_is_killed_from_outside_is_no_boundary(pipeline, project, job, tmp_path):
    (project / "skills" / "work.py").write_text("import os\n\n\ndef die(data):\n    os.kill(os.getpid(), 9)\n")
    pipeline('{ name: s, uses: "skills.work:die" }')
    (tmp_path / "stage").mkdir()
    with pytest.raises(ExecutionError, match="the process of the rehearsal was killed from outside"):
        Stage(tmp_path / "stage", project, job).play()


def test_a_run_that_breaks_off_after_a_kill_is_a_difference(flujo, pipeline, project):
    work = "import os\nfrom pathlib import Path\n\nif Path('seen').exists():\n    os._exit(7)\n\n\n"
    (project / "skills" / "once.py").write_text(work + "def go(data):\n    Path('seen').touch()\n")
    pipeline('{ name: s, uses: "skills.once:go" }')
    assert "the run broke off: exit code 7" in flujo("rehearse").out
