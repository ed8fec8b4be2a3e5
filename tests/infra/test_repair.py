"""The JSON in a text: found between fences and in prose, tidied, and never guessed."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.infra.repair import json_in

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
containers = values.filter(lambda value: isinstance(value, list | dict))


def with_trailing_commas(value: object) -> str:
    """`value` as JSON with a comma and some space before each closing bracket."""
    if isinstance(value, list) and value:
        return "[" + ",".join(map(with_trailing_commas, value)) + ", \n]"
    if isinstance(value, dict) and value:
        return "{" + ",".join(f"{json.dumps(k)}: {with_trailing_commas(v)}" for k, v in value.items()) + ",}"
    return json.dumps(value)


@given(values, st.sampled_from([None, 1]), st.booleans())
def test_a_json_document_is_what_it_is(value, indent, ascii_only):
    assert json_in(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == value


@given(values, st.sampled_from(["", "json", " JSON "]), st.sampled_from(["\n", "\r\n"]))
def test_fences_and_trailing_commas_change_nothing(value, language, end):
    text = with_trailing_commas(value)
    assert json_in(text) == value
    assert json_in(f"Here it is:{end}```{language}{end}{text}{end}```{end}Anything else?") == value


@given(containers)
def test_prose_around_one_value_is_overlooked(value):
    assert json_in(f"Sure: {with_trailing_commas(value)}. That's all; it's 5\" wide.") == value


@given(st.text())
def test_any_other_text_is_refused_or_read_without_another_error(text):
    with suppress(ValueError):
        json_in(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no", "the text is no JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"a": 1} or {"a": 2}', "there are 2 JSON values in the text, expected one"),
        ("```\n1\n```\n```\n2\n```", "there are 2 JSON values in the text, expected one"),
        ('Fine: {"tags": ["x"], "label": bug}', "the text is no JSON: Expecting value: line 1 column 26 (char 25)"),
        ('{"items": [1, 2], "rest": ', "the text is no JSON: Expecting value: line 1 column 27 (char 26)"),
        ("[NaN]", "the text is no JSON: NaN is no JSON number"),
        ("[" * 100_000 + "]" * 100_000, "the text is no JSON: it is nested too deep"),
        ('{"a": "' + r"\"" * 10_000 + "\\", None),
        ("```x\n" * 10_000, None),
    ],
)
def test_what_is_not_one_value_is_refused(text, message):
    with pytest.raises(ValueError, match=r"JSON") as caught:
        json_in(text)
    assert message in (None, str(caught.value))
