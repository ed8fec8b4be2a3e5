"""What the tests of a state backend share: backends to test, and runs to keep in them."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pytest

from flujo.domain.interfaces import JournalRecord, NewRun, RunRow, StateBackend
from flujo.domain.outcomes import ErrorInfo
from flujo.testing.conformance import Conformance

__all__ = ["ERROR", "START", "Reopen", "StateTests", "journal_of", "new_run", "row_of", "stored"]

#: Opens another backend on what the one before, closed or not, has stored.
Reopen: TypeAlias = Callable[[], StateBackend]

#: Times are binary fractions: they survive a column of whole milliseconds as well as one of floats.
START = 1_700_000_000.25

#: An error with every field.
ERROR = ErrorInfo(
    type="ValueError",
    message="no 'ü', no \x00, no 🜂\nsecond line",
    code="X-1",
    suggestion="try the other one",
    path="outer/inner",
    location="/somewhere/steps.py:12",
    plugin="flujo-policy-acme 0.3.1",
)


def stored(backend: StateBackend, value: Any) -> Any:
    """`value` in the form in which `backend` is handed values: bytes if it encodes, else as it is."""
    return json.dumps(value, ensure_ascii=False).encode() if backend.encodes else value


def new_run(backend: StateBackend, run_id: str = "run-1", **fields: Any) -> NewRun:
    """A run to create, with any field replaced by one of `fields`."""
    run = NewRun(
        run_id=run_id,
        pipeline="tickets",
        version="3",
        definition='{"steps":[]}',
        digest=b"\x00\xff" * 8,
        input=stored(backend, {"text": "in"}),
        base=stored(backend, {"scratchpad": {}}),
        created_at=START,
        source="pipelines/tickets.yaml",
        tags={"team": "support", "ünï": ""},
    )
    return run._replace(**fields)


class StateTests(Conformance):
    """Where the tests have their backends from; `StateBackendConformance` says how it is used."""

    durable: ClassVar[bool] = False

    def open(self, folder: Path) -> StateBackend:
        """A backend on what is stored in `folder`, which is empty at first."""
        raise TypeError("override 'open'")

    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[StateBackend]:
        """A fresh, empty backend."""
        backend = self.open(tmp_path)
        yield backend
        await backend.close()

    @pytest.fixture
    async def reopen(self, tmp_path: Path) -> AsyncIterator[Reopen]:
        """Opens backends on what is stored; only if that outlives a backend."""
        if not self.durable:
            pytest.skip("the backend is not durable")
        opened: list[StateBackend] = []

        def reopen() -> StateBackend:
            opened.append(self.open(tmp_path))
            return opened[-1]

        yield reopen
        for backend in opened:
            await backend.close()


async def row_of(backend: StateBackend, run_id: str = "run-1") -> RunRow:
    """The run's row, which has to be there."""
    row = await backend.get(run_id)
    assert row is not None
    return row


async def journal_of(backend: StateBackend, run_id: str = "run-1") -> list[JournalRecord]:
    """The run's journal."""
    return list(await backend.load(run_id))
