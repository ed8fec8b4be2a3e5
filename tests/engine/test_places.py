"""Each step that a policy runs has a place of its own: two at one path would share a result."""

import asyncio

import pytest

from flujo.domain.config import StepConfig
from flujo.domain.outcomes import Failure, Success
from flujo.domain.steps import Pipeline, Step
from flujo.engine.policy import StepPolicy
from flujo.exceptions import ExecutionError


class Thrice(Step):
    """Runs its part three times, each with other data; `ways` says how."""

    kind = "thrice"
    records = False

    def __init__(self, part, way, **options):
        Step.__init__(self, "t", None, **options)
        object.__setattr__(self, "part", part)
        object.__setattr__(self, "way", way)

    def children(self):
        return [self.part]


class ThricePolicy(StepPolicy):
    @property
    def handles_type(self):
        return Thrice

    async def execute(self, core, frame):
        return await frame.step.way(core, frame)


async def in_turn(core, frame, at=None):
    outcomes = [await core.execute(frame.child(frame.step.part, f"{frame.data}{n}", at=at and at(n))) for n in range(3)]
    return next(
        (each for each in outcomes if not isinstance(each, Success)), Success([each.value for each in outcomes])
    )


async def at_once(core, frame):
    children = [frame.child(frame.step.part, n) for n in range(3)]
    outcomes = await asyncio.gather(*map(core.execute, children))
    return Success([each.value for each in outcomes])


async def one_frame(core, frame):
    child = frame.child(frame.step.part, 0)
    outcomes = [await core.execute(child.with_data(n)) for n in range(3)]
    return Success([each.value for each in outcomes])


async def of_one_name(core, frame):
    for n in range(3):
        await core.execute(frame.child(Step("one", lambda data: data, version=str(n)), n))


async def with_places(core, frame):
    return await in_turn(core, frame, at=lambda n: f"[{n}]")


async def until_it_works(core, frame):
    outcomes = [await core.execute(frame.child(frame.step.part, frame.data)) for _ in range(2)]
    return outcomes[-1]


@pytest.fixture
def thrice(bench):
    bench.core._registry.register(ThricePolicy())
    return bench


@pytest.mark.parametrize("way", [in_turn, at_once, one_frame, of_one_name])
@pytest.mark.parametrize("retries", [0, 2])
async def test_a_second_step_at_a_path_fails_the_step_at_once(thrice, way, retries):
    got = []
    step = Thrice(Step("one", lambda data: got.append(data) or data), way, config=StepConfig(max_retries=retries))

    outcome = await thrice.execute(step, "x", path="t")

    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, ExecutionError)
    assert "runs 'one' at 't/one', where it has run a step" in str(outcome.error)
    assert 'at=f"[{n}]"' in outcome.error.suggestion
    assert got in ([], [0], ["x0"])


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_part_made_of_steps_is_not_run_twice_by_one_frame(thrice, retries):
    """Though the steps that it runs are others each time."""
    got = []
    ways = [Step(name, lambda data: got.append(data) or data) for name in "abc"]
    part = Thrice(Pipeline(ways, name="ways"), lambda core, frame: core.execute(frame.child(ways[frame.data], 0)))
    step = Thrice(part, one_frame, config=StepConfig(max_retries=retries))

    outcome = await thrice.execute(step, "x", path="t")

    assert (str(outcome.error), got) == ("the policy of what holds it runs 't' at 't/t', where it has run a step", [0])


async def test_a_background_step_is_not_begun_twice_by_one_frame(thrice):
    part = Step("one", lambda data: data, config=StepConfig(execution_mode="background"))

    outcome = await thrice.execute(Thrice(part, one_frame), "x", path="t")

    assert str(outcome.error) == "the policy of what holds it runs 'one' at 't/one', where it has run a step"


async def test_a_part_made_of_steps_has_one_place_too(thrice):
    got = []
    body = Pipeline([Step("one", got.append)], name="body")

    outcome = await thrice.execute(Thrice(body, in_turn), "x", path="t")

    message = "the policy of thrice 't' runs 'body' at 't/sub:body', where it has run a step"
    assert (str(outcome.error), got) == (message, ["x0"])


async def test_steps_with_places_of_their_own_each_get_their_data(thrice):
    step = Thrice(Step("one", lambda data: data), with_places)

    assert (await thrice.execute(step, "x", path="t")).value == ["x0", "x1", "x2"]


async def test_a_step_that_failed_may_be_tried_again_at_its_path(thrice):
    left = [1]

    def once_more(data):
        if left.pop() if left else 0:
            raise ValueError("not yet")
        return data

    assert (await thrice.execute(Thrice(Step("one", once_more), until_it_works), "x", path="t")).value == "x"


async def test_a_part_made_of_steps_may_be_tried_again_with_its_frame(thrice):
    left = [1]

    async def until_it_works(core, frame):
        child = frame.child(frame.step.part, frame.data)
        await core.execute(child)
        return await core.execute(child)

    body = Pipeline([Step("one", lambda data: data if not left else 1 / (left.pop() - 1))], name="body")

    assert (await thrice.execute(Thrice(body, until_it_works), "x", path="t")).value == "x"


async def test_the_next_attempt_comes_to_the_same_paths(thrice):
    got = []

    async def then_fails(core, frame):
        outcome = await core.execute(frame.child(frame.step.part, frame.data))
        if frame.attempt < 3:
            raise ValueError("not yet")
        return outcome

    step = Thrice(Step("one", lambda data: got.append(data) or data), then_fails, config=StepConfig(max_retries=2))
    outcome = await thrice.execute(step, "x", path="t")

    assert (outcome.value, got, len(outcome.step_result.children)) == ("x", ["x"], 1)


async def test_the_next_attempt_comes_to_each_path_once(thrice):
    async def twice_at_the_second(core, frame):
        child = frame.child(frame.step.part, frame.data)
        outcome = await core.execute(child)
        if frame.attempt == 1:
            raise ValueError("not yet")
        await core.execute(child)
        return outcome

    step = Thrice(Step("one", lambda data: data), twice_at_the_second, config=StepConfig(max_retries=2))
    outcome = await thrice.execute(step, "x", path="t")

    assert "where it has run a step" in str(outcome.error)
