"""Forgetting runs: each whole, with what nobody else names, and never under its owner's hands."""

import sqlite3
from collections.abc import Mapping

from flujo.domain.interfaces import Claim
from flujo.exceptions import RunOwnedElsewhere
from flujo_state_sqlite import runs, workers
from flujo_state_sqlite.runs import not_found
from flujo_state_sqlite.statefile import StateFile

__all__ = ["delete", "gc", "redefine"]

#: Runs that ended before a time, and were created before any run that is younger: numbers are no clock's. Where none
#: is younger, the last parameter takes the place of its number. The signs keep SQLite from walking through all runs.
_OLD = """
SELECT id FROM run
WHERE status IN (3, 4, 5) AND ended_at < ?1
  AND +id < COALESCE((SELECT MIN(+id) FROM run WHERE created_at >= ?1), ?3)
ORDER BY ended_at, id LIMIT ?2
"""

_ALL = 2**63 - 1
_NONE = 0

_NAMED = """
SELECT input_blob FROM run WHERE id = ?1 UNION SELECT base_blob FROM run WHERE id = ?1
UNION SELECT output_blob FROM run WHERE id = ?1 UNION SELECT files FROM run WHERE id = ?1
UNION SELECT out_blob FROM journal WHERE run = ?1 UNION SELECT delta_blob FROM journal WHERE run = ?1
"""

_FORGET_BLOB = """
DELETE FROM blob WHERE hash = ?1
  AND NOT EXISTS (SELECT 1 FROM run WHERE input_blob = ?1) AND NOT EXISTS (SELECT 1 FROM run WHERE base_blob = ?1)
  AND NOT EXISTS (SELECT 1 FROM run WHERE output_blob = ?1) AND NOT EXISTS (SELECT 1 FROM run WHERE files = ?1)
  AND NOT EXISTS (SELECT 1 FROM journal WHERE out_blob = ?1)
  AND NOT EXISTS (SELECT 1 FROM journal WHERE delta_blob = ?1)
"""

_FORGET_DEFINITION = "DELETE FROM definition WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM run WHERE def_hash = ?1)"


def delete(file: StateFile, run_id: str, tried: list[int]) -> None:
    """Forget the run. Raises `RunNotFound`, and `RunOwnedElsewhere` while its owner lives.

    `tried` is where this work notes what it does, so that it knows itself after a commit of unknown effect.
    """
    found = file.connection.execute("SELECT id, owner FROM run WHERE run_id = ?", (run_id,)).fetchone()
    if found is None and not tried:
        raise not_found(run_id)
    if found is None:
        return
    number, owner = found
    if owner is not None and workers.is_at_work(file.worker.folder, owner, number):
        raise RunOwnedElsewhere(
            f"run {run_id!r} is at work in {workers.describe(file.worker.folder, owner)}",
            suggestion=f"cancel it with: flujo runs cancel {run_id}; delete it when it has ended",
        )
    tried.append(number)
    _forget(file.connection, number)


def gc(file: StateFile, ended_before: float, limit: int, trust_clock: bool, tried: list[int]) -> int:
    """Forget up to `limit` runs that ended before that time; how many there were. `tried` is as for `delete`."""
    connection = file.connection
    if tried and connection.execute("SELECT 1 FROM run WHERE id = ?", (tried[0],)).fetchone() is None:
        return len(tried)
    runs.write_down_cancelled(file)
    youngest = _ALL if trust_clock else _NONE
    tried[:] = [number for (number,) in connection.execute(_OLD, (ended_before, limit, youngest))]
    for number in tried:
        _forget(connection, number)
    return len(tried)


def redefine(file: StateFile, claim: Claim, definition: str, digest: bytes, files: Mapping[str, str]) -> None:
    """Give the run another definition, and forget the one before. Raises `RunOwnedElsewhere`."""
    before, texts = runs.redefine(file, claim, definition, digest, files)
    file.connection.execute(_FORGET_DEFINITION, (before,))
    file.connection.execute(_FORGET_BLOB, (texts,))


def _forget(connection: sqlite3.Connection, number: int) -> None:
    """Remove a run in the open transaction. A late write finds no row, as no other run ever gets its number."""
    blobs = connection.execute(_NAMED, (number,)).fetchall()
    definition = connection.execute("SELECT def_hash FROM run WHERE id = ?", (number,)).fetchone()
    connection.execute("DELETE FROM journal WHERE run = ?", (number,))
    connection.execute("DELETE FROM run WHERE id = ?", (number,))
    for blob in blobs:
        connection.execute(_FORGET_BLOB, blob)
    connection.execute(_FORGET_DEFINITION, definition)
