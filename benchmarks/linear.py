"""S1: a thousand trivial async steps in memory; with a sink that listens, and with somebody who reads them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from benchmarks.measure import Comparison, Quiet, Target, compare, cpu
from flujo import Flujo, Pipeline, PipelineResult, Step

__all__ = ["linear"]

STEPS = 1_000


async def add_one(data: int) -> int:
    """Do next to nothing."""
    return data + 1


async def _by_hand(functions: list[Callable[[int], Awaitable[int]]]) -> int:
    data = 0
    for function in functions:
        data = await function(data)
    return data


def linear(rounds: int) -> Iterator[Comparison]:
    """CPU time a step. The pipeline is built once; a run is a whole `Flujo.run`, its record in memory."""
    functions: list[Callable[[int], Awaitable[int]]] = [add_one] * STEPS
    pipeline = Pipeline[int, int]([Step(f"s{n}", run=add_one) for n in range(STEPS)], name="linear")
    with asyncio.Runner() as runner:
        flujo = Flujo(pipeline)

        async def by_flujo() -> int | None:
            return (await flujo.run(0)).output

        yield compare(
            "S1 linear",
            unit="us a step",
            limit=Target("ours", 15),
            goal=Target("ours", 8),
            ours=lambda: cpu(runner, by_flujo, STEPS, STEPS),
            bare=lambda: cpu(runner, lambda: _by_hand(functions), STEPS, STEPS),
            rounds=rounds,
        )
        heard = Flujo(pipeline, sinks=[Quiet()])

        async def with_a_sink() -> int | None:
            return (await heard.run(0)).output

        async def read() -> int | None:
            items = [item async for item in flujo.run_outcomes(0)]
            return items[-1].output if isinstance(items[-1], PipelineResult) else None

        for name, ours in (("S1 a sink (bare: none)", with_a_sink), ("S1 read (bare: not)", read)):
            yield compare(
                name,
                unit="us a step",
                limit=Target("ratio", 3),
                ours=lambda ours=ours: cpu(runner, ours, STEPS, STEPS),  # type: ignore[misc]
                bare=lambda: cpu(runner, by_flujo, STEPS, STEPS),
                rounds=rounds,
            )
        runner.run(heard.aclose())
        runner.run(flujo.aclose())
