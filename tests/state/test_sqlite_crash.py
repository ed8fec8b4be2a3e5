"""A process that is killed at any moment loses nothing that it acknowledged."""

import random
import sqlite3
from contextlib import closing

import pytest

from flujo.domain.interfaces import JournalRecord


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_writer_loses_nothing_it_acknowledged(process, path, seed):
    """Each of ten processes is killed after a random number of records; the next one goes on from the journal."""
    chance = random.Random(seed)
    first = process()
    assert first.ask("create run-1") == "ok 1"
    acknowledged = []
    for epoch in range(2, 12):
        worker = process() if acknowledged else first
        if acknowledged:
            assert worker.ask("claim_run run-1") == f"ok {epoch - 1}"
        worker.tell("go_on 10000")
        acknowledged += [worker.answer() for _ in range(chance.randrange(1, 40))]
        acknowledged += [line for line in worker.kill() if line.startswith("ok step-")]
    with closing(sqlite3.connect(path)) as connection:
        kept = [row[0] for row in connection.execute("SELECT path FROM journal ORDER BY id")]
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert kept == [f"step-{number}" for number in range(len(kept))]
    assert {line.removeprefix("ok ") for line in acknowledged} <= set(kept)


async def test_process_killed_at_its_start_leaves_a_run_or_none(process, path, opened, run):
    """Whenever it dies: the file is no state yet or a whole one, and the next process can use it."""
    for number in range(5):
        worker = process()
        worker.tell(f"create run-{number}")
        worker.kill()
        backend = opened(path)
        row = await backend.get(f"run-{number}")
        claim = await (backend.claim(row.run_id) if row else backend.create_run(run(f"run-{number}")))
        await backend.append(claim, JournalRecord("a"))
        await backend.close()
