"""Runs that are read while they are at work: outcomes, events, parts of outputs, and readers that go away."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flujo import (
    Chunk,
    Failure,
    Flujo,
    Paused,
    Pipeline,
    PipelineResult,
    RunStatus,
    Step,
    StepConfig,
    Success,
    human,
    loop,
    parallel,
    step,
)
from flujo.domain.events import BackgroundLaunched, RunFinished, RunStarted, StepFinished, StepRetried, StepStarted
from flujo.exceptions import ConfigurationError, StateStorageFull
from flujo.infra.memory import InMemoryBackend
from flujo.testing import RecordingSink


@step
async def double(data: int) -> int:
    return data * 2


@step
async def more(data: int) -> int:
    await asyncio.sleep(0)
    return data + 1


class Gate:
    """A step that waits until it is let through."""

    def __init__(self) -> None:
        self.begun, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, data: Any) -> Any:
        self.begun.set()
        await self.open.wait()
        return data


async def a_while() -> None:
    """Long enough for a run to go as far as it can that waits for nothing but its reader."""
    for _ in range(3000):
        await asyncio.sleep(0)


async def items(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


async def test_outcomes_come_as_they_happen_and_the_result_last():
    gate = Gate()
    stream = Flujo(double >> Step("gate", gate)).run_outcomes(2)

    first = await anext(stream)
    assert (type(first), first.value, first.step_result.path) == (Success, 4, "double")
    assert not gate.open.is_set()
    gate.open.set()
    second, result = await items(stream)
    assert (second.step_result.path, type(result), result.output) == ("gate", PipelineResult, 4)


async def test_inner_steps_are_told_before_those_that_they_stand_in():
    grow = loop("grow", more, max_loops=2)

    *outcomes, _ = await items(Flujo(grow).run_stream(1))

    body = [f"loop:grow[{n}]{inner}" for n in (0, 1) for inner in ("/more", "")]
    assert [each.step_result.path for each in outcomes] == [*body, "loop:grow"]


async def test_failures_and_pauses_are_outcomes_and_the_result_says_the_same():
    def boom(data: int) -> int:
        raise ValueError("boom")

    *_, failed, result = await items(Flujo(double >> Step("boom", boom)).run_outcomes(1))
    assert (type(failed), str(failed.error), result.status) == (Failure, "boom", RunStatus.FAILED)

    *_, paused, result = await items(Flujo(double >> human("ask", "sure?")).run_outcomes(1))
    assert (type(paused), paused.message, paused.token) == (Paused, "sure?", result.pending[0].token)


async def test_background_steps_are_told_at_the_moment_of_their_launch():
    gate = Gate()
    slow = Step("slow", gate, config=StepConfig(execution_mode="background"))
    stream = Flujo(slow >> double).run_outcomes(1)

    launched = await anext(stream)

    assert (type(launched), launched.path, gate.open.is_set()) == (BackgroundLaunched, "slow", False)
    gate.open.set()
    assert [each.step_result.path for each in (await items(stream))[:-1]] == ["double", "slow"]


async def test_every_event_of_the_run_comes_then_its_result():
    *events, result = await items(Flujo(double).run_with_events(1))

    kinds = [RunStarted, StepStarted, StepStarted, StepFinished, StepFinished, RunFinished]
    assert [type(event) for event in events] == kinds
    assert (type(result), result.output, events[-1].result) == (PipelineResult, 2, result)


async def test_events_of_other_runs_do_not_leak_into_a_stream():
    sink = RecordingSink()
    flujo = Flujo(more >> double, sinks=[sink])

    streams = await asyncio.gather(*(items(flujo.run_with_events(n, run_id=f"run-{n}")) for n in range(5)))

    for number, stream in enumerate(streams):
        assert {event.run_id for event in stream} == {f"run-{number}"}
        assert stream[-1].output == 2 * (number + 1)
    assert len(sink.events) == sum(len(stream) - 1 for stream in streams)


async def test_what_a_step_changes_afterwards_does_not_reach_the_reader():
    def begin(data: int) -> list[int]:
        return [data]

    def add(data: list[int]) -> list[int]:
        data.append(2)
        return data

    first, *_ = await items(Flujo(Step("begin", begin) >> Step("add", add)).run_outcomes(1))

    assert first.value == [1]


async def test_the_same_run_again_hands_out_what_is_recorded():
    flujo = Flujo(double >> more)
    await flujo.run(1, run_id="mine")

    *outcomes, result = await items(flujo.run_outcomes(1, run_id="mine"))

    assert [(each.value, each.step_result.recalled) for each in outcomes] == [(2, True), (3, True)]
    assert result.output == 3


async def test_a_run_waits_for_its_reader():
    begun = 0

    async def count(data: int) -> int:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        return data + 1

    stream = Flujo(loop("many", Step("count", count), max_loops=5000)).run_outcomes(0)
    await anext(stream)
    await a_while()

    assert begun < 300  # it is ahead by what is kept, and no more
    ahead = begun
    for _ in range(20):
        await anext(stream)
    await a_while()
    assert begun == ahead  # it goes on when half of that is read, not at each item
    for _ in range(110):
        await anext(stream)
    await a_while()
    assert begun > ahead + 50
    assert (await items(stream))[-1].output == 5000


@pytest.mark.parametrize(
    "many",
    [loop("many", double, max_loops=700), Pipeline([Step(f"s{number}", more.run) for number in range(700)])],
    ids=["in a loop", "one after the other"],
)
async def test_many_recorded_results_wait_for_the_reader_too(many):
    sink = RecordingSink()
    flujo = Flujo(many, sinks=[sink])
    await flujo.run(0, run_id="mine")
    sink.events.clear()
    stream = flujo.run_outcomes(0, run_id="mine")

    await anext(stream)
    await a_while()

    assert len(sink.of_type(StepFinished)) < 300
    assert (await items(stream))[-1].status is RunStatus.COMPLETED


@pytest.mark.parametrize("leave", ["break", "aclose", "forget"])
async def test_a_reader_that_goes_away_stops_the_run_where_it_can_be_resumed(leave):
    gate, backend = Gate(), InMemoryBackend()
    flujo = Flujo(double >> Step("gate", gate), state_backend=backend)
    stream = flujo.run_outcomes(2, run_id="mine")
    async for _ in stream:
        break
    await gate.begun.wait()
    if leave == "aclose":
        await stream.aclose()
    del stream
    await a_while()

    assert (await backend.get("mine")).status is RunStatus.INTERRUPTED
    gate.open.set()
    assert (await flujo.resume("mine")).output == 4


async def test_a_reader_that_is_cancelled_stops_the_run_and_a_second_time_changes_nothing():
    gate, backend = Gate(), InMemoryBackend()
    flujo = Flujo(Step("gate", gate), state_backend=backend)

    reading = asyncio.ensure_future(items(flujo.run_with_events(1, run_id="mine")))
    await gate.begun.wait()
    reading.cancel()
    await asyncio.sleep(0)
    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await backend.get("mine")).status is RunStatus.INTERRUPTED


async def test_a_stream_that_nobody_reads_runs_nothing():
    backend = InMemoryBackend()
    flujo = Flujo(double, state_backend=backend)

    stream, handle = flujo.run_outcomes(1), flujo.run_async(1)
    del stream, handle
    gc.collect()

    assert await backend.list() == []


async def test_a_state_that_fails_raises_at_the_reader():
    class Full(InMemoryBackend):
        async def append(self, claim: Any, record: Any, /) -> None:
            raise StateStorageFull("the disk is full")

    with pytest.raises(StateStorageFull, match="the disk is full"):
        await items(Flujo(double, state_backend=Full()).run_outcomes(1))


async def test_what_is_wrong_with_an_argument_is_told_at_once():
    with pytest.raises(ConfigurationError, match="initial_context_data is of type 'int'"):
        Flujo(double).run_outcomes(1, initial_context_data=3)


async def test_a_handle_is_awaited_as_often_as_one_likes_and_is_one_run():
    backend = InMemoryBackend()
    handle = Flujo(double, state_backend=backend).run_async(2)

    assert [(await handle).output, (await handle).output] == [4, 4]
    assert len(await backend.list()) == 1


async def test_a_handle_is_iterated_for_outcomes_and_awaited_for_the_same_result():
    handle = Flujo(double >> more).run_async(2)

    outcomes = [item async for item in handle]

    assert [type(item) for item in outcomes] == [Success, Success, PipelineResult]
    assert await handle is outcomes[-1]


async def test_a_handle_is_iterated_once_and_not_after_it_was_awaited():
    handle, other = Flujo(double).run_async(2), Flujo(double).run_async(2)
    await handle
    async for _ in other:
        pass

    for each in (handle, other):
        with pytest.raises(ConfigurationError, match="has been iterated or awaited before") as caught:
            aiter(each)
        assert caught.value.suggestion == "await the handle for its result, or call run_async again"
        assert (await each).output == 4


@pytest.mark.parametrize("wait", [0, 20])
async def test_who_leaves_the_loop_over_a_handle_goes_on_by_awaiting_it_or_by_another_loop(wait):
    flujo = Flujo(double >> more >> Step("last", lambda number: -number))
    handle, other = flujo.run_async(2), flujo.run_async(2)
    for each in (handle, other):
        async for _ in each:
            break
        for _ in range(wait):
            await asyncio.sleep(0)

    assert (await handle).output == -5
    assert [type(item) for item in await items(other)] == [Success, Success, PipelineResult]


async def test_a_handle_that_is_forgotten_or_closed_stops_its_run_where_it_can_be_resumed():
    gate, backend = Gate(), InMemoryBackend()
    flujo = Flujo(double >> Step("gate", gate), state_backend=backend)
    handle = flujo.run_async(2, run_id="closed")
    for each in (handle, flujo.run_async(2, run_id="forgotten")):
        async for _ in each:
            break
    del each
    await handle.aclose()
    await a_while()

    assert [row.status for row in await backend.list()] == [RunStatus.INTERRUPTED] * 2


async def test_a_handle_that_was_given_up_has_no_result():
    handle = Flujo(double >> more).run_async(2)
    async for _ in handle:
        break
    await handle.aclose()

    with pytest.raises(ConfigurationError, match="the run of this handle has been given up"):
        await handle


async def test_other_names_mean_the_same():
    assert (Flujo.run_stream, Flujo.resume_async, Flujo.fork) == (Flujo.run_outcomes, Flujo.resume, Flujo.rerun_from)


async def test_parts_of_an_output_come_before_its_outcome():
    async def words(data: str) -> AsyncIterator[str]:
        for word in data.split():
            await asyncio.sleep(0)
            yield word

    *parts, outcome, result = await items(Flujo(Step("words", words)).run_outcomes("a b c", run_id="r"))

    assert parts == [Chunk("r", "words", each) for each in "abc"]
    assert (outcome.value, result.output) == ("abc", "abc")


async def test_a_step_that_gives_parts_waits_for_its_reader_while_its_time_stands_still():
    given = 0

    async def numbers(data: int) -> AsyncIterator[int]:
        nonlocal given
        for given in range(data):
            yield given

    stream = Flujo(Step("numbers", numbers, config=StepConfig(timeout_s=0.5))).run_outcomes(1000)
    await anext(stream)
    await asyncio.sleep(0.6)

    assert given < 300
    assert (await items(stream))[-1].output == [*range(1000)]


async def test_parts_of_a_failed_attempt_are_followed_by_the_word_that_it_is_retried():
    async def flaky(data: str, *, run: Any) -> AsyncIterator[str]:
        yield f"try {run.attempt}"
        if run.attempt == 1:
            raise ConnectionError("gone")

    *events, result = await items(
        Flujo(Step("flaky", flaky, config=StepConfig(max_retries=1))).run_with_events("x", run_id="r")
    )

    told = [event for event in events if isinstance(event, Chunk | StepRetried)]
    assert (told[0], told[2]) == (Chunk("r", "flaky", "try 1", 1), Chunk("r", "flaky", "try 2", 2))
    assert (type(told[1]), told[1].attempt, result.output) == (StepRetried, 1, "try 2")


async def test_branches_give_their_parts_side_by_side():
    async def words(data: str, *, run: Any) -> AsyncIterator[str]:
        for word in data:
            await asyncio.sleep(0)
            yield word

    both = parallel("both", {"one": Step("w", words), "two": Step("w", words)})
    *outcomes, result = await items(Flujo(both).run_outcomes("ab"))

    chunks = [(each.path, each.value) for each in outcomes if isinstance(each, Chunk)]
    assert sorted(chunks[:2]) == [("parallel:both/one/w", "a"), ("parallel:both/two/w", "a")]
    assert result.output == {"one": "ab", "two": "ab"}


async def test_a_recorded_step_gives_no_parts_again():
    async def words(data: str) -> AsyncIterator[str]:
        yield data

    flujo = Flujo(Pipeline([Step("words", words)]))
    await flujo.run("x", run_id="mine")

    assert [type(each) for each in await items(flujo.run_outcomes("x", run_id="mine"))] == [Success, PipelineResult]
