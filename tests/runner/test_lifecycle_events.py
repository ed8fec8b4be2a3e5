"""The events of a run, from its start to its end, whatever the end is."""

import asyncio

import pytest

from flujo import Flujo, HumanInTheLoopStep, Pipeline, Step, StepConfig, agent, parallel, scripted
from flujo.domain.events import (
    AgentAsked,
    BackgroundFinished,
    BackgroundLaunched,
    RunFinished,
    RunInterrupted,
    RunPaused,
    RunStarted,
    StepAbandoned,
    StepFinished,
    StepStarted,
)
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.exceptions import StateStorageFull
from flujo.infra.memory import InMemoryBackend
from flujo.testing import RecordingSink

TWICE = StepConfig(max_retries=1)


async def test_a_run_tells_of_its_start_its_steps_and_its_end():
    sink = RecordingSink()
    await Flujo(Step("a", str.upper) >> Step("b", str.lower), sinks=[sink]).run("x")

    told = [(type(event).__name__, getattr(event, "path", None)) for event in sink.events]
    assert told == [
        ("RunStarted", None),
        ("StepStarted", ""),
        ("StepStarted", "a"),
        ("StepFinished", "a"),
        ("StepStarted", "b"),
        ("StepFinished", "b"),
        ("StepFinished", ""),
        ("RunFinished", None),
    ]


async def test_a_pause_tells_its_questions_before_the_run_finishes():
    sink = RecordingSink()
    result = await Flujo(HumanInTheLoopStep("ask", message="Ready?"), sinks=[sink]).run("x", run_id="r")

    *_, paused, finished = sink.events
    assert paused == RunPaused("r", result.pending)
    assert [question.message for question in paused.pending] == ["Ready?"]
    assert isinstance(finished, RunFinished)
    assert finished.result.status is RunStatus.PAUSED


async def test_a_resumed_run_says_so_and_how_much_is_recorded():
    sink = RecordingSink()
    flujo = Flujo(Step("a", str.upper) >> HumanInTheLoopStep("ask", message="Ready?"), sinks=[sink])
    await flujo.resume(await flujo.run("x", run_id="r"), "yes")

    first, second = sink.of_type(RunStarted)
    assert (first.resumed, first.recorded) == (False, 0)
    assert (second.resumed, second.recorded) == (True, 1)
    assert [event.path for event in sink.of_type(StepStarted)].count("a") == 1


async def test_a_run_that_is_cancelled_from_outside_tells_that_it_was_let_go_of():
    sink, begun = RecordingSink(), asyncio.Event()

    async def wait(data):
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Flujo(Step("wait", wait), sinks=[sink]).run("x", run_id="r"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert isinstance(sink.events[-1], RunInterrupted)
    assert [(type(event), event.path) for event in sink.events[-3:-1]] == [(StepAbandoned, "wait"), (StepAbandoned, "")]
    assert {event.error._replace(path="") for event in sink.events[-3:]} == {ErrorInfo("Cancelled", "cancelled")}
    assert sink.of_type(StepFinished) == []
    assert sink.of_type(RunFinished) == []


async def test_a_run_whose_state_is_full_tells_that_it_was_let_go_of():
    class Full(InMemoryBackend):
        async def append(self, claim, record, /):
            raise StateStorageFull("the disk is full")

    sink = RecordingSink()
    with pytest.raises(StateStorageFull):
        await Flujo(Step("a", str.upper), sinks=[sink], state_backend=Full()).run("x", run_id="r")

    *_, step, pipeline, run = sink.events
    assert [type(event).__name__ for event in (step, pipeline, run)] == [
        "StepAbandoned",
        "StepAbandoned",
        "RunInterrupted",
    ]
    assert (step.path, pipeline.path, run.run_id) == ("a", "", "r")
    assert {event.error.message for event in (step, pipeline, run)} == {"the disk is full"}


async def test_a_background_step_is_launched_before_it_has_done_anything():
    sink, seen = RecordingSink(), []

    async def slow(data):
        seen.append(sink.of_type(BackgroundLaunched))
        return data

    def after(data):
        seen.append(sink.of_type(BackgroundLaunched))
        return data

    slowly = Step("slow", slow, config=StepConfig(execution_mode="background"))
    await Flujo(slowly >> Step("after", after), sinks=[sink]).run("x", run_id="r")

    assert seen == [[BackgroundLaunched("r", "slow", "slow")]] * 2
    assert [event.path for event in sink.of_type(StepFinished)].index("slow") > 0


async def test_nothing_is_built_when_nobody_listens(built):
    await Flujo(Step("a", str.upper) >> Step("b", str.lower)).run("x")

    assert built == []


async def test_everything_is_built_when_somebody_listens(built):
    await Flujo(Step("a", str.upper), sinks=[RecordingSink()]).run("x")

    assert [kind.__name__ for kind in built].count("StepStarted") == 2


@pytest.fixture
def built(monkeypatch):
    """The classes of the events that are made, in order."""
    from flujo.domain import events

    made = []
    for name in events.__all__:
        kind = getattr(events, name)
        if isinstance(kind, type):
            original = kind.__new__

            def counted(cls, *arguments, _original=original, **named):
                made.append(cls)
                return _original(cls, *arguments, **named)

            monkeypatch.setattr(kind, "__new__", counted)
    return made


async def test_every_call_of_an_agent_is_told_before_it_is_made():
    sink = RecordingSink()
    asked = agent("write", scripted([{"error": "no"}, "hello"]), model="openai:gpt-4o", agent="writer", config=TWICE)
    await Flujo(asked, sinks=[sink]).run("x", run_id="r")

    calls = [AgentAsked("r", "write", attempt, "writer", "openai:gpt-4o") for attempt in (1, 2)]
    assert sink.of_type(AgentAsked) == calls


async def test_branches_and_background_steps_of_a_run_that_is_let_go_of_come_to_no_end():
    sink, begun, waiting = RecordingSink(), asyncio.Event(), []

    async def wait(data):
        waiting.append(data)
        if len(waiting) == 3:
            begun.set()
        await asyncio.Event().wait()

    aside = Step("aside", wait, config=StepConfig(execution_mode="background"))
    both = parallel("p", {"a": Step("a", wait), "b": Step("b", wait)})
    inner = Pipeline([both], name="inner", config=StepConfig(timeout_s=99))
    task = asyncio.create_task(Flujo(aside >> inner, sinks=[sink]).run("x", run_id="r"))
    await asyncio.wait_for(begun.wait(), 9)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task

    started, abandoned = ({event.path for event in sink.of_type(kind)} for kind in (StepStarted, StepAbandoned))
    assert started == abandoned
    assert sink.of_type(StepFinished) == sink.of_type(BackgroundFinished) == []


async def test_siblings_of_a_branch_whose_record_can_not_be_written_come_to_no_end_with_the_run():
    class Full(InMemoryBackend):
        async def append(self, claim, record, /):
            raise StateStorageFull("the disk is full")

    async def wait(data):
        await asyncio.Event().wait()

    sink = RecordingSink()
    both = parallel("p", {"a": Step("a", wait), "b": Step("b", str.upper)})
    with pytest.raises(StateStorageFull):
        await Flujo(both, sinks=[sink], state_backend=Full()).run("x", run_id="r")

    started, abandoned = ({event.path for event in sink.of_type(kind)} for kind in (StepStarted, StepAbandoned))
    assert started == abandoned
    assert sink.of_type(StepFinished) == []


@pytest.mark.parametrize("ends", ["sibling", "time"])
async def test_branches_that_a_sibling_or_a_time_limit_cancels_have_failed(ends):
    sink, begun = RecordingSink(), asyncio.Event()

    async def wait(data):
        begun.set()
        await asyncio.Event().wait()

    async def other(data):
        await begun.wait()
        if ends == "time":
            await asyncio.Event().wait()
        raise ValueError("no")

    config = StepConfig(timeout_s=0.01 if ends == "time" else None)
    both = parallel("p", {"a": Step("a", wait), "b": Step("b", other)}, config=config)
    result = await Flujo(both, sinks=[sink]).run("x", run_id="r")

    told = {event.path: event for event in sink.of_type(StepFinished)}
    path = "parallel:p/a"
    assert (result.status, sink.of_type(StepAbandoned)) == ("failed", [])
    assert told[path].result.error.type == "Cancelled"
    assert told[path].outcome.step_result == told[path].result
