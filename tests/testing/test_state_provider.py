"""The provider in memory keeps the contract, and so does one that can only load and save, as far as it can."""

import copy

import pytest

from flujo.domain.state_provider import StateProviderAdapter
from flujo.testing import InMemoryStateProvider
from flujo.testing.state_provider import StateProviderConformance


class TestInMemory(StateProviderConformance):
    @pytest.fixture
    def provider(self):
        return InMemoryStateProvider()


class Old:
    """A provider that can load and save."""

    def __init__(self):
        self.values = {}

    async def load(self, key):
        return copy.deepcopy(self.values.get(key))

    async def save(self, key, data):
        self.values[key] = data


class TestAdapter(StateProviderConformance):
    deletes = False

    @pytest.fixture
    def provider(self):
        return StateProviderAdapter(Old())


async def test_the_provider_in_memory_notes_its_calls_and_fails_where_it_is_told_to():
    values = {"a": 1}
    provider = InMemoryStateProvider(values)
    provider.broken["save", "a"] = OSError("full")

    with pytest.raises(OSError, match="full"):
        await provider.save("a", 2)
    await provider.close()

    assert (await provider.load("a"), provider.values is values, provider.closed) == (1, True, True)
    assert provider.calls == [("save", "a"), ("load", "a")]
