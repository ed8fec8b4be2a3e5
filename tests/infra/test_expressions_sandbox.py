"""Hostile templates: nothing runs code, nothing grows without bound."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from flujo.domain.context import OpenContext
from flujo.domain.scope import Outputs, Scope
from flujo.exceptions import TemplateResolutionError
from flujo.infra.expressions import compile_expression
from flujo.infra.templates import Templates
from flujo.infra.values import MAX_TEXT

ESCAPES = [
    "''.__class__",
    "''.__class__.__mro__[1].__subclasses__()",
    "''.__class__.__base__.__subclasses__()[40]('/etc/passwd').read()",
    "().__class__.__bases__[0].__subclasses__()",
    "[].__class__.__base__",
    "{}.__class__.__init__.__globals__",
    "''['__class__']",
    "''['__cla' + 'ss__']",
    "''['__cla' ~ 'ss__']",
    "''['\\x5f\\x5fclass\\x5f\\x5f']",
    "''['\\u005f_class__']",
    "''|attr('__class__')",
    "''|attr('\\x5f\\x5fclass\\x5f\\x5f')",
    "''|attr(['__class__','x']|first)",
    "()|attr('__class__')|attr('__base__')|attr('__subclasses__')()",
    "[]|map(attribute='__class__')|list",
    "['a']|map('upper')|list",
    "[1]|select('odd')|list",
    "[context]|groupby('__class__')",
    "[context]|join(attribute='__class__')",
    "[context]|join(attribute='__class__.__mro__')",
    "[context]|sort(attribute='__init__')",
    "[context]|sum('__dict__')",
    "[ticket]|unique('model_fields')",
    "config",
    "config.items()",
    "self",
    "self.__init__.__globals__",
    "self._TemplateReference__context.cycler.__init__.__globals__.os",
    "request",
    "request.application.__globals__",
    "request|attr('application')",
    "g.pop.__globals__.__builtins__",
    "url_for.__globals__",
    "get_flashed_messages.__globals__",
    "lipsum",
    "lipsum.__globals__['os'].popen('id').read()",
    "lipsum|attr('__globals__')",
    "cycler.__init__.__globals__.os.popen('id').read()",
    "joiner.__init__.__globals__",
    "namespace.__init__.__globals__",
    "namespace(a=1)",
    "dict(a=1)",
    "range(999999999)",
    "range",
    "cycler('a', 'b')",
    "joiner(',')",
    "debug()",
    "_",
    "__import__('os').system('id')",
    "__builtins__",
    "__builtins__['eval']('1')",
    "open('/etc/passwd')",
    "eval('1+1')",
    "exec('x=1')",
    "print(1)",
    "context.__class__",
    "context.__dict__",
    "context.__init__.__globals__",
    "context['__dict__']",
    "context['__cla' ~ 'ss__']",
    "context.get('__init__').__globals__",
    "context.model_dump()",
    "context.model_copy(update={'x': 1})",
    "context.model_fields",
    "context.model_config",
    "context.copy()",
    "context._abc_impl",
    "previous_step.__class__",
    "steps.__class__",
    "steps._own",
    "steps['_own']",
    "steps.add('x', 1)",
    "steps.keys()",
    "ticket.delete_everything()",
    "ticket.delete_everything",
    "ticket['delete_everything']",
    "ticket.price",
    "'{0.__class__}'.format(context)",
    "'{0.__class__}'.format_map(context)",
    "'%s'|format(1)",
    "'%c' % 65",
    "'a'.join(['b'])",
    "'a'.encode().hex()",
    "'a'.upper.__self__",
    "'a'.lower.__func__.__globals__",
    "'a'['upper']()",
    "context.d.pop('k')",
    "context.d.update({'k': 2})",
    "context.d.__setitem__('k', 2)",
    "context.tags.append('x')",
    "context.tags.clear()",
    "context.d.items()",
    "context.d.values()",
    "1.0.real",
    "(1).__class__",
    "true.__class__",
    "none.__class__",
    "x|safe",
    "'<b>'|escape",
    "x|pprint",
    "x|xmlattr",
    "x|filesizeformat",
    "lambda: 1",
    "[x for x in [1]]",
    "`id`",
    "x := 1",
    "caller()",
    "super()",
    "loop.cycle('a')",
    "varargs",
    "kwargs",
    "context.tags[0:1]",
    "context.tags[::-1]",
    "2 ** 3",
    "'a' * 3",
    "f(*context.tags)",
    "f(**context.d)",
]

STATEMENTS = [
    "{% set x = 1 %}",
    "{% set x %}y{% endset %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% include '/etc/passwd' %}",
    "{% extends 'x' %}",
    "{% block x %}{% endblock %}",
    "{% macro m() %}{% endmacro %}",
    "{% call m() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% with x = 1 %}{{ x }}{% endwith %}",
    "{% autoescape false %}{% endautoescape %}",
    "{% do context.tags.append(1) %}",
    "{% debug %}",
    "{% print(1) %}{{ x }}{% print %}",
    "{% for x in context.__class__.__mro__ %}{% endfor %}",
    "{% for x in ''.__class__ %}{% endfor %}",
    "{% for _x in [1] %}{% endfor %}",
    "{% for context in [1] %}{% endfor %}",
    "{% if ''.__class__ %}{% endif %}",
    "{% for c in [].__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",
    "{% for x in 'text' %}{% endfor %}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
]


class Ticket(BaseModel):
    id: int = 1

    def delete_everything(self):
        raise AssertionError("a method was run")

    @property
    def price(self):
        raise AssertionError("a property was run")


def fresh_scope():
    return Scope("text", Outputs(), OpenContext(d={"k": 1}, tags=["a"]), "in", {"ticket": Ticket()})


@pytest.mark.parametrize("text", [*("{{ " + text + " }}" for text in ESCAPES), *STATEMENTS])
def test_an_escape_is_refused_and_changes_nothing(text):
    scope = fresh_scope()
    with pytest.raises(TemplateResolutionError):
        Templates().compile(text).render(scope)
    assert scope.context == fresh_scope().context


@pytest.mark.parametrize("text", ESCAPES)
def test_an_escape_is_refused_in_a_condition(text):
    with pytest.raises(TemplateResolutionError):
        compile_expression(text).render(fresh_scope())


@pytest.mark.parametrize(
    "text", ["context.get('__class__')", "steps.get('__len__')", "ticket.get('price')", "(context.get)('x')"]
)
def test_get_reads_data_and_nothing_else(text):
    assert compile_expression(text).render(fresh_scope()) is None


@pytest.mark.parametrize("text", ["${7*7}", "<%= 7*7 %>", "#{7*7}", "{7*7}", "%{7*7}", "{#7*7#}", "@(7*7)", "[[7*7]]"])
def test_other_languages_braces_are_plain_text(text):
    assert Templates().compile(text).render(fresh_scope()) == text


BOMBS = [
    "{{ 9**(9**9) }}",
    "{{ 'x' * 10**9 }}",
    "{{ 'x' * 1000000000 }}",
    "{{ [0] * 1000000000 }}",
    "{{ '%0999999999d' % 1 }}",
    "{{ '%0999999999d' | format(1) }}",
    "{{ 9223372036854775808 * 2 }}",
    "{{ 99999999999999999999 }}",
    "{{ 1" + "0" * 60_000 + " }}",
    "{{ 1e308 * 10 }}",
    "{{ big ~ big }}",
    "{{ big + big }}",
    "{{ " + "big ~ " * 9_000 + "big }}",
    "{{ big | replace('x', big) }}",
    "{{ big | replace('', 'yy') }}",
    "{{ [big, big] | join }}",
    "{{ [1, 1, 1] | join(big) }}",
    "{{ [" + "big," * 9_000 + "] | tojson }}",
    "{{ [" * 40 + "]" * 40 + " }}",
    "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "{{ " + "not " * 10_000 + "1 }}",
    "{{ " + "1 + " * 10_000 + "1 }}",
    "{{ " + "x" + ".y" * 20_000 + "[0] }}",
    "{{ x" + " | upper" * 5_000 + " }}",
    "{{ " + "a if b else " * 4_000 + "c }}",
    "{% if 1 %}" * 3_000 + "{% endif %}" * 2_000,
    "{% if 1 %}" * 40 + "{% endif %}" * 40,
    "{{ big }}{{ big }}",
    "{% for a in many %}{{ big }}{% endfor %}",
    "{% for a in many %}{% for b in many %}{% endfor %}{% endfor %}",
    "{% for a in many %}{% for b in many %}{% for c in many %}x{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in many if false %}{% for b in many %}{% endfor %}{% endfor %}{% for a in many %}"
    "{% for b in many if false %}{% endfor %}{% endfor %}",
    "{% for a in many %}{{ big | upper | length }}{% endfor %}",
    "{% for a in many %}{{ deep | tojson | length }}{% endfor %}",
    "{% for a in many %}{{ ('' ~ deep) | length }}{% endfor %}",
    "{% for a in many %}{{ many | sort | length }}{% endfor %}",
    "{{ x }}" + "y" * 70_000,
    "\r{{ x }}\x1c\x1d\x1e\x1f\x0b\x0c\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006",
]


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_a_bomb_is_refused(text):
    many = list(range(2_000))
    scope = Scope("text", {}, None, None, {"big": "x" * (MAX_TEXT - 10), "many": many, "deep": [many], "x": "x"})
    with pytest.raises(TemplateResolutionError):
        Templates().compile(text).render(scope)


def test_long_chains_of_one_operator_are_no_bomb():
    scope = Scope("text", {}, None, None, {"x": 0})
    assert Templates().compile("{{ " + "x or " * 9_000 + "5 }}").render(scope) == 5
    assert Templates().compile("{{ " + "1 and " * 9_000 + "5 }}").render(scope) == 5


def test_a_loop_over_two_thousand_items_is_no_bomb():
    scope = Scope(None, {}, None, [{"text": "x" * 2_000}] * 2_000)
    text = (
        "{% for t in input %}{{ loop.index }}/{{ input | length }} {{ t.text | truncate(100) | upper }}\n{% endfor %}"
    )
    assert Templates().compile(text).render(scope).endswith("2000/2000 " + "X" * 97 + "...\n")


def test_a_value_of_any_size_is_handed_on_whole():
    large = "x" * 5_000_000
    assert Templates().compile("{{ input }}").render(Scope(None, {}, None, large)) is large


WORDS = [
    *("{{", "}}", "{%", "%}", "{#", "-}}", "{{-", "(", ")", "[", "]", "{", "}", ".", ",", ":", "|", "=", "==", "<"),
    *("+", "-", "*", "**", "/", "//", "%", "~", "!", "'", '"', "\\", "\n", "\r", "\0", "_", "0x1f", "1_0", "1e5", "7"),
    *("if", "else", "elif", "endif", "for", "in", "endfor", "is", "not", "and", "or", "set", "raw", "endraw", "block"),
    *("recursive", "macro", "import", "with", "true", "none", "x", "context", "steps", "loop", "upper", "default"),
    *("join", "first", "round", "defined", "'a'", "'\\x", "\\N{BULLET}", "é", "²", "٣", "\ud800", "🙂", " ", " ", " "),
]


def refused_or_done(compile_source, text):
    """Compile and run `text`; any error but ours comes through."""
    scope = Scope({"x": [1, "a"]}, {"x": 1}, OpenContext(x=1), "in", {"x": {"y": [1.5]}, "loop": None})
    with suppress(TemplateResolutionError):
        compile_source(text).render(scope)


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=25))
def test_no_text_raises_anything_but_our_error(words):
    refused_or_done(Templates().compile, " ".join(words))
    refused_or_done(compile_expression, " ".join(words))


@given(st.lists(st.sampled_from(WORDS), max_size=12), st.sampled_from(["{{ %s }}", "{%% if %s %%}y{%% endif %%}"]))
def test_no_expression_raises_anything_but_our_error(words, around):
    refused_or_done(Templates().compile, around % " ".join(words))
