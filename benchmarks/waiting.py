"""S8: ten thousand runs that wait in a step at the same time, and what each keeps in memory; and with a sink."""

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator

from benchmarks.measure import Comparison, Quiet, Target, compare
from flujo import Flujo, Step

__all__ = ["waiting"]

RUNS, HEARD = 10_000, 2_000

#: A run with a number, which waits in the gate that it is given.
_Run = Callable[[int], Awaitable[int | None]]


class _Gate:
    """Lets nobody through until all have come."""

    def __init__(self, waits_for: int) -> None:
        self.waits_for = waits_for
        self.come, self.all, self.open = 0, asyncio.Event(), asyncio.Event()

    async def __call__(self, data: int) -> int:
        self.come += 1
        if self.come == self.waits_for:
            self.all.set()
        await self.open.wait()
        return data


async def _kept(runs: Callable[[_Gate], _Run], count: int) -> float:
    """KiB that Python has given out for each run, while all of them wait."""
    gate = _Gate(count)
    run = runs(gate)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    tasks = [asyncio.ensure_future(run(number)) for number in range(count)]
    await gate.all.wait()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    gate.open.set()
    assert await asyncio.gather(*tasks) == [*range(count)]
    return (held - before) / count / 1024


def _by_hand(gate: _Gate) -> _Run:
    return gate


def _by_flujo(gate: _Gate, *sinks: Quiet) -> _Run:
    flujo = Flujo(Step("gate", gate), sinks=sinks)

    async def run(number: int) -> int | None:
        return (await flujo.run(number)).output

    return run


def waiting(rounds: int) -> Iterator[Comparison]:
    """Memory a run, its record in memory; bare is a task that waits, or a run that no sink hears of."""
    tracemalloc.start()
    with asyncio.Runner() as runner:
        yield compare(
            f"S8 {RUNS:,} waiting",
            unit="KiB a run",
            limit=Target("ours", 20),
            goal=Target("ours", 8),
            ours=lambda: runner.run(_kept(_by_flujo, RUNS)),
            bare=lambda: runner.run(_kept(_by_hand, RUNS)),
            rounds=rounds,
        )
        yield compare(
            "S8 a sink (bare: none)",
            unit="KiB a run",
            limit=Target("ours", 20),
            ours=lambda: runner.run(_kept(lambda gate: _by_flujo(gate, Quiet()), HEARD)),
            bare=lambda: runner.run(_kept(_by_flujo, HEARD)),
            rounds=rounds,
        )
    tracemalloc.stop()
