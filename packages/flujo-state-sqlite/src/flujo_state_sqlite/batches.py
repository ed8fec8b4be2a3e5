"""Writes that are committed together: all of them whole, each refused or done for itself."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from flujo.exceptions import StateError
from flujo_state_sqlite.errors import REFUSED_VALUE, explain
from flujo_state_sqlite.records import INSERT_PLAIN, INSERT_ROWS, ROWS
from flujo_state_sqlite.statefile import StateFile

__all__ = ["Outcome", "Promise", "Write", "commit", "tell"]


class Promise(asyncio.Future[Any]):
    """Is kept although who waits for it is cancelled, which shows when it is kept; a second time breaks it."""

    _asked = False

    def cancel(self, msg: Any | None = None) -> bool:
        """Take note, and cancel from the second time on."""
        if self._asked:
            return super().cancel(msg)
        self._asked = True
        return False


class Write(NamedTuple):
    """Work for a transaction, who waits for it, whether it must survive the machine, and its bytes of values.

    The work may be done more than once, after a commit of which nobody knows whether it took place: it has to
    find out by itself that it was done. `row` are the values of `INSERT_PLAIN`, where that does all of the work.
    """

    work: Callable[[StateFile], Any]
    full: bool
    size: int
    future: Promise
    row: tuple[object, ...] | None = None


#: The result of a write, or why there is none.
Outcome: TypeAlias = tuple[Any, StateError | None]


def commit(file: StateFile, batch: list[Write]) -> list[Outcome]:
    """Commit `batch`, together if possible, and say what came of each write. Raises `StateError` for all of them."""
    try:
        return _attempt(file, batch)
    except sqlite3.Error:
        # A full disk, say, has undone all of them, or the commit itself failed and may have taken place.
        return [_settle(file, write) for write in batch]


def _attempt(file: StateFile, batch: list[Write]) -> list[Outcome]:
    """Commit all writes of `batch` but those that fail by themselves. Raises what concerns all of them."""
    with file.transaction(full=any(write.full for write in batch)):
        parts = (batch[start : start + ROWS] for start in range(0, len(batch), ROWS))
        return [outcome for part in parts for outcome in _apply_all(file, part)]


def _apply_all(file: StateFile, part: list[Write]) -> list[Outcome]:
    """Do each write, or all of them by one statement. Those that this has done alone find themselves done."""
    rows = [write.row for write in part if write.row is not None]
    if len(rows) == ROWS and _insert(file, INSERT_ROWS, tuple(chain.from_iterable(rows))) == ROWS:
        return [(None, None)] * ROWS
    return [_apply(file, write) for write in part]


def _apply(file: StateFile, write: Write) -> Outcome:
    """Do one write; one that is refused leaves the others alone."""
    if write.row is not None and _insert(file, INSERT_PLAIN, write.row):
        return None, None
    file.connection.execute("SAVEPOINT one")
    outcome: Outcome
    try:
        outcome = (write.work(file), None)
    except (StateError, sqlite3.IntegrityError, *REFUSED_VALUE) as error:
        outcome = (None, explain(error, file.path))
        file.connection.execute("ROLLBACK TO one")
    file.connection.execute("RELEASE one")
    return outcome


def _insert(file: StateFile, statement: str, values: tuple[object, ...]) -> int:
    """How many rows are in; of others the work has to be done, or explained. A statement that fails undoes itself."""
    try:
        return file.connection.execute(statement, values).rowcount
    except (sqlite3.IntegrityError, *REFUSED_VALUE):
        return 0


def _settle(file: StateFile, write: Write) -> Outcome:
    """Try one write again, alone; if it was committed before, it finds itself done."""
    try:
        return _attempt(file, [write])[0]
    except (StateError, sqlite3.Error) as error:
        return None, explain(error, file.path)


def tell(batch: list[Write], outcomes: list[Outcome]) -> None:
    """Give everybody their outcome, by one call into each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Promise, Outcome]]] = {}
    for write, outcome in zip(batch, outcomes, strict=True):
        loops.setdefault(write.future.get_loop(), []).append((write.future, outcome))
    for loop, told in loops.items():
        # A loop that was closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, told)


def _resolve(told: list[tuple[Promise, Outcome]]) -> None:
    for future, (value, error) in told:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
