"""Types that meet inside kinds made of steps: found however deep, and never where the data could fit."""

from collections.abc import Callable
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import (
    ImportStep,
    Pipeline,
    Step,
    StepConfig,
    agentic_loop,
    branch,
    cached,
    import_,
    loop,
    map_,
    parallel,
    route,
    state_machine,
)
from flujo.exceptions import TypeMismatchError


def typed(name: str, takes: Any = Any, gives: Any = Any, **options: Any) -> Step[Any, Any]:
    async def function(data):
        return data

    function.__annotations__ = {"data": takes, "return": gives}
    return Step(name, function, **options)


def said(*steps: Step[Any, Any]) -> list[str]:
    """What is said of a sequence of steps."""
    try:
        Pipeline(steps)
    except TypeMismatchError as error:
        return str(error).split("; ")
    return []


A = typed("a", str, int)
X = typed("x", str, str)
BACKGROUND = StepConfig(execution_mode="background")


@pytest.mark.parametrize(
    ("step", "path"),
    [
        (Pipeline([X], name="s"), "s/x"),
        (loop("s", X), "s/x"),
        (loop("s", [loop("t", [Pipeline([X], name="u")])]), "s/t/u/x"),
        (parallel("s", {"one": typed("y", int), "two": X}), "s/x"),
        (branch("s", on="true", branches={"one": typed("y", int)}, default=X), "s/x"),
        (route("s", typed("pick", int), {"one": X}), "s/x"),
        (route("s", X, {"one": typed("y", int)}), "s/x"),
        (cached("s", X), "s/x"),
        (import_("s", Pipeline([X], name="child")), "s/x"),
        (state_machine("s", {"one": X, "two": typed("y", bytes)}, start="one", end=["two"]), "s/x"),
        (loop("s", typed("y", int, int, fallback=X)), "s/y/x"),
        (loop("s", [typed("y", config=BACKGROUND), X]), "s/x"),
    ],
)
def test_data_that_a_step_inside_another_can_not_take_is_found_with_its_path(step, path):
    assert f"step 'a' gives int, but step '{path}' takes str" in said(A, step)


def test_items_are_looked_at_one_by_one():
    assert said(typed("a", Any, list[int]), map_("m", X)) == [
        "step 'a' gives items of type int, but step 'm/x' takes str"
    ]
    assert said(typed("a", Any, list[list[int]]), map_("m", map_("n", X))) == [
        "step 'a' gives items of type int, but step 'm/n/x' takes str"
    ]
    assert said(A, map_("m", X)) == ["step 'a' gives int, but step 'm' takes list"]


NUMBER = typed("z", int, int)


@pytest.mark.parametrize(
    ("step", "gives"),
    [
        (loop("s", X, max_loops=1), "str"),
        (map_("s", X), "list[str]"),
        (parallel("s", {"one": X}), "dict[str, Any]"),
        (route("s", X, {"one": X}), "dict[str, Any]"),
        (branch("s", on="x", branches={"one": X, "two": typed("y", str, bytes)}), "Union[str, bytes]"),
        (cached("s", X), "str"),
        (import_("s", Pipeline([X], name="child")), "str"),
        (typed("s", str, int, fallback=X), "Union[int, str]"),
        (cached("s", typed("y", str, int), fallback=X), "Union[int, str]"),
    ],
)
def test_what_a_kind_gives_is_known_from_its_parts(step, gives):
    assert said(step, NUMBER) == [f"step 's' gives {gives}, but step 'z' takes int"]


@pytest.mark.parametrize(
    "step",
    [
        loop("s", X, max_loops=1, loop_output_mapper=lambda output, context: 1),
        map_("s", X, finalize={"output_template": "{{ 1 }}"}),
        parallel("s", {"one": X}, reduce="first"),
        branch("s", on="x", branches={"one": X, "two": Step("y")}),
        state_machine("s", {"one": X}, start="one", end=["one"]),
        agentic_loop("s", Step("plan"), {"one": X}),
        typed("s", str, str, fallback=Step("y")),
        ImportStep("s", pipeline=X, on_failure="skip"),
    ],
)
def test_what_nobody_can_know_fits_anything(step):
    assert said(step, NUMBER) == []


def test_errors_among_the_results_of_a_map_promise_nothing():
    assert said(map_("m", X, on_error="collect"), typed("z", list[int])) == []


@pytest.mark.parametrize(
    "step",
    [
        loop("s", X, max_loops=1, initial_input_mapper=lambda data, context: ""),
        map_("s", X, over="items"),
        loop("s", X, input="{{ 1 }}"),
        loop("s", [Step("first", input="x"), X]),
        state_machine("s", {"one": (), "two": X}, start="one", end=["two"]),
        agentic_loop("s", Step("plan"), {"one": X}),
    ],
)
def test_steps_that_do_not_get_the_data_need_not_take_it(step):
    assert said(A, step) == []


class Base: ...


class Derived(Base): ...


class Sized(Protocol):
    def size(self) -> int: ...


@pytest.mark.parametrize(
    ("gives", "takes", "fits"),
    [
        (int | str, str, True),
        (int | None, str | None, True),
        (Base, Derived, True),
        (Base, Sized, True),
        (dict[str, Any], Base, False),
        (int | bytes, str, False),
    ],
)
def test_a_branch_is_only_refused_what_it_could_never_be_given(gives, takes, fits):
    one = typed("x", takes)
    for step in (branch("s", on="x", branches={"one": one}), route("s", Step("r"), {"one": one})):
        assert (said(typed("a", Any, gives), step) == []) is fits


@pytest.mark.parametrize(
    ("options", "fits"),
    [
        ({}, False),
        ({"until": "output > 1"}, False),
        ({"max_loops": 1}, True),
        ({"propagation": "{{ 'x' }}"}, True),
        ({"iteration_input_mapper": lambda output, context, done: ""}, True),
    ],
)
def test_a_loop_takes_what_it_gives(options, fits):
    wrong = ["step 'y' gives int, but step 'l/x' takes str"]
    body = [X, typed("y", str, int)]
    assert said(loop("l", body, **options)) == ([] if fits else wrong)
    if not fits:
        assert said(Step("s", fallback=loop("l", body, **options))) == [wrong[0].replace("l/x", "s/l/x")]


def test_an_exit_test_may_keep_from_the_next_iteration_what_it_can_not_take():
    body = typed("x", int, int | None)

    assert said(loop("l", body, until="output is none")) == []
    assert said(loop("l", body)) == ["step 'x' gives int | None, but step 'l/x' takes int"]


def test_all_that_does_not_fit_is_said_at_once():
    steps = [A, parallel("p", {"one": X, "two": typed("y", bytes)}), loop("l", typed("z", dict, int)), NUMBER]

    assert said(*steps) == [
        "step 'a' gives int, but step 'p/x' takes str",
        "step 'a' gives int, but step 'p/y' takes bytes",
        "step 'z' gives int, but step 'l/z' takes dict",
    ]


def test_lists_of_any_kind_have_items():
    def fits(gives: Any) -> bool:
        return said(typed("a", Any, gives), map_("m", typed("x", int))) == []

    assert all(map(fits, (list, list[int], tuple, tuple[int, ...], tuple[int, bool], Any, list[Any], "later", Base)))
    assert all(map(fits, (list[int] | None, int | list[int])))
    assert not any(map(fits, (list[str], tuple[str, int], dict[int, int], set[int], str, None, list[int] | list[str])))


WRAPS: list[Callable[[str, Step[Any, Any]], Step[Any, Any]]] = [
    loop,
    lambda name, step: loop(name, step, until="output == 1", max_loops=2),
    lambda name, step: parallel(name, {"a": step, "b": step}, reduce="first"),
    lambda name, step: branch(name, on="x", branches={"a": step}, default=step),
    lambda name, step: route(name, Step("r"), {"a": step}, reduce="last"),
    cached,
    lambda name, step: import_(name, Pipeline([step], name="child")),
    lambda name, step: state_machine(name, {"a": step, "b": Step("end")}, start="a", end=["b"]),
    lambda name, step: typed(name, step.input_type, step.handed_type, fallback=step),
    lambda name, step: Pipeline([step], name=name),
]
TYPES = [int, str, list[int], dict[str, Any], int | None, Base, list[list[str]], Any]
PLANS = st.recursive(
    st.none(),
    lambda plan: st.tuples(st.sampled_from(range(len(WRAPS))), plan) | st.lists(plan, min_size=1, max_size=3),
    max_leaves=12,
)


def built(plan: Any, type_: Any, name: str = "i") -> Step[Any, Any]:
    """A step that hands on data of one type: nothing, a kind around a step, or steps in a sequence."""
    if plan is None:
        return typed(name, type_, type_)
    if isinstance(plan, list):
        return Pipeline([built(each, type_, f"i{number}") for number, each in enumerate(plan)], name=name)
    number, inner = plan
    return WRAPS[number](name, built(inner, type_))


@given(PLANS, st.sampled_from(TYPES))
def test_steps_that_hand_on_one_type_fit_however_they_nest(plan, type_):
    step = built(plan, type_)

    assert said(step, Pipeline([step], name="again"), typed("end", type_)) == []
    assert said(typed("items", Any, list[type_]), map_("m", step), typed("end", list[type_])) == []
