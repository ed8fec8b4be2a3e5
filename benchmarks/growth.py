"""S6: long durable runs, and a context that grows by 1 KB a step."""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from pydantic import Field

from benchmarks.measure import Comparison, Target, compare
from benchmarks.rows import END, RECORD, START, check_rows, opened
from flujo import Flujo, Pipeline, PipelineContext, Step

__all__ = ["growth"]

STEPS, PART = 300, 100
SHORT, LONG = 1_000, 10_000
#: What a step puts into the context.
NOTE = "x" * 1_000


class Notes(PipelineContext):
    """A context that grows."""

    notes: list[str] = Field(default_factory=list)


#: When each step of the run at work was called, and when the run came back.
_times: list[float] = []


async def note(data: int, context: Notes) -> int:
    """Put 1 KB into the context."""
    _times.append(time.perf_counter())
    context.notes.append(NOTE)
    return data + 1


async def count(data: int) -> int:
    """Do next to nothing."""
    return data + 1


class _ByHand:
    """For every step a guarded INSERT, in a transaction of its own, of its result and of what it added."""

    def __init__(self, path: Path) -> None:
        self.connection = opened(path)
        self.runs = 0

    async def run(self) -> int:
        """Run the three hundred steps."""
        self.runs += 1
        data, context, fingerprint = 0, Notes(), bytes(32)
        self.connection.execute("PRAGMA synchronous=FULL")
        run = self.connection.execute(START, (f"run-{self.runs}", json.dumps(data).encode())).lastrowid
        self.connection.execute("PRAGMA synchronous=NORMAL")
        for number in range(STEPS):
            started, before = time.time(), len(context.notes)
            data = await note(data, context)
            added = json.dumps([["add", ["notes"], context.notes[before:]]]).encode()
            values = (run, f"s{number}", 1, os.urandom(16), fingerprint, json.dumps(data).encode(), added)
            assert self.connection.execute(RECORD, (*values, started, time.time(), run, 1)).rowcount == 1
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute(END, (json.dumps(data).encode(), run))
        return data


def growth(rounds: int) -> Iterator[Comparison]:
    """The whole run, its end beside its beginning, its file beside its data; then ten thousand steps beside a thousand.

    The last three compare flujo with itself or with the bytes that a step adds: `bare` is what it should be like.
    """
    with tempfile.TemporaryDirectory(prefix="flujo-bench-") as folder, asyncio.Runner() as runner:
        yield from _growing(runner, Path(folder), rounds)
    with tempfile.TemporaryDirectory(prefix="flujo-bench-") as folder, asyncio.Runner() as runner:
        yield _flat(runner, Path(folder), max(2, rounds // 3))


def _timed(runner: asyncio.Runner, run: Callable[[], Awaitable[int | None]], steps: int) -> float:
    """Microseconds a step of the whole run, its start and end included."""

    async def timed() -> float:
        _times.clear()
        start = time.perf_counter()
        result = await run()
        _times.append(time.perf_counter())
        assert result == steps, result
        return (_times[-1] - start) / steps * 1e6

    return runner.run(timed())


def _growing(runner: asyncio.Runner, folder: Path, rounds: int) -> Iterator[Comparison]:
    by_hand = _ByHand(folder / "bare.db")
    pipeline = Pipeline[int, int]([Step(f"s{n}", run=note) for n in range(STEPS)], name="growing")
    flujo = Flujo[int, int, Notes](pipeline, context_model=Notes, state_uri="sqlite:///ours.db", root=folder)

    async def by_flujo() -> int | None:
        result = await flujo.run(0)
        assert len(result.final_pipeline_context.notes) == STEPS
        return result.output

    def part(first: int) -> float:
        _timed(runner, by_flujo, STEPS)
        return (_times[first + PART - 1] - _times[first]) / (PART - 1) * 1e6

    ours, bare = partial(_timed, runner, by_flujo, STEPS), partial(_timed, runner, by_hand.run, STEPS)
    limit = Target("ratio", 2)
    yield compare("S6 growing context", unit="us a step", limit=limit, ours=ours, bare=bare, rounds=rounds)
    yield compare(
        f"S6 last {PART} (bare: first)",
        unit="us a step",
        limit=Target("ratio", 1.2),
        ours=lambda: part(STEPS - PART),
        bare=lambda: part(0),
        rounds=rounds,
    )
    runner.run(flujo.aclose())
    by_hand.connection.close()
    runs = 3 * (rounds + 1)
    size = (folder / "ours.db").stat().st_size / (runs * STEPS)
    sizes = {"ours": [size] * 2, "bare": [float(len(NOTE))] * 2}
    yield Comparison("S6 file (bare: data)", "bytes a step", limit, None, sizes)
    check_rows(folder, {"ours.db": runs * STEPS, "bare.db": (rounds + 1) * STEPS})


def _flat(runner: asyncio.Runner, folder: Path, rounds: int) -> Comparison:
    """A step of a run of ten thousand, beside one of a run of a thousand."""

    def subject(steps: int) -> tuple[Flujo[int, int, PipelineContext], Callable[[], Awaitable[int | None]]]:
        pipeline = Pipeline[int, int]([Step(f"s{n}", run=count) for n in range(steps)], name="long")
        flujo: Flujo[int, int, PipelineContext] = Flujo(pipeline, state_uri=f"sqlite:///{steps}.db", root=folder)

        async def run() -> int | None:
            return (await flujo.run(0)).output

        return flujo, run

    made = {steps: subject(steps) for steps in (SHORT, LONG)}
    compared = compare(
        f"S6 {LONG:,} (bare: {SHORT:,})",
        unit="us a step",
        limit=Target("ratio", 1.2),
        ours=lambda: _timed(runner, made[LONG][1], LONG),
        bare=lambda: _timed(runner, made[SHORT][1], SHORT),
        rounds=rounds,
    )
    for flujo, _ in made.values():
        runner.run(flujo.aclose())
    check_rows(folder, {f"{steps}.db": (rounds + 1) * steps for steps in made})
    return compared
