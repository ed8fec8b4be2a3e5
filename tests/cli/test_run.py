"""`flujo run` and `flujo resume`: streams, forms, records, and refusals."""

import asyncio
import json
import os
import re
import signal

import pytest

from flujo.domain.events import RunFinished, RunStarted
from flujo.domain.outcomes import PipelineResult, RunStatus
from flujo.exceptions import RunOwnedElsewhere, StateStorageFull
from flujo.plugins import create_plugin_manager
from flujo_cli.options import Options
from flujo_cli.project import Project
from flujo_cli.reporter import Reporter
from flujo_cli.session import Session

SKILLS = """\
from datetime import date
from pathlib import Path
from pydantic import BaseModel


class Point(BaseModel):
    x: int
    y: float


def nothing(data: str) -> None: ...


def number(data: str) -> int:
    return int(data)


def many(data: str) -> list:
    return [data, None, {"ñ": 1}]


def point(data: str) -> Point:
    return Point(x=1, y=float("nan") if data == "nan" else 2.5)


def boom(data: str) -> str:
    raise ValueError(f"boom on {data}")


def seen(data: str, *, context=None) -> str:
    return f"{context.who}/{context.n}"


def count(data: str) -> str:
    with Path("ledger").open("a") as ledger:
        ledger.write("count\\n")
    return data


def once(data: str) -> str:
    if not Path("fixed").exists():
        raise RuntimeError("not fixed yet")
    return data + "!"
"""


@pytest.fixture
def pipeline(project):
    """Write a pipeline of the named functions."""
    (project / "skills" / "s.py").write_text(SKILLS)

    def write(*functions: str, name: str = "pipeline.yaml", extra: str = "") -> None:
        steps = [f'  - {{ name: {f}, uses: "skills.s:{f}"{extra} }}' for f in functions]
        (project / name).write_text("\n".join(['version: "0.1"', "steps:", *steps, ""]))

    return write


def test_text_goes_to_stdout_and_everything_else_to_stderr(flujo):
    ran = flujo("run", "--input", "hello")
    assert (ran.code, ran.out) == (0, "hello\n")
    step, status, following = ran.err.splitlines()
    assert step.startswith("✓ echo  ")
    assert status.startswith("completed in ")
    assert following == f"next: flujo runs show {status.rpartition(' ')[2]}"


def test_quiet_says_nothing_of_a_run_that_is_well(flujo):
    assert flujo("run", "--input", "hello", "-q").err == ""


@pytest.mark.parametrize(
    ("function", "input", "out"),
    [
        ("nothing", "x", ""),
        ("number", "12", "12\n"),
        ("many", "x", '[\n  "x",\n  null,\n  {\n    "ñ": 1\n  }\n]\n'),
        ("point", "x", '{\n  "x": 1,\n  "y": 2.5\n}\n'),
    ],
)
def test_an_output_that_is_no_text_is_json_and_none_is_nothing(flujo, pipeline, function, input, out):
    pipeline(function)
    ran = flujo("run", "--input", input, "-q")
    assert (ran.code, ran.out, ran.err) == (0, out, "")


def test_json_is_one_object_with_the_tree_of_steps(flujo, project):
    inner = '{ name: b, steps: [{ name: c, agent: { id: "flujo.builtins.stringify" } }] }'
    (project / "pipeline.yaml").write_text(f'version: "0.1"\nsteps:\n  - name: a\n  - {inner}\n')
    ran = flujo("run", "--input", "x", "--json", "--run-id", "r1")
    result = ran.json
    assert (result["schema"], result["run_id"], result["status"]) == ("flujo.run/1", "r1", "completed")
    assert (result["success"], result["output"], result["error"]) == (True, "x", None)
    assert set(result["usage"]) == {"calls", "tokens_in", "tokens_out", "cost_usd"}
    assert [step["name"] for step in result["steps"]] == ["a", "b"]
    assert [child["path"] for child in result["steps"][1]["children"]] == ["sub:b/c"]


def test_what_a_step_prints_does_not_mix_with_the_output(flujo, project):
    (project / "skills" / "loud.py").write_text("print('loading')\n\ndef f(x):\n    print('running')\n    return x\n")
    (project / "pipeline.yaml").write_text('version: "0.1"\nsteps:\n  - { name: a, uses: "skills.loud:f" }\n')
    ran = flujo("run", "--input", "x", "-q")
    assert (ran.out, ran.err) == ("x\n", "loading\nrunning\n")


def test_a_failed_run_says_where_and_how_to_go_on(flujo, pipeline):
    pipeline("count", "boom")
    ran = flujo("run", "--input", "x", "--run-id", "r1")
    assert (ran.code, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert "error step 'boom' failed: ValueError: boom on x" in lines
    assert any(line.startswith("  at ") and "s.py:" in line for line in lines)
    assert lines[-1] == "next: flujo resume r1"


def test_a_failed_run_is_an_object_too(flujo, pipeline):
    pipeline("boom")
    ran = flujo("run", "--input", "x", "--json", "-q")
    assert ran.code == 1
    assert (ran.json["status"], ran.json["success"], ran.json["output"]) == ("failed", False, None)
    assert ran.json["error"]["message"] == "boom on x"
    assert ran.json["steps"][0]["success"] is False


def test_a_result_that_can_not_be_stored_fails_its_step(flujo, pipeline):
    pipeline("point")
    ran = flujo("run", "--input", "nan")
    assert ran.code == 1
    assert "error[FLUJO-605] step 'point' failed: " in ran.err
    assert "$.y" in ran.err


def test_a_run_that_could_not_begin_is_an_object_with_its_findings(flujo, project):
    (project / "pipeline.yaml").write_text('version: "0.1"\nsteps:\n  - nname: a\n')
    ran = flujo("run", "--json")
    assert ran.code == 4
    assert (ran.json["schema"], ran.json["status"], ran.json["run_id"]) == ("flujo.run/1", "error", None)
    finding = ran.json["error"]["findings"][0]
    assert (finding["location"]["line"], finding["location"]["column"]) == (3, 5)
    assert "pipeline.yaml:3:5: " in ran.err


def test_project_code_that_can_not_be_imported_is_code_3(flujo, pipeline, project):
    pipeline("nothing")
    (project / "skills" / "s.py").write_text("import nothing_of_that_name\n")
    ran = flujo("run")
    assert ran.code == 3
    assert "nothing_of_that_name" in ran.err
    assert "Traceback" not in ran.err


def test_validating_says_the_same_of_project_code_that_can_not_be_parsed(flujo, pipeline, project):
    pipeline("count")
    (project / "skills" / "s.py").write_text("def count(:\n")
    ran = flujo("validate", "pipeline.yaml")
    assert ran.code == flujo("run", "--input", "x").code == 3
    assert "skills/s.py:1 can't be parsed" in ran.out


def test_the_object_has_the_same_keys_whatever_came_of_the_run(flujo, stopped):
    keys = ["schema", "run_id", "status", "success", "output", "error", "duration_s", "usage", "pending", "steps"]
    keys.append("background")
    assert list(flujo("run", "--json", "--state", "memory:").json) == keys
    assert list(flujo("run", "--json", "--run-id", "@").json) == keys
    assert list(flujo("run", "--json", "--no-stdin", "--context", "x", "nope.yaml").json) == keys


def test_the_context_comes_from_the_command_line(flujo, pipeline):
    pipeline("seen")
    ran = flujo("run", "--context-data", '{"who": "ann", "n": 1}', "--context", "n=2", "-q")
    assert (ran.code, ran.out) == (0, "ann/2\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--context-data", "{nope"], "error[FLUJO-701] --context-data is not JSON: "),
        (["--input", "-", "--no-stdin"], "--no-stdin forbids it"),
        (["--context", "run_id=3"], "error[FLUJO-401] context field 'run_id' is the engine's own"),
        (["--context", "scratchpad=3"], "error[FLUJO-401] context field 'scratchpad'"),
        (["--state", "nowhere:x"], "error[FLUJO-610] no state backend opens 'nowhere' urls"),
        (["--run-id", "@last"], "error[FLUJO-701] '@last' is not a run id"),
        (["--state", " "], "error[FLUJO-101] state_uri can't be ' ' (--state): expected a text that is not empty"),
        (["nope.yaml"], "error[FLUJO-100] no pipeline file 'nope.yaml'"),
    ],
)
def test_what_can_not_be_run_is_refused_with_code_2(flujo, project, args, message):
    ran = flujo("run", *args)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_a_dry_run_calls_nothing_and_records_nothing(flujo, pipeline, project):
    pipeline("count", "once", extra=", config: { max_retries: 3, timeout_s: 2 }, blocking: true")
    ran = flujo("run", "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "STEP   KIND  RUNS            OPTIONS",
        "count  step  skills.s:count  retries=3 timeout_s=2.0",
        "once   step  skills.s:once   retries=3 timeout_s=2.0",
    ]
    assert not (project / "ledger").exists()
    assert not (project / ".flujo").exists()


def test_a_dry_run_as_json_is_the_plan(flujo):
    plan = flujo("run", "--dry-run", "--json").json
    assert (plan["schema"], plan["pipeline"], plan["source"]) == ("flujo.plan/1", "test", "pipeline.yaml")
    assert plan["steps"] == [
        {
            "path": "echo",
            "kind": "step",
            "run": plan["steps"][0]["run"],
            "input": "{{ previous_step }}",
            "max_retries": 1,
            "timeout_s": None,
            "fallback": None,
        }
    ]


def test_a_run_in_memory_leaves_no_file_and_names_no_next_command(flujo, project):
    before = sorted(project.rglob("*"))
    ran = flujo("run", "--input", "x", "--state", "memory:")
    assert (ran.code, sorted(project.rglob("*"))) == (0, before)
    assert "next:" not in ran.err


def test_the_state_is_kept_in_the_project_of_the_pipeline(flujo, project, monkeypatch):
    monkeypatch.chdir(project.parent)
    ran = flujo("run", "project/pipeline.yaml", "--input", "x", "--run-id", "r1")
    assert (project / ".flujo" / "state.db").is_file()
    assert ran.err.splitlines()[-1] == "next: flujo -C project runs show r1"
    assert "r1" in flujo(*["-C", "project", "runs", "show", "r1"]).out


def test_resume_goes_on_after_what_is_recorded(flujo, pipeline, project):
    pipeline("count", "once")
    assert flujo("run", "--input", "x", "--run-id", "r1").code == 1
    (project / "fixed").touch()
    ran = flujo("resume", "r1")
    assert (ran.code, ran.out) == (0, "x!\n")
    assert "going on with run r1: " in ran.err
    assert "• count  recorded" in ran.err
    assert (project / "ledger").read_text() == "count\n"


@pytest.mark.parametrize("command", [("resume", "@last"), ("run", "--run-id", "r1", "--input", "x")])
def test_a_completed_run_hands_out_what_is_recorded_and_says_so(flujo, pipeline, project, command):
    pipeline("count")
    flujo("run", "--input", "x", "--run-id", "r1")
    ran = flujo(*command)
    assert (ran.code, ran.out) == (0, "x\n")
    assert "this run was completed before: nothing ran" in ran.err
    assert (project / "ledger").read_text() == "count\n"


def test_the_same_run_id_with_another_input_is_refused(flujo):
    flujo("run", "--input", "x", "--run-id", "r1")
    ran = flujo("run", "--input", "y", "--run-id", "r1", "--json")
    assert ran.code != 0
    assert "was started with another input" in ran.json["error"]["message"]


def test_a_pipeline_that_was_changed_is_not_gone_on_with(flujo, pipeline):
    pipeline("count", "boom")
    flujo("run", "--input", "x", "--run-id", "r1")
    pipeline("count", "once")
    ran = flujo("resume", "r1")
    assert ran.code == 4
    assert "error[FLUJO-611]" in ran.err


def test_a_run_that_nobody_knows_can_not_be_resumed(flujo):
    ran = flujo("resume", "nope", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "FLUJO-601")


@pytest.fixture
def broken_plugin(tmp_path, monkeypatch):
    """An installed plugin whose module isn't there."""
    dist = tmp_path / "site" / "flujo_broken-1.0.dist-info"
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: flujo-broken\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text("[flujo.plugins]\nbroken = nothing_of_that_name\nworse = nor_this\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def test_broken_plugins_are_named_and_the_run_goes_on(flujo, broken_plugin):
    ran = flujo("--log-format", "json", "run", "--input", "x", "--state", "memory:", "-q")
    assert (ran.code, ran.out) == (0, "x\n")
    assert '"level": "warning"' in ran.err
    assert [json.loads(line)["see"] for line in ran.err.splitlines()] == [
        "flujo plugins show flujo-broken:broken",
        "flujo plugins show flujo-broken:worse",
    ]
    assert "flujo-broken 1.0 is not loaded" in ran.err


def test_broken_plugins_are_listed_with_the_reason(flujo, broken_plugin):
    row = next(line for line in flujo("plugins").out.splitlines() if line.startswith("flujo-broken"))
    assert "import-failed" in row
    assert row.endswith(
        "ModuleNotFoundError: No module named 'nothing_of_that_name'  -> flujo plugins show flujo-broken:broken"
    )


def test_a_sink_that_fails_is_named_and_the_run_goes_on(flujo, monkeypatch):
    monkeypatch.setattr("flujo_cli.progress.elapsed", None)
    ran = flujo("run", "--input", "x", "--state", "memory:")
    assert (ran.code, ran.out) == (0, "x\n")
    assert "warning: an event sink failed and was detached (run_id=" in ran.err
    assert "sink=flujo_cli.progress:Progress, error=TypeError: " in ran.err


STOPPED = """\
import asyncio
import os
import signal

async def first(data: str) -> str:
    return data

async def stop(data: str) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(60)
"""


@pytest.fixture
def stopped(project) -> None:
    """A pipeline whose second step gets a SIGTERM."""
    (project / "skills" / "stopped.py").write_text(STOPPED)
    steps = "".join(f'  - {{ name: {f}, uses: "skills.stopped:{f}" }}\n' for f in ("first", "stop"))
    (project / "pipeline.yaml").write_text(f'version: "0.1"\nsteps:\n{steps}')


def test_a_terminated_run_is_an_object_with_the_steps_that_ended(flujo, stopped):
    ran = flujo("run", "--input", "x", "--run-id", "r1", "--json")
    assert ran.code == 143
    assert (ran.json["status"], ran.json["run_id"], ran.json["output"]) == ("interrupted", "r1", None)
    assert [(step["name"], step["success"]) for step in ran.json["steps"]] == [("first", True)]
    assert re.fullmatch(r". stop  was at work, and runs again", ran.err.splitlines()[-3])
    assert "stopping; once more stops at once" in ran.err
    assert ran.err.splitlines()[-2:] == [
        "interrupted, run r1",
        "next: flujo resume r1",
    ]


def test_a_terminated_run_in_memory_is_gone_and_says_so(flujo, stopped):
    ran = flujo("run", "--input", "x", "--run-id", "r1", "--state", "memory:")
    assert (ran.code, ran.out) == (143, "")
    assert ran.err.splitlines()[-1] == "interrupted, run r1: its record was in memory only"


def test_a_step_that_cancels_its_own_run_leaves_it_where_it_can_go_on(flujo, stopped, project):
    cancelling = STOPPED.replace("    os.kill(os.getpid(), signal.SIGTERM)\n", "    raise asyncio.CancelledError\n")
    (project / "skills" / "stopped.py").write_text(cancelling)
    ran = flujo("run", "--input", "x", "--run-id", "r1")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == "next: flujo resume r1"


def test_a_signal_before_the_run_has_begun_leaves_nothing(project, capfd):
    reporter = Reporter(Options(project))
    session = Session(Project.here(stands=project), create_plugin_manager(), reporter)

    async def stop_first(backend):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    assert session.drive(stop_first) == 130
    assert capfd.readouterr().err.splitlines()[-1] == "interrupted before the run had begun"
    assert not (project / ".flujo").exists()


def test_a_run_that_ends_in_spite_of_a_signal_is_told_like_any_other(project, capfd):
    options = Options(project, owes_json=True)
    reporter = Reporter(options, quiet=True)
    session = Session(Project.here(stands=project), create_plugin_manager(), reporter)

    async def ends(backend):
        os.kill(os.getpid(), signal.SIGTERM)
        result = PipelineResult("r1", RunStatus.COMPLETED, "x", None)
        try:
            await asyncio.sleep(60)
        finally:
            reporter.progress.handle(RunFinished("r1", result))

    assert session.drive(ends) == 0
    assert json.loads(capfd.readouterr().out)["status"] == "completed"
    assert options.owes_json is False


@pytest.fixture
def interrupting(project) -> None:
    """A pipeline whose second step raises what Ctrl-C raises."""
    raising = STOPPED.replace("    os.kill(os.getpid(), signal.SIGTERM)\n", "    raise KeyboardInterrupt\n")
    (project / "skills" / "stopped.py").write_text(raising)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_step_that_interrupts_leaves_a_run_that_can_go_on(flujo, stopped, interrupting, form):
    ran = flujo("run", "--input", "x", "--run-id", "r1", "-q", *form)
    assert (ran.code, ran.err) == (130, "interrupted, run r1\nnext: flujo resume r1\n")
    assert (ran.json["status"], ran.json["run_id"]) == ("interrupted", "r1") if form else ran.out == ""


def test_an_interrupt_while_the_result_is_written_names_the_run_that_has_ended(flujo, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flujo_cli.reporter.show_summary", interrupted)
    ran = flujo("run", "--input", "x", "--run-id", "r1")
    assert (ran.code, ran.out) == (130, "x\n")
    assert ran.err.splitlines()[-2:] == ["interrupted, but run r1 has ended: completed", "next: flujo runs show r1"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_interrupt_before_the_run_has_begun_is_one_line(flujo, monkeypatch, form):
    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("flujo_cli.commands.run.read_stdin", interrupted)
    ran = flujo("run", "--run-id", "r1", *form)
    assert (ran.code, ran.err) == (130, "interrupted\n")
    assert (ran.json["status"], ran.json["run_id"]) == ("interrupted", "r1") if form else ran.out == ""


def test_debug_shows_the_traceback_of_a_step_that_failed(flujo, pipeline):
    pipeline("boom")
    assert "Traceback" not in flujo("run").err
    assert "s.py" in flujo("--debug", "run").err.partition("Traceback (most recent call last):")[2]


FILLING = """\
import atexit
import resource
from pathlib import Path

def fill(data):
    if not Path("room").exists():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, -1))
        atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, (-1, -1))
    return data
"""


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_record_that_can_not_be_written_leaves_a_run_that_can_go_on(flujo_process, project, form):
    (project / "skills" / "filling.py").write_text(FILLING)
    (project / "pipeline.yaml").write_text('version: "0.1"\nsteps:\n  - { name: fill, uses: "skills.filling:fill" }\n')
    ran = flujo_process("run", "--input", "x", "--run-id", "r1", "-q", *form)
    assert ran.code == 2
    assert ran.err.startswith("error[FLUJO-607] ")
    assert ran.err.splitlines()[-2:] == ["interrupted, run r1", "next: flujo resume r1"]
    assert (ran.json["status"], ran.json["run_id"]) == ("interrupted", "r1") if form else ran.out == ""
    (project / "room").touch()
    assert flujo_process("resume", "r1", "-q").out == "x\n"


@pytest.mark.parametrize("ended", [True, False])
def test_what_a_process_says_at_its_end_is_the_object_that_is_owed(project, ended):
    options = Options(project, owes_json=True)
    reporter = Reporter(options)
    if ended:
        reporter.progress.handle(RunFinished("r1", PipelineResult("r1", RunStatus.COMPLETED, "x", None)))
    words, (descriptor, text) = reporter.farewell("bye")
    assert (words, descriptor) == ((2, "bye"), 1)
    assert json.loads(text)["status"] == ("completed" if ended else "interrupted")
    options.owes_json = False
    assert list(reporter.farewell("bye")) == [(2, "bye")]


@pytest.mark.parametrize("error", [StateStorageFull("no room"), RunOwnedElsewhere("taken over")])
def test_only_a_run_that_nobody_has_taken_over_is_left_with_advice(project, capfd, error):
    reporter = Reporter(Options(project))
    session = Session(Project.here(stands=project), create_plugin_manager(), reporter)

    async def breaks(backend):
        reporter.progress.handle(RunStarted("r1", "p"))
        raise error

    if isinstance(error, RunOwnedElsewhere):
        with pytest.raises(RunOwnedElsewhere):
            session.drive(breaks)
    else:
        reporter.options.owes_json = True
        assert session.drive(breaks) == 2
    told = capfd.readouterr()
    assert ("next: flujo resume r1" in told.err) is isinstance(error, StateStorageFull)
    if told.out:
        said = json.loads(told.out)
        assert (said["status"], said["error"]["code"]) == ("interrupted", "FLUJO-607")


def test_an_error_of_a_named_run_has_its_id(flujo, pipeline):
    pipeline("boom")
    flujo("run", "--input", "x", "--run-id", "r1")
    assert flujo("run", "--input", "y", "--run-id", "r1", "--json").json["run_id"] == "r1"
    pipeline("count")
    ran = flujo("resume", "@last", "--json")
    assert (ran.json["error"]["type"], ran.json["run_id"]) == ("DefinitionChanged", "r1")
    assert "next:" not in ran.err
