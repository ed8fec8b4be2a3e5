"""What the durable scenarios write by hand: flujo's rows."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

__all__ = ["END", "RECORD", "START", "check_rows", "opened"]

_SCHEMA = """
CREATE TABLE run(id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, status INT NOT NULL,
  epoch INT NOT NULL, input BLOB, output BLOB) STRICT;
CREATE TABLE journal(id INTEGER PRIMARY KEY, run INT NOT NULL, path TEXT NOT NULL, kind INT NOT NULL,
  attempt INT NOT NULL, epoch INT NOT NULL, wid BLOB NOT NULL, fp BLOB NOT NULL, durable INT NOT NULL,
  enc INT NOT NULL, out BLOB, out_blob BLOB, delta BLOB, delta_blob BLOB, error TEXT, fallback TEXT,
  calls INT NOT NULL, tok_in INT NOT NULL, tok_out INT NOT NULL, cost TEXT,
  started_at REAL NOT NULL, ended_at REAL NOT NULL, UNIQUE(run, path)) STRICT;
"""
#: A step's result, fenced by the run's epoch.
RECORD = """
INSERT INTO journal(run, path, kind, attempt, epoch, wid, fp, durable, enc, out, delta, calls, tok_in, tok_out,
  started_at, ended_at)
SELECT ?, ?, 0, 1, ?, ?, ?, 0, 1, ?, ?, 0, 0, 0, ?, ?
WHERE EXISTS(SELECT 1 FROM run WHERE id = ? AND epoch = ? AND status = 1)
"""
START = "INSERT INTO run(run_id, status, epoch, input) VALUES(?, 1, 1, ?)"
END = "UPDATE run SET status = 3, output = ? WHERE id = ?"


def opened(path: Path) -> sqlite3.Connection:
    """A new file with flujo's tables, for any thread; its log is never copied into it, which flujo does every 16 MB."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "wal_autocheckpoint=0", "temp_store=MEMORY", "busy_timeout=0"):
        connection.execute(f"PRAGMA {pragma}")
    connection.executescript(_SCHEMA)
    return connection


def check_rows(folder: Path, expected: Mapping[str, int]) -> None:
    """Each file in `folder` holds so many results: every step of every run."""
    for name, count in expected.items():
        connection = sqlite3.connect(folder / name)
        (rows,) = connection.execute("SELECT count(*) FROM journal WHERE out IS NOT NULL").fetchone()
        connection.close()
        assert rows == count, (name, rows)
