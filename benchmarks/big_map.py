"""S10: a map over a file of a hundred thousand items, in processes of their own: their time, and their memory."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Comparison, Target
from benchmarks.rows import END, RECORD, START, check_rows, opened
from flujo import FileItems, Flujo, Step, map_

__all__ = ["big_map"]

SHORT, LONG = 10_000, 100_000
#: So many items are worked on at a time.
AT_A_TIME = 8


async def size(item: dict[str, Any]) -> int:
    """Do next to nothing."""
    return len(item["text"])


async def _by_flujo(folder: Path, items: int) -> int:
    step = map_("each", Step("size", size), over=FileItems(f"{items}.jsonl"), concurrency=AT_A_TIME)
    async with Flujo[Any, Any](step, state_uri="sqlite:///ours.db", root=folder) as flujo:
        return len((await flujo.run(None)).output or ())


async def _by_hand(folder: Path, items: int) -> int:
    """For every item a guarded INSERT, in a transaction of its own."""
    file = folder / "bare.db"
    file.unlink(missing_ok=True)
    connection, done = opened(file), []
    run = connection.execute(START, (f"run-{time.time_ns()}", b"null")).lastrowid
    connection.execute("PRAGMA synchronous=NORMAL")
    with (folder / f"{items}.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            started = time.time()
            done.append(await size(json.loads(line)))
            values = (run, f"s{number}", 1, os.urandom(16), bytes(32), json.dumps(done[-1]).encode(), None)
            assert connection.execute(RECORD, (*values, started, time.time(), run, 1)).rowcount == 1
    connection.execute(END, (json.dumps(done).encode(), run))
    connection.close()
    return len(done)


def big_map(rounds: int) -> Iterator[Comparison]:
    """CPU time an item, and the most memory that a process held; then the time beside that of ten thousand items."""
    samples: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": [], "short": []}
    with tempfile.TemporaryDirectory(prefix="flujo-bench-") as name:
        folder = Path(name)
        for items in (SHORT, LONG):
            lines = (f'{{"id": {number}, "text": "{"x" * 100}"}}\n' for number in range(items))
            (folder / f"{items}.jsonl").write_text("".join(lines), encoding="utf-8")
        for _ in range(rounds):
            samples["bare"].append(_process(folder, "bare", LONG))
            samples["ours"].append(_process(folder, "ours", LONG))
            samples["short"].append(_process(folder, "ours", SHORT))
        check_rows(folder, {"ours.db": rounds * (SHORT + LONG), "bare.db": LONG})
    times = {key: [time for time, _ in taken] for key, taken in samples.items()}
    held = {key: [memory for _, memory in samples[key]] for key in ("ours", "bare")}
    pair = {key: times[key] for key in ("ours", "bare")}
    yield Comparison(f"S10 map of {LONG:,}", "us CPU an item", None, None, pair)
    yield Comparison("S10 memory", "MB", Target("ours", 200), Target("ours", 150), held)
    flat = {"ours": times["ours"], "bare": times["short"]}
    yield Comparison(f"S10 flat (bare: {SHORT:,})", "us CPU an item", Target("ratio", 1.25), None, flat)


def _process(folder: Path, subject: str, items: int) -> tuple[float, float]:
    """Microseconds of CPU an item, and the most megabytes, of a process that does all of them."""
    command = (sys.executable, "-m", "benchmarks.big_map", str(folder), subject, str(items))
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return (used.ru_utime + used.ru_stime) / items * 1e6, used.ru_maxrss / 1024


def _main(folder: str, subject: str, number: str) -> None:
    work = _by_flujo if subject == "ours" else _by_hand
    done = asyncio.run(work(Path(folder), int(number)))
    assert done == int(number), done


if __name__ == "__main__":
    _main(*sys.argv[1:])
