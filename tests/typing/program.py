"""A program of a user's, as strict as type checkers get, without a cast: read by mypy and pyright, never run."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeGuard, TypeVar, assert_type

from pydantic import BaseModel

from flujo import (
    Aborted,
    AgentResult,
    Chunk,
    Failure,
    Flujo,
    OpenContext,
    Paused,
    Pipeline,
    PipelineContext,
    PipelineResult,
    Step,
    StepConfig,
    StepResult,
    StepRun,
    Success,
    Usage,
    UsageLimits,
    agent,
    branch,
    cached,
    human,
    load_pipeline,
    loop,
    map_,
    parallel,
    step,
)
from flujo.domain.cached import CacheStep
from flujo.domain.events import BackgroundLaunched, Event, RunFinished, StepFinished
from flujo.domain.kinds import LoopStep, MapStep

Out = TypeVar("Out")
Ctx = TypeVar("Ctx", bound=PipelineContext)


class Invoice(BaseModel):
    number: int
    lines: list[str]


class Desk(PipelineContext):
    seen: int = 0


@step
async def read(text: str, *, context: Desk) -> Invoice:
    context.seen += 1
    return Invoice(number=context.seen, lines=text.splitlines())


@step(config=StepConfig(max_retries=2))
def total(invoice: Invoice) -> int:
    return len(invoice.lines)


@step
async def write(number: int) -> AsyncIterator[str]:
    for each in range(number):
        yield str(each)


@step
async def count(number: int) -> AsyncIterator[int]:
    for each in range(number):
        yield each


@step(execution_mode="background")
async def report(number: int) -> str:
    return f"{number} lines"


@step
def approve(number: int, *, run: StepRun) -> bool:
    run.emit({"asking about": number})
    comment = run.ask("why?", str)
    return run.ask(f"pay {number}?", bool) and bool(comment)


async def polite(text: str) -> AgentResult[str]:
    return AgentResult(f"dear {text}", Usage(calls=1))


class Clerk:
    model = "clerk-1"

    async def stream(self, text: str) -> AsyncIterator[str]:
        yield text


class Listener:
    def handle(self, event: object, /) -> None:
        print(event)


assert_type(read >> total, Pipeline[str, int])
assert_type(read >> total >> write, Pipeline[str, str])
assert_type(count, Step[int, list[int]])
assert_type(read >> total >> report >> approve, Pipeline[str, bool])
report >> read  # type: ignore[operator]
clerk = agent("clerk", Clerk(), output=Invoice)
letter = agent("letter", polite)
steps = Pipeline([read, total], name="steps")
nested = map_("each", read) >> branch("sized", on="previous_step | length > 2", branches={True: letter, False: clerk})
more = parallel("both", {"a": loop("grow", total, max_loops=2), "b": human("ask", "sure?", schema=Invoice)})


assert_type(cached("kept", read >> total, ttl_s=60), CacheStep[str, int])
assert_type(cached("asked", agent("inner", polite, output=str), config=StepConfig(max_retries=1)), CacheStep[Any, Any])
assert_type(map_("all", total), MapStep[list[Invoice], list[int]])
assert_type(loop("approved", Step[int, int]("same")), LoopStep[int, int])
cached("kept", total, max_retris=3)  # type: ignore[call-overload]


async def outcomes(flujo: Flujo[str, int, Desk]) -> None:
    async for item in flujo.run_outcomes("x"):
        match item:
            case Success(value=value, step_result=line):
                print(value, line.path if line is not None else "")
            case Failure(error=error):
                print(error)
            case Paused(message=message):
                print(message)
            case Chunk(path=path, value=part):
                print(path, part)
            case BackgroundLaunched(name=name):
                print(name)
            case Aborted(reason=reason):
                print(reason)
            case result:
                assert_type(result, PipelineResult[int, Desk])
                assert_type(result.output, int | None)


def is_result(item: Event | PipelineResult[Out, Ctx]) -> TypeGuard[PipelineResult[Out, Ctx]]:
    return isinstance(item, PipelineResult)


async def events(flujo: Flujo[str, int, Desk]) -> None:
    async for event in flujo.run_with_events("x", run_id="mine"):
        if is_result(event):
            assert_type(event, PipelineResult[int, Desk])
            assert_type(event.output, int | None)
            assert_type(event.final_pipeline_context.seen, int)
        elif isinstance(event, StepFinished):
            assert_type(event.result, StepResult[object])
        elif isinstance(event, RunFinished):
            print(event.result.status)


async def main() -> None:
    flujo = Flujo(
        read >> total, context_model=Desk, usage_limits=UsageLimits(max_calls=3), sinks=[Listener()], root="."
    )
    async with flujo as same:
        assert_type(same, Flujo[str, int, Desk])
    result = await flujo.run("a\nb")
    assert_type(result, PipelineResult[int, Desk])
    assert_type(result.output, int | None)
    assert_type(result.final_pipeline_context.seen, int)
    await outcomes(flujo)
    await events(flujo)
    handle = flujo.run_async("x")
    assert_type(await handle, PipelineResult[int, Desk])
    async for item in handle:
        print(item)
    assert_type(await flujo.resume(result, True), PipelineResult[int, Desk])
    assert_type(await flujo.fork(result, "total"), PipelineResult[int, Desk])
    await flujo.aclose()


assert_type(Flujo(load_pipeline("steps.yaml"), context_model=OpenContext), Flujo[Any, Any, OpenContext])
assert_type(Flujo(approve).run_sync(3), PipelineResult[bool, PipelineContext])
asyncio.run(main())
