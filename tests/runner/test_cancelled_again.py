"""Runs that are cancelled a second and a third time, and steps that take their time to stop."""

import asyncio
from typing import Annotated, Any

import pytest

from flujo import (
    Backoff,
    ContextReference,
    Flujo,
    Pipeline,
    PipelineContext,
    RunStatus,
    StateProviderAdapter,
    Step,
    StepConfig,
    loop,
    map_,
    parallel,
    route,
)
from flujo.infra.memory import InMemoryBackend
from flujo.runner import watching
from flujo_state_sqlite.backend import SqliteBackend


class Work:
    """A step that needs some turns of the loop to stop; `stopped` says how often it came to its end, `cut` that not."""

    def __init__(self) -> None:
        self.at_work = self.stopped = self.cut = 0
        self.begun = asyncio.Event()

    async def __call__(self, data: Any) -> Any:
        self.at_work += 1
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await turns(15)
                self.stopped += 1
            except asyncio.CancelledError:
                self.cut += 1
                await turns(15)
                raise
            finally:
                self.at_work -= 1


class Slow:
    """Keeps a field, and takes its time."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    async def load(self, key: str) -> Any:
        return self.kept.get(key)

    async def save(self, key: str, data: Any) -> None:
        await turns(15)
        self.kept[key] = data


class Counted(PipelineContext):
    n: Annotated[int, ContextReference("slow", "n")] = 0


async def turns(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def count(data: Any, *, context: Counted) -> Any:
    context.n = 1
    return data


def pipeline_of(kind: str, work: Work) -> Step[Any, Any]:
    step: Step[Any, Any] = Step("work", work)
    both = parallel("both", {"a": step, "b": Step("other", work)})
    background = Step("work", work, config=StepConfig(execution_mode="background"))
    kinds: dict[str, Step[Any, Any]] = {
        "step": step,
        "parallel": both,
        "map": Step("items", lambda data: [1, 2, 3]) >> map_("each", step, concurrency=2),
        "router": route("way", Step("choose", lambda data: ["both"]), {"both": both}),
        "loop": loop("again", step, max_loops=2),
        "nested": parallel("outer", {"inner": both, "beside": Step("item", lambda data: [1]) >> map_("each", step)}),
        "background": background >> Step("last", lambda data: data),
        "background, cut off": background >> Step("last", work),
    }
    return Step("count", count) >> kinds[kind]


KINDS = ["step", "parallel", "map", "router", "loop", "nested", "background", "background, cut off"]


@pytest.fixture(params=["memory", "sqlite"])
async def backend(request, tmp_path):
    made = InMemoryBackend() if request.param == "memory" else SqliteBackend(tmp_path / "runs.db", sync="normal")
    yield made
    await made.close()


def flujo(step: Step[Any, Any], backend: Any, slow: Slow, **options: Any) -> Flujo[Any, Any, Counted]:
    providers = {"slow": StateProviderAdapter(slow)}
    return Flujo(step, state_backend=backend, context_model=Counted, state_providers=providers, **options)


@pytest.mark.parametrize("kind", KINDS)
async def test_however_often_a_run_is_cancelled_it_ends_when_nothing_is_at_work_and_everything_is_saved(backend, kind):
    for pauses in ([0], [18], [24], [3, 14], [1, 1, 24]):
        work, slow, run_id = Work(), Slow(), f"run-{'-'.join(map(str, pauses))}"
        running = asyncio.create_task(flujo(pipeline_of(kind, work), backend, slow).run("x", run_id=run_id))
        await work.begun.wait()
        running.cancel()
        for pause in pauses:
            await turns(pause)
            running.cancel()

        with pytest.raises(asyncio.CancelledError):
            await running

        row = await backend.get(run_id)
        assert (work.at_work, slow.kept, row.status, row.owner) == (0, {"n": 1}, RunStatus.INTERRUPTED, None), pauses


@pytest.mark.parametrize("kind", KINDS)
async def test_leaving_a_stream_and_closing_cancel_once(kind):
    backend, work, slow = InMemoryBackend(), Work(), Slow()
    async with flujo(pipeline_of(kind, work), backend, slow) as runner:
        stream = runner.run_with_events("x", run_id="r")
        async for _ in stream:
            if work.at_work:
                break
        closing = asyncio.create_task(stream.aclose())
        await turns(5)
    assert (work.at_work, work.cut, slow.kept) == (0, 0, {"n": 1})
    assert (await backend.get("r")).status is RunStatus.INTERRUPTED
    await closing


async def test_who_is_cancelled_while_a_stream_closes_hears_of_it_when_nothing_is_at_work():
    backend, work, slow = InMemoryBackend(), Work(), Slow()
    stream = flujo(pipeline_of("parallel", work), backend, slow).run_with_events("x", run_id="r")
    async for _ in stream:
        if work.at_work:
            break
    closing = asyncio.create_task(stream.aclose())
    await turns(5)
    closing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (work.at_work, work.cut, slow.kept) == (0, 0, {"n": 1})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wish_to_stop_gives_every_step_the_time_that_it_needs(kind):
    backend, work, slow = InMemoryBackend(), Work(), Slow()
    runner = flujo(pipeline_of(kind, work), backend, slow)
    running = asyncio.create_task(runner.run("x", run_id="r"))
    await work.begun.wait()
    for _ in range(3):
        await runner.cancel("r")
        await turns(2)

    assert (await running).status is RunStatus.CANCELLED
    assert (work.at_work, work.cut, slow.kept) == (0, 0, {"n": 1})
    assert work.stopped > 0


async def test_a_step_that_stops_slower_than_the_run_is_looked_at_is_not_disturbed(monkeypatch):
    monkeypatch.setattr(watching, "_PERIOD_S", 0.01)
    stopped = []

    async def slow_to_stop(data: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            stopped.append(data)

    runner = Flujo(parallel("both", {"a": Step("slow", slow_to_stop)}))
    running = asyncio.create_task(runner.run("x", run_id="r"))
    await turns(20)
    await runner.cancel("r")

    assert ((await running).status, stopped) == (RunStatus.CANCELLED, ["x"])


async def stubborn(data: Any) -> Any:
    """Goes on in spite of being cancelled, as if nobody had."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
    return data


async def failing(data: Any) -> Any:
    await stubborn(data)
    raise ValueError("no")


@pytest.mark.parametrize("kind", ["step", "parallel", "retry", "background", "end"])
async def test_nothing_begins_after_a_step_that_goes_on_in_spite_of_being_stopped(kind):
    work, first = Work(), Step("first", stubborn)
    after = first >> Step("work", work)
    background = Step("work", work, config=StepConfig(execution_mode="background"))
    step = {
        "step": after,
        "parallel": parallel("both", {"a": after}),
        "retry": Step("first", failing, config=StepConfig(max_retries=9, backoff=Backoff(initial_s=3600, max_s=3600))),
        "background": Pipeline([after], name="p", config=StepConfig(execution_mode="background"))
        >> Step("last", failing),
        "end": background >> first,
    }[kind]
    runner = Flujo(step)
    running = asyncio.create_task(runner.run("x", run_id="r"))
    await turns(20)
    await runner.cancel("r")

    assert (await asyncio.wait_for(running, 5)).status is RunStatus.CANCELLED
    assert work.begun.is_set() is (kind == "end")
