"""Cached results in memory and in a state file: the contract, the limit, the file's life."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from flujo.domain.caching import CacheBackend, CachingBackend
from flujo.exceptions import PayloadTooLarge, StateCorrupt, StateUnavailable
from flujo.infra.memory import InMemoryBackend, InMemoryCache
from flujo.testing.cache import CacheBackendConformance, new_entry
from flujo_state_sqlite.backend import SqliteBackend
from flujo_state_sqlite.cache import SqliteCache
from flujo_state_sqlite.opening import connect
from flujo_state_sqlite.schema import MIGRATIONS, VALUE_LIMIT

#: What an entry of these tests counts beside its value, at most; each value is larger than that.
SMALL = 1024


class TestMemoryCache(CacheBackendConformance):
    @pytest.fixture
    async def cache(self) -> AsyncIterator[CacheBackend]:
        backend = InMemoryBackend()
        yield backend.cache
        await backend.close()


class TestSqliteCache(CacheBackendConformance):
    @pytest.fixture
    def cache(self, backend: SqliteBackend) -> CacheBackend:
        return backend.cache


@pytest.fixture(params=["memory", "sqlite"])
def small(request: pytest.FixtureRequest, backend: SqliteBackend, path: Path) -> CacheBackend:
    """A cache that has room for three entries of ten thousand bytes."""
    limit = 3 * (10_000 + SMALL)
    if request.param == "memory":
        return InMemoryCache(limit=limit)
    return SqliteCache(path, backend._writer, connect, limit=limit)


async def kept(cache: CacheBackend, count: int) -> list[int]:
    return [number for number in range(count) if await cache.get(bytes([number])) is not None]


def small_entry(number: int, size: int = 10_000):
    return new_entry(bytes([number]), scope=str(number), value=b"x" * size, delta=None, parts={})


async def test_what_was_not_used_for_longest_is_forgotten_first(small):
    for number in range(3):
        await small.put(small_entry(number))
    await small.get(bytes([0]))

    await small.put(small_entry(3))

    assert await kept(small, 4) == [0, 2, 3]
    assert (await small.nearest("1"), await small.nearest("2")) == (None, {})


async def test_an_entry_that_is_larger_than_the_cache_is_not_kept(small):
    await small.put(small_entry(0, 50_000))

    assert await kept(small, 1) == []


async def test_replacing_an_entry_makes_no_others_go(small):
    for number in (0, 1, 2, 2, 2, 2):
        await small.put(small_entry(number))

    assert await kept(small, 3) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_state_that_is_closed_has_no_cache(kind, path):
    backend = InMemoryBackend() if kind == "memory" else SqliteBackend(path)
    cache = backend.cache
    await cache.put(new_entry())
    await backend.close()

    assert isinstance(backend, CachingBackend)
    for call in (cache.get(b"a"), cache.put(new_entry()), cache.nearest("a")):
        with pytest.raises(StateUnavailable, match="is closed"):
            await call


async def test_results_outlive_the_process(process, backend):
    first = process()
    assert first.ask("cache k 12") == "ok k"
    first.kill()

    assert (await backend.cache.get(b"k")).value == b"12"
    assert await backend.cache.nearest("scope") == {"input": "12"}


async def test_two_processes_share_one_cache(process):
    first, second = process(), process()

    assert first.ask("cache k 1") == "ok k"
    assert second.ask("cached k") == "ok 1"
    assert second.ask("cache k 2") == "ok k"
    assert [each.ask("cached k") for each in (first, second)] == ["ok 2", "ok 2"]


async def test_a_value_over_the_limit_is_refused_and_says_whose(backend):
    with pytest.raises(PayloadTooLarge, match=r"'where' has 16,777,217 bytes"):
        await backend.cache.put(new_entry(scope="where", value=b"x" * (VALUE_LIMIT + 1)))


async def test_an_entry_that_somebody_has_changed_is_refused(backend, path):
    await backend.cache.put(new_entry(scope="s"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE cache SET parts = '{'")

    for call in (backend.cache.get(new_entry().key), backend.cache.nearest("s")):
        with pytest.raises(StateCorrupt, match="no flujo has written"):
            await call


@pytest.fixture
def old(path: Path) -> Path:
    """A state of the first schema."""
    with closing(connect(f"{path.as_uri()}?mode=rwc")) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
    return path


async def test_a_state_of_the_first_schema_can_be_looked_at_and_is_left_as_it_is(old, backend):
    before = old.read_bytes()

    assert await backend.cache.nearest("s") is None
    assert list(await backend.list()) == []
    assert old.read_bytes() == before


async def test_a_state_of_the_first_schema_is_brought_up_by_the_first_write(old, backend, run):
    await backend.create_run(run())
    await backend.cache.put(new_entry(scope="s"))

    assert await backend.cache.get(new_entry().key) == new_entry(scope="s")
    assert (await backend.get("run-1")).run_id == "run-1"


async def test_there_is_nothing_near_where_there_is_no_state(backend, path):
    assert await backend.cache.nearest("s") is None
    assert not path.exists()
