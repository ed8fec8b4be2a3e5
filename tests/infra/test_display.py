"""Any value can be looked at."""

import json
import math
from collections import namedtuple
from dataclasses import dataclass, make_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from flujo.exceptions import StateCorrupt
from flujo.infra.codec import JsonCodec, jsonable, readable


class Colour(Enum):
    RED = 1


class Mood(StrEnum):
    GOOD = "good"


@dataclass
class Point:
    x: int


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    point: Point


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [1, None, True, 0.5, "x"]}, {"a": [1, None, True, 0.5, "x"]}),
        (math.nan, "NaN"),
        ([math.inf, -math.inf], ["Infinity", "-Infinity"]),
        (10**30, 10**30),
        ("a\ud800", "a\\ud800"),
        (Text("sub"), "sub"),
        (b"\x00\xff", "AP8="),
        (bytearray(b"a"), "YQ=="),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        (date(2024, 1, 2), "2024-01-02"),
        (time(1, 2), "01:02:00"),
        (timedelta(days=1, hours=2), "1 day, 2:00:00"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("a/b"), "a/b"),
        ((1, (2,)), [1, [2]]),
        (namedtuple("Pair", "a b")(1, 2), {"a": 1, "b": 2}),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({2, 1}), [1, 2]),
        (Colour.RED, 1),
        (Mood.GOOD, "good"),
        (Point(1), {"x": 1}),
        (Open(point=Point(1), more={1: 2}), {"point": {"x": 1}, "more": {"1": 2}}),
        ({1: 2, None: 3, (1, 2): 4, Mood.GOOD: 5}, {"1": 2, "None": 3, "[1, 2]": 4, "good": 5}),
        (SecretStr("hush"), "SecretStr('**********')"),
        (1 + 2j, "(1+2j)"),
        (ValueError("x"), "ValueError('x')"),
    ],
)
def test_value_is_shown_as_plain_data(value, shown):
    assert jsonable(value) == shown
    json.dumps(jsonable(value), allow_nan=False).encode()


def test_integer_of_too_many_digits_is_shown_in_hexadecimal():
    assert jsonable([-(16**4000)]) == ["-0x1" + "0" * 4000]


def test_object_that_can_not_be_shown_is_named():
    assert jsonable([Hostile()])[0].startswith("<Hostile instance at")


def test_very_long_repr_is_cut():
    class Long:
        def __repr__(self) -> str:
            return "x" * 10_000

    assert len(jsonable(Long())) == 1_000


def test_loops_and_depths_are_cut():
    loop: list = [1]
    loop.extend([loop, loop])
    assert jsonable(loop) == [1, "…", "…"]
    deep: list = []
    for _ in range(10_000):
        deep = [deep]
    assert json.dumps(jsonable(deep)) == "[" * 100 + '"\\u2026"' + "]" * 100


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, {"a": (1, b"x", {2})}],
        {"$": 1},
        2**70,
        Decimal("1.5"),
        datetime(2024, 1, 2, tzinfo=UTC),
        Colour.RED,
        Point(1),
        Open(point=Point(1), more=(1,)),
    ],
)
def test_stored_bytes_are_shown_like_the_value_without_its_classes(value):
    stored = JsonCodec([Open, Colour]).encode(value, where="")
    assert readable(stored) == jsonable(value)


def test_enum_without_a_plain_value_is_shown_by_its_name():
    odd = Enum("Odd", {"PAIR": (1, 2)})
    assert readable(JsonCodec([odd]).encode([odd.PAIR], where="")) == ["PAIR"]


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_of_objects_is_shown_as_a_list(kind):
    """Shown as dicts they have no hash."""
    pixel = make_dataclass("Pixel", [("x", int)], frozen=True)
    stored = JsonCodec([pixel]).encode(kind({pixel(1), pixel(2)}), where="")
    assert sorted(readable(stored), key=repr) == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize("data", [b"", b"\xff", b'{"$":"date","v":1}', b'{"$":["a"]}'])
def test_bytes_that_no_codec_wrote_are_corrupt(data):
    with pytest.raises(StateCorrupt, match=r"^a stored value can't be read: "):
        readable(data)
