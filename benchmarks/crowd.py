"""S5: many durable runs at once, whose records are committed together."""

import asyncio
import json
import os
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeAlias

from benchmarks.measure import Comparison, Target, compare
from benchmarks.rows import END, RECORD, START, check_rows, opened
from flujo import Flujo, Pipeline, Step

__all__ = ["crowd"]

RUNS, STEPS = 256, 10
#: What a step hands on: about what a short answer of a model is long.
FILLING = "x" * 700

_Write: TypeAlias = tuple[str, tuple[object, ...], bool, asyncio.Future[int | None]]


async def count(data: str) -> str:
    """Let the others have their turn, as a call of a model would, and hand on the next number and the filling."""
    await asyncio.sleep(0)
    return f"{int(data[:4]) + 1:04d}{FILLING}"


class _ByHand:
    """A thread that commits together what waits, with a guard in every INSERT; start and end wait for the disk."""

    def __init__(self, path: Path) -> None:
        self.connection = opened(path)
        self.queue: SimpleQueue[_Write | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        self.runs = 0

    async def all(self) -> list[str | None]:
        """Run them all."""
        return await asyncio.gather(*(self._run() for _ in range(RUNS)))

    async def _run(self) -> str:
        self.runs += 1
        data, fingerprint = f"0000{FILLING}", bytes(32)
        run = await self._write(START, (f"run-{self.runs}", json.dumps(data).encode()), full=True)
        for number in range(STEPS):
            started = time.time()
            data = await count(data)
            written = json.dumps(data).encode()
            values = (run, f"s{number}", 1, os.urandom(16), fingerprint, written, None, started, time.time(), run, 1)
            await self._write(RECORD, values)
        await self._write(END, (json.dumps(data).encode(), run), full=True)
        return data

    async def _write(self, statement: str, values: tuple[object, ...], *, full: bool = False) -> int | None:
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.queue.put((statement, values, full, future))
        return await future

    def _serve(self) -> None:
        while (first := self.queue.get()) is not None:
            batch = [first]
            try:
                while (following := self.queue.get_nowait()) is not None:
                    batch.append(following)
            except Empty:
                pass
            self.connection.execute(f"PRAGMA synchronous={'FULL' if any(each[2] for each in batch) else 'NORMAL'}")
            self.connection.execute("BEGIN IMMEDIATE")
            rows = [self.connection.execute(statement, values).lastrowid for statement, values, _, _ in batch]
            self.connection.execute("COMMIT")
            told = list(zip((each[3] for each in batch), rows, strict=True))
            batch[0][3].get_loop().call_soon_threadsafe(_tell, told)

    def close(self) -> None:
        self.queue.put(None)
        self.thread.join()
        self.connection.close()


def _tell(told: list[tuple[asyncio.Future[int | None], int | None]]) -> None:
    for future, row in told:
        future.set_result(row)


def crowd(rounds: int) -> Iterator[Comparison]:
    """Time a step of 256 runs of ten, their starts and ends included; 100 us are 10,000 steps a second."""
    pipeline = Pipeline[str, str]([Step(f"s{n}", run=count) for n in range(STEPS)], name="crowd")
    with tempfile.TemporaryDirectory(prefix="flujo-bench-") as folder, asyncio.Runner() as runner:
        by_hand = _ByHand(Path(folder) / "bare.db")
        flujo = Flujo(pipeline, state_uri="sqlite:///ours.db", root=Path(folder))

        async def by_flujo() -> list[str | None]:
            results = await asyncio.gather(*(flujo.run(f"0000{FILLING}") for _ in range(RUNS)))
            return [result.output for result in results]

        def sample(work: Callable[[], Awaitable[list[str | None]]]) -> float:
            async def timed() -> float:
                start = time.perf_counter()
                results = await work()
                spent = time.perf_counter() - start
                assert results == [f"{STEPS:04d}{FILLING}"] * RUNS
                return spent / (RUNS * STEPS) * 1e6

            return runner.run(timed())

        yield compare(
            f"S5 {RUNS} durable runs",
            unit="us a step",
            limit=Target("ours", 100),
            goal=Target("ours", 1e6 / 15_000),
            ours=lambda: sample(by_flujo),
            bare=lambda: sample(by_hand.all),
            rounds=rounds,
        )
        runner.run(flujo.aclose())
        by_hand.close()
        check_rows(Path(folder), dict.fromkeys(("ours.db", "bare.db"), (rounds + 1) * RUNS * STEPS))
