"""S4: two hundred steps, each committed to SQLite before the next begins."""

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Comparison, compare
from flujo import Flujo, Pipeline, Step

__all__ = ["durable"]

STEPS = 200
#: What a step hands on: about what a short answer of a model is long.
FILLING = "x" * 700

_SCHEMA = """
CREATE TABLE run(id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, status INT NOT NULL,
  epoch INT NOT NULL, input BLOB, output BLOB) STRICT;
CREATE TABLE journal(id INTEGER PRIMARY KEY, run INT NOT NULL, path TEXT NOT NULL, epoch INT NOT NULL,
  wid BLOB NOT NULL, out BLOB, started_ms INT, ended_ms INT, UNIQUE(run, path)) STRICT;
"""
_RECORD = """
INSERT INTO journal(run, path, epoch, wid, out, started_ms, ended_ms)
SELECT :run, :path, :epoch, :wid, :out, :started, :ended
WHERE EXISTS(SELECT 1 FROM run WHERE id = :run AND epoch = :epoch)
"""


async def count(data: str) -> str:
    """Hand on the next number and the filling."""
    return f"{int(data[:4]) + 1:04d}{FILLING}"


class _ByHand:
    """What one would write with sqlite3 alone: a guarded INSERT in a transaction of its own for every step."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "wal_autocheckpoint=0", "temp_store=MEMORY", "busy_timeout=0"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.executescript(_SCHEMA)
        self.runs = 0

    async def run(self) -> str:
        self.runs += 1
        data = f"0000{FILLING}"
        row = (f"run-{self.runs}", 1, 1, json.dumps(data).encode())
        run = self._commit("FULL", "INSERT INTO run(run_id, status, epoch, input) VALUES(?, ?, ?, ?)", row).lastrowid
        for number in range(STEPS):
            started = int(time.time() * 1000)
            data = await count(data)
            values = {"run": run, "path": f"s{number}", "epoch": 1, "wid": number.to_bytes(8), "started": started}
            values |= {"out": json.dumps(data).encode(), "ended": int(time.time() * 1000)}
            assert self._commit("NORMAL", _RECORD, values).rowcount == 1
        self._commit("FULL", "UPDATE run SET status = 3, output = ? WHERE id = ?", (json.dumps(data).encode(), run))
        return data

    def _commit(self, sync: str, statement: str, values: Mapping[str, Any] | Sequence[Any]) -> sqlite3.Cursor:
        if sync == "FULL":
            self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("BEGIN IMMEDIATE")
        cursor = self.connection.execute(statement, values)
        self.connection.execute("COMMIT")
        if sync == "FULL":
            self.connection.execute("PRAGMA synchronous=NORMAL")
        return cursor


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
            goal="ratio <= 1.5",
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
