"""Template text and the mappings and lists around it."""

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from flujo.domain.context import OpenContext
from flujo.domain.interfaces import TemplateCompiler
from flujo.domain.scope import Outputs, Scope
from flujo.exceptions import ConfigurationError, TemplateResolutionError
from flujo.infra.templates import Templates


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Mode(StrEnum):
    FAST = "fast"


class Plain(str, Enum):  # noqa: UP042 - the older spelling prints differently
    ONE = "one"


@dataclass
class Row:
    when: date
    price: Decimal
    colour: Colour = Colour.RED


class Account(BaseModel):
    name: str
    key: SecretStr


def bare(previous):
    return Scope(previous, Outputs(), None, None)


def test_templates_are_the_port():
    compiler: TemplateCompiler = Templates()
    assert compiler.compile("{{ input }}").render(Scope(None, {}, None, 5)) == 5


@pytest.mark.parametrize("text", ["", "plain", "a\n", "  a\r\n b\r", "{# kept #}", "{ { x } }", "}} %}", "\\{", "{"])
def test_text_without_braces_is_itself(worth, text):
    assert worth(text) == text


@given(st.text().filter(lambda text: "{{" not in text and "{%" not in text))
def test_any_text_without_braces_is_itself(text):
    assert Templates().compile(text).render(bare(None)) == text


@given(st.text(alphabet=st.characters(exclude_characters="{}%-+")), st.text(alphabet=" \r\n\t#"))
def test_text_around_braces_is_kept_exactly(before, after):
    text = before + "<{{ previous_step }}>" + after
    assert Templates().compile(text).render(bare("v")) == f"{before}<v>{after}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_one_expression_keeps_the_value_and_its_type(value):
    for text in ("{{ previous_step }}", "{{previous_step['output'] or previous_step}}"):
        result = Templates().compile(text).render(bare({"output": value}))
        assert result == (value or {"output": value}) if "or" in text else result == {"output": value}
    assert Templates().compile("{{ previous_step.output }}").render(bare({"output": value})) is value


@given(st.text())
def test_values_are_inserted_never_rendered_again(text):
    value = "{{ context.secret }}{% for x in y %}" + text
    assert Templates().compile("<{{ previous_step }}>").render(bare(value)) == f"<{value}>"
    assert Templates().compile("{{ previous_step }}").render(bare(value)) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("s", "s"),
        (None, ""),
        (True, "True"),
        (False, "False"),
        (0, "0"),
        (1.5, "1.5"),
        ([1, "a"], '[1, "a"]'),
        ((1, None), "[1, null]"),
        ({"k": "ä"}, '{"k": "ä"}'),
        ({1: True, None: 2, Colour.RED: 3}, '{"1": true, "null": 2, "red": 3}'),
        (Colour.RED, "red"),
        (Level.LOW, "1"),
        (Mode.FAST, "fast"),
        (Plain.ONE, "one"),
        ([Plain.ONE, Level.LOW, Colour.RED], '["one", 1, "red"]'),
        (date(2026, 1, 2), "2026-01-02"),
        (
            [
                date(2026, 1, 2),
                datetime.fromisoformat("2026-01-02T03:00"),
                time(4, 5),
                PurePosixPath("a/b"),
                UUID(int=0),
            ],
            '["2026-01-02", "2026-01-02T03:00:00", "04:05:00", "a/b", "00000000-0000-0000-0000-000000000000"]',
        ),
        (Row(date(2026, 1, 2), Decimal("1.50")), '{"when": "2026-01-02", "price": "1.50", "colour": "red"}'),
        ({"a": Account(name="n", key="hidden")}, '{"a": {"name": "n", "key": "**********"}}'),
    ],
)
def test_how_a_value_prints_in_text(worth, value, shown):
    assert worth("<{{ previous_step }}>", previous=value) == f"<{shown}>"


def repr_kind(value):
    return type(value).__name__


@pytest.mark.parametrize(
    "value",
    [10**5000, [float("nan")], {"a": float("inf")}, [object()], {(1, 2): 3}, [b"bytes"], {"s": {1}}, [10**5000]],
    ids=repr_kind,
)
def test_what_can_not_be_printed_is_an_error(worth, value):
    with pytest.raises(TemplateResolutionError):
        worth("<{{ previous_step }}>", previous=value)


def test_a_value_that_contains_itself_is_an_error(worth):
    loop = []
    loop.append(loop)
    with pytest.raises(TemplateResolutionError, match="nested over 100 levels"):
        worth("<{{ previous_step }}>", previous=loop)
    with pytest.raises(TemplateResolutionError, match="nested too deeply"):
        worth("{{ a == b }}", a=nest(100_000), b=nest(100_000))
    with pytest.raises(TemplateResolutionError, match="nested too deeply"):
        worth("<{{ a == b }}>", a=nest(100_000), b=nest(100_000))


def nest(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_mappings_and_lists_are_rendered_inside(worth):
    source = {"q": "{{ item }}", "list": ["a{{ item }}", {"deep": "{{ context.tags }}"}], "n": 5, "{{ key }}": "t"}
    assert worth(source) == {"q": 3, "list": ["a3", {"deep": ["a", "b"]}], "n": 5, "{{ key }}": "t"}
    assert worth(("{{ item }}", None)) == [3, None]


def test_a_constant_mapping_is_made_anew_each_time(scope):
    template = Templates().compile({"rows": [1]})
    template.render(scope)["rows"].append(2)
    assert template.render(scope) == {"rows": [1]}


@pytest.mark.parametrize("value", [None, 5, True, 1.5])
def test_what_is_no_text_is_constant(worth, value):
    assert worth(value) is value


def test_a_source_nested_too_deeply_is_refused():
    with pytest.raises(TemplateResolutionError, match="nested more than 64 deep"):
        Templates().compile(nest(70))


def test_a_compiled_text_is_remembered():
    templates = Templates()
    assert templates.compile("{{ a }}!") is templates.compile("{{ a }}!")
    assert templates.compile_expression("a == 1") is templates.compile_expression("a == 1")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{% if item == 3 %}three{% endif %}!", "three!"),
        ("{% if item == 4 %}a{% elif item == 3 %}b{% else %}c{% endif %}", "b"),
        ("{% if item == 4 %}a{% elif item == 5 %}b{% else %}c{% endif %}", "c"),
        ("{% if item == 4 %}a{% endif %}", ""),
        ("{% for t in context.tags %}{{ loop.index }}{{ t }} {% endfor %}", "1a 2b "),
        ("{% for t in [1, 2] %}{{ t }}{{ '' if loop.last else ', ' }}{% endfor %}", "1, 2"),
        ("{% for t in [1, 2, 3] if t != 2 %}{{ loop.index0 }}:{{ t }}/{{ loop.length }} {% endfor %}", "0:1/2 1:3/2 "),
        ("{% for t in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for k in context.d %}{{ k }}={{ context.d[k] }}{% endfor %}", "k=1"),
        ("{% for a in [1, 2] %}{% for b in [3, 4] %}{{ a * b }},{% endfor %}{% endfor %}", "3,4,6,8,"),
        ("{% for item in ['x'] %}{{ item }}{% endfor %}{{ item }}", "x3"),
        ("a  {{- item -}}  b", "a3b"),
        ("{% raw %}{{ item }}{% endraw %}", "{{ item }}"),
        ("{% raw %}{% endraw %}", ""),
        ("{{ '{{' }} item }}", "{{ item }}"),
        ("{{ 'a\\n\\d\\u00e4\\\\' }}", "a\n\\dä\\"),
        ("{{ 'a\r\nb' }}|\r\n", "a\r\nb|\r\n"),
        ("\x1c{{ item }}\r", "\x1c3\r"),
    ],
)
def test_statements_and_literal_text(worth, text, value):
    assert worth(text) == value


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("{{ x | uppr }}", "there is no filter 'uppr'", 1, 8),
        ("a\n  {{ x is odd_one }}", "there is no test 'odd_one'", 2, 8),
        ("{{ x is none(1) }}", "test 'none' takes no arguments", 1, 6),
        ("{{ 2 ** 3 }}", "'**' is not allowed in a template", 1, 4),
        ("{{ x[1:2] }}", "a slice is not allowed in a template", 1, 6),
        ("a\n\n{% set x = 1 %}", "'set' is not allowed in a template", 3, 4),
        ("{% include 'x' %}", "'include' is not allowed in a template", 1, 4),
        ("{{ x.run() }}", "this can't be called in a template", 1, 9),
        ("{{ f(x) }}", "this can't be called in a template", 1, 5),
        ("{{ x.lower(1) }}", "lower() takes 0 to 0 arguments, none of them by name", 1, 11),
        ("{{ x.get(key='a') }}", "get() takes 1 to 2 arguments, none of them by name", 1, 9),
        ("{{ x | join(*y) }}", "'*' and '**' can't stand before an argument", 1, 8),
        ("{{ x | round(1, 2) }}", "filter 'round' can't be used so: too many positional arguments", 1, 8),
        (
            "{{ x | default(1, y=2) }}",
            "filter 'default' can't be used so: got an unexpected keyword argument 'y'",
            1,
            8,
        ),
        ("{{ _x }}", "the name '_x' starts with '_', which no name in a template may", 1, 4),
        ("{{ x.__class__ }}", "the name '__class__' starts with '_', which no name in a template may", 1, 5),
        ("{{ x['__class__'] }}", "'__class__' can't be read in a template", 1, 5),
        ("{{ {x: 1} }}", "a mapping's keys are written as constants", 1, 5),
        ("{% for a, b in x %}{% endfor %}", "a loop has one variable", 1, 4),
        ("{% for steps in x %}{% endfor %}", "a loop's variable can't be called 'steps'", 1, 4),
        ("{% for x in y recursive %}{% endfor %}", "'recursive' is not allowed in a template", 1, 4),
        ("text {{ x", "unexpected end of template, expected 'end of print statement'", 1, 9),
        ("{{ x }", "unexpected '}'", 1, 6),
        ("{{ ? }}", "unexpected char '?' at 3", 1, 4),
        ("{% foo %}", "encountered unknown tag 'foo'", 1, 4),
        ("{% if x %}", "unexpected end of template", 1, 9),
        ("{{ 1e999 }}", "this constant can't be used: a number in the template is too large", 1, 4),
        ("{{ '\\ud800' }}", "this constant can't be used: it isn't text", 1, 4),
        ("{{ 1٣ }}", "the number is too long, or has digits other than 0 to 9", 1, 4),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_its_place(text, message, line, column):
    with pytest.raises(TemplateResolutionError) as caught:
        Templates().compile(text)
    assert str(caught.value) == message
    assert (caught.value.line, caught.value.column) == (line, column)


def test_the_nearest_filter_is_named():
    with pytest.raises(TemplateResolutionError) as near:
        Templates().compile("{{ x | uppr }}")
    with pytest.raises(TemplateResolutionError) as far:
        Templates().compile("{{ x is zzzz }}")
    assert near.value.suggestion == "did you mean 'upper'?"
    assert far.value.suggestion.startswith("there are boolean, defined, false")


@pytest.mark.parametrize(
    ("text", "output"),
    [
        (
            "{{ previous_step | upper }}|{{ previous_step | lower }}|{{ previous_step | length }}|"
            "{{ context.tags | join(', ') }}|{{ context.tags | tojson }}|{{ context.tags | length }}|"
            "{{ context.nope | default('dft') }}|{{ context.d.k }}|{{ context.d | tojson }}",
            'MIXED CASE|mixed case|10|a, b|["a", "b"]|2|dft|1|{"k": 1}',
        ),
        ("{{ context.missing or 'fallback' | upper }}-{{ context.missing or context.given or 'x' }}", "FALLBACK-G"),
        ("{{ steps.fetch.output.status }},{{ steps.fetch.status }},{{ steps['sum-up'].output | upper }}",
         "done,done,TWO ROWS"),
        ("<{{ this }}>", "<a>"),
    ],
)  # fmt: skip
def test_texts_of_older_pipelines(worth, text, output):
    assert worth(text, previous="Mixed Case", this="a") == output


def test_an_undefined_name_in_text_is_an_error(worth):
    with pytest.raises(TemplateResolutionError, match="context has no field 'nope'"):
        worth("<{{ context.nope }}>")


@given(st.from_regex(r"[a-z]\w{0,5}(\.[a-z]\w{0,5}){0,3}", fullmatch=True))
def test_a_dotted_name_means_the_same_with_and_without_the_parser(path):
    scope = Scope({"output": 1, "a": {"b": 2}}, {"a": "x"}, OpenContext(a={"b": 3}), "in", {"b": {"a": 4}})
    results = []
    for text in ("{{ " + path + " }}", "{{\t" + path + " }}"):
        try:
            results.append(Templates().compile(text).render(scope))
        except TemplateResolutionError as error:
            results.append(str(error))
    assert results[0] == results[1]


def test_a_plugins_filter_is_called_with_value_and_arguments(worth):
    assert worth("{{ item | times(2, plus=1) }}", filters={"times": lambda v, n, plus: v * n + plus}) == 7
    assert worth("{{ 'b' | least('a') }}", filters={"least": min}) == "a"


def test_a_filter_that_fails_says_which(worth):
    with pytest.raises(TemplateResolutionError, match="filter 'bad' can't take a number: "):
        worth("{{ item | bad }}", filters={"bad": lambda value: value["x"]})


@pytest.mark.parametrize("name", ["upper", "default", "d"])
def test_a_filter_may_not_take_a_name_that_exists(name):
    with pytest.raises(ConfigurationError, match=f"there is a filter '{name}' already"):
        Templates({name: str})


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("plain", set()),
        (7, set()),
        ("{{ steps.a.output }}", {"steps.a.output"}),
        ("{{ x or 1 }}", {"x"}),
        ("{% for row in steps.a %}{{ row.n }}{{ context.n }}{{ loop.index }}{% endfor %}", {"steps.a", "context.n"}),
        ({"k": "{{ a }}", "list": ["{{ b.c }}", 1]}, {"a", "b.c"}),
    ],
)
def test_a_template_tells_the_names_it_reads(source, names):
    assert Templates().compile(source).names == names
