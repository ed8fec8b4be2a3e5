"""What a run is begun with beside its input: the lines of another's journal, and a definition that may change."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flujo.domain.interfaces import JournalRecord, RecordKind, StateBackend
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import RunOwnedElsewhere
from flujo.infra.memory import InMemoryBackend
from flujo.testing.state import new_run, stored
from flujo_state_sqlite.backend import SqliteBackend


@pytest.fixture(params=["memory", "sqlite"])
async def backend(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[StateBackend]:
    backend: StateBackend = InMemoryBackend() if request.param == "memory" else SqliteBackend(path)
    yield backend
    await backend.close()


async def test_a_run_begins_with_the_records_it_is_given_in_their_order(backend):
    big = stored(backend, "x" * 200_000)
    given = [
        JournalRecord("b", out=big, fingerprint=b"f" * 16),
        JournalRecord("a#a1", RecordKind.FAILED, started_at=1.0, ended_at=2.5),
        JournalRecord("a", out=stored(backend, 1), delta=stored(backend, [])),
    ]
    claim = await backend.create_run(new_run(backend, records=given))
    await backend.append(claim, JournalRecord("c"))

    assert await backend.load("run-1") == [*given, JournalRecord("c")]
    assert (await backend.get("run-1")).recorded == 3


async def test_a_run_that_goes_on_with_another_pipeline_says_which(backend):
    claim = await backend.create_run(new_run(backend, files={"p.yaml": "steps: []\n"}))
    await backend.redefine(claim, '{"steps":[1]}', b"other", {"p.yaml": "steps: [1]\n", "q.yaml": ""})
    await backend.finish(claim, RunStatus.INTERRUPTED, at=1.0)

    row = await backend.get("run-1")
    assert (row.definition, row.digest) == ('{"steps":[1]}', b"other")
    assert dict(row.files) == {"p.yaml": "steps: [1]\n", "q.yaml": ""}
    assert (row.pipeline, row.input) == ("tickets", stored(backend, {"text": "in"}))


async def test_who_lost_a_run_can_not_give_it_another_pipeline(backend):
    old = await backend.create_run(new_run(backend))
    await backend.claim("run-1", force=True)

    with pytest.raises(RunOwnedElsewhere):
        await backend.redefine(old, "{}", b"other", {})
    assert (await backend.get("run-1")).digest == new_run(backend).digest


async def test_a_definition_that_no_run_has_any_more_is_forgotten(path: Path):
    backend = SqliteBackend(path)
    claim = await backend.create_run(new_run(backend, files={"p.yaml": "1"}))
    for number in (1, 2, 2):
        await backend.redefine(claim, "{}", bytes([number]), {"p.yaml": str(number)})
    await backend.close()

    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT hash FROM definition").fetchall() == [(b"\x02",)]
        assert connection.execute("SELECT count(*) FROM blob").fetchone() == (1,)
    connection.close()
