"""The SQLite backend keeps the contract of every backend, whichever way it is told to sync."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flujo.domain.interfaces import StateBackend
from flujo.testing.state import StateBackendConformance
from flujo_state_sqlite.backend import open_sqlite


class TestSqlite(StateBackendConformance):
    durable = True
    url = "sqlite:///.flujo/state.db"

    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[StateBackend]:
        self.root = tmp_path
        backend = open_sqlite(self.url, tmp_path)
        yield backend
        await backend.close()

    def reopen(self, backend: StateBackend) -> StateBackend:
        return open_sqlite(self.url, self.root)


class TestSqliteFull(TestSqlite):
    url = "sqlite:///state.db?sync=full"


class TestSqliteNormal(TestSqlite):
    url = "sqlite:///state.db?sync=normal"
