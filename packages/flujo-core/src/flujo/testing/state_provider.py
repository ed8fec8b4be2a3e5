"""What every state provider has to keep, as tests to subclass."""

from typing import Any, ClassVar

import pytest

from flujo.domain.interfaces import StateProvider
from flujo.testing.conformance import Conformance

__all__ = ["StateProviderConformance"]


class StateProviderConformance(Conformance):
    """Tests of the `StateProvider` contract: subclass it as `Test...` and override the fixture `provider`.

    `values` are two mutable values that the provider can keep, not equal. A provider that can't delete says so by
    `deletes`. The tests are coroutines, for pytest-asyncio or anyio in their automatic modes.
    """

    deletes: ClassVar[bool] = True
    values: ClassVar[tuple[Any, Any]] = ({"tags": ["a"], "größe": 1}, {"tags": []})

    @pytest.fixture
    def provider(self) -> StateProvider[Any]:
        """A fresh, empty provider; close it after the test, it may have been closed already."""
        raise TypeError("override the fixture 'provider'")

    async def test_a_key_that_was_never_saved_has_no_value(self, provider: StateProvider[Any]) -> None:
        """There is nothing at first, and asking leaves nothing behind."""
        assert await provider.load("nobody") is None
        assert await provider.exists("nobody") is False
        assert await provider.delete("nobody") is False
        assert await provider.load("nobody") is None

    async def test_what_is_saved_is_loaded(self, provider: StateProvider[Any]) -> None:
        """The value comes back equal, again and again."""
        await provider.save("key", self.values[0])
        assert await provider.exists("key") is True
        assert [await provider.load("key"), await provider.load("key")] == [self.values[0]] * 2

    async def test_a_later_value_takes_the_place_of_an_earlier_one(self, provider: StateProvider[Any]) -> None:
        """The last save counts, also one of the value that was there before."""
        for value in (self.values[0], self.values[1], self.values[0]):
            await provider.save("key", value)
            assert await provider.load("key") == value

    async def test_keys_are_told_apart(self, provider: StateProvider[Any]) -> None:
        """Case, spaces, separators and other scripts belong to a key."""
        keys = ["key", "KEY", "key ", "key/a", "key:a", "clé", "key%", "k_y"]
        for number, key in enumerate(keys):
            await provider.save(key, self.values[number % 2])
        assert [await provider.load(key) for key in keys] == [self.values[n % 2] for n in range(len(keys))]

    async def test_a_loaded_value_belongs_to_who_loaded_it(self, provider: StateProvider[Any]) -> None:
        """Two calls do not give one object: who changes it in place changes nothing that is kept."""
        await provider.save("key", self.values[0])
        assert await provider.load("key") is not await provider.load("key")

    async def test_what_is_deleted_is_gone(self, provider: StateProvider[Any]) -> None:
        """Deleting tells whether there was something, and takes away that key alone."""
        if not self.deletes:
            pytest.skip("this provider can't delete")
        await provider.save("key", self.values[0])
        await provider.save("other", self.values[1])
        assert [await provider.delete("key"), await provider.delete("key")] == [True, False]
        assert [await provider.exists("key"), await provider.load("key")] == [False, None]
        assert await provider.load("other") == self.values[1]

    async def test_a_second_close_does_nothing(self, provider: StateProvider[Any]) -> None:
        """Whoever closes does not have to know who else did."""
        await provider.close()
        await provider.close()
