"""Kinds of step of one's own: what a subclass's fields make of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar

import pytest

from flujo import (
    ConditionalStep,
    HumanInTheLoopStep,
    LoopStep,
    MapStep,
    ParallelStep,
    Pipeline,
    Step,
    branch,
    loop,
    map_,
)
from flujo.domain.canonical import digest
from flujo.domain.composite import as_body, branch_key
from flujo.domain.kinds import operations
from flujo.exceptions import BlueprintError, ConfigurationError


class Flag(Enum):
    """Names a branch by a value that is not text."""

    ON = True


@dataclass(frozen=True)
class Rule:
    """Plain data in a field."""

    when: str
    then: Step[Any, Any]


@dataclass(frozen=True, eq=False)
class Choice(Step[Any, Any]):
    """Has steps in fields of every form."""

    body: Step[Any, Any] | None = None
    branches: Mapping[str, Step[Any, Any]] = field(default_factory=dict)
    more: tuple[Step[Any, Any], ...] = ()
    limit: int = 5
    rule: Rule | None = None

    kind: ClassVar[str] = "choice"
    prefix: ClassVar[str] = "pick"


def test_a_kind_s_prefix_stands_before_its_name():
    assert Choice("c").segment == "pick:c"


def test_fields_at_their_defaults_tell_nothing():
    assert Choice("c").definition() == {"kind": "choice", "name": "c"}
    assert list(Choice("c").children()) == []


def test_the_steps_in_a_kind_s_fields_are_its_children_in_order():
    choice = Choice("c", body=Step("a"), branches={"x": Step("b"), "y": Step("d")}, more=(Step("e"),), limit=6)
    assert [step.name for step in choice.walk()] == ["c", "a", "b", "d", "e"]


def test_a_kind_s_fields_are_part_of_what_it_is():
    choice = Choice("c", branches={"x": Step("b")}, limit=6, rule=Rule("always", Step("r")))
    assert choice.definition() == {
        "kind": "choice",
        "name": "c",
        "branches": {"x": {"kind": "step", "name": "b"}},
        "limit": 6,
        "rule": {"when": "always", "then": {"kind": "step", "name": "r"}},
    }
    assert digest(choice.definition()) != digest(Choice("c", limit=7).definition())


def test_a_body_is_a_step_a_sequence_or_a_pipeline():
    one, two = Step("a"), Step("b")

    assert [step.name for step in as_body(one, "body").steps] == ["a"]
    assert [step.name for step in as_body((one, two), "body").steps] == ["a", "b"]
    chain = as_body(one >> two, "body")
    assert (chain.name, [step.name for step in chain.steps]) == ("body", ["a", "b"])


def test_a_pipeline_with_a_name_or_options_of_its_own_stays_as_it_is():
    named, sinking = Pipeline([Step("a")], name="mine"), Pipeline([Step("a")], sink_to="n")

    assert as_body(named, "body") is named
    assert as_body(sinking, "body") is sinking


@pytest.mark.parametrize(
    ("value", "key"),
    [(True, "true"), (False, "false"), (3, "3"), (1.5, "1.5"), (None, "None"), ("x", "x"), (Flag.ON, "true")],
)
def test_a_branch_key_is_the_text_of_a_value(value, key):
    assert branch_key(value) == key


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ({}, "has no branches"),
        ([Step("a")], "has no branches"),
        ({"a": []}, "has nothing in its branch 'a'"),
        ({"1": None}, "has nothing in its branch '1'"),
        ({"a/b": Step("a")}, "has a branch 'a/b'"),
        ({"": Step("a")}, "has a branch ''"),
        ({True: Step("a"), "true": Step("b")}, "has two branches 'true'"),
        ({"a": print}, "'builtins:print' in pipeline 'a' is not a step"),
        ({"a": "text"}, "in pipeline 'a' is not a step"),
    ],
)
def test_branches_that_cannot_be_are_refused(branches, message):
    with pytest.raises(ConfigurationError, match=message):
        ParallelStep("fan", branches=branches)


def test_steps_of_one_branch_have_names_of_their_own():
    with pytest.raises(BlueprintError, match="two steps are named 'a'"):
        ParallelStep("fan", branches={"x": [Step("a"), Step("a")]})


def test_operations_are_paths_and_templates_or_lists_under_a_verb():
    written = [{"n": "{{ 1 }}"}, {"set": [{"target": "a", "value": 1}]}, {"append": {"target": "b", "value": 2}}]

    assert list(operations(written)) == [("set", "n", "{{ 1 }}"), ("set", "a", 1), ("append", "b", 2)]
    assert list(operations({"set": "text"})) == [("set", "set", "text")]
    assert [each.target for each in operations({"merge": [{"target": 1, "value": 2}, "x"]})] == [None, None]


def test_a_step_that_may_change_the_context_is_found_however_deep():
    quiet = Step("a", lambda data: data)
    reads = Step("b", lambda data, *, context: data)

    assert not MapStep("m", body=LoopStep("l", body=quiet)).touches_context
    assert MapStep("m", body=LoopStep("l", body=reads)).touches_context
    assert MapStep("m", body=Step("s", input=lambda scope: scope.context)).touches_context
    assert MapStep("m", body=ConditionalStep("c", condition=max, branches={"a": quiet})).touches_context
    assert LoopStep("l", body=quiet, exit_condition=max).touches_context
    assert MapStep("m", body=quiet, merge_strategy=max).touches_context
    assert ParallelStep("p", branches={"a": quiet}, merge_strategy=max).touches_context


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LoopStep("l", body=Step("b"), max_loops=0, on_max="stop"),
            "loop 'l' has max_loops 0; it has on_max 'stop'",
        ),
        (
            lambda: MapStep("m", body=Step("b"), concurrency=0, finalize={"x": 1}),
            "map 'm' has concurrency 0; it has finalize x",
        ),
        (
            lambda: ParallelStep("p", branches={"a": Step("a")}, budget="own", field_mapping={"b": {}, "c": {}}),
            "parallel 'p' has budget 'own'; it maps fields of 'b'; it maps fields of 'c'",
        ),
        (
            lambda: HumanInTheLoopStep("h", message=" ", deadline_s=0),
            "step 'h' has no message; it has deadline_s 0",
        ),
        (lambda: loop("l", Step("b"), until=3), "loop 'l' has exit_expression 3"),
        (lambda: branch("b", on=3, branches={"a": Step("a")}), "conditional 'b' has condition_expression 3"),
        (lambda: map_("m", Step("b"), over=3), "map 'm' has iterable_input 3"),
    ],
)
def test_everything_that_is_wrong_with_a_step_is_told_at_once(make, message):
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert str(caught.value) == message
    assert "; " in caught.value.suggestion
