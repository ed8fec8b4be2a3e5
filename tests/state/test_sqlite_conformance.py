"""The SQLite backend keeps the contract of every backend, whichever way it is told to sync."""

from pathlib import Path

from flujo.domain.interfaces import StateBackend
from flujo.testing.state import StateBackendConformance
from flujo_state_sqlite.backend import open_sqlite


class TestSqlite(StateBackendConformance):
    durable = True
    url = "sqlite:///.flujo/state.db"

    def open(self, folder: Path) -> StateBackend:
        return open_sqlite(self.url, folder)


class TestSqliteFull(TestSqlite):
    url = "sqlite:///state.db?sync=full"
    histories = 3


class TestSqliteNormal(TestSqlite):
    url = "sqlite:///state.db?sync=normal"
    histories = 3
