"""Whatever is stored comes back as the same value of the same type, or it is refused."""

import datetime as dt
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntFlag
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from flujo.exceptions import StateCorrupt, ValueNotStorable
from flujo.infra.codec import JsonCodec, jsonable, readable


class Colour(Enum):
    RED = 1
    PAIR = (1, "a")


class Right(IntFlag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Point:
    x: Any
    tags: list[Any] = field(default_factory=list)


class Model(BaseModel):
    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)
    value: Any = None
    point: Point | None = None
    colour: Colour = Colour.RED
    right: Right = Right(0)


CODEC = JsonCodec([Model])

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_ZONES = st.timezones() | st.builds(dt.timezone, st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)))
_HASHABLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**53 - 2, max_value=2**53 + 2),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
    st.binary(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.uuids(),
    st.dates(),
    st.times(timezones=st.none() | _ZONES),
    st.datetimes(timezones=st.none() | _ZONES),
    st.timedeltas(),
    st.sampled_from(Colour),
    st.sampled_from([Right.READ, Right.READ | Right.WRITE, Right(0)]),
)


def _parts(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = _TEXT | st.sampled_from(["$", "v", "x"])
    points = st.builds(Point, values, st.lists(values, max_size=2))
    return st.one_of(
        st.lists(values, max_size=4),
        st.lists(values, max_size=4).map(tuple),
        st.dictionaries(keys, values, max_size=4),
        st.sets(_HASHABLE, max_size=4),
        st.frozensets(_HASHABLE, max_size=4),
        points,
        st.builds(Model, value=values, point=st.none() | points, colour=st.sampled_from(Colour)),
        st.builds(lambda more: Model(**{"extra": more, "$": more}), values),
    )


VALUES = st.recursive(_HASHABLE, _parts, max_leaves=12)


def same(one: Any, other: Any) -> bool:
    """Equal, of one type, and so are all parts."""
    match one:
        case _ if type(one) is not type(other):
            return False
        case dict():
            equal = list(one) == list(other) and all(same(one[key], other[key]) for key in one)
        case list() | tuple():
            equal = len(one) == len(other) and all(map(same, one, other))
        case set() | frozenset():
            equal = {(type(item), item) for item in one} == {(type(item), item) for item in other}
        case Point() | Model():
            equal = same(vars(one), vars(other))
        case float() | Decimal() | dt.datetime() | dt.time():
            equal = repr(one) == repr(other)
        case _:
            equal = one == other
    return equal


def encoded(value: Any) -> bytes | None:
    """The value's bytes; None for one that is refused as it should be."""
    try:
        return CODEC.encode(value, where="it")
    except ValueNotStorable as refused:
        return None if str(refused).startswith("it can't be stored: ") else b"a bad refusal"


def corrupt(read: Callable[[bytes], Any], data: bytes) -> StateCorrupt | None:
    """What reading `data` raises, if it does."""
    try:
        read(data)
    except StateCorrupt as error:
        return error
    return None


def decoded(data: bytes) -> Any:
    return CODEC.decode(data, where="it")


def comes_back(value: Any) -> None:
    stored = CODEC.encode(value, where="it")
    back = decoded(stored)
    assert same(back, value)
    assert CODEC.encode(back, where="it") == stored


@settings(max_examples=500)
@example(dt.time(0, 0, tzinfo=dt.timezone(dt.timedelta(microseconds=1))))
@given(VALUES)
def test_stored_value_comes_back_the_same(value):
    comes_back(value)


@pytest.mark.slow
@settings(max_examples=5_000)
@given(VALUES)
def test_any_of_five_thousand_stored_values_comes_back_the_same(value):
    comes_back(value)


@given(VALUES)
def test_stored_value_is_readable_without_its_classes(value):
    json.dumps(readable(CODEC.encode(value, where="it")), allow_nan=False).encode()
    json.dumps(jsonable(value), allow_nan=False).encode()


_ANYTHING = st.recursive(
    VALUES
    | st.floats()
    | st.decimals()
    | st.text(st.characters(categories=["Cs", "L"]))
    | st.complex_numbers()
    | st.fractions()
    | st.ip_addresses()
    | st.slices(5)
    | st.functions()
    | st.binary().map(bytearray)
    | st.sampled_from([object(), ..., NotImplemented, int, json, range(3), ValueError("x"), deque([1]), iter([])]),
    lambda v: (
        st.lists(v) | st.dictionaries(_HASHABLE, v) | st.tuples(v) | st.builds(Point, v) | st.builds(Model, value=v)
    ),
    max_leaves=8,
)


@given(_ANYTHING)
def test_anything_is_shown_as_json(value):
    json.dumps(jsonable(value), allow_nan=False).encode()


@settings(max_examples=300)
@given(_ANYTHING)
def test_anything_comes_back_or_is_refused(value):
    stored = encoded(value)
    assert stored is None or same(decoded(stored), value)


@given(st.binary() | st.text().map(str.encode) | VALUES.map(lambda v: CODEC.encode(v, where="")[1:]))
def test_any_bytes_are_read_or_corrupt(data):
    error = corrupt(decoded, data)
    assert error is None or str(error).startswith("it can't be read: ")


_JSON = st.recursive(
    st.none() | st.integers() | st.text() | st.sampled_from(["UTC", "zone", "offset"]),
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(st.sampled_from(["$", "v", "n", "s", "x", "p"]), v)
        | st.builds(
            lambda name, v: {"$": name, "v": v},
            st.sampled_from(
                ["int", "tuple", "set", "dict", "bytes", "datetime", "time", "date", "timedelta", "decimal"]
            )
            | st.sampled_from([f"{__name__}:{cls.__name__}" for cls in (Colour, Right, Point, Model)]),
            v,
        )
    ),
)


@settings(max_examples=500)
@given(_JSON)
def test_forged_tags_are_read_or_corrupt(data):
    raw = json.dumps(data).encode()
    for read in (readable, decoded):
        error = corrupt(read, raw)
        assert error is None or error.suggestion


def test_refused_values_leave_the_codec_usable():
    with pytest.raises(ValueNotStorable):
        CODEC.encode([object()], where="it")
    assert CODEC.encode([1], where="it") == b"[1]"
