"""docs/reference/templates.md has the names, filters, tests and methods that templates have."""

import ast

from flujo.domain.scope import Scope
from flujo.infra import budget, calls, filters, grammar, references, templates, text, values

PAGE = "templates"


def test_the_names_are_those_of_every_template(page):
    assert page(PAGE).names("name") == references.RESERVED


def test_the_filters_are_those_there_are(page):
    assert page(PAGE).names("filter") == {*filters.FILTERS, "default", "d"}


def test_the_tests_are_those_there_are(page):
    assert page(PAGE).names("test") == {*filters.TESTS, "defined", "undefined"}


def test_the_methods_are_those_there_are(page):
    assert page(PAGE).names("method") == set(calls.METHODS)


def test_the_statements_and_what_a_loop_knows_are_those_there_are(page):
    assert page(PAGE).names("statement") == {"if", "for"} == {name.lower() for name in text._HANDLERS} - {"output"}
    assert page(PAGE).names("field of loop") == set(text._loop(0, 1))


def test_the_limits_are_those_of_the_code(page):
    shown = [int(cells[0].replace(",", "")) for cells in page(PAGE).table("limit").values()]
    rounds = budget._LIMIT // budget.ITEM
    bounds = [grammar._MAX_SOURCE, values.MAX_TEXT, values.MAX_INT, text._MAX_DEPTH, grammar._MAX_BRACKETS]
    assert shown == [*bounds, templates._MAX_NESTING, rounds]


def test_the_examples_give_what_is_shown(page):
    compiler, scope = templates.Templates(), Scope(None, {}, None, "")
    for template, (value,) in page(PAGE).table("template").items():
        assert compiler.compile(template).render(scope) == ast.literal_eval(value.strip("`"))
