"""What was used counts, whatever becomes of the step, and a limit is passed by one call at most."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from flujo import (
    AgentResult,
    AgentStep,
    Flujo,
    Pipeline,
    Price,
    RunStatus,
    Step,
    StepConfig,
    Usage,
    UsageLimits,
    loop,
    map_,
    parallel,
)
from flujo.domain.events import BudgetOverdrawn, StepFinished
from flujo.exceptions import StateError
from flujo.infra.memory import InMemoryBackend
from flujo.testing import RecordingSink

USED = Usage(1, 5, 5, Decimal("0.5"))
BACKGROUND = StepConfig(execution_mode="background")


class Stuck:
    """Never answers; `calls` counts how often it was asked. It is said to use ten tokens at most."""

    model = "m"

    def __init__(self):
        self.calls = 0

    async def run(self, data):
        self.calls += 1
        await asyncio.Event().wait()


class Estimating(Stuck):
    def estimate(self, data):
        return Usage(1, 10)


async def costly(data):
    return AgentResult("x", USED)


async def quick(data):
    await asyncio.sleep(0)
    return data


async def fail(data):
    await asyncio.sleep(0.001)
    raise ValueError("no")


def refuse(output):
    raise ValueError("no")


async def never(output):
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "options",
    [
        {"validators": [refuse]},
        {"validators": [refuse], "config": StepConfig(timeout_s=9)},
        {"validators": [never], "config": StepConfig(timeout_s=0.01)},
    ],
)
@pytest.mark.parametrize("make", [AgentStep, Step])
async def test_an_attempt_whose_validator_raises_or_takes_too_long_counts(make, options):
    backend = InMemoryBackend()
    result = await Flujo(make("a", costly, **options), state_backend=backend).run("q", run_id="r")
    assert (result.status, result.usage) == (RunStatus.FAILED, USED)
    assert (await backend.get("r")).usage == USED


class Broken(BaseModel):
    a: int

    @field_validator("a")
    @classmethod
    def look(cls, value):
        raise RuntimeError("no")


async def test_an_attempt_whose_answer_can_not_even_be_checked_counts():
    result = await Flujo(AgentStep("a", lambda _: AgentResult({"a": 1}, USED), output=Broken)).run("q")
    assert (result.error.type, result.usage) == ("RuntimeError", USED)


@pytest.mark.parametrize(("agent", "used"), [(Stuck, Usage(1)), (Estimating, Usage(1, 10))])
async def test_a_call_that_is_cancelled_by_a_sibling_counts_what_it_could_have_used(agent, used):
    stuck, backend, sink = agent(), InMemoryBackend(), RecordingSink()
    both = parallel("p", {"a": [AgentStep("s", stuck)], "b": [Step("b", fail)]})
    limits = UsageLimits(max_calls=2)
    async with Flujo(both, state_backend=backend, usage_limits=limits, sinks=[sink]) as flujo:
        results = [await flujo.run("q", run_id="r")] + [await flujo.resume("r") for _ in range(3)]
    assert [each.status for each in results] == ["failed", "failed", "stopped: budget", "stopped: budget"]
    assert stuck.calls == 2
    assert [each.usage for each in results[:2]] == [used, used + used]
    assert (await backend.get("r")).usage == used + used
    record = next(each for each in await backend.load("r") if each.path == "parallel:p/a/s#a1")
    assert (record.attempt, record.error.message) == (0, "cancelled because branch 'b' failed")
    told = next(event for event in sink.events if isinstance(event, StepFinished) and event.path == "parallel:p/a/s")
    assert told.result.usage == used


async def test_calls_that_a_time_limit_around_them_cancels_count():
    stuck, backend = Stuck(), InMemoryBackend()
    config = StepConfig(timeout_s=0.01, max_retries=3)
    whole = Pipeline([loop("l", [AgentStep("s", stuck)], max_loops=1, config=config)], name="p")
    result = await Flujo(whole, state_backend=backend).run("q", run_id="r")
    assert (stuck.calls, result.usage, (await backend.get("r")).usage) == (4, Usage(4), Usage(4))


async def test_who_cancels_a_run_again_and_again_can_not_pass_its_limit():
    stuck, backend = Stuck(), InMemoryBackend()
    flujo = Flujo(AgentStep("s", stuck, config=StepConfig(max_retries=1)), state_backend=backend)
    for turn in range(4):
        going = flujo.run("q", run_id="r") if turn == 0 else flujo.resume("r", usage_limits=UsageLimits(max_calls=2))
        task = asyncio.ensure_future(going)
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert (stuck.calls, (await backend.get("r")).usage) == (2, Usage(2))


class Slow(InMemoryBackend):
    """Writes a record, and then takes its time to say so; `late` keeps it from being written at all."""

    def __init__(self, *, late=False):
        super().__init__(encodes=False)
        self.late = late
        self.appending = asyncio.Event()
        self.gate = asyncio.Event()

    async def append(self, claim, record, /):
        if not self.late:
            await super().append(claim, record)
        self.appending.set()
        await self.gate.wait()
        if self.late:
            await super().append(claim, record)


async def cancelled_twice(flujo, backend):
    """The run is cancelled while it writes, and again before that is written."""
    task = asyncio.ensure_future(flujo.run("q", run_id="r"))
    await backend.appending.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    backend.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("late", "used"), [(False, USED), (True, Usage())])
async def test_a_result_that_was_written_before_the_cancellation_was_heard_counts_once(late, used):
    backend, sink = Slow(late=late), RecordingSink()
    flujo = Flujo(AgentStep("a", costly), state_backend=backend, sinks=[sink])
    await cancelled_twice(flujo, backend)
    told = next(event for event in sink.events if isinstance(event, StepFinished))
    assert told.result.usage == USED
    assert (await backend.get("r")).usage == used
    result = await flujo.resume("r")
    assert (result.output, result.usage) == ("x", USED)


async def test_a_result_that_was_written_is_there_when_the_step_around_it_is_tried_again():
    backend, calls = Slow(), []

    async def count(data):
        calls.append(data)
        return AgentResult("x", USED)

    again = StepConfig(timeout_s=0.01, max_retries=1)
    whole = Pipeline([loop("l", [AgentStep("a", count)], max_loops=1, config=again)], name="p")

    async def release():
        await backend.appending.wait()
        await asyncio.sleep(0.02)
        backend.gate.set()

    result, _ = await asyncio.gather(Flujo(whole, state_backend=backend).run("q"), release())
    assert (result.output, result.usage, calls) == ("x", USED, ["q"])


class Owing(InMemoryBackend):
    """Fails or waits when an attempt is written down."""

    def __init__(self, error=None):
        super().__init__()
        self.error = error
        self.appending = asyncio.Event()
        self.gate = asyncio.Event()

    async def append(self, claim, record, /):
        if "#" in record.path:
            self.appending.set()
            await self.gate.wait()
            if self.error:
                raise self.error
        await super().append(claim, record)


async def test_what_a_cancelled_call_owes_is_written_however_often_one_cancels():
    backend = Owing()
    task = asyncio.ensure_future(Flujo(AgentStep("s", Stuck()), state_backend=backend).run("q", run_id="r"))
    for _ in range(50):
        await asyncio.sleep(0)
    task.cancel()
    await backend.appending.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    backend.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await backend.get("r")).usage == Usage(1)


async def test_what_can_not_be_written_of_a_cancelled_call_ends_the_run():
    backend = Owing(StateError("the disk is full"))
    backend.gate.set()
    both = parallel("p", {"a": [AgentStep("s", Stuck())], "c": [AgentStep("t", Stuck())], "b": [Step("b", fail)]})
    with pytest.raises(StateError, match="the disk is full"):
        await Flujo(Pipeline([both, Step("n")], name="w"), state_backend=backend).run("q")


class Priced:
    """Uses what the test says, in this order, and knows nothing of it beforehand."""

    model = "m"

    def __init__(self, *tokens):
        self.tokens = list(tokens)
        self.used = []

    async def run(self, data):
        await asyncio.sleep(0)
        self.used.append(self.tokens[len(self.used) % len(self.tokens)])
        return AgentResult("x", Usage(1, self.used[-1]))


@given(
    tokens=st.lists(st.integers(0, 60), min_size=1, max_size=6),
    limit=st.integers(0, 120),
    items=st.integers(1, 8),
    concurrency=st.integers(1, 8),
    split=st.integers(1, 3),
    costs=st.booleans(),
)
async def test_a_limit_is_passed_by_what_one_call_uses_at_most(tokens, limit, items, concurrency, split, costs):
    agent, backend = Priced(*tokens), InMemoryBackend()
    over = map_("m", [AgentStep("a", agent)], over=lambda d, c: list(range(items)), concurrency=concurrency)
    shares = parallel("s", {f"b{n}": [AgentStep("a", agent)] for n in range(split)}, budget="split")
    behind = AgentStep("behind", agent, config=BACKGROUND)
    whole = Pipeline([behind, over, shares, AgentStep("end", agent)], name="p")
    limits = UsageLimits(limit) if costs else UsageLimits(None, limit)
    flujo = Flujo(whole, usage_limits=limits, prices={"m": Price(1_000_000)}, state_backend=backend)
    result = await asyncio.wait_for(flujo.run("q", run_id="r"), 20)
    spent = result.usage.tokens
    assert spent == sum(agent.used) == (await backend.get("r")).usage.tokens
    # Each share of a split budget is one that a call can pass; the others hold only what is left then.
    assert spent <= limit + split * max(tokens)
    if split == 1:
        assert spent <= limit + max(tokens)
    if result.status is RunStatus.STOPPED:
        again = await flujo.resume("r", usage_limits=UsageLimits(10_000, 10_000))
        assert (again.status, again.usage.tokens) == (RunStatus.COMPLETED, sum(agent.used))


async def test_calls_that_say_what_they_use_are_made_side_by_side():
    at_work, most = [], []

    class Telling:
        model = "m"

        def estimate(self, data):
            return Usage(1, 5)

        async def run(self, data):
            at_work.append(data)
            most.append(len(at_work))
            await asyncio.sleep(0.001)
            at_work.remove(data)
            return AgentResult("x", Usage(1, 5))

    over = map_("m", [AgentStep("a", Telling())], over=lambda d, c: [1, 2, 3, 4], concurrency=4)
    result = await Flujo(over, usage_limits=UsageLimits(None, 20)).run("q")
    assert (result.status, max(most)) == (RunStatus.COMPLETED, 4)


async def test_the_time_of_a_step_that_waits_for_the_budget_stands_still():
    async def slow(data):
        await asyncio.sleep(0.03)
        return AgentResult("x", Usage(1, 1))

    config = StepConfig(timeout_s=0.08)
    over = map_("m", [AgentStep("a", slow, config=config)], over=lambda d, c: [1, 2, 3, 4, 5], concurrency=5)
    result = await Flujo(over, usage_limits=UsageLimits(None, 100)).run("q")
    assert (result.status, result.usage) == (RunStatus.COMPLETED, Usage(5, 5))


async def test_a_run_that_completes_tells_which_limits_its_last_call_has_passed():
    sink = RecordingSink()
    limits = UsageLimits("0.05", 100, 1)
    result = await Flujo(
        AgentStep("a", costly, model="m"), usage_limits=limits, prices={"m": Price()}, sinks=[sink]
    ).run("q", run_id="r")
    assert result.status is RunStatus.COMPLETED
    told = [event for event in sink.events if isinstance(event, BudgetOverdrawn)]
    assert told == [BudgetOverdrawn("r", "total_cost_usd_limit", Decimal("0.5"), Decimal("0.05"))]


async def test_background_work_draws_on_the_budget_of_where_it_was_begun():
    async def late(data):
        await asyncio.sleep(0.005)
        return data

    behind = Pipeline([Step("late", late), AgentStep("q", costly)], name="bg", config=BACKGROUND)
    inside = parallel("p", {"a": [behind, Step("w", quick)], "b": [Step("b", quick)]}, budget="split")
    before = Pipeline([behind, parallel("p", {"b": [Step("b", late)]}, budget="split")], name="before")
    for whole in (inside, before):
        result = await Flujo(whole, usage_limits=UsageLimits(max_calls=2)).run("q")
        assert (result.status, result.usage) == (RunStatus.COMPLETED, USED)
        assert [each.success for each in result.background] == [True]


async def test_items_that_split_the_budget_do_so_one_after_the_other():
    body = parallel("p", {"a": [AgentStep("q", costly)], "b": [AgentStep("q", costly)]}, budget="split")
    over = map_("m", [body], over=lambda d, c: [1, 2, 3], concurrency=3)
    result = await Flujo(over, usage_limits=UsageLimits(max_calls=6)).run("q")
    assert (result.status, result.usage.calls) == (RunStatus.COMPLETED, 6)


class Answer(BaseModel):
    a: int


@pytest.mark.parametrize("encodes", [True, False])
async def test_what_was_wrong_with_an_answer_is_heard_after_a_crash_too(encodes):
    heard, crash = [], [False, True, False, False]

    async def ask(data):
        heard.append(data)
        if crash.pop(0):
            raise KeyboardInterrupt
        return {"b": "\ud800"} if len(heard) == 1 else {"a": 1}

    step, backend = (
        AgentStep("a", ask, output=Answer, config=StepConfig(max_retries=1)),
        InMemoryBackend(encodes=encodes),
    )
    with pytest.raises(KeyboardInterrupt):
        await Flujo(step, state_backend=backend).run("q", run_id="r")
    result = await Flujo(step, state_backend=backend).resume("r", force=True)
    assert result.output == Answer(a=1)
    assert heard == ["q", *["q\n\nThe answer before does not fit:\n- $.a: field required"] * 2]


async def test_a_cancelled_attempt_is_no_try_and_teaches_nothing():
    heard, backend = [], InMemoryBackend()

    async def ask(data):
        heard.append(data)
        if len(heard) == 2:
            await asyncio.Event().wait()
        return {} if len(heard) == 1 else {"a": 1}

    flujo = Flujo(AgentStep("a", ask, output=Answer, config=StepConfig(max_retries=1)), state_backend=backend)
    task = asyncio.ensure_future(flujo.run("q", run_id="r"))
    for _ in range(50):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    result = await flujo.resume("r")
    assert (result.output, heard[1], result.usage.calls) == (Answer(a=1), heard[2], 3)
    assert result.step_history[0].attempts == 2
