"""Values without classes: what stands in JSON, what is tagged, what is refused."""

import json
import math
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from flujo.exceptions import StateCorrupt, ValueNotStorable
from flujo.infra.codec import JsonCodec

CODEC = JsonCodec()
BERLIN = ZoneInfo("Europe/Berlin")
Pair = namedtuple("Pair", "a b")


class Text(str):
    __slots__ = ()


class Colour(StrEnum):
    RED = "red"


class OddZone(tzinfo):
    def utcoffset(self, when):
        return None


def round_trip(value):
    return CODEC.decode(CODEC.encode(value, where="a test"), where="a test")


def refusal(value) -> str:
    with pytest.raises(ValueNotStorable) as caught:
        CODEC.encode(value, where="the result of 'x'")
    return str(caught.value)


def nested(depth: int):
    value: list = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, "null"),
        (True, "true"),
        (-7, "-7"),
        (2**53, "9007199254740992"),
        (0.1, "0.1"),
        ("ü🜂", '"ü🜂"'),
        ({"b": [1, {}], "a": None}, '{"b":[1,{}],"a":null}'),
    ],
)
def test_json_types_stand_as_they_are(value, stored):
    assert CODEC.encode(value, where="a test") == stored.encode()
    assert round_trip(value) == value


@pytest.mark.parametrize(
    "value",
    [
        2**53 + 1,
        -(2**53) - 1,
        2**200,
        (1, "a", (None,)),
        (),
        {1, 2, 3},
        frozenset({"a", (1, 2)}),
        {frozenset()},
        b"\x00\xff",
        b"",
        Decimal("1.10"),
        Decimal("-0"),
        Decimal("1E+999999"),
        UUID(int=7),
        date(1, 1, 1),
        time(23, 59, 59, 999999),
        time(1, 2, tzinfo=UTC),
        time(1, 2, fold=1),
        time(1, 2, tzinfo=BERLIN),
        timedelta(days=-999999999),
        timedelta(microseconds=1),
        datetime(2024, 2, 29, 1, 2, 3, 4),  # noqa: DTZ001 - a naive time is a value, too
        datetime(2024, 2, 29, tzinfo=UTC),
        datetime(2024, 2, 29, fold=1),  # noqa: DTZ001
        datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
        datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=-5, seconds=1))),
        "a\x00b",
        "\u202e\u2028 שלום",
        {"a": [{"b": (1, b"x")}]},
    ],
)
def test_value_and_its_type_come_back(value):
    back = round_trip(value)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


@given(
    st.text(), st.sampled_from(["", "x" * 99, 'say "hi"\n' * 12, "c:\\temp\t" * 15, "é\x00" * 60, "\x7f\u2028" * 80])
)
def test_text_is_written_as_json_has_it_however_long_it_is(short, long):
    for text in (short, short + long):
        assert JsonCodec().encode(text, where="it") == json.dumps(text, ensure_ascii=False).encode()


def test_integer_of_many_digits_comes_back():
    assert round_trip(-(10**50_000)) == -(10**50_000)


def test_negative_zero_keeps_its_sign():
    assert math.copysign(1, round_trip(-0.0)) == -1


def test_bool_does_not_become_a_number():
    assert [type(item) for item in round_trip([True, 1, 1.0, (True,)])] == [bool, int, float, tuple]


def test_order_of_a_dict_is_kept():
    assert list(round_trip({"z": 1, "a": (2,), "m": 3})) == ["z", "a", "m"]


def test_equal_sets_give_equal_bytes():
    words = [f"w{n}" for n in range(50)]
    backwards = {word for word in reversed(words)}  # noqa: C416 - the order of insertion matters here
    assert CODEC.encode(set(words), where="") == CODEC.encode(backwards, where="")


@pytest.mark.parametrize("fold", [0, 1])
def test_second_hour_of_a_clock_change_is_told_from_the_first(fold):
    back = round_trip(datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=BERLIN))
    assert (back.fold, back.utcoffset()) == (fold, timedelta(hours=2 - fold))
    assert back.tzinfo is BERLIN


@pytest.mark.parametrize("fold", [0, 1])
def test_name_of_a_fixed_offset_is_kept(fold):
    back = round_trip(datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET"), fold=fold))
    assert (back.tzname(), back.utcoffset(), back.fold) == ("CET", timedelta(hours=1), fold)


def test_fold_under_an_unnamed_offset_is_kept():
    value = datetime(2024, 1, 1, tzinfo=UTC, fold=1)
    assert repr(round_trip(value)) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        {"$": 1},
        {"$": "tuple", "v": [1]},
        {"$": "dict", "v": {"$": {"$": 1}}},
        {"a": {"$": "x:y", "n": "z"}},
        {"$": (1, 2)},
        {"lc": 1, "type": "constructor", "id": ["a"]},
        {"__class__": "os.system", "$ref": "#/x"},
        "$",
        ["$"],
    ],
)
def test_dict_that_looks_like_a_tag_comes_back_as_the_same_dict(value):
    assert round_trip(value) == value


def test_hundred_levels_are_stored_and_one_more_is_refused():
    assert round_trip(nested(100)) == nested(100)
    assert round_trip([nested(98), (nested(98),)]) == [nested(98), (nested(98),)]
    assert "nested more than 100 levels deep at $[0][0]" in refusal(nested(101))
    assert "nested more than 100 levels deep" in refusal((nested(100),))


def test_very_deep_value_is_refused_without_a_recursion_error():
    assert "nested more than 100 levels" in refusal(nested(100_000))


def test_million_keys_are_stored():
    value = {str(number): number for number in range(1_000_000)}
    assert round_trip(value) == value


def test_value_that_contains_itself_is_refused():
    loop: dict = {"a": [1]}
    loop["a"].append(loop)
    assert refusal(loop) == "the result of 'x' can't be stored: a value that contains itself at $.a[1]"


def test_value_that_is_twice_in_another_is_no_loop():
    part = (1,)
    assert round_trip([part, part]) == [part, part]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "a number that is not finite"),
        ({"a": [1, {"b": math.inf}]}, "a number that is not finite at $.a[1].b"),
        ([Decimal("NaN")], "a Decimal that is not finite at $[0]"),
        ("\ud800", "text with a lone surrogate, which is no character"),
        ({"a": ["ok", "x\udfff"]}, "text with a lone surrogate, which is no character at $.a[1]"),
        ({"\ud800": 1}, 'text with a lone surrogate, which is no character at $["\\ud800"]'),
        ({"a": {1: 2}}, "a key of class 'int' at $.a"),
        ({None: 2}, "a key of class 'NoneType'"),
        ([{(1, 2): 2}], "a key of class 'tuple' at $[0]"),
        ({Text("a"): 2}, "a key of class 'Text'"),
        ({Colour.RED: 2}, "a key of class 'Colour'"),
        ({"the key": print}, 'a function, a class or another callable at $["the key"]'),
        ({"k" * 99: print}, f'a function, a class or another callable at $["{"k" * 60}..."]'),
        ([int], "a function, a class or another callable at $[0]"),
        ([partial(print)], "a function, a class or another callable at $[0]"),
        ([SecretStr("hush")], "a secret (SecretStr) at $[0]"),
        (SecretBytes(b"hush"), "a secret (SecretBytes)"),
        (object(), "an object of class 'builtins:object'"),
        (1 + 2j, "an object of class 'builtins:complex'"),
        (datetime(2024, 1, 1, tzinfo=OddZone()), "a time zone of class 'OddZone'"),
    ],
)
def test_refusal_names_the_reason_and_the_place(value, reason):
    assert refusal(value) == f"the result of 'x' can't be stored: {reason}"


@pytest.mark.parametrize(
    ("value", "kind"),
    [(Text("hush"), "str"), (Pair(1, 2), "tuple"), (OrderedDict(a=1), "dict"), (type("N", (int,), {})(5), "int")],
)
def test_subclass_of_a_plain_type_is_refused_because_it_would_lose_its_class(value, kind):
    message = refusal([value])
    assert f"which would come back as a plain {kind!r} at $[0]" in message
    assert "hush" not in message


def test_open_file_is_refused(tmp_path):
    with (tmp_path / "f").open("w") as handle:
        assert "an open file" in refusal(handle)


def test_refusal_never_shows_the_value():
    with pytest.raises(ValueNotStorable) as caught:
        CODEC.encode({"password": ["hunter2", "hunter2\ud800"]}, where="it")
    assert "hunter2" not in f"{caught.value!r}{vars(caught.value)}{caught.value.__cause__!r}"
    assert caught.value.__cause__.__cause__ is None
    assert caught.value.suggestion


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[1,]",
        b"NaN",
        b"[Infinity]",
        b"\xef\xbb\xbf1",
        b"1 2",
        b"[" * 100_000,
        b'{"$":"tuple"}',
        b'{"$":"tuple","v":5}',
        b'{"$":"int","v":"zz"}',
        b'{"$":"int","v":5}',
        b'{"$":"bytes","v":"*"}',
        b'{"$":"decimal","v":"x"}',
        b'{"$":"uuid","v":"x"}',
        b'{"$":"date","v":5}',
        b'{"$":"set","v":[[]]}',
        b'{"$":"dict","v":[]}',
        b'{"$":"timedelta","v":[1,2,3,4,5,6,7,8]}',
        b'{"$":"datetime","v":["2024-01-01T00:00:00",0,"zone","../../etc/passwd"]}',
        b'{"$":"datetime","v":["2024-01-01T00:00:00",0,"zone","Europe/Atlantis"]}',
        b'{"$":"datetime","v":["2024-01-01T00:00:00",0,"offset",1e9,null]}',
        b'{"$":["tuple"],"v":[]}',
        b'{"$":null}',
        b'{"a":{"$":"nonsense","v":[1]}}',
    ],
)
def test_bytes_that_no_codec_wrote_are_corrupt(data):
    with pytest.raises(StateCorrupt, match=r"^the input can't be read: "):
        CODEC.decode(data, where="the input")


def test_corrupt_value_is_not_shown():
    with pytest.raises(StateCorrupt) as caught:
        CODEC.decode(b'{"$":"date","v":"hunter2"}', where="it")
    assert str(caught.value) == "it can't be read: its part of type 'date' is broken"
    assert caught.value.__cause__ is None


def test_stored_bytes_are_json_that_any_reader_reads():
    stored = json.loads(CODEC.encode({"when": date(2024, 1, 2), "n": (1,)}, where=""))
    assert stored == {"when": {"$": "date", "v": "2024-01-02"}, "n": {"$": "tuple", "v": [1]}}
