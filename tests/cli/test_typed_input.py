"""The input of a pipeline whose first step takes something else than text."""

import pytest

APP = """\
from datetime import date
from typing import Any

from pydantic import BaseModel

from flujo import map_, step


class Order(BaseModel):
    id: int


class Opaque:
    pass


@step
def double(number: int) -> int:
    return number * 2


@step
def order_id(order: Order) -> int:
    return order.id


@step
def year(day: date) -> int:
    return day.year


@step
def maybe(number: int | None) -> str:
    return repr(number)


@step
def anything(value) -> str:
    return repr(value)


@step
def text(value: str) -> str:
    return value


@step
def opaque(value: Opaque) -> str:
    return "never"


mapped = map_("numbers", double)
"""


@pytest.fixture
def run(project, flujo):
    """Run a pipeline of the project's module."""
    (project / "skills" / "typed.py").write_text(APP)
    return lambda name, *words: flujo("run", f"skills.typed:{name}", "-q", *words)


@pytest.mark.parametrize(
    ("name", "words", "output"),
    [
        ("double", ["--input", "5"], "10\n"),
        ("double", ["--input-json", "5"], "10\n"),
        ("order_id", ["--input", '{"id": 5}'], "5\n"),
        ("order_id", ["--input-json", '{"id": 5}'], "5\n"),
        ("year", ["--input", "2026-01-02"], "2026\n"),
        ("year", ["--input-json", '"2026-01-02"'], "2026\n"),
        ("maybe", [], "None\n"),
        ("maybe", ["--input", "3"], "3\n"),
        ("mapped", ["--input", "[1, 2]"], "[\n  2,\n  4\n]\n"),
        ("anything", ["--input", "5"], "'5'\n"),
        ("anything", ["--input-json", "5"], "5\n"),
        ("text", ["--input", "5"], "5\n"),
        ("text", ["--input-json", '"5"'], "5\n"),
    ],
)
def test_it_is_read_as_what_the_step_declares(run, name, words, output):
    ran = run(name, *words)

    assert (ran.code, ran.out) == (0, output), ran.err


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("double", ["--input", "five"], "the input of step 'double', which takes 'int', is not JSON: expecting value"),
        ("double", ["--input", '{"a": 1}'], "the input of step 'double', which takes 'int', does not fit 'int'"),
        ("double", [], "the input of step 'double', which takes 'int', is not JSON"),
        ("order_id", ["--input", '{"id": "x"}'], "which takes 'Order', does not fit 'Order': $.id"),
        ("text", ["--input-json", "5"], "--input-json of step 'text', which takes 'str', does not fit 'str'"),
        ("text", ["--input-json", "{"], "--input-json is not JSON"),
        ("opaque", ["--input", "x"], "which takes 'Opaque', can't be given on a command line"),
        ("text", ["--input-json", "5", "--input", "x"], "give one input: --input or --input-json"),
    ],
)
def test_what_can_not_be_read_so_is_wrong_usage_and_nothing_is_recorded(run, flujo, name, words, message):
    ran = run(name, *words)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "no runs" in flujo("runs", "list").err or flujo("runs", "list").out == ""


def test_the_input_of_a_rerun_is_read_the_same_way(run, flujo):
    run("double", "--input", "5", "--run-id", "first")

    assert flujo("runs", "rerun", "first", "--from", "double", "--input", "6", "-q").out == "12\n"
    assert flujo("runs", "rerun", "first", "--from", "double", "--input", "six", "-q").code == 2


def test_so_is_that_of_a_rehearsal(run, flujo):
    run("double", "--input", "5")

    wrong = flujo("rehearse", "skills.typed:double", "--input", "six", "--yes")

    assert (wrong.code, wrong.out) == (2, "")
    assert "which takes 'int', is not JSON" in wrong.err


def test_a_mistake_in_a_step_of_the_module_has_its_place(project, flujo):
    (project / "skills" / "wrong.py").write_text("from flujo import Step\n\nlast = Step('after', str)\n")

    ran = flujo("run", "skills.wrong:last")

    assert (ran.code, ran.out) == (2, "")
    assert "class 'builtins:str' has no method 'run' (skills/wrong.py:3)" in ran.err


def test_an_id_of_a_run_with_another_input_is_wrong_usage(run):
    run("text", "--input", "a", "--run-id", "r1")

    ran = run("text", "--input", "b", "--run-id", "r1")

    assert (ran.code, ran.out) == (2, "")
    assert "run 'r1' was started with another input" in ran.err


def test_a_state_that_is_no_address_is_told_with_where_it_is_written(run, monkeypatch):
    monkeypatch.setenv("FLUJO_STATE_URI", "foo")

    ran = run("text", "--input", "a")

    assert (ran.code, ran.out) == (2, "")
    assert "state_uri can't be 'foo' (FLUJO_STATE_URI): expected an address with a scheme" in ran.err
