"""S9: going on with a run that has ten thousand results."""

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Comparison, Target, compare
from flujo import Flujo, Pipeline, PipelineContext, RunStatus, Step

__all__ = ["resuming"]

STEPS = 10_000
FILLING = "x" * 100
_RESULTS = "SELECT path, out FROM journal WHERE run = 1 AND kind = 0 ORDER BY id"


async def count(data: str) -> str:
    """Hand on the next number and the filling."""
    return f"{int(data[:5]) + 1:05d}{FILLING}"


class _Live:
    """The step after the recorded ones: notes when it is called and with what, and fails."""

    def __init__(self) -> None:
        self.at = 0.0
        self.data = ""

    async def __call__(self, data: str) -> str:
        self.at, self.data = time.process_time(), data
        raise ValueError("not yet")


def _by_hand(path: Path) -> float:
    """Read every result and decode it."""
    start = time.process_time()
    connection = sqlite3.connect(path)
    results = {name: json.loads(out) for name, out in connection.execute(_RESULTS)}
    spent = time.process_time() - start
    connection.close()
    assert len(results) == STEPS
    assert results[f"s{STEPS - 1}"] == f"{STEPS:05d}{FILLING}"
    return spent * 1e3


def resuming(rounds: int) -> Iterator[Comparison]:
    """CPU time of all threads from the call of `resume` to that of the first step that has no result."""
    live = _Live()
    steps = [*(Step(f"s{n}", run=count) for n in range(STEPS)), Step("live", run=live)]
    pipeline = Pipeline[str, str](steps, name="resuming")
    with tempfile.TemporaryDirectory(prefix="flujo-bench-") as folder, asyncio.Runner() as runner:
        flujo: Flujo[str, str, PipelineContext] = Flujo(pipeline, state_uri="sqlite:///ours.db", root=Path(folder))
        run = runner.run(flujo.run(f"00000{FILLING}"))

        def by_flujo() -> float:
            live.data = ""
            start = time.process_time()
            result = runner.run(flujo.resume(run.run_id))
            assert result.status is RunStatus.FAILED, result
            assert live.data == f"{STEPS:05d}{FILLING}", live.data
            return (live.at - start) * 1e3

        yield compare(
            "S9 resume",
            unit="ms",
            limit=Target("ours", 100),
            ours=by_flujo,
            bare=lambda: _by_hand(Path(folder) / "ours.db"),
            rounds=rounds,
        )
        runner.run(flujo.aclose())
