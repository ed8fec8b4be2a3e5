"""S2: a loop of one trivial async step in memory, a thousand and ten thousand times; with a sink that listens."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from benchmarks.measure import Comparison, Quiet, Target, compare, cpu
from flujo import Flujo, Step, loop

__all__ = ["looping"]

SHORT, LONG = 1_000, 10_000


async def add_one(data: int) -> int:
    """Do next to nothing."""
    return data + 1


async def _by_hand(times: int) -> int:
    data = 0
    while data < times:
        data = await add_one(data)
    return data


def _by_flujo(times: int, *sinks: Quiet) -> tuple[Flujo[int, int], Callable[[], Awaitable[int | None]]]:
    step = loop("count", Step("add", add_one), until=f"previous_step >= {times}", max_loops=times)
    flujo = Flujo[int, int](step, sinks=sinks)

    async def run() -> int | None:
        return (await flujo.run(0)).output

    return flujo, run


def looping(rounds: int) -> Iterator[Comparison]:
    """CPU time an iteration, with its test for the end; then ten thousand beside a thousand, both of flujo, and
    a thousand that a sink hears of beside those that nobody does."""
    with asyncio.Runner() as runner:
        made = {times: _by_flujo(times) for times in (SHORT, LONG)}

        def ours(times: int) -> float:
            return cpu(runner, made[times][1], times, times)

        def bare(times: int) -> float:
            return cpu(runner, lambda: _by_hand(times), times, times)

        limit, goal = Target("ours", 25), Target("ours", 15)
        for times in (SHORT, LONG):
            yield compare(
                f"S2 loop of {times:,}",
                unit="us an iteration",
                limit=limit,
                goal=goal,
                ours=lambda times=times: ours(times),  # type: ignore[misc]
                bare=lambda times=times: bare(times),  # type: ignore[misc]
                rounds=rounds,
            )
        yield compare(
            f"S2 flat (bare: {SHORT:,})",
            unit="us an iteration",
            limit=Target("ratio", 1.25),
            goal=Target("ratio", 1.1),
            ours=lambda: ours(LONG),
            bare=lambda: ours(SHORT),
            rounds=rounds,
        )
        heard, with_a_sink = _by_flujo(SHORT, Quiet())
        yield compare(
            "S2 a sink (bare: none)",
            unit="us an iteration",
            limit=Target("ratio", 3),
            ours=lambda: cpu(runner, with_a_sink, SHORT, SHORT),
            bare=lambda: ours(SHORT),
            rounds=rounds,
        )
        for flujo in (heard, *(flujo for flujo, _ in made.values())):
            runner.run(flujo.aclose())
