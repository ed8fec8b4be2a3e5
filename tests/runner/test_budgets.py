"""Runs within limits: what is counted, when they stop, and how they go on."""

from decimal import Decimal

import pytest

from flujo import Flujo, Pipeline, Price, RunStatus, Step, Usage, UsageLimits, loop, map_, parallel, step
from flujo.domain.agent_step import AgentStep
from flujo.domain.agents import AgentResult
from flujo.domain.config import StepConfig
from flujo.domain.events import BudgetWarning
from flujo.domain.interfaces import RecordKind
from flujo.exceptions import (
    ExecutionError,
    PipelineAbortSignal,
    PricingNotConfiguredError,
    StateUnavailable,
    UsageLimitExceededError,
)
from flujo.infra.memory import InMemoryBackend
from flujo.testing import DyingBackend, RecordingSink

PRICES = {"m": Price(1_000_000), "m-*": Price(usd_per_call=1)}


class Model:
    """Answers with the data, and uses a token for each character; the calls that `fails` names fail."""

    model = "m"

    def __init__(self, fails=()):
        self.fails = set(fails)
        self.heard = []

    async def run(self, data):
        self.heard.append(data)
        if len(self.heard) in self.fails:
            raise ConnectionError("no answer")
        return AgentResult(data, Usage(1, len(str(data))))

    def estimate(self, data):
        return Usage(1, len(str(data)))


def ask(name, agent, **options):
    return AgentStep(name, agent, **options)


def asks(agent, count=3):
    return Pipeline([ask(f"ask{n}", agent) for n in range(count)], name="asks")


@step
def fold(data: object) -> str:
    return "x"


async def test_without_limits_a_run_is_priced_and_nothing_stops_it():
    result = await Flujo(asks(Model()), prices=PRICES).run("abc")
    assert (result.status, result.usage) == (RunStatus.COMPLETED, Usage(3, 9, cost_usd=Decimal(9)))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (UsageLimits(7), "total_cost_usd_limit of 7 is not enough: spent 6, reserved 0, asked 3, left 1"),
        (UsageLimits(None, 8), "total_tokens_limit of 8 is not enough: spent 6, reserved 0, asked 3, left 2"),
        (UsageLimits(None, None, 2), "max_calls of 2 is used up: spent 2, reserved 0, asked 1, left 0"),
    ],
)
async def test_a_run_stops_before_a_call_that_would_pass_a_limit_and_keeps_what_is_finished(limits, message):
    agent = Model()
    result = await Flujo(asks(agent), usage_limits=limits, prices=PRICES).run("abc")
    assert (result.status, result.success, result.output) == (RunStatus.STOPPED, False, None)
    assert (result.error.type, result.error.message) == ("UsageLimitExceededError", message)
    assert isinstance(result.exception, UsageLimitExceededError)
    assert [(each.name, each.success) for each in result.step_history] == [
        ("ask0", True),
        ("ask1", True),
        ("ask2", False),
    ]
    assert (len(agent.heard), result.usage.calls) == (2, 2)


async def test_a_stopped_run_goes_on_under_higher_limits_and_what_it_spent_counts():
    agent, backend = Model(), InMemoryBackend()
    flujo = Flujo(asks(agent, 4), usage_limits=UsageLimits(7), prices=PRICES, state_backend=backend)
    await flujo.run("abc", run_id="r")
    again = await flujo.resume("r")
    assert (again.status, len(agent.heard)) == (RunStatus.STOPPED, 2)
    other = Flujo(asks(agent, 4), prices=PRICES, state_backend=backend)
    more = await other.resume("r", usage_limits=UsageLimits(10))
    assert (more.status, len(agent.heard), more.usage.cost_usd) == (RunStatus.STOPPED, 3, 9)
    done = await flujo.resume("r", usage_limits=UsageLimits(12))
    assert (done.status, done.output, done.usage.cost_usd) == (RunStatus.COMPLETED, "abc", 12)
    assert (await backend.get("r")).usage == done.usage


async def test_a_completed_run_is_handed_out_whatever_the_limits_are_now():
    backend = InMemoryBackend()
    await Flujo(asks(Model()), state_backend=backend).run("abc", run_id="r")
    result = await Flujo(asks(Model()), state_backend=backend, usage_limits=UsageLimits(max_calls=0)).resume("r")
    assert (result.status, result.output) == (RunStatus.COMPLETED, "abc")


async def test_nothing_swallows_the_end_of_a_budget():
    agent = Model()
    tired = ask("tired", agent, config=StepConfig(max_retries=3), fallback=fold)
    inner = parallel("both", {"a": [tired], "b": [ask("b", agent)]}, on_branch_failure="ignore")
    result = await Flujo(Pipeline([inner, fold], name="p"), usage_limits=UsageLimits(max_calls=1)).run("abc")
    assert (result.status, len(agent.heard)) == (RunStatus.STOPPED, 1)
    assert "fold" not in [each.name for each in result.step_history]


class Lives:
    """Runs of a pipeline over one state; in some calls of its `agent` the process dies."""

    def __init__(self, agent, pipeline, **options):
        self.agent, self.pipeline, self.options = agent, pipeline, options
        self.inner = InMemoryBackend()

    async def live(self):
        """What a life comes to, or None if it dies."""
        backend = DyingBackend(self.inner)
        self.agent.dies = lambda: setattr(backend, "dead", True)
        flujo = Flujo(self.pipeline, state_backend=backend, **self.options)
        try:
            if await self.inner.get("r") is None:
                return await flujo.run("abc", run_id="r")
            return await flujo.resume("r", force=True)
        except StateUnavailable:
            return None


class Deadly(Model):
    async def run(self, data):
        if len(self.heard) + 1 in self.fails:
            self.dies()
        return await Model.run(self, data)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (UsageLimits(None, None, 3), "max_calls of 3 is used up: spent 3, reserved 0, asked 1, left 0"),
        (UsageLimits(10), "total_cost_usd_limit of 10 is not enough: spent 9, reserved 0, asked 3, left 1"),
        (UsageLimits(None, 9), "total_tokens_limit of 9 is used up: spent 9, reserved 0, asked 3, left 0"),
    ],
)
async def test_a_process_that_dies_in_the_same_call_again_and_again_spends_no_more_than_there_is(limits, told):
    agent = Deadly(fails=range(1, 100))
    lives = Lives(agent, ask("ask", agent), usage_limits=limits, prices=PRICES)
    for _ in range(3):
        assert await lives.live() is None
    last = await lives.live()
    assert (last.status, last.error.message, len(agent.heard)) == (RunStatus.STOPPED, told, 3)
    assert last.usage == (await lives.inner.get("r")).usage == Usage(3, 9, cost_usd=Decimal(9))


async def test_a_call_that_raises_that_a_limit_is_used_up_counts_in_the_record_as_in_the_result():
    class Limited(Model):
        async def run(self, data):
            raise UsageLimitExceededError("the provider allows no more")

    backend = InMemoryBackend()
    flujo = Flujo(ask("ask", Limited()), state_backend=backend, usage_limits=UsageLimits(9), prices=PRICES)
    result = await flujo.run("abc", run_id="r")

    assert (result.status, result.usage) == (RunStatus.STOPPED, Usage(1))
    assert (await backend.get("r")).usage == Usage(1)
    assert (await backend.load("r"))[-1].error.message == "the provider allows no more"
    assert (await flujo.resume("r")).usage == (await backend.get("r")).usage == Usage(2)
    replayed = await flujo.replay("r")
    assert (replayed.status, replayed.error.message) == (RunStatus.STOPPED, "the provider allows no more")


async def test_a_call_that_was_lost_counts_once_and_is_no_try():
    agent = Deadly(fails=[1])
    lives = Lives(agent, ask("ask", agent), usage_limits=UsageLimits(9), prices=PRICES)
    assert await lives.live() is None
    assert (await lives.inner.get("r")).usage == Usage()
    result = await lives.live()
    assert (result.status, result.usage, result.step_history[0].attempts) == (
        RunStatus.COMPLETED,
        Usage(2, 6, cost_usd=Decimal(6)),
        1,
    )
    records = await lives.inner.load("r")
    assert [(each.path, each.kind, each.attempt) for each in records] == [
        ("ask^c1", RecordKind.CALL, 1),
        ("ask#a1", RecordKind.ATTEMPT, 0),
        ("ask^c2", RecordKind.CALL, 2),
        ("ask", RecordKind.RESULT, 1),
    ]
    assert records[1].error.message == "the process died while the call was made"
    again = await Flujo(lives.pipeline, state_backend=lives.inner).replay("r")
    assert (again.usage, again.output) == (result.usage, result.output)


async def test_a_lost_call_counts_for_who_goes_on_without_limits_and_then_with_them():
    agent = Deadly(fails=[1])
    lives = Lives(agent, asks(agent, 2), usage_limits=UsageLimits(max_calls=1))
    assert await lives.live() is None
    lives.options = {}
    assert (await lives.live()).usage.calls == 3


async def test_an_agent_that_says_nothing_of_its_use_has_lost_one_call():
    class Silent:
        model, run = "m", Deadly.run

    agent = Silent()
    agent.heard, agent.fails = [], [1]
    lives = Lives(agent, ask("ask", agent), usage_limits=UsageLimits(9), prices={"m": Price(usd_per_call=1)})
    assert await lives.live() is None
    assert (await lives.live()).usage == Usage(2, 3, cost_usd=Decimal(2))


@pytest.mark.parametrize("limits", [None, UsageLimits(max_calls=9)])
async def test_a_call_that_ends_the_run_on_purpose_counts_once(limits):
    class Aborting(Model):
        async def run(self, data):
            raise PipelineAbortSignal("enough")

    backend = InMemoryBackend()
    flujo = Flujo(ask("ask", Aborting()), state_backend=backend, usage_limits=limits)
    result = await flujo.run("abc", run_id="r")
    assert (result.status, result.usage.calls, (await backend.get("r")).usage.calls) == (RunStatus.CANCELLED, 1, 1)
    assert (await flujo.resume("r")).usage.calls == 2


async def test_without_limits_no_call_is_written_down_before_it_is_made():
    backend = InMemoryBackend()
    await Flujo(asks(Model()), state_backend=backend).run("abc", run_id="r")
    assert {each.kind for each in await backend.load("r")} == {RecordKind.RESULT}


async def test_failed_attempts_count_and_a_crash_loop_can_not_spend_for_ever():
    backend = InMemoryBackend()
    agent = Model(fails=range(1, 100))
    flujo = Flujo(
        ask("ask", agent, config=StepConfig(max_retries=1)),
        usage_limits=UsageLimits(max_calls=5),
        state_backend=backend,
    )
    first = await flujo.run("abc", run_id="r")
    statuses = [first.status] + [(await flujo.resume("r")).status for _ in range(3)]
    assert statuses == [RunStatus.FAILED, RunStatus.FAILED, RunStatus.STOPPED, RunStatus.STOPPED]
    assert len(agent.heard) == 5 == (await backend.get("r")).usage.calls


async def test_no_step_starts_once_a_call_has_used_more_than_was_left():
    @step
    def large(data: object) -> AgentResult[str]:
        return AgentResult("done", Usage(1, 50))

    begun = []
    result = await Flujo(
        Pipeline([large, Step("next", begun.append)], name="p"),
        usage_limits=UsageLimits(None, 10),
    ).run("abc")
    assert (result.status, begun, result.usage.tokens) == (RunStatus.STOPPED, [], 50)
    assert result.step_history[0].output == "done"
    assert result.error.message == "total_tokens_limit of 10 is used up: spent 50, reserved 0, asked 0, left -40"


async def test_items_and_rounds_share_one_budget():
    agent = Model()
    pipeline = Pipeline([map_("each", [ask("ask", agent)], concurrency=4), fold], name="p")
    result = await Flujo(pipeline, usage_limits=UsageLimits(max_calls=5)).run(["a", "b", "c", "d", "e", "f", "g"])
    assert (result.status, len(agent.heard), result.usage.calls) == (RunStatus.STOPPED, 5, 5)
    rounds = loop("rounds", [ask("ask", agent)], until="False", max_loops=50)
    assert (await Flujo(rounds, usage_limits=UsageLimits(max_calls=7)).run("x")).usage.calls == 7


async def test_under_a_limit_of_cost_a_step_without_a_price_fails_before_it_asks():
    agent = Model()
    result = await Flujo(asks(agent), usage_limits=UsageLimits(5)).run("abc")
    assert (result.status, result.error.code, agent.heard) == (RunStatus.FAILED, "FLUJO-102", [])
    assert isinstance(result.exception, PricingNotConfiguredError)


async def test_a_function_that_turns_out_to_have_called_a_model_without_a_price_fails_and_is_counted():
    @step
    def sly(data: object) -> AgentResult[str]:
        return AgentResult("done", Usage(tokens_in=5), "x")

    backend = InMemoryBackend()
    flujo = Flujo(sly, usage_limits=UsageLimits(5), state_backend=backend)
    result = await flujo.run("abc", run_id="r")
    assert (result.status, result.error.message) == (
        RunStatus.FAILED,
        "model 'x' has no price, and a limit of cost holds",
    )
    assert (await backend.get("r")).usage == result.usage == Usage(1, 5)


async def test_a_run_that_only_warns_tells_of_a_model_without_a_price_once():
    sink = RecordingSink()
    limits = UsageLimits(5, unpriced="warn")
    result = await Flujo(asks(Model()), usage_limits=limits, sinks=[sink]).run("abc", run_id="r")
    assert [event for event in sink.events if isinstance(event, BudgetWarning)] == [BudgetWarning("r", "m")]
    assert (await Flujo(asks(Model()), usage_limits=limits).run("abc")).success
    assert (result.status, result.usage) == (RunStatus.COMPLETED, Usage(3, 9))


async def test_a_step_may_say_itself_that_the_budget_is_used_up():
    @step(config=StepConfig(max_retries=5), fallback=fold)
    def spent(data: object) -> None:
        raise UsageLimitExceededError("the account is empty")

    result = await Flujo(spent, usage_limits=UsageLimits(5)).run("x")
    assert (result.status, result.error.message) == (RunStatus.STOPPED, "the account is empty")
    assert (await Flujo(spent).run("x")).output == "x", "without a budget it is a failure like any other"


async def test_runs_of_one_object_have_a_budget_each():
    flujo = Flujo(asks(Model(), 2), usage_limits=UsageLimits(max_calls=2))
    assert [(await flujo.run("abc")).status for _ in range(3)] == [RunStatus.COMPLETED] * 3


async def test_a_failure_costs_what_a_call_costs():
    flujo = Flujo(ask("ask", Model(fails=[1]), model="m-1"), prices=PRICES)
    result = await flujo.run("abc")
    assert (result.status, result.usage) == (RunStatus.FAILED, Usage(1, cost_usd=Decimal(1)))
    assert not isinstance(result.exception, ExecutionError)


async def test_an_agent_that_tells_nonsense_fails_and_has_made_a_call_all_the_same():
    def odd(data: object) -> AgentResult[str]:
        return AgentResult("yes", Usage(tokens_in=-5))

    backend = InMemoryBackend()
    flujo = Flujo(ask("ask", odd, model="m"), usage_limits=UsageLimits(max_calls=9), state_backend=backend)
    result = await flujo.run("abc", run_id="r")
    expected = "the usage that 'm' tells: tokens_in can't be -5, expected a whole number from 0"
    assert (result.status, result.error.message) == (RunStatus.FAILED, expected)
    assert result.usage.calls == (await backend.get("r")).usage.calls == 1
