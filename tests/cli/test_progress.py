"""The lines that a run writes while it goes on."""

import io

import pytest

from flujo.domain.events import (
    CacheMissed,
    RunFinished,
    RunStarted,
    StepAbandoned,
    StepFinished,
    StepRetried,
    StepStarted,
)
from flujo.domain.outcomes import ErrorInfo, PipelineResult, RunStatus, StepResult, Success
from flujo_cli.output import Console
from flujo_cli.progress import Progress, brief, elapsed


@pytest.fixture
def err() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(err) -> Progress:
    return Progress(Console(io.StringIO(), err, environ={}))


def finished(path: str, **fields: object) -> StepFinished:
    result = StepResult(path.rpartition("/")[2], path=path, **fields)
    return StepFinished("r1", path, result, Success(step_result=result))


def test_a_finished_step_is_one_line_with_its_time(progress, err):
    progress.handle(finished("load", duration_s=0.0123))
    assert err.getvalue() == "ok load  12 ms\n"


def test_a_failed_step_says_how_often_it_was_tried(progress, err):
    progress.handle(finished("load", success=False, attempts=3, duration_s=1.26))
    assert err.getvalue() == "FAILED load  1.3 s, 3 attempts\n"


def test_a_recorded_step_is_marked(progress, err):
    progress.handle(finished("load", recalled=True))
    assert err.getvalue() == "- load  recorded\n"


def test_a_cached_result_is_marked(progress, err):
    progress.handle(finished("cache:load", cached=True, attempts=0))
    assert err.getvalue() == "ok cache:load  0 ms, cached\n"


@pytest.mark.parametrize(
    ("changed", "line"), [(("input", "code"), "- cache:load  no cached result serves: input, code\n"), ((), "")]
)
def test_what_keeps_a_cached_result_from_serving_is_told(progress, err, changed, line):
    progress.handle(CacheMissed("r1", "cache:load", changed))
    assert err.getvalue() == line


def test_a_fallback_is_named(progress, err):
    progress.handle(finished("load", fallback="cached"))
    assert err.getvalue() == "ok load  0 ms, by fallback cached\n"


@pytest.mark.parametrize(("delay", "end"), [(0.0, ""), (2.0, ", again in 2.0 s")])
def test_a_failed_attempt_is_told_with_its_error(progress, err, delay, end):
    progress.handle(StepRetried("r1", "load", 1, ErrorInfo("OSError", "gone"), delay))
    assert err.getvalue() == f"retry load  attempt 1 failed: OSError: gone{end}\n"


@pytest.mark.parametrize(("recorded", "steps"), [(1, "1 step is"), (4, "4 steps are")])
def test_a_resumed_run_says_what_it_has(progress, err, recorded, steps):
    progress.handle(RunStarted("r1", "p", resumed=True, recorded=recorded))
    assert err.getvalue() == f"going on with run r1: {steps} recorded\n"


def test_a_new_run_is_remembered_and_not_announced(progress, err):
    progress.handle(RunStarted("r1", "p"))
    progress.handle(StepStarted("r1", "load", "load", "step"))
    assert (progress.run_id, err.getvalue()) == ("r1", "")


def begun(*paths: str) -> list[StepStarted]:
    return [StepStarted("r1", path, path.rpartition("/")[2], "step") for path in paths]


def test_the_innermost_steps_that_have_not_ended_are_at_work_and_told_when_they_are_left(progress, err):
    for event in [*begun("", "done", "map:m", "map:m[0]/a", "map:m[1]/sub:s", "map:m[1]/sub:s/b"), finished("done")]:
        progress.handle(event)
    err.truncate(0)
    assert progress.at_work == ["map:m[0]/a", "map:m[1]/sub:s/b"]
    lines = [f"FAILED {path}  was at work, and runs again" for path in progress.at_work]
    assert (progress.left_behind(), Progress(Console(environ={}), quiet=True).left_behind()) == (lines, [])
    progress.handle(StepAbandoned("r1", "map:m[0]/a", ErrorInfo("Cancelled", "")))
    assert progress.at_work == ["map:m[1]/sub:s/b"]
    progress.handle(RunFinished("r1", PipelineResult("r1", RunStatus.COMPLETED, None, None)))
    assert progress.at_work == []


def test_a_step_that_may_run_only_once_is_not_said_to_run_again(progress, err):
    progress.once.add("pay")
    for event in begun("map:m[0]/pay", "nap"):
        progress.handle(event)
    assert progress.left_behind() == [
        "FAILED map:m[0]/pay  was at work, and is to be settled",
        "FAILED nap  was at work, and runs again",
    ]


def test_only_the_pipelines_own_steps_are_remembered(progress):
    progress.handle(finished("sub:a/b"))
    progress.handle(finished("sub:a"))
    progress.handle(finished(""))
    assert [step.path for step in progress.finished] == ["sub:a"]


def test_quiet_progress_remembers_and_says_nothing(err):
    progress = Progress(Console(io.StringIO(), err), quiet=True)
    progress.handle(finished("load"))
    assert (len(progress.finished), err.getvalue()) == (1, "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.999, "999 ms"), (1, "1.0 s"), (59.9, "59.9 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")],
)
def test_durations_are_for_people(seconds, text):
    assert elapsed(seconds) == text


def test_an_error_that_says_nothing_is_named_once():
    assert brief(ErrorInfo.of(RuntimeError())) == "RuntimeError"
    assert brief(ErrorInfo.of(RuntimeError("odd"))) == "RuntimeError: odd"
