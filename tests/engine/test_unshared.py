"""Plain data copied for each of its users, and values compared by what they are made of."""

import threading
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import PrivateAttr

from flujo.domain.context import OpenContext
from flujo.engine.changes import change, same, snapshot, twin, unshared
from flujo.exceptions import ContextIsolationError

scalars = st.none() | st.integers() | st.text(max_size=3)
values = st.recursive(
    scalars | st.sets(scalars, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=12,
)


class Plain:
    """Something that says nothing of equality."""

    def __init__(self, held: Any = 1) -> None:
        self.held = held


class Odd:
    """Something whose comparison gives no answer."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> Any:
        return [True]

    __hash__ = None


class Sealed(Plain):
    """Something that can be copied, but not taken apart."""

    def __deepcopy__(self, memo: object) -> "Sealed":
        return Sealed(self.held)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("sealed")


def containers(value: Any) -> set[int]:
    """Which containers that can change are in the value."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    own = {id(value)} if isinstance(value, dict | list | set) else set()
    return own.union(*map(containers, inside))


@given(values)
def test_a_copy_is_equal_and_has_no_container_in_common_that_can_change(value):
    copied = unshared(value)

    assert same(value, copied) or value == copied
    assert not containers(value) & containers(copied)


def test_what_is_no_plain_container_is_shared():
    lock, thing, frozen = threading.Lock(), Plain([1]), (1, ("a", None))

    copied = unshared([lock, thing, frozen])

    assert copied[0] is lock
    assert copied[1] is thing
    assert copied[2] is frozen


def test_what_contains_itself_is_copied_as_such():
    value: list[Any] = [1]
    value.append((value, value))

    copied = unshared(value)

    assert copied is not value
    assert copied[1][0] is copied
    assert copied[1][1] is copied


def test_what_two_places_hold_is_copied_once():
    one: tuple[Any, ...] = ([1],)
    for _ in range(60):
        one = (one, one)

    copied = unshared(one)

    assert copied[0] is copied[1]
    assert copied is not one


def test_data_of_any_depth_can_be_copied():
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]

    copied = unshared(deep)

    assert copied is not deep
    assert copied[0] is not deep[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (float("nan"), float("nan")),
        ({"a": [float("nan")]}, {"a": [float("nan")]}),
        (complex("nan"), complex("nan")),
        (Decimal("nan"), Decimal("nan")),
        (Plain([1, {2}]), Plain([1, {2}])),
        (Odd(1), Odd(1)),
    ],
)
def test_what_is_not_equal_to_itself_is_the_same_if_it_is_made_of_the_same(one, other):
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (float("nan"), 1.0),
        (Plain(1), Plain(2)),
        (Plain(1), Plain(True)),
        (Odd(1), Odd(2)),
        ({1}, {2}),
        (Sealed(1), Sealed(1)),
        (True, 1),
    ],
)
def test_what_is_made_of_other_things_is_another(one, other):
    assert not same(one, other)


def test_things_that_know_each_other_can_be_compared():
    def pair(held: int) -> Plain:
        first, second = Plain(), Plain()
        first.held, second.held = second, [first, held]
        return first

    assert same(pair(1), pair(1))
    assert not same(pair(1), pair(2))


def test_a_context_with_things_that_are_not_equal_to_themselves_has_not_changed():
    context = OpenContext(thing=Plain({"a": float("nan")}), number=float("nan"))
    before = snapshot(context)

    assert change(before, context) is None

    context.thing.held["a"] = 2

    assert [operation[:2] for operation in change(before, context) or []] == [["set", ["thing"]]]


def test_a_value_that_cannot_be_copied_is_named_with_its_field():
    context = OpenContext(lock=threading.Lock())

    with pytest.raises(ContextIsolationError, match="context field 'lock' can't be copied: cannot pickle") as caught:
        snapshot(context)

    assert "resources" in str(caught.value.suggestion)
    context = OpenContext()
    before = snapshot(context)
    context.scratchpad["lock"] = threading.Lock()
    with pytest.raises(ContextIsolationError, match=r"context field 'scratchpad\.lock' can't be copied"):
        change(before, context)


def test_private_attributes_of_a_twin_are_its_own():
    class Private(OpenContext):
        _seen: dict[str, Any] = PrivateAttr(default_factory=dict)
        _lock: Any = PrivateAttr(default_factory=threading.Lock)

    context = Private()
    other = twin(context, {})
    other._seen["a"] = 1

    assert context._seen == {}
    assert other._lock is context._lock
