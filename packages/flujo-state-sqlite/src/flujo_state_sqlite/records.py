"""Journal records as rows."""

import sqlite3
from decimal import Decimal
from typing import Any

from flujo.domain.interfaces import Claim, JournalRecord, RecordKind, Sync
from flujo.domain.usage import NO_USAGE, Usage
from flujo.exceptions import StateError
from flujo_state_sqlite.runs import refusal
from flujo_state_sqlite.schema import INLINE_LIMIT, VALUE_ENCODING
from flujo_state_sqlite.statefile import StateFile
from flujo_state_sqlite.values import check_encoding, error_from_text, error_to_text, pack, store_blobs, unpack

__all__ = ["INSERT_PLAIN", "add", "plain_row", "read_all"]

_RESULT, _FULL = RecordKind.RESULT, Sync.FULL

#: The fence is in the write: a row comes of it only while the claim is the run's newest and nobody has ended it.
_INSERT = """
INSERT INTO journal(run, path, kind, attempt, epoch, wid, fp, durable, enc, out, out_blob, delta, delta_blob,
                    error, fallback, calls, tok_in, tok_out, cost, started_at, ended_at)
SELECT id, ?, ?, ?, epoch, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
FROM run WHERE id = ? AND epoch = ? AND status = 1
"""

#: The same for what most records are, see `plain_row`: a tenth of the time goes into binding the other columns.
INSERT_PLAIN = """
INSERT INTO journal(run, path, kind, attempt, epoch, wid, fp, durable, enc, out, delta,
                    calls, tok_in, tok_out, started_at, ended_at)
SELECT id, ?, 0, ?, epoch, ?, ?, ?, 1, ?, ?, 0, 0, 0, ?, ?
FROM run WHERE id = ? AND epoch = ? AND status = 1
"""

_SELECT = """
SELECT path, kind, attempt, fp, durable, enc, out, out_blob, delta, delta_blob, error, fallback,
       calls, tok_in, tok_out, cost, started_at, ended_at
FROM journal WHERE run = ? ORDER BY id
"""


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
    return path, attempt, wid, fingerprint, sync is _FULL, out, delta, started_at, ended_at, number, epoch


def _row(claim: Claim, record: JournalRecord, wid: bytes) -> tuple[object, ...]:
    """The values of `_INSERT`."""
    usage = record.usage
    cost = str(usage.cost_usd) if usage.cost_usd else None
    return (
        *(record.path, record.kind.value, record.attempt, wid, record.fingerprint, record.sync is _FULL),
        *(VALUE_ENCODING, *pack(record.out), *pack(record.delta), error_to_text(record.error), record.fallback),
        *(usage.calls, usage.tokens_in, usage.tokens_out, cost, record.started_at, record.ended_at),
        *(claim.number, claim.epoch),
    )


def add(file: StateFile, claim: Claim, record: JournalRecord, wid: bytes) -> None:
    """Write `record` in the open transaction; if this very write was done before, do nothing.

    Raises `RunOwnedElsewhere` when the claim is outdated, and `StateError` when the path is recorded.
    """
    try:
        written = file.connection.execute(_INSERT, _row(claim, record, wid)).rowcount
    except sqlite3.IntegrityError as error:
        known = file.connection.execute(
            "SELECT wid FROM journal WHERE run = ? AND path = ?", (claim.number, record.path)
        ).fetchone()
        if known is None:
            raise
        if known[0] == wid:
            return
        raise StateError(f"run {claim.run_id!r} has a record at {record.path!r} already") from error
    if not written:
        raise refusal(file, claim)
    store_blobs(file.connection, record.out, record.delta)


def read_all(connection: sqlite3.Connection, number: int) -> list[JournalRecord]:
    """The records of run `number`, oldest first. Raises what a row that isn't ours raises: `ValueError` and such."""
    return [_record(connection, row) for row in connection.execute(_SELECT, (number,)).fetchall()]


def _record(connection: sqlite3.Connection, row: tuple[Any, ...]) -> JournalRecord:
    (path, kind, attempt, fp, durable, enc, out, out_blob, delta, delta_blob, error, fallback) = row[:12]
    check_encoding(enc, path)
    value, change = unpack(connection, out, out_blob), unpack(connection, delta, delta_blob)
    info, usage, start, end = error_from_text(error), _usage(*row[12:16]), row[16], row[17]
    sync = Sync.FULL if durable else Sync.NORMAL
    return JournalRecord(path, RecordKind(kind), attempt, value, change, info, fallback, usage, fp, start, end, sync)


def _usage(calls: int, tokens_in: int, tokens_out: int, cost: str | None) -> Usage:
    if not (calls or tokens_in or tokens_out or cost):
        return NO_USAGE
    return Usage(calls, tokens_in, tokens_out, Decimal(cost or 0))
