"""Cached results as rows, written by the state's own writer."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from flujo.domain.caching import CacheEntry
from flujo.exceptions import StateCorrupt
from flujo_state_sqlite.errors import RECOVER
from flujo_state_sqlite.locations import real_path
from flujo_state_sqlite.opening import read_state
from flujo_state_sqlite.schema import CACHE_LIMIT, VALUE_ENCODING, VALUE_LIMIT
from flujo_state_sqlite.statefile import Connect, StateFile
from flujo_state_sqlite.values import check_size, texts_of
from flujo_state_sqlite.writer import Writer

__all__ = ["SqliteCache"]

#: What is too much is looked for whenever this share of the limit was written.
_SHARE = 16

_GET = "SELECT key, scope, value, delta, parts, created_at FROM cache WHERE key = ? AND enc = ?"

_USE = "UPDATE cache SET used = (SELECT MAX(used) FROM cache) + 1 WHERE key = ?"

_PUT = """
INSERT OR REPLACE INTO cache(key, scope, enc, value, delta, parts, created_at, used, size)
VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT COALESCE(MAX(used), 0) + 1 FROM cache), ?)
"""

_NEAREST = "SELECT parts FROM cache WHERE scope = ? AND enc = ? ORDER BY rowid DESC LIMIT 1"

#: Keep what was used last, as much of it as there is room for.
_FORGET = """
DELETE FROM cache WHERE key IN (
  SELECT key FROM (SELECT key, SUM(size) OVER (ORDER BY used DESC, key) AS kept FROM cache) WHERE kept > ?)
"""

#: A file of the first schema has no cache until somebody writes to it.
_PRESENT = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'cache'"


class SqliteCache:
    """The cached results in the state at `path`: up to `limit` bytes, those unused for longest forgotten first.

    Uses are noted by `writer`, whose state's end is this cache's end too.
    """

    def __init__(self, path: Path, writer: Writer, connect: Connect, *, limit: int = CACHE_LIMIT) -> None:
        self._path = path
        self._writer = writer
        self._connect = connect
        self._limit = limit
        self._written = limit  # so that the first write looks

    async def get(self, key: bytes, /) -> CacheEntry | None:
        """The entry with this key, which is then the one used last."""
        return await self._writer.write(partial(_get, key=key), full=False)

    async def put(self, entry: CacheEntry, /) -> None:
        """Keep `entry`, in place of an earlier one with its key. Raises `PayloadTooLarge` above 16 MiB."""
        parts = json.dumps(dict(entry.parts))
        size = check_size(entry.value, entry.scope, VALUE_LIMIT) + check_size(entry.delta, entry.scope, VALUE_LIMIT)
        size += len(parts)
        self._written += size
        crowded = self._written * _SHARE >= self._limit
        if crowded:
            self._written = 0
        work = partial(_put, entry=entry, parts=parts, size=size, limit=self._limit if crowded else None)
        await self._writer.write(work, full=False, size=size)

    async def nearest(self, scope: str, /) -> Mapping[str, str] | None:
        """The parts of the newest entry of `scope`, None if there is none; also where nothing may be written."""
        self._writer.check()
        return await asyncio.to_thread(_nearest, self._path, self._connect, scope)


def _get(file: StateFile, key: bytes) -> CacheEntry | None:
    row = file.connection.execute(_GET, (key, VALUE_ENCODING)).fetchone()
    if row is None:
        return None
    file.connection.execute(_USE, (key,))
    key, scope, value, delta, parts, created_at = row
    return CacheEntry(key, scope, value, delta, _parts(parts, file.path), created_at)


def _put(file: StateFile, entry: CacheEntry, parts: str, size: int, limit: int | None) -> None:
    values = (entry.key, entry.scope, VALUE_ENCODING, entry.value, entry.delta, parts, entry.created_at, size)
    file.connection.execute(_PUT, values)
    if limit is not None:
        file.connection.execute(_FORGET, (limit,))


def _nearest(path: Path, connect: Connect, scope: str) -> Mapping[str, str] | None:
    path = real_path(path)
    with read_state(path, connect) as connection:
        if connection is None or connection.execute(_PRESENT).fetchone() is None:
            return None
        row = connection.execute(_NEAREST, (scope, VALUE_ENCODING)).fetchone()
        return None if row is None else _parts(row[0], path)


def _parts(text: str, path: Path) -> dict[str, str]:
    """What `put` has written. Raises `StateCorrupt` for anything else."""
    try:
        return texts_of(text)
    except ValueError as error:
        raise StateCorrupt(
            f"{str(path)!r} holds a cached result that no flujo has written", suggestion=RECOVER, cause=error
        ) from error
