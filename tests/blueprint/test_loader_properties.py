"""Rules of loading that hold for any text."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from flujo.blueprint.builder import Sources, check_pipeline
from flujo.blueprint.diagnostics import render
from flujo.blueprint.document import split_lines
from flujo.blueprint.loader import parse
from flujo.blueprint.scalars import resolve
from flujo.exceptions import BlueprintError
from flujo.infra.templates import Templates

PIECES = [
    "a",
    "b: ",
    "- ",
    "\n",
    "  ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ": ",
    "&x ",
    "*x",
    "<<: ",
    "? ",
    "|\n",
    '"',
    "'",
    "!t ",
]
PIECES += [
    "steps:\n",
    "  - name: s\n",
    "#",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\t",
    "\x85",
    "\u2028",
    "\ufeff",
    "é",
    "\\u0",
]
yamlish = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)

#: Not what is a number in YAML 1.2 and text in 1.1, like 0E0: PyYAML writes that without quotes.
words = st.text(max_size=8).filter(lambda text: isinstance(resolve(text), str))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def refused(data):
    try:
        parse(data, "p")
    except BlueprintError as error:
        return error.findings
    return ()


def places_are_inside(text, findings):
    lines = split_lines(text.removeprefix("\ufeff"))
    for at in (finding.location for finding in findings):
        assert 1 <= at.line <= len(lines)
        assert 1 <= at.column <= len(lines[at.line - 1]) + 1
    assert bool(render(findings, {"p": text})) == bool(findings)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | yamlish)
def test_any_text_loads_or_is_refused_with_a_place_inside_it(text):
    places_are_inside(text, refused(text.encode()))


@given(st.binary(max_size=60))
def test_any_bytes_load_or_are_refused_with_a_place(data):
    assert all(finding.location is not None for finding in refused(data))


@given(plain)
def test_plain_data_comes_back_as_it_was_written(value):
    text = yaml.safe_dump({"k": value}, default_flow_style=True, allow_unicode=True, width=1_000_000)
    safe = yaml.safe_load(text)["k"]
    if value == safe and "!!" not in text:
        assert parse(text.encode(), "p").data["k"] == _keys_as_text(value)


def _keys_as_text(value):
    if isinstance(value, dict):
        return {key: _keys_as_text(item) for key, item in value.items()}
    return [_keys_as_text(item) for item in value] if isinstance(value, list) else value


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_whole_numbers_are_read_as_python_writes_them(number):
    assert resolve(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_python_writes_them(number):
    assert resolve(repr(number)) == number


@given(yamlish)
def test_checking_any_text_gives_findings_and_never_an_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode())
    findings = check_pipeline(path, Sources({}, {}, Templates(), (), path.parent))
    places_are_inside(text, findings)
    assert findings
