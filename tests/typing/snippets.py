"""What a type checker makes of steps: read by mypy, never run. A comment beside a line is what mypy must say of it."""

from collections.abc import AsyncIterator, Awaitable
from typing import reveal_type

from flujo import (
    AgentResult,
    Pipeline,
    PipelineContext,
    Step,
    StepConfig,
    agent,
    cached,
    human,
    import_,
    loop,
    map_,
    parallel,
    scripted,
    step,
)


@step
async def count(x: str) -> int:
    return len(x)


@step
def spread(x: int) -> list[int]:
    return [x]


@step
async def with_context(x: str, *, context: PipelineContext) -> int:
    return len(context.run_id + x)


@step(config=StepConfig(max_retries=1), name="q")
def configured(x: int, context: PipelineContext, scale: int = 2) -> str:
    return str(x * scale)


@step(max_retries=2, sink_to="scratchpad.x")
async def with_options(x: int) -> str:
    return str(x)


@step
def later(x: int) -> Awaitable[str]:
    return with_options.run(x)  # type: ignore[no-any-return]


@step
async def spoken(x: str) -> AsyncIterator[str]:
    yield x


@step(max_retries=1)
async def counted(x: int) -> AsyncIterator[int]:
    yield x


@step
def silent(x: str) -> None: ...


@step
def source() -> int:
    return 1


@step()
async def source_of_run(*, context: PipelineContext) -> int:
    return len(context.run_id)


@step(execution_mode="background")
async def noted(x: int) -> None: ...


@step(max_retries=1, execution_mode="background")
def labelled(x: int) -> str:
    return str(x)


@step(execution_mode="background", sink_to=None)
async def told(x: int, *, context: PipelineContext) -> AsyncIterator[str]:
    yield str(x) + context.run_id


@step(execution_mode="background")
def tick() -> int:
    return 1


@step(execution_mode="foreground")
def foreground(x: int) -> str:
    return str(x)


def plain(x: str) -> int:
    return len(x)


class Agent:
    async def run(self, data: str) -> int:
        return len(data)


declared: Step[str, int] = Step("declared", plain)
named: Pipeline[str, list[int]] = Pipeline([count, spread], name="named")

# Neither of these needs an annotation.
wrapped = Step("wrapped", plain)
wrapped_agent = Step("agent", Agent(), params={"depth": 2})
listed = Pipeline([count, spread])

reveal_type(count)  # N: Step[str, int]
reveal_type(spread)  # N: Step[int, list[int]]
reveal_type(with_context)  # N: Step[str, int]
reveal_type(configured)  # N: Step[int, str]
reveal_type(with_options)  # N: Step[int, str]
reveal_type(later)  # N: Step[int, str]
reveal_type(spoken)  # N: Step[str, str]
reveal_type(counted)  # N: Step[int, list[int]]
reveal_type(silent)  # N: Step[str, None]
reveal_type(source)  # N: Step[Any, int]
reveal_type(source_of_run)  # N: Step[Any, int]
reveal_type(wrapped)  # N: Step[Any, Any]
reveal_type(wrapped_agent)  # N: Step[Any, Any]
reveal_type(listed)  # N: Pipeline[Any, Any]
reveal_type(count >> spread)  # N: Pipeline[str, list[int]]
reveal_type(count >> configured)  # N: Pipeline[str, str]
reveal_type(count >> with_options >> silent)  # N: Pipeline[str, None]
reveal_type(named >> wrapped >> spread)  # N: Pipeline[str, list[int]]

# A background step hands on what it gets.
reveal_type(noted)  # N: Step[int, int]
reveal_type(labelled)  # N: Step[int, int]
reveal_type(told)  # N: Step[int, int]
reveal_type(tick)  # N: Step[Any, Any]
reveal_type(foreground)  # N: Step[int, str]
reveal_type(count >> noted >> labelled >> spread)  # N: Pipeline[str, list[int]]
labelled >> silent  # E: [operator]
count >> foreground >> noted  # E: [operator]

asked = agent("asked", Agent(), output=int)
reveal_type(asked)  # N: AgentStep[Any, int]
reveal_type(agent("a", plain, output={"type": "string"}))  # N: AgentStep[Any, Any]
reveal_type(agent("a", scripted(["x"]), output=list[int]) >> named)  # E: [operator]
reveal_type(count >> asked >> spread)  # N: Pipeline[str, list[int]]
reveal_type(AgentResult(3).output)  # N: int

# What is made of one step has its types, unless something else is handed in or given in its place.
reveal_type(cached("kept", count, ttl_s=1, sink_to="x"))  # N: CacheStep[str, int]
reveal_type(cached("kept", count, input="{{ context.x }}"))  # N: CacheStep[Any, Any]
reveal_type(cached("kept", [count, spread]))  # N: CacheStep[Any, Any]
reveal_type(import_("sub", count >> spread))  # N: ImportStep[str, list[int]]
reveal_type(import_("sub", count, on_failure="skip"))  # N: ImportStep[Any, Any]
reveal_type(loop("again", count >> configured, max_loops=2))  # N: LoopStep[str, str]
reveal_type(loop("again", count, loop_output_mapper=print))  # N: LoopStep[Any, Any]
reveal_type(map_("each", count))  # N: MapStep[list[str], list[int]]
reveal_type(map_("each", count, over="names", on_error="skip"))  # N: MapStep[Any, list[int]]
reveal_type(map_("each", count, on_error="collect"))  # N: MapStep[Any, Any]
cached("kept", count) >> silent  # E: [operator]
cached("kept", count, max_retris=3)  # E: [call-overload]
human("sure", "sure?", input_schema=int)  # E: [call-arg]
parallel("both", {"a": count}, include_key=["a"])  # E: [call-arg]
agent("a", plain, setting={})  # E: [call-overload]

count >> silent  # E: [operator]
(count >> spread) >> configured  # E: [operator]
step(max_retrys=2)  # E: [call-overload]
step(max_retries="2")  # E: [call-overload]
step(execution_mode="later")  # E: [call-overload]
Step("x", plain, effects="some")  # E: [arg-type]
Pipeline([plain])  # E: [list-item]
