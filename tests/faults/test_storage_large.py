"""States that are large, and histories that are long: what takes minutes to make."""

import itertools
import sqlite3
from contextlib import closing

import pytest

from flujo.infra.memory import InMemoryBackend
from flujo.testing.state_rules import RuleTests
from flujo_state_sqlite.backend import SqliteBackend
from flujo_state_sqlite.schema import MIGRATIONS

#: SQLite reports each so many of its steps.
_STRIDE = 100

FILL_RUNS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO run(run_id, pipeline, version, def_hash, source, status, epoch, wid, enc, input, tags, created_at,
                updated_at, ended_at, output_blob)
SELECT printf('run-%06d', i), 'p', '1', x'64', '', CASE WHEN i % 5 THEN 3 ELSE 2 END, 1, x'00', 1, zeroblob(2000),
       '{}', i, i, i, CASE WHEN i % 10 THEN NULL ELSE x'00' END FROM n
"""
FILL_JOURNAL = """
INSERT INTO journal(run, path, kind, attempt, epoch, wid, fp, durable, enc, out, calls, tok_in, tok_out, started_at,
                    ended_at)
SELECT id, printf('step-%d', value), 0, 1, 1, x'00', x'', 0, 1, zeroblob(?), 0, 0, 0, 1, 1
FROM run, generate_series(1, 10)
"""


def filled(path, runs, size):
    """A state of so many runs with ten records of so many bytes each, and an open question in one of a hundred."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in itertools.chain.from_iterable(MIGRATIONS):
            connection.execute(statement)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO definition VALUES (x'64', '{}')")
        connection.execute("INSERT INTO blob VALUES (x'00', 1, x'00')")
        connection.execute(FILL_RUNS, (runs,))
        tens = "WITH RECURSIVE t(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM t WHERE value < 10) "
        connection.execute(tens + FILL_JOURNAL.replace("generate_series(1, 10)", "t"), (size,))
        connection.execute("UPDATE journal SET kind = 3, path = 'ask?' WHERE path = 'step-5' AND run % 100 = 0")
        connection.execute("COMMIT")


class Counting:
    """Opens connections whose work is counted in steps of SQLite's own machine."""

    def __init__(self):
        self.steps = 0

    def __call__(self, uri):
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=0)
        connection.set_progress_handler(self.note, _STRIDE)
        return connection

    def note(self):
        self.steps += _STRIDE


async def costs(path):
    """What each thing that one does with a single run or a page of runs costs."""
    counting = Counting()
    backend = SqliteBackend(path, connect=counting)
    found = {}
    for name, work in {
        "open and claim": lambda: backend.claim("run-000100"),
        "load": lambda: backend.load("run-000100"),
        "show": lambda: backend.get("run-000100"),
        "list": backend.list,
        "list a prefix": lambda: backend.list(prefix="run-0001", limit=20),
        "questions of a run": lambda: backend.waits(run_id="run-000100"),
    }.items():
        before = counting.steps
        await work()
        found[name] = counting.steps - before
    await backend.close()
    return found


@pytest.mark.parametrize(
    ("runs", "size"),
    [(5_000, 100), pytest.param(100_000, 1_000, marks=pytest.mark.slow)],
)
async def test_what_one_run_costs_does_not_grow_with_the_file(tmp_path, runs, size, figures):
    """36: counted in SQLite's steps, beside a file of 500 runs; the large one has a million records in over a GiB."""
    filled(tmp_path / "small.db", 500, size)
    filled(tmp_path / "large.db", runs, size)
    small, large = await costs(tmp_path / "small.db"), await costs(tmp_path / "large.db")
    figures(
        f"36 {runs} runs",
        records=runs * 10,
        MiB=(tmp_path / "large.db").stat().st_size >> 20,
        steps=max(large.values()),
    )
    (tmp_path / "large.db").unlink()  # pytest would keep it
    assert {name: steps for name, steps in large.items() if steps > small[name] * 1.5 + 2 * _STRIDE} == {}


@pytest.fixture
def counted(request, figures):
    """Keep how many histories a class of tests has tried."""
    yield
    figures(f"27 {request.cls.__name__}", histories=request.cls.histories, steps=request.cls.steps)


@pytest.mark.slow
@pytest.mark.usefixtures("counted")
class TestLongHistories(RuleTests):
    """27: many histories of the state in the file."""

    durable = True
    histories = 2_000
    steps = 60

    def open(self, folder):
        return SqliteBackend(folder / "state.db", sync="normal")


@pytest.mark.slow
@pytest.mark.usefixtures("counted")
class TestLongHistoriesInMemory(RuleTests):
    """27: as many of the one in memory, whose rules are the same."""

    histories = 2_000
    steps = 60

    def open(self, folder):
        return InMemoryBackend()
