"""Kinds of step of one's own: what a subclass's fields make of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from flujo import Step
from flujo.domain.canonical import digest


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
