"""The step that asks a person: what it may say, and where it may stand."""

from typing import Any

import pytest
from pydantic import BaseModel

from flujo import HumanInTheLoopStep, Pipeline, Step, StepConfig, human, loop, step
from flujo.exceptions import ConfigurationError, TypeMismatchError

BACKGROUND = StepConfig(execution_mode="background")


class Verdict(BaseModel):
    decision: str


@step
async def count(data: int) -> int:
    return data


def test_human_makes_the_step():
    made = human(
        "ask", "ok {{ previous_step }}?", schema=Verdict, deadline_s=60, on_deadline={"answer": {}}, sink_to="v"
    )

    assert type(made) is HumanInTheLoopStep
    assert (made.kind, made.segment, made.message, made.sink_to) == ("hitl", "ask", "ok {{ previous_step }}?", "v")
    assert (made.input_schema, made.deadline_s, made.on_deadline) == (Verdict, 60, {"answer": {}})


def test_its_definition_tells_what_is_asked():
    made = human("ask", "ok?", schema={"type": "string"}, deadline_s=60)

    assert made.definition() == {
        "kind": "hitl",
        "name": "ask",
        "message": "ok?",
        "input_schema": {"type": "string"},
        "deadline_s": 60,
    }


def test_its_output_has_the_type_of_the_answers():
    assert human("ask", "ok?", schema=Verdict).output_type is Verdict
    assert human("ask", "ok?", schema={"type": "string"}).output_type is Any
    assert human("ask", "ok?").output_type is Any


def test_an_answer_of_another_type_does_not_fit_the_next_step():
    with pytest.raises(TypeMismatchError, match="step 'ask' gives Verdict, but step 'count' takes int"):
        human("ask", "ok?", schema=Verdict) >> count


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"message": ""}, "step 'ask' has no message"),
        ({"message": " \n"}, "step 'ask' has no message"),
        ({"message": 3}, "step 'ask' has no message"),
        ({"run": len}, "step 'ask' asks a person, and runs nothing"),
        ({"deadline_s": 0}, "step 'ask' has deadline_s 0"),
        ({"deadline_s": True}, "step 'ask' has deadline_s True"),
        ({"deadline_s": "1h"}, "step 'ask' has deadline_s '1h'"),
        ({"deadline_s": float("inf")}, "step 'ask' has deadline_s inf"),
        ({"deadline_s": 9, "on_deadline": "skip"}, "step 'ask' has on_deadline 'skip'"),
        ({"deadline_s": 9, "on_deadline": {"answers": 1}}, "step 'ask' has on_deadline {'answers': 1}"),
        ({"on_deadline": {"answer": 1}}, "step 'ask' has on_deadline, but no deadline_s"),
    ],
)
def test_a_field_that_can_not_be_so_is_refused(fields, message):
    with pytest.raises(ConfigurationError) as caught:
        HumanInTheLoopStep("ask", **{"message": "ok?", **fields})
    assert caught.value.message == message
    assert caught.value.suggestion


def test_a_timeout_is_no_deadline():
    with pytest.raises(ConfigurationError, match="has timeout_s, but waits outside of any process") as caught:
        human("ask", "ok?", config=StepConfig(timeout_s=9))
    assert caught.value.suggestion == "say deadline_s, and on_deadline"


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (human("ask", "ok?", config=BACKGROUND), "ask"),
        (loop("again", human("ask", "ok?"), config=BACKGROUND), "again"),
        (Step("a", len, config=BACKGROUND, fallback=human("ask", "ok?")), "a"),
    ],
)
def test_nobody_is_asked_in_the_background(made, name):
    with pytest.raises(ConfigurationError, match=f"step '{name}' runs in the background, but asks a person"):
        Pipeline([made])


def test_a_deadline_is_the_same_in_whole_seconds_and_in_parts():
    assert human("ask", "?", deadline_s=60).definition() == human("ask", "?", deadline_s=60.0).definition()
    assert isinstance(human("ask", "?", deadline_s=60).deadline_s, float)
