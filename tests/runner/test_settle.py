"""Runs with a step in doubt: a person settles what it came to, and the run goes on."""

import pytest
from pydantic import BaseModel

from flujo import AgentStep, Flujo, Pipeline, RunStatus, ScriptedAgent, Step, UsageLimits
from flujo.exceptions import (
    AnswerRejected,
    ConfigurationError,
    RunNotFound,
    RunOwnedElsewhere,
    UsageLimitExceededError,
)
from flujo.infra.memory import InMemoryBackend
from flujo.testing import FakeClock


class Receipt(BaseModel):
    paid: int


class Till:
    """Pays once, and fails while it does."""

    def __init__(self) -> None:
        self.paid = 0

    async def __call__(self, data: int) -> Receipt:
        self.paid += 1
        if self.paid == 1:
            raise ConnectionError("the line is dead")
        return Receipt(paid=data)


@pytest.fixture
def state():
    return InMemoryBackend()


@pytest.fixture
def till():
    return Till()


@pytest.fixture
async def flujo(state, till):
    """A runner whose run "r" has failed with a step in doubt."""
    pay = Step("pay", till, effects="at-most-once", sink_to="scratchpad.receipt")
    pipeline = Pipeline([pay, Step("say", lambda receipt: f"{receipt.paid} paid")], name="shop")
    async with Flujo(pipeline, state_backend=state, clock=FakeClock()) as runner:
        assert (await runner.run(7, run_id="r")).error.message == "the line is dead"
        yield runner


async def test_without_a_word_the_run_stays_in_doubt(flujo, till):
    result = await flujo.resume("r")

    assert (result.status, result.error.type, result.error.path) == ("failed", "EffectInDoubt", "pay")
    assert till.paid == 1


async def test_the_output_that_a_person_gives_takes_the_place_of_the_steps_own(flujo, till):
    await flujo.settle("r", "pay", {"paid": 7}, by="ann")

    result = await flujo.resume("r")

    assert (result.output, till.paid) == ("7 paid", 1)
    assert result.final_pipeline_context.scratchpad == {"receipt": Receipt(paid=7)}


async def test_a_step_may_be_let_run_again(flujo, till):
    await flujo.settle(await flujo.resume("r"), "pay", again=True)
    assert ((await flujo.resume("r")).output, till.paid) == ("7 paid", 2)


async def test_the_run_keeps_its_status_and_nobody_owns_it(flujo, state):
    before = await state.get("r")
    await flujo.settle("r", "pay", again=True)

    after = await state.get("r")
    assert (after.status, after.error, after.owner) == ("failed", before.error, None)


@pytest.mark.parametrize(
    ("path", "output", "message", "advice"),
    [
        ("pya", {"paid": 1}, "step 'pya' of run 'r' is not in doubt", "did you mean 'pay'?"),
        ("zz", {"paid": 1}, "step 'zz' of run 'r' is not in doubt", "in doubt are pay"),
        (
            "pay",
            {"paid": "much"},
            "the output of 'pay' does not fit 'Receipt': $.paid: input should be a valid integer, "
            "unable to parse string as an integer",
            "nothing was recorded: say it again as declared",
        ),
    ],
)
async def test_what_can_not_be_settled_so_is_refused(flujo, state, path, output, message, advice):
    before = await state.load("r")

    with pytest.raises(AnswerRejected) as caught:
        await flujo.settle("r", path, output)

    assert (str(caught.value), caught.value.suggestion) == (message, advice)
    assert await state.load("r") == before


async def test_what_is_settled_is_settled(flujo):
    await flujo.settle("r", "pay", again=True, by="ann")
    with pytest.raises(AnswerRejected, match=r"step 'pay' was settled by ann at 2023-11-14 22:13:20\+00:00"):
        await flujo.settle("r", "pay", {"paid": 1})


async def test_a_completed_run_has_nothing_to_settle(flujo):
    await flujo.settle("r", "pay", again=True)
    await flujo.resume("r")
    with pytest.raises(AnswerRejected, match="step 'say' of run 'r' is not in doubt") as caught:
        await flujo.settle("r", "say", "x")
    assert caught.value.suggestion == "none of its steps is in doubt"


@pytest.mark.parametrize("said", [{}, {"output": 1, "again": True}])
async def test_one_of_both_has_to_be_said(flujo, said):
    with pytest.raises(ConfigurationError, match="step 'pay' is settled by its output or by again=True"):
        await flujo.settle("r", "pay", **said)


async def test_a_run_that_is_at_work_or_not_there_is_left_alone(flujo, state):
    with pytest.raises(RunNotFound):
        await flujo.settle("nobody", "pay", again=True)
    await state.claim("r")
    with pytest.raises(RunOwnedElsewhere):
        await flujo.settle("r", "pay", again=True)


async def test_a_run_that_lost_its_process_can_be_gone_on_with(flujo, state):
    claim = await state.claim("r")
    await state.finish(claim, RunStatus.RUNNING, at=0.0)
    await flujo.settle("r", "pay", again=True)
    assert (await state.get("r")).status == "interrupted"


async def test_a_step_that_the_pipeline_no_longer_has_is_settled_with_what_is_given(state, flujo):
    async with Flujo(Pipeline([Step("other")], name="shop"), state_backend=state) as other:
        await other.settle("r", "pay", "anything")


@pytest.mark.parametrize("said", ['{"paid": 7}', {"paid": 7}])
async def test_an_agents_output_is_checked_against_its_schema(state, said):
    ask = AgentStep("ask", ScriptedAgent([{"error": "down"}]), output=Receipt, effects="at-most-once")
    async with Flujo(Pipeline([ask], name="shop"), state_backend=state) as runner:
        await runner.run("x", run_id="r")
        await runner.settle("r", "ask", said)
        assert (await runner.resume("r")).output == Receipt(paid=7)


async def test_a_budget_that_stops_an_agent_before_it_is_called_leaves_no_doubt(state):
    ask = AgentStep("ask", ScriptedAgent(["yes"]), effects="at-most-once")
    async with Flujo(
        Pipeline([ask], name="shop"), state_backend=state, usage_limits=UsageLimits(max_calls=0)
    ) as runner:
        assert (await runner.run("x", run_id="r")).status == "stopped: budget"
        assert (await runner.resume("r", usage_limits=UsageLimits(max_calls=1))).output == "yes"
    assert [record.path for record in await state.load("r")][:3] == ["ask^1", "ask^1!", "ask^2"]


async def test_a_budget_that_is_used_up_by_the_step_itself_leaves_a_doubt(state):
    def spend(data):
        raise UsageLimitExceededError("that was too much")

    pay = Step("pay", spend, effects="at-most-once")
    limits = UsageLimits(max_calls=9)
    async with Flujo(Pipeline([pay], name="shop"), state_backend=state, usage_limits=limits) as runner:
        assert (await runner.run("x", run_id="r")).status == "stopped: budget"
        assert (await runner.resume("r")).error.type == "EffectInDoubt"
