"""Machines of states: what they may be made of."""

from enum import Enum
from typing import Any

import pytest

from flujo import Pipeline, Step
from flujo.domain.dsl import loop, state_machine
from flujo.domain.state_machine import StateMachineStep, Transition
from flujo.exceptions import ConfigurationError

STATES = {"draft": [Step("write")], "review": Step("read"), "done": []}
GO = Transition("draft", "success", "done")


def machine(**options: Any) -> StateMachineStep[Any, Any]:
    return state_machine("sm", **{"states": STATES, "start": "draft", "end": ["done"], **options})


def test_states_are_pipelines_that_may_be_empty():
    made = machine(transitions=[GO])

    assert [(name, len(state.steps)) for name, state in made.states.items()] == [
        ("draft", 1),
        ("review", 1),
        ("done", 0),
    ]
    assert (made.segment, made.start_state, made.end_states) == ("state_machine:sm", "draft", ("done",))
    assert [step.name for step in made.walk()] == ["sm", "draft", "write", "review", "read", "done"]


def test_states_may_be_named_by_an_enum():
    class At(Enum):
        DRAFT = "draft"
        DONE = "done"

    states = {At.DRAFT: Step("write"), At.DONE: []}
    made = state_machine("sm", states, start=At.DRAFT, end=[At.DONE], transitions=[(At.DRAFT, "success", At.DONE)])

    assert (made.start_state, made.end_states, made.transitions) == ("draft", ("done",), (GO,))


def test_transitions_are_part_of_what_it_is():
    one, other = machine(transitions=[GO]), machine(transitions=[GO._replace(when="output")])

    assert one.definition()["transitions"] == [["draft", "success", "done", None]]
    assert one.definition() != other.definition()
    assert other.conditions == ["output"]


def test_a_machine_writes_to_the_context_so_what_is_around_it_gives_it_one_of_its_own():
    assert loop("l", machine()).touches_context


@pytest.mark.parametrize("states", [{}, None, ["draft"]])
def test_a_machine_without_states_is_refused(states):
    with pytest.raises(ConfigurationError, match="state_machine 'sm' has no states"):
        machine(states=states)


@pytest.mark.parametrize(
    ("options", "message", "suggestion"),
    [
        ({"start": "drafd"}, "has start_state 'drafd', which is no state", "did you mean 'draft'?"),
        ({"start": "x"}, "has start_state 'x', which is no state", "its states are done, draft, review"),
        ({"end": ["done", "dome"]}, "has an end state 'dome', which is no state", "did you mean 'done'?"),
        ({"end": []}, "has end_states \\[\\]", "name at least one state, in a list"),
        ({"end": "done"}, "has end_states 'done'", "name at least one state, in a list"),
        ({"transitions": [("drft", "success", "done")]}, "has a transition from 'drft', which is", "mean 'draft'"),
        (
            {"transitions": [("draft", "success", "*")]},
            "has a transition to '\\*', which is no state",
            "its states are",
        ),
        ({"transitions": [("draft", "succes", "done")]}, "has a transition on 'succes'", "did you mean 'success'?"),
        ({"transitions": [("draft", None, "done")]}, "has a transition on None", "a transition is on"),
        ({"transitions": [("draft", "done")]}, "has a transition \\('draft', 'done'\\)", "write Transition"),
        ({"transitions": ["draft"]}, "has a transition 'draft'", "write Transition"),
        ({"transitions": [("draft", "success", "done", 1)]}, "has a transition when 1", "write an expression"),
        ({"transitions": [("done", "success", "draft")]}, "has a transition on success from 'done'", "an end state"),
        ({"max_transitions": 0}, "has max_transitions 0", "at least once"),
        ({"states": {**STATES, "a/b": []}}, "has a state 'a/b'", "a state's name has letters"),
        ({"states": {"*": []}}, "has a state '\\*'", "a state's name has letters"),
        ({"states": {True: [], "true": []}}, "has two states 'true'", "True is 'true'"),
        ({"states": {"draft": print}}, "in pipeline 'draft' is not a step", ""),
        ({"run": print}, "runs 'builtins:print', but runs steps only", "wrap it"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(options, message, suggestion):
    with pytest.raises(ConfigurationError, match=message) as caught:
        machine(**options)
    assert suggestion in caught.value.suggestion


def test_an_end_state_that_nothing_leads_to_is_no_mistake():
    assert machine(end=["done", "review"], transitions=[GO]).end_states == ("done", "review")


def test_an_end_state_that_fails_may_be_left():
    assert machine(transitions=[Transition("done", "failure", "review"), Transition("*", "success", "draft")])


def test_a_state_counts_as_a_level():
    deep: Step[Any, Any] = Step("leaf")
    for _ in range(64):
        deep = machine(states={"draft": deep, "done": []})

    with pytest.raises(ConfigurationError, match="holds steps 65 deep"):
        Pipeline([machine(states={"draft": deep, "done": []})])
