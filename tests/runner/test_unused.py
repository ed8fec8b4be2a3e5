"""What is recorded is used: a run that goes on otherwise than it went before does not end with a result dropped."""

from typing import Any

import pytest

from flujo import Flujo, OpenContext, Pipeline, RunStatus, Step, StepConfig, branch, cached, human, loop
from flujo.domain.kinds import LoopStep
from flujo.exceptions import DefinitionChanged
from flujo.infra.memory import InMemoryBackend
from flujo.testing import FakeClock


class World:
    """What steps and conditions go by beside the record: whether they are `broken`, and which branch is taken."""

    def __init__(self) -> None:
        self.broken, self.way = True, "a"
        self.backend, self.calls = InMemoryBackend(), list[str]()
        self.clock = FakeClock()

    def step(self, name: str, **options: Any) -> Step[Any, Any]:
        def work(data: Any) -> Any:
            self.calls.append(name)
            return f"{data}>{name}"

        return Step(name, work, **options)

    def stop(self, name: str = "stop", **options: Any) -> Step[Any, Any]:
        def stop(data: Any) -> Any:
            if self.broken:
                raise RuntimeError("not now")
            return data

        return Step(name, stop, config=StepConfig(max_retries=0), **options)

    def fork(self) -> Step[Any, Any]:
        def decide(data: Any, context: Any) -> str:
            return self.way

        return branch("k", on=decide, branches={"a": self.step("a"), "b": self.step("b")})

    def flujo(self, *steps: Step[Any, Any]) -> Flujo[Any, Any, Any]:
        return Flujo(Pipeline(steps), state_backend=self.backend, clock=self.clock, context_model=OpenContext)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_condition_that_decides_otherwise_in_the_next_life_ends_no_run(world):
    flujo = world.flujo(world.fork(), world.stop())
    await flujo.run("x", run_id="r")
    world.way, world.broken = "b", False

    for _ in range(2):
        with pytest.raises(DefinitionChanged) as caught:
            await flujo.resume("r")
        assert caught.value.message == (
            "the result of 'conditional:k/a/a' would not be used any more: "
            "the pipeline, or a condition in it, decides otherwise than before"
        )
        assert "put the pipeline, and what its conditions go by, back as it was" in caught.value.suggestion
        assert (await world.backend.get("r")).status is RunStatus.INTERRUPTED

    world.way = "a"
    assert (await flujo.resume("r")).output == "x>a"


async def test_a_changed_pipeline_is_held_to_the_record_in_every_later_life(world):
    def looping(rounds: int) -> Step[Any, Any]:
        return LoopStep("l", body=world.step("x"), max_loops=rounds)

    await world.flujo(looping(3), human("ask", "who?")).run("i", run_id="r")
    changed = world.flujo(human("new", "and?"), looping(2), human("ask", "who?"))
    assert (await changed.resume("r", allow_changed=True)).status is RunStatus.PAUSED

    for answer in ({"answer": "y", "token": "new"}, {}):
        with pytest.raises(DefinitionChanged, match=r"the result of 'loop:l\[2\]/x' would not be used any more"):
            await changed.resume("r", **answer)


async def test_an_attempt_that_went_elsewhere_owes_nothing_to_later_lives(world):
    def turn(data: Any) -> Any:
        world.way = "b"
        raise RuntimeError("not this way")

    config = StepConfig(max_retries=1)
    ways = {
        "a": Pipeline([world.step("a"), Step("turn", turn, config=StepConfig(max_retries=0))]),
        "b": world.step("b"),
    }
    fork = branch("k", on=lambda data, context: world.way, branches=ways, config=config)
    flujo = world.flujo(fork, world.stop())
    await flujo.run("x", run_id="r")
    world.broken = False

    assert (await flujo.resume("r")).output == "x>b"


async def test_a_step_whose_path_begins_like_another_s_is_not_missed_with_it(world):
    parts = [Pipeline([world.step(name), world.step(f"{name}2")], name=name) for name in ("p", "pp")]
    flujo = world.flujo(*parts, world.stop())
    await flujo.run("x", run_id="r")
    world.broken = False

    assert (await flujo.resume("r")).output == "x>p>p2>pp>pp2"


async def test_a_fallback_that_was_begun_is_not_missed_when_its_step_is_through_after_all(world):
    instead = Pipeline([world.step("a"), world.stop("b")], name="instead")
    flujo = world.flujo(world.stop(fallback=instead))
    assert (await flujo.run("x", run_id="r")).status is RunStatus.FAILED
    world.broken = False

    assert (await flujo.resume("r")).output == "x"


async def test_a_body_that_was_begun_is_not_missed_when_the_cache_has_its_result_by_then(world):
    flujo = world.flujo(cached("c", [world.step("a"), world.stop()]))
    assert (await flujo.run("x", run_id="r")).status is RunStatus.FAILED
    world.broken = False
    other = await flujo.run("x")

    assert (await flujo.resume("r")).output == other.output
    assert world.calls == ["a", "a"]


async def test_what_a_rerun_has_copied_may_stay_unused(world):
    flujo = world.flujo(world.fork(), world.stop())
    await flujo.run("x", run_id="r")
    world.way = "b"
    world.clock.advance(1)
    again = await flujo.rerun_from("r", "stop")
    world.broken = False

    assert (await flujo.resume(again)).output == "x>b"


async def test_rounds_that_a_condition_no_longer_comes_to_are_missed(world):
    def is_enough(data: Any, context: Any) -> bool:
        return not world.broken

    flujo = world.flujo(loop("l", [world.step("a"), world.step("b")], until=is_enough, max_loops=2), world.stop())
    await flujo.run("x", run_id="r")
    world.broken = False

    with pytest.raises(DefinitionChanged, match=r"'loop:l\[1\]/a' would not be used"):
        await flujo.resume("r")
