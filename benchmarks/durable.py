"""S4: two hundred steps, each committed to SQLite before the next begins."""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Comparison, Target, compare
from benchmarks.rows import END, RECORD, START, check_rows, opened
from flujo import Flujo, Pipeline, Step

__all__ = ["durable"]

STEPS = 200
#: What a step hands on: about what a short answer of a model is long.
FILLING = "x" * 700


async def count(data: str) -> str:
    """Hand on the next number and the filling."""
    return f"{int(data[:4]) + 1:04d}{FILLING}"


class _ByHand:
    """What one would write with sqlite3 alone: for every step a guarded INSERT, which is a transaction by itself.

    The rows are flujo's; start and end wait for the disk, steps do not, as in flujo.
    """

    def __init__(self, path: Path) -> None:
        self.connection = opened(path)
        self.runs = 0

    async def run(self) -> str:
        """Run the two hundred steps."""
        self.runs += 1
        data, fingerprint = f"0000{FILLING}", bytes(32)
        self.connection.execute("PRAGMA synchronous=FULL")
        run = self.connection.execute(START, (f"run-{self.runs}", json.dumps(data).encode())).lastrowid
        self.connection.execute("PRAGMA synchronous=NORMAL")
        for number in range(STEPS):
            started = time.time()
            data = await count(data)
            written = json.dumps(data).encode()
            values = (run, f"s{number}", 1, os.urandom(16), fingerprint, written, None, started, time.time(), run, 1)
            assert self.connection.execute(RECORD, values).rowcount == 1
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute(END, (json.dumps(data).encode(), run))
        return data


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Both sides on the same core, where that can be had: those of a shared machine may differ by half."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def durable(rounds: int) -> Iterator[Comparison]:
    """Time a step, start and end of the run included; both files are open before the clock starts."""
    with _on_one_core():
        yield _compared(rounds)


def _compared(rounds: int) -> Comparison:
    pipeline = Pipeline[str, str]([Step(f"s{n}", run=count) for n in range(STEPS)], name="durable")
    with tempfile.TemporaryDirectory(prefix="flujo-bench-") as folder, asyncio.Runner() as runner:
        by_hand = _ByHand(Path(folder) / "bare.db")
        flujo = Flujo(pipeline, state_uri="sqlite:///ours.db", root=Path(folder))

        async def by_flujo() -> str | None:
            return (await flujo.run(f"0000{FILLING}")).output

        def sample(work: Callable[[], Awaitable[str | None]]) -> float:
            async def timed() -> float:
                start = time.perf_counter()
                result = await work()
                spent = time.perf_counter() - start
                assert result == f"{STEPS:04d}{FILLING}", result
                return spent / STEPS * 1e6

            return runner.run(timed())

        comparison = compare(
            "S4 durable linear",
            unit="us a step",
            limit=Target("ratio", 1.5),
            ours=lambda: sample(by_flujo),
            bare=lambda: sample(by_hand.run),
            rounds=rounds,
        )
        runner.run(flujo.aclose())
        by_hand.connection.close()
        check_rows(Path(folder), dict.fromkeys(("ours.db", "bare.db"), (rounds + 1) * STEPS))
        return comparison
