"""Runs that are cancelled, or taken over, while they are at work, while they wait, and after their end."""

import asyncio
from typing import Any

import pytest

from flujo import Flujo, OpenContext, Pipeline, PipelineContext, Step, StepConfig, human, loop, parallel
from flujo.domain.events import RunFinished
from flujo.domain.interfaces import Claim
from flujo.exceptions import RunNotFound, RunOwnedElsewhere, StateBackendBusy
from flujo.infra.memory import InMemoryBackend
from flujo.testing import FakeClock, RecordingSink


class Work:
    """A step that waits, and says when it has begun and that it was cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = 0

    async def __call__(self, data: Any) -> Any:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def a_while() -> None:
    """Long enough for a run to begin that waits for nothing."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend()


def flujo(step: Step[Any, Any], backend: InMemoryBackend, **options: Any) -> Flujo[Any, Any, OpenContext]:
    return Flujo(step, state_backend=backend, context_model=OpenContext, clock=FakeClock(), **options)


async def test_a_run_at_work_is_cancelled_from_elsewhere_and_keeps_what_is_finished(backend):
    work, sink = Work(), RecordingSink()
    step = Step("first", lambda data: data) >> Step("long", work)
    running = asyncio.create_task(flujo(step, backend, sinks=[sink]).run("x", run_id="r"))
    await work.begun.wait()

    assert await flujo(step, backend).cancel("r") == "running"

    result = await running
    assert (result.status, result.success, result.error.message) == ("cancelled", False, "the run was cancelled")
    assert [(each.path, each.success) for each in result.step_history] == [("first", True), ("long", False)]
    assert work.cancelled == 1
    assert [record.path for record in await backend.load("r")] == ["first"]
    assert (await backend.get("r")).status == "cancelled"
    assert [event.result.status for event in sink.events if isinstance(event, RunFinished)] == ["cancelled"]
    assert asyncio.current_task().cancelling() == 0


async def test_a_run_in_the_same_loop_stops_at_once_and_one_of_the_same_name_elsewhere_goes_on(backend):
    work, other = Work(), Work()
    runner, beside = flujo(Step("long", work), backend), flujo(Step("long", other), InMemoryBackend())
    running, going_on = (asyncio.create_task(each.run("x", run_id="r")) for each in (runner, beside))
    await a_while()
    assert await runner.cancel("r") == "running"
    await a_while()

    assert (running.done(), going_on.done(), other.cancelled) == (True, False, 0)
    assert running.result().status == "cancelled"
    assert (await runner.cancel("r"), await beside.cancel("r")) == ("cancelled", "running")
    assert (await going_on).status == "cancelled"


async def test_a_second_wish_changes_nothing_and_an_ended_run_stays_as_it_is(backend):
    runner = flujo(human("ask", "ok?"), backend)
    await runner.run("x", run_id="waits")
    await runner.run("x", run_id="done")
    await runner.resume("done", "yes")

    assert [await runner.cancel("waits") for _ in range(2)] == ["cancelled"] * 2
    assert await runner.cancel("done") == "completed"
    with pytest.raises(RunNotFound):
        await runner.cancel("nobody")


async def test_a_step_that_turns_the_cancellation_into_a_failure_does_not_hide_it(backend):
    async def stubborn(data: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise ValueError("what a pity") from error

    step = Step("long", stubborn)
    running = asyncio.create_task(flujo(step, backend).run("x", run_id="r"))
    await a_while()
    await flujo(step, backend).cancel("r")

    assert (await running).status == "cancelled"


async def test_a_step_that_ends_in_spite_of_it_has_ended(backend):
    async def finishing(data: Any) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "finished"

    step = Step("long", finishing)
    running = asyncio.create_task(flujo(step, backend).run("x", run_id="r"))
    await a_while()
    await flujo(step, backend).cancel("r")

    result = await running
    assert (result.status, result.output) == ("completed", "finished")


async def test_a_run_that_pauses_in_the_moment_it_is_cancelled_is_cancelled(backend):
    async def cancel(data: Any) -> Any:
        await backend.cancel("r", at=0)
        return data

    step = Step("late", cancel) >> human("ask", "ok?")

    result = await flujo(step, backend).run("x", run_id="r")

    assert (result.status, result.pending) == ("cancelled", ())
    assert [each.path for each in result.step_history] == ["late", "ask"]
    assert await flujo(step, backend).inbox() == ()


async def test_a_run_that_was_taken_over_stops_and_leaves_it_to_the_other(backend):
    work = Work()
    step = Step("first", lambda data: data) >> Step("long", work)
    running = asyncio.create_task(flujo(step, backend).run("x", run_id="r"))
    await work.begun.wait()
    other = await backend.claim("r", force=True)

    with pytest.raises(RunOwnedElsewhere, match="run 'r' was taken over by this process"):
        await running

    assert work.cancelled == 1
    assert (await backend.get("r")).epoch == other.epoch
    await backend.finish(other, "interrupted", at=0)


async def test_who_cancels_the_task_meanwhile_is_heard(backend):
    release = asyncio.Event()
    stopping = asyncio.Event()

    async def slow_to_stop(data: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            stopping.set()
            await release.wait()

    step = Step("long", slow_to_stop)
    running = asyncio.create_task(flujo(step, backend).run("x", run_id="r"))
    await a_while()
    await backend.cancel("r", at=0)
    await stopping.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await backend.get("r")).status == "cancelled"


@pytest.mark.parametrize(("took", "effects"), [(1.0, "none"), (0.0, "external"), (0.0, "at-most-once")])
async def test_no_step_begins_that_had_to_look_first_though_none_before_it_waited(backend, took, effects):
    clock, begun = FakeClock(), []

    async def cancel(data: Any) -> Any:
        await backend.cancel("r", at=0)
        clock.advance(took)
        return data

    last = Step("last", begun.append, effects=effects)
    side_by_side = parallel("both", {"a": Step("first", cancel) >> last, "b": Step("other")})
    for step in (Step("first", cancel) >> last, side_by_side):
        async with Flujo(step, state_backend=backend, clock=clock) as runner:
            assert (await runner.run("x", run_id="r")).status == "cancelled"
            await backend.delete("r")
    assert begun == []


async def test_a_look_from_before_a_step_that_kept_the_loop_is_not_believed():
    backend, begun = Busy(), []

    async def cancel(data: Any) -> Any:
        await asyncio.sleep(1.05)  # the look begins that fails
        await backend.cancel("r", at=0)
        return data

    step = Step("first", cancel) >> Step("last", begun.append, effects="external")

    assert (await flujo(step, backend).run("x", run_id="r")).status == "cancelled"
    assert (begun, backend.looks) == ([], 2)


class Busy(InMemoryBackend):
    """Can't be asked at the first look."""

    looks = 0

    async def is_cancelled(self, claim: Claim, /) -> bool:
        self.looks += 1
        if self.looks == 1:
            raise StateBackendBusy("another process holds the lock")
        return await super().is_cancelled(claim)


async def test_a_look_that_fails_is_followed_by_another():
    backend, work = Busy(), Work()
    step = parallel("both", {"a": Step("long", work), "b": human("ask", "ok?")})
    running = asyncio.create_task(flujo(step, backend).run("x", run_id="r"))
    await work.begun.wait()
    await backend.cancel("r", at=0)

    assert (await running).status == "cancelled"
    assert backend.looks == 2


class Counted(PipelineContext):
    """A context that steps count in."""

    n: int = 0


@pytest.mark.parametrize("held", ["loop", "retried"])
async def test_what_a_step_that_was_cut_off_has_changed_in_the_context_is_taken_back(backend, held):
    begun = asyncio.Event()

    async def count(data: int, *, context: Counted) -> int:
        context.n += 1
        if context.n < 3:
            return data
        begun.set()
        await asyncio.Event().wait()
        return data

    step: Step[Any, Any] = loop("l", Step("count", count), max_loops=9)
    if held == "retried":
        step = Pipeline([step], name="p", config=StepConfig(max_retries=1))
    runner = Flujo(Pipeline([step]), state_backend=backend, context_model=Counted, clock=FakeClock())
    running = asyncio.create_task(runner.run(1, run_id="r"))
    await begun.wait()
    await runner.cancel("r")

    result, again = await running, await runner.replay("r")
    assert (result.status, result.final_pipeline_context.n) == ("cancelled", 2)
    assert (again.status, again.final_pipeline_context.n) == ("cancelled", 2)
