"""Runs as rows: begun, claimed, let go of, and looked at."""

import json
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from flujo.domain.interfaces import Claim, NewRun, RunRow
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.usage import Usage
from flujo.exceptions import RunNotFound, RunOwnedElsewhere, StateError
from flujo_state_sqlite import workers
from flujo_state_sqlite.schema import VALUE_ENCODING
from flujo_state_sqlite.statefile import StateFile
from flujo_state_sqlite.values import check_encoding, error_from_text, error_to_text, pack, store_blobs, unpack

__all__ = ["claim", "create", "finish", "not_found", "number_of", "read_many", "read_one", "refusal", "release"]

#: A run's input, base and output.
_Values: TypeAlias = tuple[bytes | None, bytes | None, bytes | None]

#: The numbers are stored. 0 and 6 are kept for runs that wait for a worker, and for those given up after many deaths.
_NUMBERS = {
    RunStatus.RUNNING: 1,
    RunStatus.PAUSED: 2,
    RunStatus.COMPLETED: 3,
    RunStatus.FAILED: 4,
    RunStatus.CANCELLED: 5,
    RunStatus.INTERRUPTED: 7,
    RunStatus.STOPPED: 8,
}
_STATUSES = {number: status for status, number in _NUMBERS.items()}

_INSERT = """
INSERT INTO run(run_id, pipeline, version, def_hash, source, status, epoch, owner, wid, enc,
                input, input_blob, base, base_blob, tags, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, 1, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_CLAIM = """
UPDATE run SET epoch = epoch + 1, owner = ?, wid = ?, status = 1,
               output = NULL, output_blob = NULL, error = NULL, ended_at = NULL
WHERE id = ? AND epoch = ?
"""

_FINISH = """
UPDATE run SET status = ?, output = ?, output_blob = ?, error = ?, updated_at = ?, ended_at = ?, owner = NULL, wid = ?
WHERE id = ? AND epoch = ? AND status = 1
"""

_ROW = """
SELECT r.id, r.run_id, r.status, r.pipeline, r.version, d.document, r.def_hash, r.source, r.error,
       r.created_at, r.updated_at, r.ended_at, r.owner, r.epoch, r.tags
FROM run AS r JOIN definition AS d ON d.hash = r.def_hash
"""

_ONE = _ROW + "WHERE r.run_id = ?"

# Not LIKE or GLOB: a prefix is plain text. The last character of Unicode comes after any that can follow it.
_NEWEST = """
WHERE r.id IN (SELECT id FROM run WHERE run_id >= ? AND run_id < ? || char(1114111) ORDER BY id DESC LIMIT ? OFFSET ?)
ORDER BY r.id DESC
"""

_MANY = _ROW + _NEWEST

_TOTALS = """
SELECT COUNT(*) FILTER (WHERE kind = 0), COALESCE(SUM(calls), 0), COALESCE(SUM(tok_in), 0), COALESCE(SUM(tok_out), 0)
FROM journal WHERE run = ?
"""


def create(file: StateFile, run: NewRun, wid: bytes) -> Claim:
    """Write `run` down, owned by this process. Raises `StateError` when the id is taken."""
    connection, worker = file.connection, file.worker
    connection.execute("INSERT INTO definition VALUES (?, ?) ON CONFLICT DO NOTHING", (run.digest, run.definition))
    values = (
        *(run.run_id, run.pipeline, run.version, run.digest, run.source, worker.name, wid, VALUE_ENCODING),
        *(*pack(run.input), *pack(run.base), json.dumps(dict(run.tags)), run.created_at, run.created_at),
    )
    try:
        connection.execute(_INSERT, values)
    except sqlite3.IntegrityError as error:
        known = connection.execute("SELECT wid FROM run WHERE run_id = ?", (run.run_id,)).fetchone()
        if known is None:
            raise
        if known[0] != wid:
            taken = f"there is a run {run.run_id!r} already"
            raise StateError(taken, suggestion="give the new run another id") from error
    store_blobs(connection, run.input, run.base)
    number = number_of(connection, run.run_id)
    worker.take(file.holding, number, 1)
    return Claim(run.run_id, number, 1)


def claim(file: StateFile, run_id: str, wid: bytes, *, force: bool) -> Claim:
    """Own the run. Raises `RunNotFound`, and `RunOwnedElsewhere` unless by `force`."""
    connection, worker = file.connection, file.worker
    found = connection.execute("SELECT id, epoch, owner, wid FROM run WHERE run_id = ?", (run_id,)).fetchone()
    if found is None:
        raise not_found(run_id)
    number, epoch, owner, last = found
    if last != wid:
        if owner is not None and not force and workers.is_at_work(worker.folder, owner, number):
            raise RunOwnedElsewhere(
                f"run {run_id!r} is at work in {_name(worker.folder, owner)}",
                suggestion="wait until it ends there, or take it over with --force",
            )
        connection.execute(_CLAIM, (worker.name, wid, number, epoch))
        epoch += 1
    worker.take(file.holding, number, epoch)
    return Claim(run_id, number, epoch)


def finish(
    file: StateFile,
    claim: Claim,
    wid: bytes,
    status: RunStatus,
    output: bytes | None,
    error: ErrorInfo | None,
    at: float,
) -> None:
    """Let go of the run. Raises `RunOwnedElsewhere` when the claim is outdated, `StateError` when it was given up."""
    connection = file.connection
    values = (_NUMBERS[status], *pack(output), error_to_text(error), at, at, wid, claim.number, claim.epoch)
    if not connection.execute(_FINISH, values).rowcount:
        last = connection.execute("SELECT wid FROM run WHERE id = ?", (claim.number,)).fetchone()
        if last is None or last[0] != wid:
            raise refusal(file, claim)
    store_blobs(connection, output)
    file.worker.drop(file.holding, claim.number)


def release(file: StateFile) -> None:
    """Let go of every run that is owned through this connection, as interrupted."""
    for number, epoch in list(file.holding.epochs.items()):
        file.connection.execute(
            "UPDATE run SET status = 7, owner = NULL WHERE id = ? AND epoch = ? AND status = 1", (number, epoch)
        )
        file.worker.drop(file.holding, number)


def refusal(file: StateFile, claim: Claim) -> StateError:
    """Why nothing may be written under `claim`."""
    found = file.connection.execute("SELECT epoch, owner FROM run WHERE id = ?", (claim.number,)).fetchone()
    if found is None:
        return not_found(claim.run_id)
    epoch, owner = found
    if epoch == claim.epoch:
        return StateError(f"run {claim.run_id!r} was let go of", suggestion="claim the run again to write to it")
    by = _name(file.worker.folder, owner) if owner else "a process that has let go of it since"
    return RunOwnedElsewhere(
        f"run {claim.run_id!r} was taken over by {by}",
        suggestion="leave it to that process: nothing more is recorded here",
    )


def not_found(run_id: str) -> RunNotFound:
    """The error for an id that no run has."""
    return RunNotFound(f"there is no run {run_id!r} in this state")


def number_of(connection: sqlite3.Connection, run_id: str) -> int:
    """The number of the run with this id. Raises `RunNotFound`."""
    found = connection.execute("SELECT id FROM run WHERE run_id = ?", (run_id,)).fetchone()
    if found is None:
        raise not_found(run_id)
    number: int = found[0]
    return number


def read_one(connection: sqlite3.Connection, folder: Path, run_id: str) -> RunRow | None:
    """The run with exactly this id, with its values; `folder` is where the workers are."""
    found = connection.execute(_ONE, (run_id,)).fetchone()
    if found is None:
        return None
    enc, *cells = connection.execute(
        "SELECT enc, input, input_blob, base, base_blob, output, output_blob FROM run WHERE id = ?", (found[0],)
    ).fetchone()
    check_encoding(enc, run_id)
    values = unpack(connection, *cells[0:2]), unpack(connection, *cells[2:4]), unpack(connection, *cells[4:6])
    return _run(connection, folder, found, values)


def read_many(connection: sqlite3.Connection, folder: Path, prefix: str, limit: int, offset: int) -> Sequence[RunRow]:
    """Runs whose id starts with `prefix`, the one created last first, without their values."""
    rows = connection.execute(_MANY, (prefix, prefix, limit, offset)).fetchall()
    return [_run(connection, folder, row, (None, None, None)) for row in rows]


def _run(connection: sqlite3.Connection, folder: Path, row: tuple[Any, ...], values: _Values) -> RunRow:
    (number, run_id, status, pipeline, version, definition, digest, source) = row[:8]
    (error, created_at, updated_at, ended_at, owner, epoch, tags) = row[8:]
    status = _STATUSES[status]
    if owner is not None and not workers.is_at_work(folder, owner, number):
        # Nobody was left to write it down when the process died.
        status, owner = RunStatus.INTERRUPTED, None
    recorded, usage = _totals(connection, number)
    begun, info = (run_id, status, pipeline, version, definition, digest, source), error_from_text(error)
    times, labels = (created_at, updated_at, ended_at), json.loads(tags)
    return RunRow(*begun, *values, info, *times, owner, epoch, recorded, usage, labels)


def _totals(connection: sqlite3.Connection, number: int) -> tuple[int, Usage]:
    """How many results the run has, and what all its records have cost. Sums, not counters: they can't drift."""
    recorded, calls, tokens_in, tokens_out = connection.execute(_TOTALS, (number,)).fetchone()
    costs = connection.execute("SELECT cost FROM journal WHERE run = ? AND cost IS NOT NULL", (number,))
    return recorded, sum((Usage(cost_usd=Decimal(cost)) for (cost,) in costs), Usage(calls, tokens_in, tokens_out))


def _name(folder: Path, owner: str) -> str:
    peer = workers.find(folder, owner)
    return str(peer) if peer else f"{owner!r}, which has ended"
