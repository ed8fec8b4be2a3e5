"""Keys of fields that live elsewhere, and providers that can only load and save."""

import pytest

from flujo import OpenContext
from flujo.domain.state_provider import ContextReference, StateProviderAdapter
from flujo.exceptions import ContextFieldError


@pytest.mark.parametrize(
    ("key", "names", "filled"),
    [
        ("all", (), "all"),
        ("user-{user}", ("user",), "user-ann"),
        ("{number}/{user}/{number}", ("number", "user", "number"), "7/ann/7"),
        ("{{{user}}}", ("user",), "{ann}"),
        ("", (), ""),
    ],
)
def test_a_key_is_filled_with_the_fields_that_it_names(key, names, filled):
    reference = ContextReference("profiles", key)

    assert reference.names == names
    assert reference.key_for(OpenContext(user="ann", number=7)) == filled


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("{user.name}", "key '{user.name}' has 'user.name' in braces"),
        ("{user[0]}", "key '{user[0]}' has 'user[0]' in braces"),
        ("{user:>9}", "key '{user:>9}' has 'user' in braces"),
        ("{user!r}", "key '{user!r}' has 'user' in braces"),
        ("{}", "key '{}' has '' in braces"),
        ("{0}", "key '{0}' has '0' in braces"),
        ("{user", "key '{user' is not one: expected '}' before end of string"),
        ("user}", "key 'user}' is not one: Single '}' encountered in format string"),
    ],
)
def test_a_key_takes_names_and_nothing_else(key, message):
    with pytest.raises(ContextFieldError) as caught:
        _ = ContextReference("profiles", key).names

    assert str(caught.value) == message
    assert "user-{user_id}" in caught.value.suggestion


@pytest.mark.parametrize("value", [None, "", True, 1.5, ["a"]])
def test_a_value_that_would_make_a_key_of_many_contexts_is_refused(value):
    with pytest.raises(ContextFieldError) as caught:
        ContextReference("profiles", "user-{user}").key_for(OpenContext(user=value))

    assert str(caught.value) == f"key 'user-{{user}}' needs a value of 'user', which is {value!r}"


class Old:
    """A provider that can load and save."""

    def __init__(self):
        self.values = {}

    async def load(self, key):
        return self.values.get(key)

    async def save(self, key, data):
        self.values[key] = data


class Closable(Old):
    closed = False

    async def close(self):
        self.closed = True


async def test_an_adapter_closes_a_provider_that_can_be_closed():
    closable = Closable()
    await StateProviderAdapter(closable).close()
    await StateProviderAdapter(Old()).close()

    assert closable.closed


async def test_an_adapter_says_that_nothing_was_deleted():
    adapter = StateProviderAdapter(Old())
    await adapter.save("key", 1)

    assert (await adapter.delete("key"), await adapter.exists("key"), await adapter.load("key")) == (False, True, 1)
