"""The SQLite backend keeps the contract of every backend, whichever way it is told to sync."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from flujo.domain.interfaces import StateBackend
from flujo.testing.state import StateBackendConformance
from flujo_state_sqlite.backend import SqliteBackend, open_sqlite
from flujo_state_sqlite.locations import parse_url


def failing(fails, after):
    """Opens connections of which a commit, or an insert that is its own, raises where `fails()`."""

    class Connection(sqlite3.Connection):
        def execute(self, statement, values=()):
            alone = statement.strip().startswith("INSERT") and not self.in_transaction
            failed = (alone or statement == "COMMIT") and fails()
            cursor = super().execute(statement, values) if after or not failed else None
            if failed:
                raise sqlite3.OperationalError("disk I/O error")
            return cursor

    return lambda uri: sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=0, factory=Connection
    )


class TestSqlite(StateBackendConformance):
    durable = True
    url = "sqlite:///.flujo/state.db"

    def open(self, folder: Path) -> StateBackend:
        return open_sqlite(self.url, folder)

    def open_failing(self, folder: Path, fails: Callable[[], bool], *, after: bool) -> StateBackend:
        location = parse_url(self.url, folder)
        return SqliteBackend(location.path, sync=location.sync, connect=failing(fails, after))


class TestSqliteFull(TestSqlite):
    url = "sqlite:///state.db?sync=full"
    histories = 3


class TestSqliteNormal(TestSqlite):
    url = "sqlite:///state.db?sync=normal"
    histories = 3
