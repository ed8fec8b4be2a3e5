"""A step in doubt fails its run, and one whose record can't be read breaks it off, whatever holds the step."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from flujo import Flujo, Pipeline, Step, StepConfig
from flujo.domain.agentic_loop import AgenticLoopStep
from flujo.domain.cached import CacheStep
from flujo.domain.imports import ImportStep
from flujo.domain.kinds import ConditionalStep, DynamicParallelRouterStep, LoopStep, MapStep, ParallelStep
from flujo.domain.state_machine import StateMachineStep, Transition
from flujo.exceptions import StateCorrupt
from flujo.infra.memory import InMemoryBackend
from flujo.testing import FakeClock


class Till:
    """Comes to no end while it is `stuck`."""

    def __init__(self) -> None:
        self.paid = 0
        self.stuck = True
        self.begun = asyncio.Event()

    async def __call__(self, data: Any) -> Any:
        self.paid += 1
        self.begun.set()
        if self.stuck:
            await asyncio.Event().wait()


def fail(data: Any) -> Any:
    raise ValueError("no")


def plan(turn: Any) -> Any:
    history = turn["history"]
    if not history:
        return {"action": "run_agent", "agent": "pay", "input": 1}
    return {"action": "finish", "output": history[0]["result"]}


def bad() -> Step[Any, Any]:
    return Step("bad", fail)


def state_machine(body: Step[Any, Any]) -> Step[Any, Any]:
    transitions = [Transition("a", "success", "z"), Transition("a", "failure", "z")]
    return StateMachineStep(
        "holder", states={"a": body, "z": Step("end")}, start_state="a", end_states=["z"], transitions=transitions
    )


def together(body: Step[Any, Any], **options: Any) -> Step[Any, Any]:
    return ParallelStep("holder", branches={"a": Step("good"), "b": body}, **options)


async def interrupted(flujo: Flujo[Any, Any, Any], till: Till) -> None:
    """Leave the run "r" while it pays."""
    running = asyncio.create_task(flujo.run([1], run_id="r"))
    await till.begun.wait()
    running.cancel()
    await asyncio.wait([running])


HOLDERS = {
    "map that skips": lambda pay: MapStep("holder", body=pay, on_error="skip"),
    "map that collects": lambda pay: MapStep("holder", body=pay, on_error="collect"),
    "map in a machine": lambda pay: state_machine(MapStep("holder", body=pay)),
    "map with too many failures in a machine": lambda pay: state_machine(
        MapStep("holder", body=pay, on_error="skip", max_failures=0)
    ),
    "parallel that ignores": lambda pay: together(pay, on_branch_failure="ignore"),
    "parallel that collects": lambda pay: together(pay, on_branch_failure="collect"),
    "parallel with a failure beside it in a machine": lambda pay: state_machine(
        ParallelStep("holder", branches={"a": bad(), "b": pay}, on_branch_failure="collect")
    ),
    "router": lambda pay: DynamicParallelRouterStep(
        "holder",
        router=Step("router", lambda _: ["a", "b"]),
        branches={"a": Step("good"), "b": pay},
        on_branch_failure="ignore",
    ),
    "state machine": state_machine,
    "agentic loop": lambda pay: AgenticLoopStep("holder", planner=Step("planner", plan), agents={"pay": pay}),
    "loop": lambda pay: LoopStep("holder", body=pay, max_loops=1, on_max="take_last"),
    "import that skips": lambda pay: ImportStep("holder", pipeline=Pipeline([pay], name="child"), on_failure="skip"),
    "conditional in a machine": lambda pay: state_machine(
        ConditionalStep("holder", condition=lambda data, context: "a", branches={"a": pay})
    ),
    "cache in a machine": lambda pay: state_machine(CacheStep("holder", body=pay)),
    "fallback": lambda pay: Pipeline([pay], name="holder", fallback=Step("instead")),
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
async def test_a_step_in_doubt_fails_the_run_and_can_be_settled(holder):
    till = Till()
    pay = Step("pay", till, effects="at-most-once")
    pipeline = Pipeline([holder(pay), Step("after")], name="shop")
    async with Flujo(pipeline, state_backend=InMemoryBackend(), clock=FakeClock()) as flujo:
        await interrupted(flujo, till)

        result = await flujo.resume("r")

        assert (result.status, result.error.type) == ("failed", "EffectInDoubt")
        assert till.paid == 1
        replayed = await flujo.replay("r")
        assert (replayed.status, replayed.error.type) == ("failed", "EffectInDoubt")
        await flujo.settle("r", result.error.path, "by hand")
        assert (await flujo.resume("r")).status == "completed"
        assert till.paid == 1


async def test_a_background_step_in_doubt_fails_the_run_that_went_on_without_it():
    till = Till()
    pay = Step("pay", till, effects="at-most-once", config=StepConfig(execution_mode="background"))
    async with Flujo(pay >> Step("after"), state_backend=InMemoryBackend(), clock=FakeClock()) as flujo:
        await interrupted(flujo, till)

        result = await flujo.resume("r")

        assert (result.status, result.error.type, result.error.path) == ("failed", "EffectInDoubt", "pay")
        await flujo.settle("r", "pay", "by hand")
        assert (await flujo.resume("r")).status == "completed"
        assert till.paid == 1


@pytest.fixture
async def broken_off(tmp_path):
    """Runs until the step `till` is at work, then makes what is recorded of `pay` unreadable; and back."""
    file = tmp_path / "runs.db"

    def damage(written: bytes, where: str = "%pay") -> None:
        with closing(sqlite3.connect(file)) as connection, connection:
            assert connection.execute("UPDATE journal SET out = ? WHERE path LIKE ?", (written, where)).rowcount

    async def begin(pipeline: Pipeline[Any, Any], till: Till) -> None:
        async with Flujo(pipeline, state_uri=f"sqlite:///{file}") as flujo:
            await interrupted(flujo, till)
        damage(b"?")

    begin.damage, begin.uri = damage, f"sqlite:///{file}"
    return begin


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
async def test_a_recorded_result_that_cannot_be_read_breaks_the_run_off_and_nothing_is_done_instead(holder, broken_off):
    till, paid, after = Till(), [], []
    pay = Step("pay", lambda data: paid.append(data) or 5, fallback=Step("other", after.append))
    pipeline = Pipeline([holder(Pipeline([pay, Step("till", till)], name="both")), Step("after", after.append)])
    await broken_off(pipeline, till)
    till.paid = 0

    async with Flujo(pipeline, state_uri=broken_off.uri) as flujo:
        with pytest.raises(StateCorrupt, match="pay can't be read: it is not the JSON that was stored"):
            await flujo.resume("r")

        assert (await flujo.runs())[0].status == "interrupted"
        assert (len(paid), till.paid, after) == (1, 0, [])


async def test_a_background_steps_result_that_cannot_be_read_breaks_the_run_off(broken_off):
    till, paid = Till(), []
    pay = Step("pay", paid.append, config=StepConfig(execution_mode="background"))
    pipeline = Pipeline([pay, Step("wait", lambda data: asyncio.sleep(0.01)), Step("till", till)])
    await broken_off(pipeline, till)
    till.stuck = False

    async with Flujo(pipeline, state_uri=broken_off.uri) as flujo:
        with pytest.raises(StateCorrupt, match="pay can't be read"):
            await flujo.resume("r")

        assert (await flujo.runs())[0].status == "interrupted"
        assert len(paid) == 1


async def test_an_answer_that_cannot_be_read_breaks_the_run_off_although_the_function_takes_it_for_an_error(broken_off):
    def pay(data, run):
        try:
            return run.ask("how much?")
        except StateCorrupt:
            return 0

    async with Flujo(Step("pay", pay), state_uri=broken_off.uri) as flujo:
        await flujo.run(1, run_id="r")
        await flujo.answer("r", 5)
        broken_off.damage(b"?", "pay%!1")

        with pytest.raises(StateCorrupt, match="!1 can't be read"):
            await flujo.resume("r")

        assert (await flujo.runs())[0].status == "interrupted"
