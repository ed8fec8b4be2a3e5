"""What an answer must look like: models, types and JSON Schemas, each checked with every problem told."""

import socket
import subprocess
import sys
from datetime import date
from enum import StrEnum
from typing import ForwardRef, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from flujo.exceptions import ConfigurationError, SchemaMismatchError
from flujo.infra.schemas import OutputSchema


class Item(BaseModel):
    price: float


class Order(BaseModel):
    model_config = ConfigDict(strict=True)

    label: Literal["bug", "idea"]
    day: date
    items: list[Item] = []
    size: int | list[int] = 1


class Colour(StrEnum):
    RED = "red"


ORDER = {
    "title": "Order",
    "type": "object",
    "properties": {"label": {"enum": ["bug", "idea"]}, "items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
    "required": ["label"],
    "$defs": {"item": {"type": "object", "properties": {"price": {"type": "number"}}}},
}


def problems(spec: object, value: object) -> tuple[tuple[str, str], ...]:
    with pytest.raises(SchemaMismatchError) as caught:
        OutputSchema.of(spec).check(value)
    return caught.value.problems


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        (int, 3, 3),
        (int, "3", 3),
        (str, '{"a": 1}', '{"a": 1}'),
        (Literal["a", "b"], '"b"', "b"),
        (Colour, "red", Colour.RED),
        (list[Item], '```json\n[{"price": 1,}]\n```', [Item(price=1)]),
        (Order, 'So: {"label": "bug", "day": "2026-01-02"}', Order(label="bug", day=date(2026, 1, 2))),
        (Order, {"label": "bug", "day": date(2026, 1, 2)}, Order(label="bug", day=date(2026, 1, 2))),
        (ORDER, '{"label": "bug"}', {"label": "bug"}),
        (ORDER, {"label": "bug"}, {"label": "bug"}),
        ({"type": "string"}, "[1]", "[1]"),
        ({"type": ["string", "object"]}, "{}", "{}"),
        ({"properties": {"a": {"type": "number"}}}, '{"a": 1}', {"a": 1}),
        ({"properties": {"a": {"type": "number"}}}, "prose", "prose"),
        ({}, "3", "3"),
    ],
)
def test_a_value_becomes_what_the_schema_says(spec, value, expected):
    found = OutputSchema.of(spec).check(value)
    assert found == expected
    assert type(found) is type(expected)


def test_every_problem_of_a_model_is_told_with_its_place():
    text = '{"label": "x", "items": [{"price": "a"}, {}], "size": ["q"]}'
    assert problems(Order, text) == (
        ("$.label", "input should be 'bug' or 'idea'"),
        ("$.day", "field required"),
        ("$.items[0].price", "input should be a valid number, unable to parse string as a number"),
        ("$.items[1].price", "field required"),
        ("$.size", "input should be a valid integer"),
        ("$.size[0]", "input should be a valid integer"),
    )


def test_every_problem_of_a_json_schema_is_told_with_its_place():
    assert problems(ORDER, {"label": "x", "items": [{"price": "a"}]}) == (
        ("$.label", "'x' is not one of ['bug', 'idea']"),
        ("$.items[0].price", "'a' is not of type 'number'"),
    )
    assert problems({"properties": {"a b": {"type": "null"}}}, {"a b": 1})[0][0] == "$['a b']"


def test_of_alternatives_the_one_that_is_nearest_is_told():
    spec = {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"n": {"type": "integer"}}}]}
    assert problems(spec, {"n": "x"}) == (("$.n", "'x' is not of type 'integer'"),)


def test_a_message_names_value_schema_and_problems_and_repeats_no_long_value():
    with pytest.raises(SchemaMismatchError) as caught:
        OutputSchema.of(ORDER).check("prose", what="the answer")
    assert str(caught.value) == "the answer does not fit 'Order': $: 'prose' is not of type 'object'"
    assert problems({"type": "object"}, ["x" * 1_000]) == (("$", "it does not fit 'type': 'object'"),)
    assert len(problems({"enum": ["y" * 500]}, 1)[0][1]) == 200
    with pytest.raises(SchemaMismatchError, match="does not fit its schema"):
        OutputSchema.of({"type": "null"}).check(1)


def test_a_text_that_means_json_is_told_what_is_wrong_with_that():
    assert problems(Order, '{"label": }') == (
        ("$", "the text is no JSON: Expecting value: line 1 column 11 (char 10)"),
    )
    assert problems(Order, "hm")[0][1].startswith("input should be a valid dictionary")


def test_no_more_than_fifty_problems_are_told():
    assert len(problems(list[int], ["x"] * 1_000)) == 50
    assert len(problems({"items": {"type": "integer"}}, ["x"] * 1_000)) == 50


def test_a_value_or_schema_without_end_is_a_problem_and_no_crash():
    deep: object = 1
    for _ in range(5_000):
        deep = {"a": deep}
    told = (("$", "it is nested too deep to be checked"),)
    assert problems({"properties": {"a": {"$ref": "#"}}}, deep) == told
    assert problems({"$ref": "#"}, 1) == told


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"type": "odd"},
            "the JSON Schema is wrong at $.type: 'odd' is not valid under any of the given schemas",
        ),
        ({"pattern": "["}, "the JSON Schema is wrong at $.pattern: '[' is not a 'regex'"),
        ({"$ref": "#/$defs/a"}, "the JSON Schema refers to '#/$defs/a', which is not in it"),
        ({"$schema": 3}, "the JSON Schema can't be read: AttributeError: "),
        ("Order", "'Order' is no type of output that can be checked"),
        (list[ForwardRef("Nowhere")], "\"list[ForwardRef('Nowhere')]\" is no type of output that can be checked"),
        (3, "'3' is no type of output that can be checked"),
    ],
)
def test_what_is_no_schema_is_refused_at_once(spec, message):
    with pytest.raises(ConfigurationError) as caught:
        OutputSchema.of(spec)
    assert str(caught.value).startswith(message)


def test_no_other_document_is_ever_fetched(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(ConfigurationError, match=r"refers to 'https://example\.com/x\.json', which is not in it"):
        OutputSchema.of({"properties": {"a": {"$ref": "https://example.com/x.json"}}})
    named = {"$id": "https://example.com/y", "$ref": "y#/$defs/n", "$defs": {"n": {"type": "integer"}}}
    assert OutputSchema.of(named).check(3) == 3


@pytest.mark.parametrize("dialect", ["http://json-schema.org/draft-07/schema#", "https://example.com/own"])
def test_the_dialect_a_schema_names_is_its_own(dialect):
    spec = {"$schema": dialect, "definitions": {"a": {"type": "string"}}, "$ref": "#/definitions/a"}
    assert problems(spec, 3) == (("$", "3 is not of type 'string'"),)


def test_the_json_schema_library_is_loaded_for_a_json_schema_only():
    code = (
        "import sys; from flujo.infra.schemas import OutputSchema as S; S.of(int); a = 'jsonschema' in sys.modules;"
        "S.of({}); print(a, 'jsonschema' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"
