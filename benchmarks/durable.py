"""S4: two hundred steps, each committed to SQLite before the next begins."""

import asyncio
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from benchmarks.measure import Comparison, Target, compare
from flujo import Flujo, Pipeline, Step

__all__ = ["durable"]

STEPS = 200
#: What a step hands on: about what a short answer of a model is long.
FILLING = "x" * 700

_SCHEMA = """
CREATE TABLE run(id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, status INT NOT NULL,
  epoch INT NOT NULL, input BLOB, output BLOB) STRICT;
CREATE TABLE journal(id INTEGER PRIMARY KEY, run INT NOT NULL, path TEXT NOT NULL, kind INT NOT NULL,
  attempt INT NOT NULL, epoch INT NOT NULL, wid BLOB NOT NULL, fp BLOB NOT NULL, durable INT NOT NULL,
  enc INT NOT NULL, out BLOB, out_blob BLOB, delta BLOB, delta_blob BLOB, error TEXT, fallback TEXT,
  calls INT NOT NULL, tok_in INT NOT NULL, tok_out INT NOT NULL, cost TEXT,
  started_at REAL NOT NULL, ended_at REAL NOT NULL, UNIQUE(run, path)) STRICT;
"""
_RECORD = """
INSERT INTO journal(run, path, kind, attempt, epoch, wid, fp, durable, enc, out, calls, tok_in, tok_out,
  started_at, ended_at)
SELECT ?, ?, 0, 1, ?, ?, ?, 0, 1, ?, 0, 0, 0, ?, ?
WHERE EXISTS(SELECT 1 FROM run WHERE id = ? AND epoch = ? AND status = 1)
"""
_START = "INSERT INTO run(run_id, status, epoch, input) VALUES(?, 1, 1, ?)"
_END = "UPDATE run SET status = 3, output = ? WHERE id = ?"


async def count(data: str) -> str:
    """Hand on the next number and the filling."""
    return f"{int(data[:4]) + 1:04d}{FILLING}"


class _ByHand:
    """What one would write with sqlite3 alone: for every step a guarded INSERT, which is a transaction by itself.

    The rows are flujo's; start and end wait for the disk, steps do not, as in flujo. The log is never copied into
    the file, which flujo does every 4 MB: that is among what it costs.
    """

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "wal_autocheckpoint=0", "temp_store=MEMORY", "busy_timeout=0"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.executescript(_SCHEMA)
        self.runs = 0

    async def run(self) -> str:
        """Run the two hundred steps."""
        self.runs += 1
        data, fingerprint = f"0000{FILLING}", bytes(32)
        self.connection.execute("PRAGMA synchronous=FULL")
        run = self.connection.execute(_START, (f"run-{self.runs}", json.dumps(data).encode())).lastrowid
        self.connection.execute("PRAGMA synchronous=NORMAL")
        for number in range(STEPS):
            started = time.time()
            data = await count(data)
            written = json.dumps(data).encode()
            values = (run, f"s{number}", 1, os.urandom(16), fingerprint, written, started, time.time(), run, 1)
            assert self.connection.execute(_RECORD, values).rowcount == 1
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute(_END, (json.dumps(data).encode(), run))
        return data


def durable(rounds: int) -> Iterator[Comparison]:
    """Time a step, start and end of the run included; both files are open before the clock starts."""
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

        yield compare(
            "S4 durable linear",
            unit="us a step",
            limit=Target("ratio", 2),
            goal=Target("ratio", 1.5),
            ours=lambda: sample(by_flujo),
            bare=lambda: sample(by_hand.run),
            rounds=rounds,
        )
        runner.run(flujo.aclose())
        by_hand.connection.close()
        _check_rows(Path(folder), rounds + 1)


def _check_rows(folder: Path, runs: int) -> None:
    """Both files hold every step of every run."""
    for name in ("ours.db", "bare.db"):
        connection = sqlite3.connect(folder / name)
        (rows,) = connection.execute("SELECT count(*) FROM journal WHERE out IS NOT NULL").fetchone()
        connection.close()
        assert rows == runs * STEPS, (name, rows)
