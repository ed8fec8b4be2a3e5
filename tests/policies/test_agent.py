"""Asking agents: what they get, what their answers become, and what is counted."""

import asyncio
import threading
from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from flujo import AgentResult, AgentStep, Flujo, Pipeline, RunStatus, Step, StepConfig, Usage, agent, loop, scripted
from flujo.domain.pricing import Price
from flujo.domain.quota import UsageLimits
from flujo.exceptions import AgentIOValidationError, BlueprintError, ConfigurationError, SchemaMismatchError
from flujo.infra.memory import InMemoryBackend
from flujo.plugins import create_default_registry

TWICE = StepConfig(max_retries=1)


class Triage(BaseModel):
    label: Literal["bug", "idea"]


class Listener:
    """An agent that keeps what it was asked, and gives the answers it was made with."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def run(self, data: Any) -> Any:
        self.asked.append(data)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Caller(Listener):
    """One that asks for the run."""

    async def run(self, data: Any, *, run: Any) -> Any:
        self.told = [*getattr(self, "told", []), (run.calls, run.attempt, run.feedback)]
        return await super().run(data)


async def test_an_answer_becomes_what_the_output_declares(run):
    result = await run(agent("a", Listener('```json\n{"label": "bug",}\n```'), output=Triage))
    assert result.output == Triage(label="bug")
    assert result.usage == Usage(calls=1)


async def test_an_answer_that_does_not_fit_fails_the_attempt_and_the_next_one_is_told_why(run):
    asks = Listener('{"label": "x"}', {"label": "idea"})
    result = await run(agent("a", asks, output=Triage, config=TWICE), "Sort this.")
    assert result.output == Triage(label="idea")
    assert asks.asked == [
        "Sort this.",
        "Sort this.\n\nThe answer before does not fit:\n- $.label: input should be 'bug' or 'idea'",
    ]
    assert (result.usage, result.step_history[0].attempts) == (Usage(calls=2), 2)


async def test_an_agent_that_asks_for_the_run_is_told_there_and_one_with_other_data_not_at_all(run):
    asks = Caller(1, "one")
    await run(agent("a", asks, output=str, config=TWICE))
    assert asks.asked == ["x", "x"]
    assert asks.told == [(0, 1, None), (1, 2, "The answer before does not fit:\n- $: input should be a valid string")]
    plain = Listener(1, "one")
    await run(agent("a", plain, output=str, config=TWICE), {"id": 1})
    assert plain.asked == [{"id": 1}, {"id": 1}]


async def test_an_answer_that_never_fits_is_an_error_with_every_problem_and_the_cost(run):
    result = await run(agent("a", Listener({"label": "x"}, {}), output=Triage, config=TWICE))
    assert result.status is RunStatus.FAILED
    assert result.error.message == "the output of step 'a' does not fit 'Triage': $.label: field required"
    assert result.error.code == AgentIOValidationError.default_code
    assert isinstance(result.exception.__cause__, SchemaMismatchError)
    assert result.usage == Usage(calls=2)


async def test_a_fallback_takes_over_from_an_agent_whose_answer_does_not_fit(run):
    result = await run(agent("a", Listener(3), output=Triage, fallback=Step("b", lambda data: f"{data}?")))
    assert (result.output, result.usage) == ("x?", Usage(calls=1))


async def test_a_call_that_fails_or_takes_too_long_has_been_a_call_too(run):
    async def slow(_: str) -> None:
        await asyncio.sleep(60)

    failing = await run(agent("a", Listener(ValueError("no"), "yes"), config=TWICE))
    late = await run(agent("a", slow, config=StepConfig(timeout_s=0.01)))
    assert (failing.output, failing.usage) == ("yes", Usage(calls=2))
    assert (late.error.type, late.usage) == ("StepTimeoutError", Usage(calls=1))


async def test_an_answer_may_tell_its_usage_and_who_gave_it(run):
    prices = {"house:*": Price(usd_per_call=1), "house:small": Price(input_usd_per_million=1_000_000)}
    result = await run(agent("a", lambda data: AgentResult(data, Usage(1, 2, 3), "house:small")), prices=prices)
    assert result.usage == Usage(1, 2, 3, Decimal(2))
    result = await run(agent("a", lambda data: AgentResult(data, Usage(1, 2, 3)), model="house:large"), prices=prices)
    assert result.usage == Usage(1, 2, 3, Decimal(1))


async def test_a_plain_step_hands_on_the_output_and_counts_the_usage_of_a_function_that_tells_it(run):
    result = await run(Step("a", lambda data: AgentResult(data * 2, Usage(1, 2, 3))))
    assert (result.output, result.usage) == ("xx", Usage(1, 2, 3))


async def test_a_blocking_agent_runs_in_a_thread(run):
    result = await run(agent("a", lambda _: threading.current_thread() is threading.main_thread(), blocking=True))
    assert result.output is False


async def test_answers_in_order_are_shared_by_the_steps_that_ask_one_agent(run):
    asks = scripted(["one", "two", "three", "four"])
    whole = agent("a", asks) >> loop("l", agent("b", asks), max_loops=2) >> agent("c", asks)
    result = await run(whole)
    assert result.output == "four"
    assert [step.output for step in result.step_history] == ["one", "three", "four"]


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
async def test_the_nth_answer_is_given_once_over_crashes_and_retries(stop):
    """Whichever answer the process dies after, the run comes to the same."""
    died: list[int] = []

    class Fragile:
        model = "m"

        def __init__(self) -> None:
            self.inner = scripted([{"answer": 0}, "a", {"error": "no"}, "b", "c", "d"])

        async def run(self, data: Any, *, run: Any) -> Any:
            if run.calls == stop and not died:
                died.append(stop)
                raise KeyboardInterrupt
            return await self.inner.run(data, run=run)

    asks = Fragile()
    steps = [agent(name, asks, output=str, config=StepConfig(max_retries=2)) for name in ("s1", "s2", "s3", "s4")]
    whole, backend = Pipeline(steps), InMemoryBackend()
    async with Flujo(whole, state_backend=backend) as flujo:
        with pytest.raises(KeyboardInterrupt):
            await flujo.run("x", run_id="r")
    async with Flujo(whole, state_backend=backend) as flujo:
        result = await flujo.resume("r", force=True)
    assert [step.output for step in result.step_history] == ["a", "b", "c", "d"]
    assert result.usage.calls == 6


async def test_a_budget_stops_the_run_before_the_call_that_would_pass_it(run):
    asks, limits = scripted(["one", "two", "three"], model="m"), UsageLimits(total_cost_usd_limit="2.5")
    whole = agent("a", asks) >> agent("b", asks, config=TWICE, fallback=Step("f")) >> agent("c", asks)
    result = await run(whole, usage_limits=limits, prices={"m": Price(usd_per_call=1)})
    assert result.status is RunStatus.STOPPED
    assert (result.usage.calls, result.usage.cost_usd) == (2, 2)
    assert [step.success for step in result.step_history] == [True, True, False]


async def test_an_estimate_that_is_none_is_refused(run):
    class Vague(Listener):
        def estimate(self, data: str) -> int:
            return 3

    result = await run(agent("a", Vague()))
    assert result.error.message == "the agent of step 'a' estimates 'int', expected a Usage"


def test_a_file_says_params_where_an_agent_is_declared(load):
    with pytest.raises(BlueprintError, match="step 'a' has params for agent 'h', which is made once for all steps"):
        load("  - {name: a, uses: agents.h, params: {x: 1}}\nagents: {h: {model: 'function:helpers:f'}}\n", "f = len")


def test_agents_are_asked_by_a_policy_of_their_own():
    assert create_default_registry().require(agent("a", len)).handles_type is AgentStep


def test_an_output_that_is_no_schema_is_found_before_anything_runs(prepare):
    with pytest.raises(ConfigurationError, match=r"the JSON Schema is wrong at \$\.type"):
        prepare(Pipeline([Step("first"), agent("a", len, output={"type": "odd"})]))
