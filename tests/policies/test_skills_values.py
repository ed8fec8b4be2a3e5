"""Skills that turn one value into another."""

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from flujo.exceptions import ValidationError
from flujo_policies_builtin.skills.values import from_json, passthrough, stringify, to_json


class Ticket(BaseModel):
    id: int
    when: date
    total: Decimal


@pytest.mark.parametrize(("value", "text"), [("ü", "ü"), (1, "1"), (None, "None"), (["a"], "['a']"), ("", "")])
def test_stringify_is_pythons_own_text(value, text):
    assert stringify(value) == text


def test_passthrough_hands_on_the_very_object():
    value = ["a"]

    assert passthrough(value) is value


def test_to_json_writes_models_and_dates_in_their_json_forms():
    ticket = Ticket(id=1, when=date(2026, 1, 2), total=Decimal("1.50"))

    assert json.loads(to_json([ticket])) == [{"id": 1, "when": "2026-01-02", "total": "1.50"}]
    assert to_json({"ü": 1}) == '{"ü": 1}'
    assert to_json([1], indent=1) == "[\n 1\n]"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), [object()]])
def test_to_json_refuses_what_json_can_not_hold(value):
    with pytest.raises(ValidationError, match="can't be written as json"):
        to_json(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "text is not json: expecting property name enclosed in double quotes at line 1, column 2"),
        ("[1,\n x]", "text is not json: expecting value at line 2, column 2"),
        ("[NaN]", "text is not json: NaN is no json number"),
        ("-Infinity", "text is not json: -Infinity is no json number"),
        ('{"a": 1, "a": 2}', "text is not json: key 'a' is given twice"),
        ("[" * 100_000, "text is json that is nested too deep"),
        (7, "text is 'int', expected json text"),
    ],
)
def test_from_json_says_what_is_wrong_with_a_text(text, message):
    with pytest.raises(ValidationError) as caught:
        from_json(text)

    assert str(caught.value).startswith(message)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_plain_data_comes_back_from_its_json(value):
    assert from_json(to_json(value)) == value
