"""What is checked after a step: its validators and what must hold."""

import pytest

from flujo.domain.config import StepConfig
from flujo.domain.dsl import loop
from flujo.domain.outcomes import Aborted, Failure, Success
from flujo.domain.quota import Quota, UsageLimits
from flujo.domain.steps import Pipeline, Step
from flujo.domain.usage import Usage
from flujo.engine.executor_core import ExecutorCore
from flujo.engine.plan import plan_step
from flujo.engine.policy import StepPolicy
from flujo.engine.policy_registry import PolicyRegistry
from flujo.exceptions import ConfigurationError, ExecutionError, UsageLimitExceededError
from flujo.plugins import create_default_registry


def counting(*answers):
    """A function that gives these answers one after the other, and a list that grows with its calls."""
    calls: list[object] = []

    def answer(data):
        calls.append(data)
        return answers[len(calls) - 1]

    return answer, calls


async def test_a_validator_that_says_what_is_wrong_fails_the_attempt(bench):
    step = Step("a", lambda _: "draft", validators=[lambda text: "too short" if len(text) < 9 else None])

    outcome = await bench.execute(step)

    assert isinstance(outcome, Failure)
    assert "refuses the output of step 'a': too short" in outcome.error.message
    assert outcome.feedback == "too short"


@pytest.mark.parametrize("verdict", [None, True])
async def test_a_validator_that_finds_nothing_lets_the_output_through(bench, verdict):
    outcome = await bench.execute(Step("a", lambda _: 1, validators=[lambda _: verdict]))
    assert outcome.value == 1


async def test_a_validator_may_be_async_and_may_raise(bench):
    async def check(value):
        raise ValueError(f"not {value}")

    outcome = await bench.execute(Step("a", lambda _: 1, validators=[check]))

    assert str(outcome.error) == "not 1"


async def test_the_next_attempt_is_told_what_was_wrong_with_the_one_before(bench):
    told = []

    def answer(data, *, run):
        told.append((run.attempt, run.feedback))
        return run.attempt

    step = Step("a", answer, validators=[lambda n: n == 2 or "not two"], config=StepConfig(max_retries=3))

    outcome = await bench.execute(step)

    assert outcome.value == 2
    assert told == [(1, None), (2, "not two")]


async def test_a_validator_is_not_asked_about_a_step_that_failed(bench):
    def fail(_):
        raise RuntimeError("no")

    asked = []
    outcome = await bench.execute(Step("a", fail, validators=[asked.append]))

    assert str(outcome.error) == "no"
    assert asked == []


async def test_a_validator_does_not_see_what_a_policy_reports_as_a_failure(bench):
    inner = Pipeline([Step("bad", lambda _: 1 / 0)], name="inner", validators=[lambda _: "never asked"])
    outcome = await bench.execute(inner)
    assert isinstance(outcome.error, ZeroDivisionError)


async def test_an_invariant_that_no_longer_holds_fails_the_step_with_the_expression(bench):
    outcome = await bench.execute(Step("a", lambda _: "bad", static_invariants=["output != 'bad'"]))

    assert isinstance(outcome.error, ExecutionError)
    assert outcome.error.message == "step 'a' breaks the invariant \"output != 'bad'\""
    assert await bench.recorded() == {"a#a1": (await bench.recorded())["a#a1"]}


async def test_an_invariant_of_a_pipeline_is_checked_after_each_step_in_it(bench):
    after, calls = counting(1, 2, 3)
    whole = Pipeline([Step("a", after), Step("b", after), Step("c", after)], name="p", static_invariants=["output < 2"])

    outcome = await bench.execute(whole, path="sub:p")

    assert "step 'b' breaks the invariant 'output < 2'" in outcome.error.message
    assert len(calls) == 2
    assert "sub:p/a" in await bench.recorded()


async def test_an_invariant_sees_the_context_as_the_step_has_left_it_and_puts_it_back(bench):
    step = Step("a", lambda _: 5, sink_to="total", static_invariants=["context.total <= 3"])

    outcome = await bench.execute(step)

    assert isinstance(outcome, Failure)
    assert "total" not in bench.context.model_extra


async def test_an_invariant_that_can_not_be_told_fails_the_step(bench):
    outcome = await bench.execute(Step("a", lambda _: 5, static_invariants=["context.nothing > 3"]))
    assert "nothing" in outcome.error.message


async def test_invariants_hold_in_loops_too_and_in_the_composite_itself(bench):
    step = loop("l", Step("a", lambda n: n + 1), until="output >= 3", max_loops=9, static_invariants=["output < 3"])

    outcome = await bench.execute(step, 0)

    assert "step 'a' breaks the invariant 'output < 3'" in outcome.error.message
    assert [child.success for child in outcome.children] == [True, True, False]


async def test_what_holds_is_silent(bench):
    outcome = await bench.execute(Step("a", lambda _: 1, static_invariants=["output == 1", "previous_step == 1"]))
    assert isinstance(outcome, Success)


def test_invariants_need_a_language():
    registry = create_default_registry()
    step = Step("a", len, static_invariants=["output"])
    with pytest.raises(ConfigurationError, match="no template compiler"):
        plan_step(step, registry.require(step), None)
    with pytest.raises(ConfigurationError, match="no template compiler"):
        ExecutorCore(policy_registry=registry).prepare(step)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validators": [3]}, "a validator that can't be called"),
        ({"static_invariants": "output"}, "static_invariants that are no list"),
        ({"static_invariants": [1]}, "static_invariants that are no list"),
    ],
)
def test_checks_that_are_none_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Step("a", len, **options)


async def test_what_an_attempt_has_used_counts_although_it_raises(bench):
    class Costly(StepPolicy[Step]):
        @property
        def handles_type(self):
            return Step

        async def execute(self, core, frame):
            frame.run.tally.owe(frame.path, Usage(1))
            raise UsageLimitExceededError("no more") if frame.attempt == 2 else ValueError("no")

    registry = PolicyRegistry()
    registry.register(Costly())
    bench.core = ExecutorCore(policy_registry=registry)
    outcome = await bench.execute(Step("a", config=StepConfig(max_retries=3)), quota=Quota(UsageLimits()))

    assert isinstance(outcome, Aborted)
    assert outcome.usage == Usage(2)
    assert [record.usage for record in (await bench.recorded()).values()] == [Usage(1), Usage(1)]


def test_a_policy_looks_at_each_step_once_before_any_runs():
    seen: list[str] = []

    class Careful(StepPolicy[Step]):
        @property
        def handles_type(self):
            return Step

        def prepare(self, step):
            seen.append(step.name)
            if step.name == "odd":
                raise ConfigurationError("step 'odd' is odd")

        async def execute(self, core, frame):
            raise NotImplementedError

    registry = PolicyRegistry()
    registry.register_fallback(Careful())
    core = ExecutorCore(policy_registry=registry)
    with pytest.raises(ConfigurationError, match="step 'odd' is odd"):
        core.prepare(Pipeline([Step("even"), Step("odd"), Step("never")]))
    assert seen == ["pipeline", "even", "odd"]
