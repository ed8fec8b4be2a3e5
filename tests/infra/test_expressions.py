"""What an expression is worth: names, operators, tests, and what is undefined."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pydantic import BaseModel, ConfigDict

from flujo.domain.context import OpenContext
from flujo.domain.scope import Outputs, Scope
from flujo.exceptions import TemplateResolutionError
from flujo.infra.expressions import compile_expression


class Ticket(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: int = 7
    items: list[str] = ["x"]

    @property
    def secret(self):
        raise AssertionError("a property was run")


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2

    def wipe(self):
        raise AssertionError("a method was run")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("previous_step", "text"),
        ("input", "the input"),
        ("context.score", 0.9),
        ("score", 0.9),
        ("context['d']['k']", 1),
        ("item", 3),
        ("output", "of the step"),
        ("steps.fetch.status", "done"),
        ("steps.fetch.output.status", "done"),
        ("steps.fetch.result.status", "done"),
        ("steps.fetch.value.rows[1].id", 2),
        ("steps.fetch.output.output", "inner"),
        ("steps['sum-up']", "two rows"),
        ("steps['sum-up'].output", "two rows"),
        ("steps.get('sum-up')", "two rows"),
        ("steps.fetch.rows[-1]['id']", 2),
        ("context.tags.0", "a"),
        ("true and True", True),
        ("false or none", None),
        ("[1, 'a', none]", [1, "a", None]),
        ("(1, 2)", [1, 2]),
        ("{'a': item, 2: []}", {"a": 3, 2: []}),
    ],
)
def test_names_and_literals(worth, text, value):
    result = worth("{{ " + text + " }}")
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 - 4", 3),
        ("7 // 2 + 7 % 4", 6),
        ("7 / 2", 3.5),
        ("-item + +1", -2),
        ("'a' + 'b'", "ab"),
        ("'n=' ~ 1 ~ none ~ true ~ [1]", "n=1True[1]"),
        ("1 < 2 < 3", True),
        ("1 < 3 < 2", False),
        ("'a' < 'b'", True),
        ("1 == 1.0 and 1 != '1'", True),
        ("item >= 3 and item <= 3 and not item > 3", True),
        ("'a' in context.tags and 'c' not in context.tags", True),
        ("'k' in context.d", True),
        ("[] in context.d", False),
        ("'ex' in previous_step", True),
        ("'yes' if item == 3 else 'no'", "yes"),
        ("'yes' if item == 4", None),
        ("previous_step.upper().lower().startswith('te')", True),
        ("' x '.strip().endswith('x') and 'xx'.strip('x') == ''", True),
        ("context.d.get('k')", 1),
        ("context.d.get('nope', item)", 3),
        ("context.get('nope')", None),
    ],
)
def test_operators_and_methods(worth, text, value):
    assert worth("{{ " + text + " }}") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("none is none and 1 is not none", True),
        ("true is boolean and true is true and false is false", True),
        ("1 is integer and 1.5 is float and 1 is number", True),
        ("true is number", False),
        ("'a' is string and [] is sequence and {} is mapping", True),
        ("context.score is defined", True),
        ("context.nope is defined", False),
        ("context.nope.deeper['x'] is undefined", True),
        ("nope is not defined", True),
        ("1 is defined", True),
    ],
)
def test_tests(worth, text, value):
    assert worth("{{ " + text + " }}") is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("context.missing or 'fallback'", "fallback"),
        ("context.missing or context.given or 'x'", "G"),
        ("context.missing or nope", None),
        ("'' or 0 or [] or {} or 'last'", "last"),
        ("0 or ''", ""),
        ("context.off or context.n >= 3", True),
        ("context.a and context.a.b or 'none'", "none"),
        ("context.missing | default('dft')", "dft"),
        ("context.missing | d", ""),
        ("context.missing.deeper | default(item)", 3),
        ("none | default('x')", None),
        ("none | default('x', true)", "x"),
        ("'' | default('x', boolean=true)", "x"),
        ("'kept' | default('x', true)", "kept"),
        ("[] | first | default('e')", "e"),
        ("steps.nope.output or 'none yet'", "none yet"),
    ],
)
def test_or_and_default_opt_out_of_undefined(worth, text, value):
    assert worth("{{ " + text + " }}") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("context.scor", "context has no field 'scor'; it has 'score', 'tags', 'd', 'given', 'n', 'off', ..."),
        ("steps.fetsh.output", "steps has no key 'fetsh'; it has 'fetch', 'sum-up'"),
        ("context.d.x.y", "context.d has no key 'x'; it has 'k'"),
        ("context.empty.x", "context.empty has no key 'x'; it has nothing"),
        ("context.tags[2]", "context.tags is a list of 2, so there is no 2 in it"),
        ("context.tags.first", "context.tags is a list of 2, so there is no 'first' in it"),
        ("previous_step.status", "previous_step is text, so there is no 'status' in it"),
        ("context.nothing.x", "context.nothing is none, so there is no 'x' in it"),
        ("steps.fetch.rows[0]['x'].y", "steps.fetch.rows[0] has no key 'x'; it has 'id'"),
        ("steps.fetch.rows[item]", "steps.fetch.rows is a list of 2, so there is no 3 in it"),
        ("{'a': 1}.b", "the value has no key 'b'; it has 'a'"),
        (
            "ite",
            "there is no 'ite' here; there is 'item', 'output', 'context', 'input', 'previous_step', "
            "'resume_input', ...",
        ),
        ("context.nope + 1 or 2", "context has no field 'nope'; it has 'score', 'tags', 'd', 'given', 'n', 'off', ..."),
        ("[] | last", "an empty list has no last item"),
    ],
)
def test_what_is_undefined_is_named_with_what_there_is(worth, text, message):
    context = OpenContext(score=1, tags=[1, 2], d={"k": 1}, given=1, n=1, off=1, empty={}, nothing=None)
    with pytest.raises(TemplateResolutionError) as caught:
        worth("{{ " + text + " }}", context=context)
    assert str(caught.value) == message


def test_the_advice_names_the_nearest_name_or_the_way_out(worth):
    with pytest.raises(TemplateResolutionError) as near:
        worth("{{ context.scor }}")
    with pytest.raises(TemplateResolutionError) as far:
        worth("{{ context.zzz }}")
    assert near.value.suggestion == "did you mean 'score'?"
    assert "default" in far.value.suggestion


@pytest.mark.parametrize(
    ("previous", "value"),
    [("text", "text"), (None, None), ({"output": 1}, 1), ({"x": 1}, {"x": 1}), ([1], [1])],
)
def test_the_output_of_the_previous_step_is_its_key_or_the_whole(worth, previous, value):
    assert worth("{{ previous_step.output }}", previous=previous) == value


@pytest.mark.parametrize(
    ("output", "value"),
    [({"value": 7, "x": 1}, 7), ({"x": 1}, {"x": 1}), ("text", "text")],
    ids=["key", "none", "text"],
)
def test_value_of_a_step_is_a_key_of_its_output_where_there_is_one(output, value):
    outputs = Outputs()
    outputs.add("a", output)
    scope = Scope(None, outputs, None, None)
    assert compile_expression("steps.a.value").render(scope) == value
    assert compile_expression("steps.a.output").render(scope) == output


def test_a_dotted_name_on_a_mapping_is_its_key_never_a_method(worth):
    assert worth("{{ previous_step.items }}", previous={"items": [1], "get": 2}) == [1]
    assert worth("{{ previous_step.get }}", previous={"items": [1], "get": 2}) == 2
    with pytest.raises(TemplateResolutionError, match="has no key 'keys'"):
        worth("{{ previous_step.keys }}", previous={"items": [1]})


def test_a_model_shows_its_fields_and_its_extras(worth):
    ticket = Ticket(colour="red")
    assert worth("{{ previous_step.items[0] ~ previous_step.id ~ previous_step.colour }}", previous=ticket) == "x7red"
    assert worth("{{ previous_step['id'] + previous_step.get('id') }}", previous=ticket) == 14


@pytest.mark.parametrize("name", ["secret", "model_dump", "copy", "model_fields", "nope"])
def test_of_a_model_nothing_but_fields_is_reachable(worth, name):
    with pytest.raises(TemplateResolutionError, match="previous_step has no field"):
        worth("{{ previous_step." + name + " }}", previous=Ticket())


def test_a_dataclass_shows_its_fields_and_nothing_else(worth):
    assert worth("{{ previous_step.x + previous_step.y }}", previous=Point(1)) == 3
    with pytest.raises(TemplateResolutionError, match="no field 'wipe'; it has 'x', 'y'"):
        worth("{{ previous_step.wipe }}", previous=Point(1))


@pytest.mark.parametrize("value", [object(), {1, 2}, 5, b"x", date(2026, 1, 1), Point])
def test_of_any_other_object_nothing_is_reachable(worth, value):
    with pytest.raises(TemplateResolutionError, match="so there is no 'real' in it"):
        worth("{{ previous_step.real }}", previous=value)


def test_without_a_context_its_names_are_undefined(worth):
    assert worth("{{ context.x or score or 'none' }}", context=None) == "none"


def test_extras_stand_before_context_fields_and_after_the_roots(worth):
    assert worth("{{ score ~ input }}", score="mine", input="run") == "minerun"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 < 'a'", "can't compare a number with text by '<'"),
        ("none >= 1", "can't compare none with a number by '>='"),
        ("[1] > [0]", "can't compare a list with a list by '>'"),
        ("'x' * 5", r"'\*' takes numbers, not text and a number"),
        ("'%s' % 5", "'%' takes numbers"),
        ("[1] * 5", "'\\*' takes numbers, not a list and a number"),
        ("[1] + [2]", r"'\+' takes numbers, not a list and a list"),
        ("'a' + 1", r"'\+' takes two numbers or two texts"),
        ("-'a'", "a sign can't stand before text"),
        ("1 / 0", "can't compute '/'"),
        ("1 in 'a1'", "only text can be in text, not a number"),
        ("1 in 5", "nothing can be in a number"),
        ("context.tags['a']", "a list is read by a whole number, not by text"),
        ("context.tags[true]", "a list is read by a whole number, not by a boolean"),
        ("item.upper()", r"item.upper\(\) works on text, not on a number"),
        ("'a'.startswith(1)", r"the value.startswith\(\) works on text, not on a number"),
        ("item.get('x')", r"item.get\(\) works on a mapping, not on a number"),
    ],
)
def test_an_operation_on_the_wrong_kind_is_an_error(worth, text, message):
    with pytest.raises(TemplateResolutionError, match=message):
        worth("{{ " + text + " }}")


def test_moments_compare_with_their_own_kind_only(worth):
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert worth("{{ a < b }}", a=early, b=late) is True
    with pytest.raises(TemplateResolutionError, match="can't compare by '<'"):
        worth("{{ a < b }}", a=early, b=late.replace(tzinfo=None))
    with pytest.raises(TemplateResolutionError, match="can't compare a datetime with a date"):
        worth("{{ a < b }}", a=early, b=late.date())


def test_decimals_compute_among_themselves_and_with_whole_numbers(worth):
    assert worth("{{ a * 2 > 1 }}", a=Decimal("0.6")) is True
    with pytest.raises(TemplateResolutionError, match=r"can't compute '\+'"):
        worth("{{ a + 0.5 }}", a=Decimal("0.6"))


def test_sets_can_be_asked_but_have_no_order(worth):
    assert worth("{{ 1 in s and [] not in s and s | length == 2 }}", s={1, 2}) is True
    with pytest.raises(TemplateResolutionError, match="takes a list, not a set"):
        worth("{{ s | join }}", s={1, 2})


@pytest.mark.parametrize("text", ["a == 1", "{{ a == 1 }}", "  {{a == 1}} \n", " a == 1 "])
def test_a_condition_may_stand_in_braces(scope, text):
    expression = compile_expression(text.replace("a", "item").replace("1", "3"))
    assert expression.render(scope) is True


@pytest.mark.parametrize("text", ["", "{{ a }}{{ b }}", "{{ a }} x", "a b", "a, b", "a }} b", "{{ a }} == 1", "if x"])
def test_a_condition_is_one_expression(text):
    with pytest.raises(TemplateResolutionError) as caught:
        compile_expression(text)
    assert caught.value.line == 1


def test_a_condition_knows_the_dotted_names_it_reads():
    text = "context.score >= 0.8 and previous_step.output.status in steps['sum-up'].allowed[context.i].x or f(1)"
    expression = compile_expression(text.replace("f(1)", "name.lower() == 'x' | upper"))
    assert expression.names == {
        "context.score",
        "previous_step.output.status",
        "steps.sum-up.allowed",
        "context.i",
        "name",
    }


def test_the_expression_of_an_older_pipeline(scope, worth):
    text = (
        "(previous_step.startswith('A') and context.n >= 3 and 'a' in context.tags and not context.off"
        " and context.d['k'] == 1 and previous_step.lower().endswith('z'))"
    )
    assert worth("{{ " + text + " }}", previous="AbcZ") is True
    assert compile_expression(text).render(scope) is False
