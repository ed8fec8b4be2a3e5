"""S3: a hundred and a thousand branches side by side in memory, what they come to put together; and with a sink."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from benchmarks.measure import Comparison, Quiet, Target, compare, cpu
from flujo import Flujo, Step, parallel

__all__ = ["fan_out"]

SIZES = (100, 1_000)


async def add_one(data: int) -> int:
    """Do next to nothing."""
    return data + 1


async def _by_hand(branches: int, *, contexts: bool) -> dict[str, int]:
    """The outputs by branch; with `contexts` each branch writes into a copy of its own, which is merged."""
    shared: dict[str, int] = {}

    async def branch(name: str) -> int:
        own = dict(shared) if contexts else shared
        output = await add_one(0)
        if contexts:
            own[name] = output
            changed[name] = own
        return output

    changed: dict[str, dict[str, int]] = {}
    names = [f"b{number}" for number in range(branches)]
    outputs = await asyncio.gather(*(branch(name) for name in names))
    for name in changed:
        shared.update(changed[name])
    return dict(zip(names, outputs, strict=True))


def _by_flujo(
    branches: int, *sinks: Quiet, contexts: bool = False
) -> tuple[Flujo[Any, Any], Callable[[], Awaitable[Any]]]:
    def branch(number: int) -> Step[int, int]:
        return Step("add", add_one, sink_to=f"scratchpad.b{number}" if contexts else None)

    step = parallel("all", {f"b{number}": branch(number) for number in range(branches)})
    flujo = Flujo[Any, Any](step, sinks=sinks)

    async def run() -> Any:
        return (await flujo.run(0)).output

    return flujo, run


def fan_out(rounds: int) -> Iterator[Comparison]:
    """CPU time a branch: with outputs alone, with contexts that every branch changes and that are merged, and with a
    sink beside none."""
    with asyncio.Runner() as runner:
        for contexts in (False, True):
            for branches in SIZES:
                yield _compared(runner, branches, contexts, rounds)
        yield _heard(runner, SIZES[-1], rounds)


def _compared(runner: asyncio.Runner, branches: int, contexts: bool, rounds: int) -> Comparison:
    flujo, by_flujo = _by_flujo(branches, contexts=contexts)
    expected = {f"b{number}": 1 for number in range(branches)}
    done = compare(
        f"S3 {branches:,}{' contexts' if contexts else ' branches'}",
        unit="us a branch",
        limit=Target("ours", 60),
        goal=Target("ours", 30),
        ours=lambda: cpu(runner, by_flujo, expected, branches),
        bare=lambda: cpu(runner, lambda: _by_hand(branches, contexts=contexts), expected, branches),
        rounds=rounds,
    )
    runner.run(flujo.aclose())
    return done


def _heard(runner: asyncio.Runner, branches: int, rounds: int) -> Comparison:
    (heard, with_a_sink), (flujo, without) = _by_flujo(branches, Quiet()), _by_flujo(branches)
    expected = {f"b{number}": 1 for number in range(branches)}
    done = compare(
        "S3 a sink (bare: none)",
        unit="us a branch",
        limit=Target("ratio", 3),
        ours=lambda: cpu(runner, with_a_sink, expected, branches),
        bare=lambda: cpu(runner, without, expected, branches),
        rounds=rounds,
    )
    for each in (heard, flujo):
        runner.run(each.aclose())
    return done
