"""Journal records as rows."""

import json
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from flujo.domain.interfaces import Claim, JournalRecord, RecordKind, Sync, Wait
from flujo.domain.usage import NO_USAGE, Usage
from flujo.exceptions import StateCorrupt, StateError
from flujo_state_sqlite.runs import cancelled_by_death, number_of, refusal, standing, write_down_cancelled
from flujo_state_sqlite.schema import INLINE_LIMIT, VALUE_ENCODING
from flujo_state_sqlite.statefile import StateFile
from flujo_state_sqlite.values import (
    FARTHEST,
    NOT_OURS,
    check_encoding,
    check_times,
    error_shown,
    error_to_text,
    naming,
    pack,
    shown,
    store_blobs,
    unpack,
)

__all__ = [
    "INSERT_PLAIN",
    "INSERT_ROWS",
    "NAMES",
    "ROWS",
    "add",
    "answer",
    "plain_insert",
    "plain_row",
    "read_all",
    "read_bare",
    "read_epochs",
    "read_waits",
]

_RESULT, _FULL, _NORMAL = RecordKind.RESULT, Sync.FULL, Sync.NORMAL

#: Makes a named tuple of all its values in half the time: for records by the ten thousand.
_new = tuple.__new__

_ROW = """
INSERT INTO journal(run, path, kind, attempt, epoch, wid, fp, durable, enc, out, out_blob, delta, delta_blob,
                    error, fallback, calls, tok_in, tok_out, cost, started_at, ended_at)
SELECT id, ?, ?, ?, epoch, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
"""

#: The fence is in the write: a row comes of it only while the claim is the run's newest and nobody has ended it.
_INSERT = _ROW + "FROM run WHERE id = ? AND epoch = ? AND status = 1"

#: Of many who answer one question one gets its place, and a run that has ended for good takes no more.
_ANSWER = _ROW + "FROM run WHERE run_id = ? AND status NOT IN (3, 5) ON CONFLICT DO NOTHING"

#: The same for what most records are, see `plain_row`: a tenth of the time goes into binding the other columns.
INSERT_PLAIN = """
INSERT INTO journal(run, path, kind, attempt, epoch, wid, fp, durable, enc, out, delta,
                    calls, tok_in, tok_out, started_at, ended_at)
SELECT id, ?, 0, ?, epoch, ?, ?, ?, 1, ?, ?, 0, 0, 0, ?, ?
FROM run WHERE id = ? AND epoch = ? AND status = 1
"""

#: The same where nothing changed in the context, which is one column less to bind.
_INSERT_UNCHANGED = INSERT_PLAIN.replace("out, delta,", "out,").replace("1, ?, ?, 0, 0, 0", "1, ?, 0, 0, 0")

#: So many of these go in by one statement, in their order: the loop is SQLite's own, and needs the interpreter once.
ROWS = 16

INSERT_ROWS = (
    """
INSERT INTO journal(run, path, kind, attempt, epoch, wid, fp, durable, enc, out, delta,
                    calls, tok_in, tok_out, started_at, ended_at)
SELECT r.id, v.column1, 0, v.column2, r.epoch, v.column3, v.column4, v.column5, 1, v.column6, v.column7,
       0, 0, 0, v.column8, v.column9
FROM (VALUES"""
    + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * ROWS)
    + ") AS v CROSS JOIN run AS r WHERE r.id = v.column10 AND r.epoch = v.column11 AND r.status = 1"
)

_COLUMNS = """
SELECT j.path, j.kind, j.attempt, j.fp, j.durable, j.enc, j.out, j.out_blob, j.delta, j.delta_blob,
       CAST(j.error AS BLOB), j.fallback, j.calls, j.tok_in, j.tok_out, j.cost, j.started_at, j.ended_at
"""

_BARE = _COLUMNS.replace("j.out, j.out_blob, j.delta, j.delta_blob", "NULL, NULL, NULL, NULL")
_NUMBERED = "FROM journal AS j WHERE j.id = ?"
_BARE += _NUMBERED

#: The number of each record of a run, its path and error, be they text or not, and its kind.
NAMES = "SELECT id, CAST(path AS BLOB), kind, CAST(error AS BLOB) FROM journal WHERE run = ? ORDER BY id"

#: By the numbers of the rows, which the index has: else whole rows would be sorted.
_OF_RUN = "WHERE j.id IN (SELECT id FROM journal WHERE run = ? AND id >= ?) ORDER BY j.id"

_SELECT = _COLUMNS + "FROM journal AS j " + _OF_RUN

#: What most records are, see `plain_row`, in half the columns; any other one tells its number, to go on from in full.
_PLAIN_COLUMNS = """
SELECT j.path, j.attempt, j.out, j.delta, j.fp, j.started_at, j.ended_at,
       CASE WHEN j.kind OR j.durable OR j.enc <> 1 OR j.out_blob NOTNULL OR j.delta_blob NOTNULL OR j.error NOTNULL
              OR j.fallback NOTNULL OR j.calls OR j.tok_in OR j.tok_out OR j.cost NOTNULL THEN j.id END
"""
_SELECT_PLAIN = _PLAIN_COLUMNS + "FROM journal AS j " + _OF_RUN

#: A question is open unless its step, whose path ends at the first "?", has a result, or the question has an answer
#: with which the step has not failed since: a failure that is no try is not the answer's.
_OPEN = """
AND NOT EXISTS (SELECT 1 FROM journal AS d WHERE d.run = j.run AND d.path = substr(j.path, 1, instr(j.path, '?') - 1))
AND NOT EXISTS (
  SELECT 1 FROM journal AS a
  WHERE a.run = j.run AND a.kind = 4 AND a.path > rtrim(j.path, '?') || '!' AND a.path < rtrim(j.path, '?') || '"'
    AND NOT EXISTS (
      SELECT 1 FROM journal AS f
      WHERE f.run = j.run AND f.kind = 2 AND f.path > rtrim(j.path, '?') || '#' AND f.path < rtrim(j.path, '?') || '$'
        AND f.id > a.id AND f.attempt))
ORDER BY j.id LIMIT ? OFFSET ?
"""

#: A cross join, because SQLite can't know that there are few runs that are open.
_WAITS = """
SELECT j.id, r.id, CAST(r.run_id AS BLOB)
FROM run AS r CROSS JOIN journal AS j ON j.run = r.id AND j.kind = 3
"""

_WAITING = "SELECT pipeline, status, owner FROM run WHERE id = ?"

_NOT_OVER = "WHERE r.status NOT IN (3, 5) AND r.id NOT IN (SELECT value FROM json_each(?))"
_WAITS_OF_ALL = _WAITS + _NOT_OVER + _OPEN
_WAITS_OF_ONE = _WAITS + _NOT_OVER + " AND r.run_id = ?" + _OPEN


def plain_row(claim: Claim, record: JournalRecord, wid: bytes) -> tuple[object, ...] | None:
    """The values of `INSERT_PLAIN`, `wid` naming this write, for a result that cost nothing and took no fallback.

    None for any other record, and for values that are too large for a row.
    """
    path, kind, attempt, out, delta, error, fallback, usage, fingerprint, started_at, ended_at, sync = record
    if kind is not _RESULT or usage is not NO_USAGE or error is not None or fallback is not None:
        return None
    if (out is not None and len(out) > INLINE_LIMIT) or (delta is not None and len(delta) > INLINE_LIMIT):
        return None
    _, number, epoch = claim
    # Of bytes, and of booleans, sqlite3 asks each time what they are to it; of bytearrays and numbers it knows.
    written, durable = bytearray(out) if type(out) is bytes else out, 1 if sync is _FULL else 0
    names = bytearray(wid), bytearray(fingerprint)
    return path, attempt, *names, durable, written, delta, started_at, ended_at, number, epoch


def plain_insert(row: tuple[object, ...]) -> tuple[str, tuple[object, ...]]:
    """The statement for one `plain_row`, and its values."""
    return (INSERT_PLAIN, row) if row[6] is not None else (_INSERT_UNCHANGED, row[:6] + row[7:])


def _row(record: JournalRecord, wid: bytes) -> tuple[object, ...]:
    """The values of `_ROW`."""
    usage = record.usage
    cost = str(usage.cost_usd) if usage.cost_usd else None
    return (
        *(record.path, record.kind.value, record.attempt, wid, record.fingerprint, record.sync is _FULL),
        *(VALUE_ENCODING, *pack(record.out), *pack(record.delta), error_to_text(record.error), record.fallback),
        *(usage.calls, usage.tokens_in, usage.tokens_out, cost, record.started_at, record.ended_at),
    )


def add(file: StateFile, claim: Claim, record: JournalRecord, wid: bytes) -> None:
    """Write `record` in the open transaction; if this very write was done before, do nothing.

    Raises `RunOwnedElsewhere` when the claim is outdated, and `StateError` when the path is recorded.
    """
    values = (*_row(record, wid), claim.number, claim.epoch)
    try:
        written = file.connection.execute(_INSERT, values).rowcount
    except sqlite3.IntegrityError as error:
        known = _writer_of(file, claim.number, record.path)
        if known is None:
            raise
        if known == wid:
            return
        raise StateError(f"run {claim.run_id!r} has a record at {record.path!r} already") from error
    if not written:
        raise refusal(file, claim)
    store_blobs(file.connection, record.out, record.delta)


def answer(file: StateFile, run_id: str, record: JournalRecord, wid: bytes) -> bool:
    """Write an answer in the open transaction; whether it is there, be it from this very write done before.

    Raises `RunNotFound`.
    """
    write_down_cancelled(file, run_id)
    if file.connection.execute(_ANSWER, (*_row(record, wid), run_id)).rowcount:
        store_blobs(file.connection, record.out, record.delta)
        return True
    return _writer_of(file, number_of(file.connection, run_id), record.path) == wid


def _writer_of(file: StateFile, number: int, path: str) -> bytes | None:
    """The name of the write that the record at `path` came of."""
    statement = "SELECT wid FROM journal WHERE run = ? AND path = ?"
    known: tuple[bytes] | None = file.connection.execute(statement, (number, path)).fetchone()
    return known[0] if known else None


def read_waits(connection: sqlite3.Connection, folder: Path, run_id: str | None, limit: int, offset: int) -> list[Wait]:
    """Open questions, of one run or all, the oldest first. Raises `StateCorrupt`, which names the run of one."""
    statement, of = (_WAITS_OF_ALL, ()) if run_id is None else (_WAITS_OF_ONE, (run_id,))
    over = json.dumps(list(cancelled_by_death(connection, folder, run_id)))
    connection.execute("BEGIN")  # what is found stays there
    found = connection.execute(statement, (over, *of, limit, offset)).fetchall()
    return [_wait(connection, folder, row, number, shown(name)) for row, number, name in found]


def _wait(connection: sqlite3.Connection, folder: Path, row: int, number: int, name: str) -> Wait:
    with naming(f"a question of run {name!r}", name):
        pipeline, status, owner = connection.execute(_WAITING, (number,)).fetchone()
        record = _record(connection, connection.execute(_COLUMNS + _NUMBERED, (row,)).fetchone())
        return Wait(name, pipeline, standing(folder, number, status, owner, cancel=0)[0], record)


def read_all(connection: sqlite3.Connection, number: int) -> list[JournalRecord]:
    """The records of run `number`, oldest first. Raises `StateCorrupt`, which names the one that is damaged."""
    strict, connection.text_factory = connection.text_factory, str  # which is faster; what is no text is named below
    try:
        return _read_all(connection, number)
    except (sqlite3.OperationalError, *NOT_OURS):
        connection.text_factory = strict
        (run_id,) = connection.execute("SELECT CAST(run_id AS BLOB) FROM run WHERE id = ?", (number,)).fetchone()
        for row, path, *_ in connection.execute(NAMES, (number,)):
            with naming(f"record {shown(path)!r} of run {shown(run_id)!r}", shown(run_id)):
                read_bare(connection, row)
        raise
    finally:
        connection.text_factory = strict


def _read_all(connection: sqlite3.Connection, number: int) -> list[JournalRecord]:
    found: list[JournalRecord] = []
    for path, attempt, out, delta, fp, start, end, other in connection.execute(_SELECT_PLAIN, (number, 0)):
        if other is not None:  # the first statement is still at work, so that both see the same rows
            rest = connection.execute(_SELECT, (number, other))
            return [*found, *(_record(connection, row) for row in rest)]
        if not (-FARTHEST <= start <= FARTHEST and -FARTHEST <= end <= FARTHEST):
            check_times(start, end)
        plain = (path, _RESULT, attempt, out, delta, None, None, NO_USAGE, fp, start, end, _NORMAL)
        found.append(_new(JournalRecord, plain))
    return found


def read_bare(connection: sqlite3.Connection, number: int) -> JournalRecord:
    """The record in the row of this number, without its values. Raises as `read_all`."""
    return _record(connection, connection.execute(_BARE, (number,)).fetchone())


def read_epochs(connection: sqlite3.Connection, number: int) -> dict[str, int]:
    """The epoch of each record of run `number`, by its path, oldest first."""
    return dict(connection.execute("SELECT path, epoch FROM journal WHERE run = ? ORDER BY id", (number,)).fetchall())


def _record(connection: sqlite3.Connection, row: Sequence[Any]) -> JournalRecord:
    (path, kind, attempt, fp, durable, enc, out, out_blob, delta, delta_blob, error, fallback) = row[:12]
    calls, tokens_in, tokens_out, cost, start, end = row[12:]
    check_times(start, end)
    if enc != VALUE_ENCODING:
        check_encoding(enc, path)
    if out_blob is not None:
        out = unpack(connection, out, out_blob)
    if delta_blob is not None:
        delta = unpack(connection, delta, delta_blob)
    info = None if error is None else error_shown(error)
    usage, sync = _usage(calls, tokens_in, tokens_out, cost), _FULL if durable else _NORMAL
    what = _kind(kind, path) if kind else _RESULT
    return JournalRecord(path, what, attempt, out, delta, info, fallback, usage, fp, start, end, sync)


def _kind(number: int, path: str) -> RecordKind:
    try:
        return RecordKind(number)
    except ValueError as error:
        raise StateCorrupt(
            f"the record {path!r} is of kind {number!r}, which this flujo doesn't know: "
            "a newer flujo has written it, or somebody has changed it",
            suggestion="upgrade flujo; if no newer one was at work here, restore a backup",
            cause=error,
        ) from error


def _usage(calls: int, tokens_in: int, tokens_out: int, cost: str | None) -> Usage:
    if not (calls or tokens_in or tokens_out or cost):
        return NO_USAGE
    return Usage(calls, tokens_in, tokens_out, Decimal(cost or 0))
