"""Looking after a state: whether it is whole, and copies of it."""

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from flujo.engine.changes import as_change, as_fields
from flujo.engine.recorded import PLUGINS, providers, words
from flujo.exceptions import StateCorrupt, StateUnavailable
from flujo.infra.codec import readable
from flujo_state_sqlite import records, runs
from flujo_state_sqlite.errors import code_of, explain
from flujo_state_sqlite.opening import sync_folder
from flujo_state_sqlite.schema import MIGRATIONS, SCHEMA
from flujo_state_sqlite.values import NOT_OURS, Cells, check_encoding, error_from_text, shown, texts_of, unpack

__all__ = ["backup", "check", "schema_of"]

#: Raises `StateCorrupt` for a value that is none of its kind; names it as it is told.
Fits: TypeAlias = Callable[[Any, str], object]

#: The schemas that brought cached results, and the files of pipelines.
_CACHE_SINCE, _FILES_SINCE = 2, 3

_NAMED = """
WITH named(hash) AS (
  SELECT input_blob FROM run WHERE input_blob IS NOT NULL UNION ALL
  SELECT base_blob FROM run WHERE base_blob IS NOT NULL UNION ALL
  SELECT output_blob FROM run WHERE output_blob IS NOT NULL UNION ALL
  SELECT files FROM run WHERE files IS NOT NULL UNION ALL
  SELECT out_blob FROM journal WHERE out_blob IS NOT NULL UNION ALL
  SELECT delta_blob FROM journal WHERE delta_blob IS NOT NULL)
"""

_LEFT = "SELECT COUNT(*) FROM blob WHERE hash NOT IN (SELECT hash FROM named)"

#: What each count is of, where it is not zero.
_COUNTS = {
    "records of no run": "SELECT COUNT(*) FROM journal WHERE run NOT IN (SELECT id FROM run)",
    "runs without a definition": "SELECT COUNT(*) FROM run WHERE def_hash NOT IN (SELECT hash FROM definition)",
    "definitions of no run": "SELECT COUNT(*) FROM definition WHERE hash NOT IN (SELECT def_hash FROM run)",
    "large values of nothing": _NAMED + _LEFT,
    "large values of another size than is noted": "SELECT COUNT(*) FROM blob WHERE size <> length(data)",
}

#: The cells of each value of a run, a record and a cached result.
_OF_RUN = "SELECT input, input_blob, base, base_blob, output, output_blob, NULL, files FROM run WHERE id = ?"
_OF_RECORD = "SELECT out, out_blob, delta, delta_blob FROM journal WHERE id = ?"
_OF_CACHED = "SELECT value, NULL, delta, NULL FROM cache WHERE rowid = ?"

_RUNS = "SELECT id, CAST(run_id AS BLOB), CAST(error AS BLOB) FROM run ORDER BY id"
_CACHED = "SELECT rowid, CAST(scope AS BLOB), enc, CAST(parts AS BLOB) FROM cache ORDER BY rowid"


def schema_of(connection: sqlite3.Connection) -> int:
    """The schema number of the state that `connection` reads."""
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def check(connection: sqlite3.Connection, folder: Path) -> list[str]:
    """What is wrong with the state, in words. Of a newer schema than this version's only damage is looked for."""
    connection.execute("BEGIN")  # what is found stays there
    number = schema_of(connection)
    wrong = [*_strange(connection)] if number == SCHEMA else []
    if not wrong:  # strange tables may hold what is better not looked at
        wrong = [*_damaged(connection)]
    if wrong or number > SCHEMA:
        return wrong
    if number == SCHEMA:
        counts = {what: connection.execute(statement).fetchone()[0] for what, statement in _COUNTS.items()}
        wrong = [f"{what}: {count:,}" for what, count in counts.items() if count]
    return [*wrong, *_unreadable(connection, folder, number)]


def _damaged(connection: sqlite3.Connection) -> Iterator[str]:
    """What SQLite finds wrong with the file, and in which tables."""
    if found := _integrity(connection, "PRAGMA integrity_check"):
        yield from found
        for name in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            if found := _integrity(connection, "SELECT * FROM pragma_integrity_check(?)", *name):
                yield f"table {name[0]!r} is damaged: {found[0]}"


def _integrity(connection: sqlite3.Connection, statement: str, *values: str) -> list[str]:
    try:
        found = [row[0] for row in connection.execute(statement, values)]
    except sqlite3.DatabaseError as error:
        if code_of(error) != sqlite3.SQLITE_CORRUPT:
            raise
        found = [str(error)]
    return [] if found == ["ok"] else found


def _unreadable(connection: sqlite3.Connection, folder: Path, schema: int) -> Iterator[str]:
    """Which runs, records, cached results and values of them can't be read as this version reads them.

    One value at a time is in memory. No class is looked for: that of an object may be one that isn't here.
    """
    of_run = _OF_RUN if schema >= _FILES_SINCE else _OF_RUN.replace("files", "NULL")
    for number, run_id, error in connection.execute(_RUNS):
        run = f"run {shown(run_id)!r}"
        yield from _failing(f"{run} can't be read", partial(_whole, connection, folder, number))
        fits: dict[str, Fits] = {"input": _any, "first context": as_fields, "output": _any, "files": as_fields}
        yield from _broken(connection, run, number, of_run, fits)
        yield from _failing(f"error of {run}", partial(error_from_text, error))
        for row, path, kind, failed in connection.execute(records.NAMES, (number,)):
            record, fits = (
                f"record {shown(path)!r} of {run}",
                {"value": partial(words, kind), "context change": as_change},
            )
            yield from _failing(f"{record} can't be read", partial(records.read_bare, connection, row))
            yield from _failing(f"error of {record}", partial(error_from_text, failed))
            yield from _broken(connection, record, row, _OF_RECORD, fits)
    for row, scope, enc, parts in connection.execute(_CACHED) if schema >= _CACHE_SINCE else ():
        cached = f"a cached result of {shown(scope)!r}"
        yield from _failing(f"{cached} can't be read", partial(check_encoding, enc, shown(scope)))
        yield from _broken(connection, cached, row, _OF_CACHED, {"value": _any, "context change": as_change})
        yield from _failing(f"parts of {cached}", partial(texts_of, parts))


def _whole(connection: sqlite3.Connection, folder: Path, number: int) -> None:
    tags = runs.read_bare(connection, folder, number).tags
    providers(tags.get(PLUGINS, "{}"), f"its tag {PLUGINS!r}")


def _broken(
    connection: sqlite3.Connection, whose: str, number: int, statement: str, fits: Mapping[str, Fits]
) -> Iterator[str]:
    cells = connection.execute(statement, (number,)).fetchone()
    for name, cell in zip(fits, zip(cells[::2], cells[1::2], strict=True), strict=True):
        yield from _failing(f"{name} of {whose}", partial(_decode, connection, cell, fits[name]))


def _decode(connection: sqlite3.Connection, cell: Cells, fits: Fits) -> None:
    data = unpack(connection, *cell)
    if data is not None:
        fits(readable(data, where="it"), "it")


def _any(value: Any, where: str) -> None:
    """Every value will do."""


def _failing(what: str, read: Callable[[], object]) -> Iterator[str]:
    try:
        read()
    except (*NOT_OURS, StateCorrupt) as error:
        yield f"{what}: {error}"


def _strange(connection: sqlite3.Connection) -> Iterator[str]:
    """What differs from the tables and indexes that the migrations make."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        for statement in chain.from_iterable(MIGRATIONS):
            fresh.execute(statement)
        expected = _objects(fresh)
    found = _objects(connection)
    for name in sorted({*expected, *found}):
        if found.get(name) != expected.get(name):
            how = "is missing" if name not in found else "is not as flujo makes it"
            yield f"{name!r} is no part of a state" if name not in expected else f"{name!r} {how}"


def _objects(connection: sqlite3.Connection) -> dict[str, str]:
    statement = "SELECT name, type || ' ' || sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    return dict(connection.execute(statement).fetchall())


def backup(connection: sqlite3.Connection, path: Path, to: Path) -> int:
    """Copy the state at `path`, as it is now, to the new file `to`, for its owner alone; its size in bytes.

    It gets its name when it is complete. Raises `StateUnavailable` when there is something of that name, and
    `StateStorageFull`.
    """
    fresh = to.with_name(f"{to.name}.new-{secrets.token_hex(8)}")
    try:
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            _copy(connection, path, fresh)
            os.link(fresh, to)
        finally:
            fresh.unlink(missing_ok=True)
        sync_folder(to.parent)
    except FileExistsError as error:
        raise StateUnavailable(
            f"{str(to)!r} is there already, expected the name of a new file", suggestion="give the copy another name"
        ) from error
    except OSError as error:
        raise StateUnavailable(
            f"the copy {str(to)!r} can't be written: {error.strerror or error}",
            suggestion="name a file in a folder that is there and may be written",
            cause=error,
        ) from error
    return to.stat().st_size


def _copy(connection: sqlite3.Connection, path: Path, to: Path) -> None:
    try:
        connection.execute("VACUUM INTO ?", (str(to),))
    except sqlite3.Error as error:
        damaged = code_of(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        raise explain(error, path if damaged else to) from error
    handle = os.open(to, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
