"""The constructors: each makes its kind's step, and leaves the checking to it."""

from typing import Any

import pytest

from flujo import (
    ConditionalStep,
    DynamicParallelRouterStep,
    LoopStep,
    MapStep,
    ParallelStep,
    Step,
    StepConfig,
    branch,
    loop,
    map_,
    parallel,
    route,
)
from flujo.exceptions import ConfigurationError

A = Step("a")
OPTIONS: dict[str, Any] = {"config": StepConfig(max_retries=2), "sink_to": "n", "fallback": Step("f")}


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (branch("s", on="x", branches={"x": A}, **OPTIONS), ConditionalStep),
        (loop("s", A, **OPTIONS), LoopStep),
        (map_("s", A, **OPTIONS), MapStep),
        (parallel("s", {"x": A}, **OPTIONS), ParallelStep),
        (route("s", A, {"x": A}, **OPTIONS), DynamicParallelRouterStep),
    ],
)
def test_each_makes_its_kind_with_the_options_of_every_step(made, kind):
    assert type(made) is kind
    assert {name: getattr(made, name) for name in OPTIONS} == OPTIONS


def test_a_test_is_text_or_a_callable():
    assert branch("s", on="x", branches={"x": A}).condition_expression == "x"
    assert branch("s", on=max, branches={"x": A}).condition is max
    assert loop("s", A, until="x").exit_expression == "x"
    assert loop("s", A, until=max).exit_condition is max
    assert loop("s", A).counted


def test_an_exit_test_is_given_once():
    with pytest.raises(ConfigurationError, match="has both exit_expression and exit_condition"):
        LoopStep("s", body=A, exit_expression="x", exit_condition=max)


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="max_lops"):
        loop("s", A, max_lops=3)
