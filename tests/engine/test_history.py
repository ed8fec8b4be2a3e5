"""What each step's line of the history says, and that totals add up."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from flujo.domain.config import StepConfig
from flujo.domain.dsl import loop, parallel
from flujo.domain.events import StepFinished
from flujo.domain.outcomes import Failure, StepResult, Success
from flujo.domain.steps import Pipeline, Step
from flujo.domain.usage import NO_USAGE, Usage
from flujo.engine.call_tally import CallTally
from flujo.engine.policy import StepPolicy
from flujo.engine.step_history_tracker import StepHistoryTracker

ONE = Usage(calls=1, tokens_in=10)


class Spending(Step):
    """A step whose policy spends; `run` says by how it goes on."""


class SpendingPolicy(StepPolicy):
    """Spends one call at every attempt."""

    @property
    def handles_type(self):
        return Spending

    async def execute(self, core, frame):
        try:
            return Success(frame.step.run(frame.data), ONE)
        except ValueError as error:
            return Failure(error, usage=ONE)


def fails(times, then="ok"):
    """A function that fails so many times before it works."""
    left = [times]

    def run(_):
        left[0] -= 1
        if left[0] >= 0:
            raise ValueError("not yet")
        return then

    return run


def spending(bench):
    bench.core._registry.register(SpendingPolicy())
    return bench


def total(result):
    """What a line's children have used, with its own."""
    return sum((child.usage for child in result.children), NO_USAGE)


async def spent(bench):
    """What the run's records say it has used."""
    return sum((record.usage for record in (await bench.recorded()).values()), NO_USAGE)


async def test_totals_add_up_through_loops_branches_and_retries(bench):
    spending(bench)
    retried = Spending("r", fails(1), config=StepConfig(max_retries=1))
    both = parallel("both", {"x": Spending("one", lambda d: d), "y": retried})
    whole = Pipeline([loop("twice", both, max_loops=2), Spending("end", lambda d: d)], name="p")

    outcome = await bench.execute(whole, path="sub:p")

    assert outcome.usage.calls == 2 * 1 + 2 + 1 + 1
    assert outcome.usage == await spent(bench)
    for result in (outcome.step_result, *outcome.step_result.children):
        if result.children:
            assert result.usage == total(result)


async def test_a_fallback_adds_its_cost_to_what_the_primary_has_spent(bench):
    spending(bench)
    step = Spending("a", fails(9), config=StepConfig(max_retries=1), fallback=Spending("b", lambda d: "saved"))

    outcome = await bench.execute(step, path="a")

    assert outcome.value == "saved"
    assert outcome.usage.calls == 3
    assert await spent(bench) == outcome.usage
    recalled = await bench.execute(step, path="a")
    assert recalled.step_result.recalled
    assert recalled.usage == outcome.usage


async def test_a_fallback_that_fails_costs_too(bench):
    spending(bench)
    step = Spending("a", fails(9), fallback=Spending("b", fails(9)))

    outcome = await bench.execute(step, path="a")

    assert isinstance(outcome, Failure)
    assert outcome.usage.calls == 2
    assert await spent(bench) == outcome.usage


async def test_a_composite_that_is_tried_again_counts_each_of_its_steps_once(bench):
    spending(bench)
    body = Pipeline(
        [Spending("a", lambda d: d), Spending("b", fails(1))], name="body", config=StepConfig(max_retries=1)
    )

    outcome = await bench.execute(body, path="sub:body")

    assert [(child.name, child.usage.calls, child.recalled) for child in outcome.step_result.children] == [
        ("a", 1, True),
        ("b", 2, False),
    ]
    assert outcome.usage == await spent(bench) == total(outcome.step_result)


async def test_what_was_spent_before_a_crash_still_counts(bench):
    spending(bench)
    crashes = [KeyboardInterrupt]

    def crash(_):
        if crashes:
            raise crashes.pop()
        return "ok"

    step = Spending("a", fails(1), config=StepConfig(max_retries=1)) >> Step("c", crash)
    try:
        await bench.execute(step, path="p")
    except KeyboardInterrupt:
        outcome = await bench.execute(step, path="p")

    assert outcome.usage.calls == 2
    assert outcome.usage == await spent(bench)


async def test_a_policy_that_raises_keeps_what_its_children_came_to(bench):
    def wrong(output, context):
        raise KeyError("exit test")

    outcome = await bench.execute(loop("l", Step("a", lambda d: d), until=wrong))

    assert isinstance(outcome.error, KeyError)
    assert [child.path for child in outcome.children] == ["l[0]"]


async def test_a_step_that_is_cancelled_says_so_in_the_history_and_to_whoever_listens(bench):
    async def forever(_):
        await asyncio.sleep(99)

    def fail(_):
        raise ValueError("no")

    async def later(data):
        await asyncio.sleep(0)
        return fail(data)

    outcome = await bench.execute(parallel("p", {"slow": Step("s", forever), "bad": Step("b", later)}))

    slow, bad = outcome.children
    assert slow.error.message == "cancelled because branch 'bad' failed"
    assert slow.children[0].name == "s"
    assert bad.error.message == "no"
    finished = [event.path for event in bench.sink.of_type(StepFinished)]
    assert sorted(finished) == ["p", "p/bad", "p/bad/b", "p/slow", "p/slow/s"]


async def test_a_branch_that_never_began_says_so_too(bench):
    def fail(_):
        raise ValueError("no")

    step = parallel("p", {"bad": Step("b", fail), "late": Step("l", len)}, max_concurrency=1)
    outcome = await bench.execute(step, "x")
    assert [(child.name, child.success) for child in outcome.children] == [("bad", False), ("late", False)]


def test_a_history_is_in_the_order_in_which_frames_were_made():
    history = StepHistoryTracker()
    for path in ("b", "a"):
        history.setdefault(path, None)
    history["a"] = StepResult("a", usage=ONE)
    assert [result.name for result in history.results] == ["a"]
    history["b"] = StepResult("b")
    assert [result.name for result in history.results] == ["b", "a"]
    assert history.usage == ONE


@given(st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("pq"), st.integers(0, 9))))
def test_a_tally_counts_each_path_by_what_was_last_said_of_it(notes):
    tally = CallTally()
    for agent, path, calls in notes:
        tally.note(agent, path, calls)
    last = {(agent, path): calls for agent, path, calls in notes}
    for agent in "xy":
        assert tally.total(agent) == sum(calls for (who, _), calls in last.items() if who == agent)


def test_what_an_attempt_owes_when_it_raises_is_told_once_and_by_path():
    tally = CallTally()
    tally.owe("a", Usage(1))
    tally.owe("a", Usage(1, 2, 3))
    tally.owe("b", Usage(5))

    assert [tally.owed(path) for path in ("a", "a", "b", "c")] == [Usage(2, 2, 3), NO_USAGE, Usage(5), NO_USAGE]
