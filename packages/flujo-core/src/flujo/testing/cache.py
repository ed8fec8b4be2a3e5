"""What every cache backend has to keep, as tests to subclass."""

import asyncio
from typing import Any

import pytest

from flujo.domain.caching import CacheBackend, CacheEntry
from flujo.testing.conformance import Conformance

__all__ = ["CacheBackendConformance", "new_entry"]


def new_entry(key: bytes = b"\x00\xff", **fields: Any) -> CacheEntry:
    """An entry to keep, with any field replaced by one of `fields`."""
    entry = CacheEntry(
        key=key,
        scope="tickets: loop:refine/cache:ünï",
        value=b'"out"',
        delta=b'[["set",["a"],1]]',
        parts={"definition": "00", "input": "ff", "context.ünï": "0f"},
        created_at=1_700_000_000.25,
    )
    return entry._replace(**fields)


class CacheBackendConformance(Conformance):
    """Tests of the `CacheBackend` contract: subclass it as `Test...` and override the fixture `cache`.

    The tests are coroutines, for pytest-asyncio or anyio in their automatic modes.
    """

    @pytest.fixture
    def cache(self) -> CacheBackend:
        """A fresh, empty cache; close what it belongs to after the test."""
        raise TypeError("override the fixture 'cache'")

    @pytest.mark.parametrize("delta", [b"[]", None])
    async def test_entry_is_read_back_in_every_field(self, cache: CacheBackend, delta: bytes | None) -> None:
        """What was put is got, whether it changes the context or not."""
        entry = new_entry(delta=delta)
        await cache.put(entry)
        assert await cache.get(entry.key) == entry

    async def test_unknown_key_has_no_entry(self, cache: CacheBackend) -> None:
        """Nothing is found under a key that nothing was put under, nor under a part of one."""
        await cache.put(new_entry(b"abc"))
        assert [await cache.get(key) for key in (b"", b"ab", b"abcd", b"ABC")] == [None] * 4

    async def test_later_entry_takes_the_place_of_the_earlier(self, cache: CacheBackend) -> None:
        """There is one entry for a key: the one put last."""
        await cache.put(new_entry(value=b"1"))
        later = new_entry(value=b"2", delta=None, scope="other", parts={}, created_at=1.0)
        await cache.put(later)
        assert await cache.get(later.key) == later

    async def test_values_keep_every_byte(self, cache: CacheBackend) -> None:
        """A value may be empty, of any bytes, and of five megabytes."""
        for number, value in enumerate((b"", b"\x00", bytes(range(256)), b"0123456789abcdef" * (5 * 2**16))):
            key = number.to_bytes(2)
            await cache.put(new_entry(key, value=value, delta=value))
            found = await cache.get(key)
            assert found is not None
            assert (found.value == value, found.delta == value) == (True, True)

    async def test_nearest_is_the_newest_of_the_scope(self, cache: CacheBackend) -> None:
        """The parts of the entry put last are found by the scope; another scope's are not."""
        assert await cache.nearest("a") is None
        for number in range(3):
            await cache.put(new_entry(bytes([number]), scope="a", parts={"input": str(number)}))
        await cache.put(new_entry(b"other", scope="b", parts={"input": "b"}))
        found = [await cache.nearest(scope) for scope in ("a", "b", "A", "")]
        assert [None if parts is None else dict(parts) for parts in found] == [
            {"input": "2"},
            {"input": "b"},
            None,
            None,
        ]

    async def test_entry_that_is_put_again_is_the_newest(self, cache: CacheBackend) -> None:
        """Replacing an entry makes it the newest of its scope."""
        for number in (0, 1, 0):
            await cache.put(new_entry(bytes([number]), scope="a", parts={"input": str(number)}))
        assert dict(await cache.nearest("a") or {}) == {"input": "0"}

    async def test_many_can_put_and_get_at_once(self, cache: CacheBackend) -> None:
        """Entries put side by side are all there, under their keys."""
        entries = [new_entry(bytes([number]), value=bytes([number])) for number in range(50)]
        await asyncio.gather(*(cache.put(entry) for entry in entries))
        assert await asyncio.gather(*(cache.get(entry.key) for entry in entries)) == entries
