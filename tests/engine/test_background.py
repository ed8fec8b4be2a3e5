"""Steps at work while the pipeline goes on."""

import asyncio
from contextlib import suppress

import pytest

from flujo import (
    AgentResult,
    Flujo,
    OpenContext,
    Pipeline,
    RunStatus,
    Step,
    StepConfig,
    Usage,
    UsageLimits,
    agent,
    cached,
    loop,
    parallel,
    state_machine,
    step,
)
from flujo.domain.events import BackgroundFinished, BackgroundLaunched, RunFinished
from flujo.engine.background_task_manager import BackgroundTaskManager
from flujo.exceptions import ConfigurationError, PausedException, StateUnavailable, UsageLimitExceededError
from flujo.infra.memory import InMemoryBackend
from flujo.testing import DyingBackend, FakeClock, RecordingSink

BACKGROUND = StepConfig(execution_mode="background")


def background(name, function, **options):
    return Step(name, function, config=BACKGROUND, **options)


async def run(pipeline, data="x", **options):
    async with Flujo(pipeline, context_model=OpenContext, **options) as flujo:
        return await flujo.run(data)


async def test_the_pipeline_goes_on_with_the_input_of_a_background_step():
    order = []

    async def slow(data):
        await asyncio.sleep(0.01)
        order.append("slow")
        return data * 2

    def next_one(data):
        order.append("next")
        return data + "!"

    sink = RecordingSink()
    result = await run(background("b", slow) >> Step("n", next_one), sinks=[sink])

    assert (result.output, order) == ("x!", ["next", "slow"])
    assert [(each.path, each.output) for each in result.background] == [("b", "xx")]
    kinds = [type(event) for event in sink.events]
    assert kinds.index(BackgroundLaunched) < kinds.index(BackgroundFinished) < kinds.index(RunFinished)


async def test_a_step_that_belongs_to_no_history_is_put_into_the_background_all_the_same(bench):
    outcome = await bench.execute(background("b", str.upper), "x")
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    assert (outcome.value, (await bench.recorded())["b"].path) == ("x", "b")


async def test_the_decorator_honours_its_config():
    began = asyncio.Event()

    @step(config=StepConfig(execution_mode="background"))
    async def waits(text: str) -> int:
        await began.wait()
        return len(text)

    @step
    def begins(text: str) -> str:
        began.set()
        return text

    result = await run(waits >> begins)

    assert result.output == "x"
    assert result.background[0].output == 1


async def test_one_that_fails_is_told_and_recorded_and_does_not_fail_the_run():
    backend = InMemoryBackend()

    def fail(_):
        raise ValueError("lost")

    result = await run(background("b", fail) >> Step("n", len), state_backend=backend)

    assert result.status is RunStatus.COMPLETED
    assert result.background[0].error.message == "lost"
    assert [record.path for record in await backend.load(result.run_id)] == ["n", "b#a1"]


async def test_a_run_that_is_interrupted_while_one_is_at_work_runs_it_again_and_nothing_else():
    calls, gate = [], asyncio.Event()

    async def slow(data):
        calls.append("slow")
        await gate.wait()
        return data

    pipeline = background("b", slow) >> Step("n", lambda data: calls.append("n") or data)
    async with Flujo(pipeline) as flujo:
        task = asyncio.ensure_future(flujo.run("x", run_id="r"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        result = await flujo.resume("r")

    assert result.success
    assert calls == ["n", "slow", "slow"]


def _fails(data):
    raise ValueError("no")


AFTER = Pipeline([Step("after", len), Step("more", abs)], name="y")

#: Steps around one in the background that are not run again: they are recorded, or were gone on from.
AROUND = {
    "cache": lambda work: cached("c", Pipeline([work], name="body")),
    "in a fallback": lambda work: Step("c", _fails, fallback=Pipeline([work, Step("in", len)], name="f")),
    "before a fallback": lambda work: Pipeline([work, Step("bad", _fails)], name="c", fallback=AFTER),
    "state": lambda work: state_machine(
        "c",
        {"x": Pipeline([work, Step("bad", _fails)], name="x"), "y": AFTER},
        start="x",
        end=["y"],
        transitions=[("x", "failure", "y")],
    ),
    "branch": lambda work: parallel(
        "c",
        {"x": Pipeline([work, Step("bad", _fails)], name="x", config=StepConfig(max_retries=1)), "y": AFTER},
        on_branch_failure="ignore",
    ),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("records", range(1, 9))
async def test_one_goes_on_in_the_next_life_and_counts_once_whatever_became_of_the_step_around_it(around, records):
    calls = []

    def costly(name):
        def call(data):
            calls.append(name)
            return AgentResult("done", Usage(1, 3))

        return agent(name, call)

    work = Pipeline([costly("a"), costly("b")], name="w", config=BACKGROUND)
    pipeline, backend = Pipeline([AROUND[around](work), Step("n", repr)], name="p"), InMemoryBackend()
    async with Flujo(pipeline, state_backend=DyingBackend(backend, die_after=records, die=lambda: None)) as flujo:
        with suppress(StateUnavailable):
            await flujo.run("x", run_id="r")
    recorded = {each.path[-1] for each in await backend.load("r")} & {"a", "b"}
    calls.clear()

    async with Flujo(pipeline, state_backend=backend, usage_limits=UsageLimits(max_calls=2)) as flujo:
        result = await flujo.resume("r", force=True)
        again = await flujo.replay("r")

    assert result.success
    assert calls == [each for each in "ab" if each not in recorded]
    assert result.usage == again.usage == Usage(2, 6)


async def test_a_completed_run_that_is_handed_out_launches_nothing_and_tells_what_is_recorded():
    calls, sink = [], RecordingSink()

    def costly(data):
        calls.append(data)
        return AgentResult("done", Usage(2, 3))

    def fail(data):
        calls.append(data)
        raise ValueError("lost")

    pipeline = Pipeline([background("b", costly), background("f", fail), Step("n", len)], name="p")
    async with Flujo(pipeline, sinks=[sink]) as flujo:
        first = await flujo.run("x", run_id="r")
        launched = [event for event in sink.events if isinstance(event, BackgroundLaunched)]
        again = await flujo.run("x", run_id="r")
    assert calls == ["x", "x"]
    assert (again.output, again.usage) == (first.output, first.usage) == (1, Usage(2, 3))
    assert [(each.path, each.output, each.error) for each in again.background] == [
        (each.path, each.output, each.error) for each in first.background
    ]
    assert [event for event in sink.events if isinstance(event, BackgroundLaunched)] == launched


async def test_it_works_on_a_context_of_its_own():
    def write(data, *, context):
        context.scratchpad["by"] = "background"

    result = await run(background("b", write) >> Step("n", len))

    assert result.final_pipeline_context.scratchpad == {}
    assert result.background[0].success


async def test_cancel_leaves_what_is_not_done_undone():
    async def forever(_):
        await asyncio.sleep(99)

    sink = RecordingSink()
    result = await run(background("b", forever) >> Step("n", len), on_background="cancel", sinks=[sink])

    assert result.status is RunStatus.COMPLETED
    assert [(each.path, each.success, each.error.type) for each in result.background] == [("b", False, "Cancelled")]
    assert [event.result for event in sink.of_type(BackgroundFinished)] == list(result.background)


async def test_a_run_that_is_cancelled_tells_of_the_steps_that_were_at_work_in_the_background():
    begun = asyncio.Event()

    async def forever(_):
        begun.set()
        await asyncio.Event().wait()

    sink, done = RecordingSink(), background("done", lambda data: AgentResult("x", Usage(2, 3)))
    pipeline = done >> background("b", forever) >> Step("n", forever)
    async with Flujo(pipeline, sinks=[sink], clock=FakeClock()) as flujo:
        task = asyncio.ensure_future(flujo.run("x", run_id="r"))
        await begun.wait()
        await flujo.cancel("r")
        result = await task
        again = await flujo.replay("r")

    assert result.status is RunStatus.CANCELLED
    for each in (result, again):
        assert [(line.path, line.success) for line in each.background] == [("done", True), ("b", False)]
        assert each.usage == Usage(2, 3)
    assert [event.path for event in sink.of_type(BackgroundFinished)] == ["done", "b"]


@pytest.mark.parametrize(("how", "advises"), [("detach", True), ("later", False), (None, False)])
def test_a_run_does_nothing_else_with_them_at_its_end(how, advises):
    with pytest.raises(ConfigurationError) as caught:
        Flujo(Step("n", len), on_background=how)
    assert str(caught.value) == f"on_background can't be {how!r}, expected 'wait' or 'cancel'"
    assert ("start a run of its own" in (caught.value.suggestion or "")) is advises


async def test_whoever_cancels_the_run_cancels_its_background_steps():
    ended = []

    async def forever(_):
        try:
            await asyncio.sleep(99)
        finally:
            ended.append(True)

    async with Flujo(background("b", forever) >> Step("n", forever)) as flujo:
        task = asyncio.ensure_future(flujo.run("x"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ended == [True, True]


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        ("none", "step 'b' asks 'may I?' in the background, but nobody waits for it"),
        ("at-most-once", "background step 'b' asks 'may I?', but nobody waits for it"),
    ],
)
async def test_one_that_asks_a_person_fails_for_nobody_waits_for_it(effects, message):
    def ask(_):
        raise PausedException("may I?")

    asks = Step("b", ask, effects=effects, config=StepConfig(execution_mode="background"))
    result = await run(asks >> Step("n", len))

    assert result.success
    assert result.background[0].error.message == message


async def test_one_that_the_budget_stops_stops_the_run():
    def spend(_):
        raise UsageLimitExceededError("too dear")

    result = await run(background("b", spend) >> Step("n", len), usage_limits=UsageLimits(max_calls=5))

    assert result.status is RunStatus.STOPPED
    assert result.error.message == "too dear"


async def test_one_in_a_loop_is_launched_once_an_iteration():
    calls = []
    body = Pipeline([background("b", calls.append), Step("n", lambda n: n + 1)], name="body")
    result = await run(loop("l", body, max_loops=3), 0)
    assert result.output == 3
    assert calls == [0, 1, 2]
    assert [each.path for each in result.background] == [f"loop:l[{i}]/b" for i in range(3)]


async def test_a_composite_that_is_tried_again_launches_nothing_twice():
    calls, fails = [], [True]

    def flaky(data):
        if fails and fails.pop():
            raise ValueError("once")
        return data

    body = Pipeline([background("b", calls.append), Step("f", flaky)], name="p", config=StepConfig(max_retries=1))
    result = await run(Pipeline([body]))
    assert result.success
    assert calls == ["x"]


@pytest.mark.parametrize("options", [{"sink_to": "scratchpad.x"}, {"updates_context": True}])
def test_one_that_writes_to_the_context_is_refused(options):
    with pytest.raises(ConfigurationError, match="runs in the background, but writes to the context"):
        background("b", len, **options)


def test_the_next_step_takes_what_the_background_step_takes():
    @step(execution_mode="background")
    async def extract(text: str) -> dict[str, int]:
        return {text: 1}

    @step
    def shout(text: str) -> str:
        return text.upper()

    assert [each.name for each in (extract >> shout).steps] == ["extract", "shout"]


async def test_a_manager_without_steps_has_nothing_to_wait_for():
    manager = BackgroundTaskManager()
    assert await manager.drain() == ()
    await manager.cancel()
