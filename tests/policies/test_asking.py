"""Functions that ask people while they are at work."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from flujo import (
    AgentResult,
    Flujo,
    Pipeline,
    Step,
    StepConfig,
    StepRun,
    Usage,
    agent,
    human,
    loop,
    map_,
    parallel,
    step,
)
from flujo.exceptions import AnswerRejected, PausedException
from flujo.infra.memory import InMemoryBackend


class Order(BaseModel):
    count: int


@step
def greet(name: str, *, run: StepRun) -> str:
    return f"{run.ask(f'what is {name} called?')} is {name}"


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend()


def asked(result: Any) -> list[tuple[str, str]]:
    return [(each.path, each.message) for each in result.pending]


async def test_a_function_waits_for_its_answer_and_runs_again_with_it(backend):
    flujo = Flujo(greet, state_backend=backend)

    first = await flujo.run("ann")
    assert (first.status, first.error, asked(first)) == ("paused", None, [("greet?1", "what is ann called?")])
    assert asked(await flujo.resume(first)) == asked(first)
    assert (await flujo.resume(first, "Ann")).output == "Ann is ann"
    assert await flujo.inbox() == ()


async def test_questions_are_asked_one_after_the_other_and_keep_their_answers(backend):
    calls = []

    async def ask_twice(data: str, *, run: StepRun) -> str:
        calls.append(data)
        return run.ask("first?") + run.ask("second?")

    flujo = Flujo(Step("twice", ask_twice), state_backend=backend)
    paused = await flujo.run("x")
    assert asked(paused := await flujo.resume(paused, "a")) == [("twice?2", "second?")]
    assert (await flujo.resume(paused, "b", token=paused.pending[0].token)).output == "ab"
    assert len(calls) == 3


async def test_an_answer_is_what_the_schema_says(backend):
    async def order(data: str, *, run: StepRun) -> int:
        return run.ask("how many?", Order).count + run.ask("and?", {"type": "integer", "minimum": 1})

    flujo = Flujo(Step("order", order), state_backend=backend)
    paused = await flujo.run("x")
    with pytest.raises(AnswerRejected, match="count"):
        await flujo.resume(paused, {"count": "many"})
    paused = await flujo.resume(paused, {"count": 2})
    with pytest.raises(AnswerRejected, match="minimum"):
        await flujo.resume(paused, 0)

    assert (await flujo.resume(paused, 3)).output == 5


async def test_a_function_in_a_thread_asks_and_emits_too(backend):
    def work(data: str, *, run: StepRun) -> str:
        run.emit("begun")
        return f"{data} {run.ask('ok?')}"

    flujo = Flujo(Step("work", work, blocking=True), state_backend=backend)
    *items, paused = [item async for item in flujo.run_outcomes("x")]

    assert (items[0].path, items[0].value) == ("work", "begun")
    assert (await flujo.resume(paused, "yes")).output == "x yes"


async def test_branches_and_items_have_questions_of_their_own(backend):
    both = map_("each", Pipeline([parallel("both", {"l": greet, "r": greet})]))
    flujo = Flujo(both, state_backend=backend)
    result = await flujo.run(["a", "b"])
    while result.pending:
        for each in result.pending:
            await flujo.answer(result, each.path, token=each.token)
        result = await flujo.resume(result)

    at = "map:each[{}]/parallel:both/{}/greet?1 is {}"
    assert result.output == [{side: at.format(n, side, item) for side in "lr"} for n, item in enumerate("ab")]


@pytest.mark.parametrize("swallow", [Exception, BaseException])
async def test_a_function_that_goes_on_without_its_answer_fails_and_is_told_why(swallow):
    def stubborn(data: str, *, run: StepRun) -> str:
        try:
            return run.ask("may I?")
        except swallow:
            return "did it anyway"

    result = await Flujo(Step("stubborn", stubborn, config=StepConfig(max_retries=3))).run("x")

    assert (result.status, result.step_history[0].attempts) == ("failed", 1)
    assert result.error.message == "step 'stubborn' went on although 'may I?' was not answered yet"
    assert "let PausedException pass" in result.error.suggestion
    assert result.pending == ()


async def test_a_function_that_makes_another_error_of_it_is_told_the_same():
    async def group(data: str, *, run: StepRun) -> str:
        async def ask() -> None:
            run.ask("may I?")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask())
        return data

    result = await Flujo(Step("group", group)).run("x")

    assert "went on although 'may I?' was not answered yet" in result.error.message


async def test_a_function_that_is_cancelled_after_asking_is_cancelled():
    async def late(data: str, *, run: StepRun) -> str:
        try:
            run.ask("may I?")
        except PausedException:
            await asyncio.Event().wait()
        return data

    task = asyncio.ensure_future(Flujo(Step("late", late)).run("x"))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_another_question_than_was_answered_is_no_question_to_that_answer(backend):
    words = ["yes?"]

    def ask(data: str, *, run: StepRun) -> str:
        return run.ask(words[0])

    flujo = Flujo(Step("ask", ask), state_backend=backend)
    paused = await flujo.run("x")
    words[0] = "no?"

    failed = await flujo.resume(paused, "y")

    assert failed.error.message == "step 'ask' asked 'yes?' before, and now asks 'no?' in its place"
    words[0] = "yes?"
    assert (await flujo.resume(failed)).output == "y"


async def test_an_answer_outlives_a_failure_of_the_function(backend):
    broken = [True]

    def ask(data: str, *, run: StepRun) -> str:
        said = run.ask("ok?")
        if broken[0]:
            raise ConnectionError("no answer")
        return said

    flujo = Flujo(Step("ask", ask), state_backend=backend)
    failed = await flujo.resume(await flujo.run("x"), "yes")
    broken[0] = False

    assert (failed.status, failed.pending) == ("failed", ())
    assert (await flujo.resume(failed)).output == "yes"


async def test_a_step_that_may_run_only_once_can_not_ask():
    result = await Flujo(Step("pay", greet.run, effects="at-most-once")).run("x")

    assert result.error.message == "step 'pay' asks 'what is x called?', but may run only once"


@pytest.mark.parametrize("injected", [False, True])
async def test_raising_the_signal_asks_and_the_answer_is_the_output(backend, injected):
    async def plain(data: str) -> str:
        raise PausedException("which one?")

    def with_context(data: str, *, context: Any) -> str:
        raise PausedException("which one?")

    flujo = Flujo(Step("pick", with_context if injected else plain), state_backend=backend)

    first = await flujo.run("x")
    assert asked(first) == asked(await flujo.resume(first)) == [("pick?p1", "which one?")]
    assert (await flujo.resume(first, "the left one")).output == "the left one"


async def test_a_function_that_waits_for_something_else_than_a_person_goes_on_when_it_is_there(backend):
    ready = [0]

    async def poll(data: str) -> str:
        if ready[0] < 2:
            raise PausedException(f"{ready[0]} of 2")
        return "ready"

    flujo = Flujo(Step("poll", poll) >> Step("ask", greet.run), state_backend=backend)
    first = await flujo.run("x")
    ready[0] = 1
    second = await flujo.resume(first, "what now?")
    ready[0] = 2
    third = await flujo.resume(second)

    assert asked(second) == [("poll?p2", "1 of 2")]
    assert asked(third) == [("ask?1", "what is ready called?")]
    assert [each.question.path for each in await flujo.inbox()] == ["ask?1"]


async def test_raising_the_signal_in_a_step_that_may_run_only_once_asks_nobody(backend):
    async def plain(data: str) -> str:
        raise PausedException("wait")

    result = await Flujo(Step("pay", plain, effects="at-most-once"), state_backend=backend).run("x")

    assert (result.status, result.pending, result.error.message) == ("paused", (), "wait")


async def test_what_an_agent_used_before_it_asked_counts(backend):
    async def clerk(data: str, *, run: StepRun) -> AgentResult[str]:
        return AgentResult(run.ask("sure?"), Usage(calls=1, tokens_in=5))

    flujo = Flujo(agent("clerk", clerk), state_backend=backend)
    paused = await flujo.run("x")
    done = await flujo.resume(paused, "yes")

    assert (paused.usage.calls, done.usage.calls, done.output) == (1, 2, "yes")
    assert done.step_history[0].attempts == 1


async def test_a_function_is_tested_without_an_engine():
    run = StepRun("r", "greet", 1)
    run.emit("nobody hears it")

    with pytest.raises(PausedException, match="what is ann called"):
        greet.run("ann", run=run)


async def test_emitting_after_the_step_has_ended_does_nothing():
    kept: list[StepRun] = []

    def keep(data: str, *, run: StepRun) -> str:
        run.emit(1)
        kept.append(run)
        return data

    def late(data: str) -> str:
        kept[0].emit(2)
        return data

    items = [item async for item in Flujo(Step("keep", keep) >> Step("late", late)).run_outcomes("x", run_id="r")]

    assert [(item.path, item.value) for item in items if hasattr(item, "attempt")] == [("keep", 1)]


async def test_an_async_generator_is_a_step_whose_parts_are_joined_or_listed(run):
    async def letters(data: str) -> AsyncIterator[str]:
        for letter in data:
            yield letter

    async def numbers(data: int):
        for number in range(data):
            yield number

    assert (await run(Step("letters", letters), "abc")).output == "abc"
    assert (await run(Step("letters", letters), "")).output == ""
    assert (await run(Step("numbers", numbers), 3)).output == [0, 1, 2]
    assert (await run(Step("numbers", numbers), 0)).output == []


async def test_a_plain_function_may_hand_out_a_stream(run):
    class Counted:
        def __init__(self, to: int) -> None:
            self.left = to

        def __aiter__(self) -> "Counted":
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    def counted(data: int) -> AsyncIterator[int]:
        return Counted(data)

    async def numbers(data: int) -> AsyncIterator[int]:
        yield data

    assert (await run(Step("counted", counted, config=StepConfig(timeout_s=5)), 3)).output == [2, 1, 0]
    assert (await run(Step("undeclared", lambda data: numbers(data + 0)), 3)).output == [3]
    assert (await run(Step("beside", lambda data: numbers(data + 0), blocking=True), 3)).output == [3]


async def test_an_agent_with_a_stream_is_asked_by_it_and_may_tell_what_it_used(run):
    class Poet:
        model = "m"

        async def run(self, data: str) -> str:
            raise AssertionError("it is asked by its stream")

        async def stream(self, data: str) -> AsyncIterator[Any]:
            yield '{"count":'
            yield " 3}"
            yield AgentResult('{"count": 3}', Usage(calls=1, tokens_out=7))

    class OnlyStream:
        async def stream(self, data: str) -> AsyncIterator[str]:
            yield data

    result = await run(agent("poet", Poet(), output=Order))
    assert (result.output, result.usage.tokens_out) == (Order(count=3), 7)
    assert (await run(Step("class", OnlyStream))).output == "x"


async def test_a_stream_is_closed_when_its_step_is_cancelled():
    closed = []

    async def endless(data: int) -> AsyncIterator[int]:
        try:
            while True:
                yield data
        finally:
            closed.append(True)

    result = await Flujo(Step("endless", endless, config=StepConfig(timeout_s=0.2))).run(1)

    assert (result.error.type, closed) == ("StepTimeoutError", [True])


async def test_types_of_streams_are_those_of_what_they_come_to():
    async def text(data: str) -> AsyncIterator[str]:
        yield data

    async def numbers(data: str) -> AsyncIterator[int]:
        yield 1

    async def mixed(data: str) -> AsyncIterator[str | AgentResult[int]]:
        yield data

    async def bare(data: str) -> AsyncIterator:
        yield data

    declared = [Step("s", each).output_type for each in (text, numbers, mixed, bare)]
    assert declared == [str, list[int], Any, Any]


def raising(data: str) -> str:
    raise PausedException("sure?")


def asking(data: str, *, run: StepRun) -> str:
    return run.ask("sure?", str)


BEHIND = StepConfig(execution_mode="background", max_retries=2)


@pytest.mark.parametrize("function", [asking, raising])
@pytest.mark.parametrize("is_inside", [False, True])
async def test_a_function_in_the_background_can_not_ask_and_leaves_no_question_open(backend, function, is_inside):
    asks = Step("ask", function, config=StepConfig() if is_inside else BEHIND)
    behind = loop("l", asks, max_loops=1, config=BEHIND) if is_inside else asks
    flujo = Flujo(behind >> human("go", "go on?"), state_backend=backend)

    paused = await flujo.run("x")

    assert asked(paused) == [("go", "go on?")]
    assert [each.question.path for each in await flujo.inbox()] == ["go"]
    [line] = paused.background
    assert (line.success, line.paused, line.attempts) == (False, False, 1)
    told = "step 'ask' asks 'sure?' in the background, but nobody waits for it"
    assert (line.error.message, line.error.code, line.error.suggestion) == (told, "FLUJO-206", "ask in the foreground")
    assert (await flujo.resume(paused, "yes")).status == "completed"


async def test_the_fallback_of_a_function_in_the_background_does_what_it_can_not_ask_for(backend):
    behind = Step("ask", asking, config=BEHIND, fallback=Step("guess", lambda data: "no"))

    result = await Flujo(behind >> Step("on"), state_backend=backend).run("x")

    assert [(line.success, line.fallback, line.output) for line in result.background] == [(True, "guess", "no")]
