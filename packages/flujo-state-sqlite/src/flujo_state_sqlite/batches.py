"""Writes that are committed together: all of them whole, each refused or done for itself."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from flujo.exceptions import StateError
from flujo_state_sqlite.errors import REFUSED_VALUE, explain
from flujo_state_sqlite.statefile import StateFile

__all__ = ["Outcome", "Write", "commit", "tell"]


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """Work for a transaction, who waits for it, whether it must survive the machine, and its bytes of values.

    The work may be done more than once, after a commit of which nobody knows whether it took place: it has to
    find out by itself that it was done.
    """

    work: Callable[[StateFile], Any]
    full: bool
    size: int
    future: asyncio.Future[Any]


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
        return [_apply(file, write) for write in batch]


def _apply(file: StateFile, write: Write) -> Outcome:
    """Do one write; one that is refused leaves the others alone."""
    file.connection.execute("SAVEPOINT one")
    outcome: Outcome
    try:
        outcome = (write.work(file), None)
    except (StateError, sqlite3.IntegrityError, *REFUSED_VALUE) as error:
        outcome = (None, explain(error, file.path))
        file.connection.execute("ROLLBACK TO one")
    file.connection.execute("RELEASE one")
    return outcome


def _settle(file: StateFile, write: Write) -> Outcome:
    """Try one write again, alone; if it was committed before, it finds itself done."""
    try:
        return _attempt(file, [write])[0]
    except (StateError, sqlite3.Error) as error:
        return None, explain(error, file.path)


def tell(batch: list[Write], outcomes: list[Outcome]) -> None:
    """Give everybody their outcome, by one call into each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Outcome]]] = {}
    for write, outcome in zip(batch, outcomes, strict=True):
        loops.setdefault(write.future.get_loop(), []).append((write.future, outcome))
    for loop, told in loops.items():
        # A loop that was closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, told)


def _resolve(told: list[tuple[asyncio.Future[Any], Outcome]]) -> None:
    for future, (value, error) in told:
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
