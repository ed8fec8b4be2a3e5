"""Runs as rows: begun, claimed, let go of, and looked at."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from flujo.domain.interfaces import MAX_CLAIMS, Claim, NewRun, RunRow
from flujo.domain.lives import poisoned
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.usage import Usage
from flujo.exceptions import RunKeyTaken, RunNotFound, RunOwnedElsewhere, StateCorrupt, StateError
from flujo_state_sqlite import workers
from flujo_state_sqlite.errors import RECOVER
from flujo_state_sqlite.schema import VALUE_ENCODING
from flujo_state_sqlite.statefile import StateFile
from flujo_state_sqlite.values import (
    NOT_OURS,
    check_encoding,
    check_source,
    check_times,
    error_shown,
    error_to_text,
    keep,
    kept_texts,
    naming,
    pack,
    shown,
    store_blobs,
    texts_of,
    unpack,
)

__all__ = [
    "cancel",
    "cancelled_by_death",
    "claim",
    "create",
    "finish",
    "is_cancelled",
    "not_found",
    "number_of",
    "read_bare",
    "read_many",
    "read_one",
    "redefine",
    "refusal",
    "release",
    "standing",
    "write_down_cancelled",
]

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
                input, input_blob, base, base_blob, tags, created_at, updated_at, key, files)
VALUES (?, ?, ?, ?, ?, 1, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_CLAIM = """
UPDATE run SET epoch = epoch + 1, owner = ?, wid = ?, claims = ?, status = 1, cancel = 0,
               output = NULL, output_blob = NULL, error = NULL, ended_at = NULL
WHERE id = ? AND epoch = ?
"""

#: A wish to cancel is granted by every end that could be gone on with.
_FINISH = """
UPDATE run SET status = CASE WHEN cancel AND ?1 NOT IN (3, 4, 5) THEN 5 ELSE ?1 END,
               claims = 0,
               output = ?2, output_blob = ?3, error = ?4, updated_at = ?5, ended_at = ?5, owner = NULL, wid = ?6
WHERE id = ?7 AND epoch = ?8 AND status = 1
"""

#: A run that was asked to stop is cancelled once nobody works on it, as of the moment when it was asked.
_LET_GO = """
UPDATE run SET status = CASE WHEN cancel THEN 5 ELSE 7 END, ended_at = CASE WHEN cancel THEN updated_at END,
               owner = NULL
WHERE id = ? AND epoch = ? AND status = 1
"""

# The first condition is that of the index.
_ASKED_TO_STOP = "SELECT id, epoch, owner FROM run WHERE status NOT IN (3, 5) AND status = 1 AND cancel"
_ASKED_ONE = "SELECT id, epoch, owner FROM run WHERE run_id = ? AND status = 1 AND cancel"

# Which records count is what `flujo.domain.lives.gets_on` says, here and in the totals.
_HAS_GOT_ON = "SELECT 1 FROM journal WHERE run = ? AND epoch = ? AND kind <> 7 AND (kind <> 1 OR attempt) LIMIT 1"

_LAST = "SELECT path FROM journal WHERE run = ? AND kind <> 7 AND (kind <> 1 OR attempt) ORDER BY id DESC LIMIT 1"

_REDEFINE = "UPDATE run SET def_hash = ?, files = ? WHERE id = ? AND epoch = ? AND status = 1"

_ROW = """
SELECT r.id, r.run_id, r.status, r.pipeline, r.version, d.document,
       CASE WHEN json_valid(d.document) THEN json_type(d.document) = 'object' END, r.def_hash, r.source,
       CAST(r.error AS BLOB), r.created_at, r.updated_at, r.ended_at, r.owner, r.epoch, r.tags,
"""

#: A file of an older schema lacks the last columns until somebody writes to it.
_SINCE_3 = "r.key, r.files, r.claims, r.cancel"
_BEFORE_3 = "NULL, NULL, 0, 0"

_FROM = " FROM run AS r LEFT JOIN definition AS d ON d.hash = r.def_hash "

_ONE = "WHERE r.run_id = ?"
_VALUES = "SELECT enc, input, input_blob, base, base_blob, output, output_blob FROM run WHERE id = ?"

_NEWEST_OF_ALL = "SELECT id, CAST(run_id AS BLOB) FROM run ORDER BY id DESC LIMIT ? OFFSET ?"

# Not LIKE or GLOB: a prefix is plain text. The last character of Unicode comes after any that can follow it.
_NEWEST = """
SELECT id, CAST(run_id AS BLOB) FROM run WHERE run_id >= ? AND run_id < ? || char(1114111)
ORDER BY id DESC LIMIT ? OFFSET ?
"""

_TOTALS = """
SELECT COUNT(*) FILTER (WHERE kind = 0), COALESCE(MAX(epoch) FILTER (WHERE kind <> 7 AND (kind <> 1 OR attempt)), 0),
       COALESCE(SUM(calls), 0), COALESCE(SUM(tok_in), 0), COALESCE(SUM(tok_out), 0), COUNT(cost)
FROM journal WHERE run = ?
"""


def create(file: StateFile, run: NewRun, wid: bytes) -> Claim:
    """Write `run` down, owned by this process. Raises `RunKeyTaken`, or `StateError` when the id is taken."""
    connection, worker = file.connection, file.worker
    files = _store_definition(connection, run.definition, run.digest, run.files)
    values = (
        *(run.run_id, run.pipeline, run.version, run.digest, run.source, worker.name, wid, VALUE_ENCODING),
        *(*pack(run.input), *pack(run.base), json.dumps(dict(run.tags)), run.created_at, run.created_at),
        *(run.key, files),
    )
    try:
        number = connection.execute(_INSERT, values).lastrowid or 0
    except sqlite3.IntegrityError as error:
        _explain_taken(connection, run, wid, error)
        number = number_of(connection, run.run_id)
    store_blobs(connection, run.input, run.base)
    worker.take(file.holding, number, 1)
    return Claim(run.run_id, number, 1)


def redefine(
    file: StateFile, claim: Claim, definition: str, digest: bytes, files: Mapping[str, str]
) -> tuple[bytes, bytes | None]:
    """Give the run another definition; what it had before. Raises `RunOwnedElsewhere` when the claim is outdated."""
    connection = file.connection
    before = connection.execute("SELECT def_hash, files FROM run WHERE id = ?", (claim.number,)).fetchone()
    stored = _store_definition(connection, definition, digest, files)
    values = (digest, stored, claim.number, claim.epoch)
    if not connection.execute(_REDEFINE, values).rowcount:
        raise refusal(file, claim)
    return before[0], before[1]


def _store_definition(
    connection: sqlite3.Connection, definition: str, digest: bytes, files: Mapping[str, str]
) -> bytes | None:
    """Keep a definition and its files; the name of these."""
    connection.execute("INSERT INTO definition VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, definition))
    return keep(connection, json.dumps(dict(files)).encode()) if files else None


def _explain_taken(connection: sqlite3.Connection, run: NewRun, wid: bytes, error: sqlite3.IntegrityError) -> None:
    """Raise what an insert refused with `error` amounts to, unless it was done before."""
    known = connection.execute(
        "SELECT wid, run_id, key FROM run WHERE key = ? OR run_id = ?", (run.key, run.run_id)
    ).fetchall()
    for last, other, key in known:
        if last == wid:
            return
        if key is not None and key == run.key:
            raise RunKeyTaken(f"run {other!r} has the key {key!r}", run_id=other) from error
    if not known:
        raise error
    raise StateError(f"there is a run {run.run_id!r} already", suggestion="give the new run another id") from error


def claim(file: StateFile, run_id: str, wid: bytes, *, force: bool) -> Claim:
    """Own the run. Raises `RunNotFound`, and unless by `force` `RunOwnedElsewhere` and `RunPoisoned`."""
    connection, worker = file.connection, file.worker
    found = connection.execute("SELECT id, epoch, owner, wid, claims FROM run WHERE run_id = ?", (run_id,)).fetchone()
    if found is None:
        raise not_found(run_id)
    number, epoch, owner, last, claims = found
    if last != wid:
        if owner is not None and not force and workers.is_at_work(worker.folder, owner, number):
            raise RunOwnedElsewhere(
                f"run {run_id!r} is at work in {workers.describe(worker.folder, owner)}",
                suggestion="wait until it ends there, or take it over: resume it with force=True, or --force",
            )
        if force or (claims and connection.execute(_HAS_GOT_ON, (number, epoch)).fetchone()):
            claims = 0
        if claims >= MAX_CLAIMS:
            last = connection.execute(_LAST, (number,)).fetchone()
            raise poisoned(run_id, claims, last[0] if last else None)
        connection.execute(_CLAIM, (worker.name, wid, claims + 1, number, epoch))
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
    values = (_NUMBERS[status], *pack(output), error_to_text(error), at, wid, claim.number, claim.epoch)
    if not connection.execute(_FINISH, values).rowcount:
        last = connection.execute("SELECT wid FROM run WHERE id = ?", (claim.number,)).fetchone()
        if last is None or last[0] != wid:
            raise refusal(file, claim)
    store_blobs(connection, output)
    file.worker.drop(file.holding, claim.number)


def cancel(file: StateFile, run_id: str, at: float) -> RunStatus:
    """Ask the run's owner to stop, or cancel a run without one that has not ended. Raises `RunNotFound`."""
    connection, folder = file.connection, file.worker.folder
    write_down_cancelled(file, run_id)
    found = connection.execute("SELECT id, status, owner, cancel FROM run WHERE run_id = ?", (run_id,)).fetchone()
    if found is None:
        raise not_found(run_id)
    number = found[0]
    status, _ = standing(folder, *found)
    if status is RunStatus.RUNNING:
        connection.execute("UPDATE run SET cancel = 1, updated_at = ? WHERE id = ?", (at, number))
    elif status in (RunStatus.PAUSED, RunStatus.INTERRUPTED, RunStatus.STOPPED):
        status = RunStatus.CANCELLED
        connection.execute(
            "UPDATE run SET status = 5, owner = NULL, updated_at = ?, ended_at = ? WHERE id = ?", (at, at, number)
        )
    return status


def is_cancelled(connection: sqlite3.Connection, claim: Claim) -> bool:
    """Whether the owner was asked to stop, or is none any more."""
    found = connection.execute("SELECT epoch, cancel FROM run WHERE id = ?", (claim.number,)).fetchone()
    return found is None or found[0] != claim.epoch or bool(found[1])


def release(file: StateFile) -> None:
    """Let go of every run that is owned through this connection, as interrupted; as cancelled where that was asked."""
    for number, epoch in list(file.holding.epochs.items()):
        file.connection.execute(_LET_GO, (number, epoch))
        file.worker.drop(file.holding, number)


def refusal(file: StateFile, claim: Claim) -> StateError:
    """Why nothing may be written under `claim`."""
    found = file.connection.execute("SELECT epoch, owner FROM run WHERE id = ?", (claim.number,)).fetchone()
    if found is None:
        return not_found(claim.run_id)
    epoch, owner = found
    if epoch == claim.epoch:
        return StateError(f"run {claim.run_id!r} was let go of", suggestion="claim the run again to write to it")
    by = workers.describe(file.worker.folder, owner) if owner else "a process that has let go of it since"
    return RunOwnedElsewhere(
        f"run {claim.run_id!r} was taken over by {by}",
        suggestion="leave it to that process: nothing more is recorded here",
    )


def not_found(run_id: str) -> RunNotFound:
    """The error for an id that no run has."""
    return RunNotFound(
        f"there is no run {run_id!r} in this state",
        suggestion="`flujo runs list` shows the runs there are; one that was there before was removed since, or the "
        "state is damaged: `flujo db check`",
    )


def number_of(connection: sqlite3.Connection, run_id: str) -> int:
    """The number of the run with this id. Raises `RunNotFound`."""
    found = connection.execute("SELECT id FROM run WHERE run_id = ?", (run_id,)).fetchone()
    if found is None:
        raise not_found(run_id)
    number: int = found[0]
    return number


def read_one(connection: sqlite3.Connection, folder: Path, run_id: str) -> RunRow | None:
    """The run with exactly this id, with its values; `folder` is where the workers are."""
    with naming(f"run {run_id!r}", run_id, NOT_OURS):
        found = connection.execute(_rows(connection) + _ONE, (run_id,)).fetchone()
        if found is None:
            return None
        enc, *cells = connection.execute(_VALUES, (found[0],)).fetchone()
        check_encoding(enc, run_id)
        values = unpack(connection, *cells[0:2]), unpack(connection, *cells[2:4]), unpack(connection, *cells[4:6])
        files = kept_texts(unpack(connection, None, found[17]))
        return _run(connection, folder, found, values)._replace(files=files)


def read_bare(connection: sqlite3.Connection, folder: Path, number: int) -> RunRow:
    """The run of this number, which is there, without its values and files. Raises what a row that isn't ours does."""
    row = connection.execute(_rows(connection) + "WHERE r.id = ?", (number,)).fetchone()
    check_encoding(connection.execute("SELECT enc FROM run WHERE id = ?", (number,)).fetchone()[0], row[1])
    return _run(connection, folder, row, (None, None, None))


def read_many(connection: sqlite3.Connection, folder: Path, prefix: str, limit: int, offset: int) -> Sequence[RunRow]:
    """Runs whose id starts with `prefix`, the one created last first, without their values and files.

    Raises `StateCorrupt`, which names the run that is damaged.
    """
    which, values = (_NEWEST, (prefix, prefix)) if prefix else (_NEWEST_OF_ALL, ())
    connection.execute("BEGIN")  # what is found stays there
    found = []
    for number, name in connection.execute(which, (*values, limit, offset)).fetchall():
        with naming(f"run {shown(name)!r}", shown(name)):
            found.append(read_bare(connection, folder, number))
    return found


def cancelled_by_death(connection: sqlite3.Connection, folder: Path, run_id: str | None = None) -> dict[int, int]:
    """The runs that were asked to stop and whose owner died before it had: the epoch of each by its number."""
    if _is_older(connection):
        return {}
    statement, of = (_ASKED_TO_STOP, ()) if run_id is None else (_ASKED_ONE, (run_id,))
    asked = connection.execute(statement, of).fetchall()
    return {number: epoch for number, epoch, owner in asked if not workers.is_at_work(folder, owner, number)}


def write_down_cancelled(file: StateFile, run_id: str | None = None) -> None:
    """Write down what `cancelled_by_death` finds, of one run or all: then the status alone says it."""
    for run in cancelled_by_death(file.connection, file.worker.folder, run_id).items():
        file.connection.execute(_LET_GO, run)


def standing(folder: Path, number: int, status: int, owner: str | None, cancel: int) -> tuple[RunStatus, str | None]:
    """The run's status and owner: nobody was left to write it down when a process died."""
    if owner is not None and not workers.is_at_work(folder, owner, number):
        return RunStatus.CANCELLED if cancel else RunStatus.INTERRUPTED, None
    return _STATUSES[status], owner


def _rows(connection: sqlite3.Connection) -> str:
    """The statement that reads runs from a file of this schema."""
    return _ROW + (_BEFORE_3 if _is_older(connection) else _SINCE_3) + _FROM


def _is_older(connection: sqlite3.Connection) -> bool:
    """Whether the file's runs lack the columns of schema 3."""
    older: bool = connection.execute("PRAGMA user_version").fetchone()[0] < 3
    return older


def _run(connection: sqlite3.Connection, folder: Path, row: tuple[Any, ...], values: _Values) -> RunRow:
    (number, run_id, status, pipeline, version, definition, fits, digest, source) = row[:9]
    (error, created_at, updated_at, ended_at, owner, epoch, tags, key, _, claims, cancel) = row[9:]
    if definition is None:
        raise StateCorrupt(f"run {run_id!r} has no definition", suggestion=RECOVER)
    if not fits:
        raise ValueError(f"{definition[:40]!r} is no definition")
    check_source(source)
    check_times(created_at, updated_at, ended_at)
    status, owner = standing(folder, number, status, owner, cancel)
    if status is RunStatus.CANCELLED and ended_at is None:
        ended_at = updated_at  # its owner died: it has ended when it was asked to
    recorded, latest, usage = _totals(connection, number)
    begun, info = (run_id, status, pipeline, version, definition, digest, source), error_shown(error)
    times, labels = (created_at, updated_at, ended_at), texts_of(tags)
    run = RunRow(*begun, *values, info, *times, owner, epoch, recorded, usage, labels)
    return run._replace(key=key, claims=0 if latest == epoch else claims, cancelled=bool(cancel))


def _totals(connection: sqlite3.Connection, number: int) -> tuple[int, int, Usage]:
    """How many results the run has, the epoch that recorded last, and what all its records have cost.

    Sums, not counters: they can't drift.
    """
    recorded, latest, *used, priced = connection.execute(_TOTALS, (number,)).fetchone()
    usage = Usage(*used)
    if priced:
        costs = connection.execute("SELECT cost FROM journal WHERE run = ? AND cost IS NOT NULL", (number,))
        usage = sum((Usage(cost_usd=Decimal(cost)) for (cost,) in costs), usage)
    return recorded, latest, usage
