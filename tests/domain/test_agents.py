"""Steps that ask agents: what they declare, and what is refused."""

from collections.abc import Awaitable
from typing import Any

import pytest

from flujo import AgentResult, AgentStep, Step, Usage, agent, scripted
from flujo.domain.agents import answer_type
from flujo.exceptions import ConfigurationError


async def reply(data: str) -> int:
    return len(data)


class Helper:
    """An agent that knows its price and its cost."""

    model = "house:helper"

    async def run(self, data: str) -> AgentResult[list[int]]:
        return AgentResult([len(data)])

    def estimate(self, data: str) -> Usage:
        return Usage(1, len(data), 1)


class Odd:
    """An object whose `model` is no name."""

    model = 3

    def run(self, data: str) -> str:
        return data


@pytest.mark.parametrize(
    ("declared", "output"),
    [(AgentResult, Any), (AgentResult[str], str), (list[int], list[int]), (Any, Any)],
)
def test_the_type_of_an_answer_is_that_of_its_output(declared, output):
    assert answer_type(declared) == output


def test_a_plain_step_of_a_function_that_tells_its_usage_has_the_type_of_the_output():
    def told(data: str) -> AgentResult[int]: ...
    def later(data: str) -> Awaitable[AgentResult[int]]: ...

    assert Step("a", told).output_type is int
    assert Step("a", later).output_type is int


@pytest.mark.parametrize(
    ("run", "output", "declared"),
    [
        (reply, None, int),
        (Helper(), None, list[int]),
        (reply, str, str),
        (reply, dict[str, int], dict[str, int]),
        (reply, {"type": "string"}, Any),
    ],
)
def test_the_output_type_is_what_output_declares_or_else_what_the_agent_does(run, output, declared):
    assert agent("a", run, output=output).output_type == declared


@pytest.mark.parametrize("run", [Helper(), Helper])
def test_an_agent_may_know_its_model_and_what_a_call_can_use(run):
    step = agent("a", run)
    assert step.model == step.agent_key == "house:helper"
    assert step.estimate.target("four") == Usage(1, 4, 1)


def test_whose_calls_are_counted_is_told_by_the_agent_s_name_its_model_or_its_code():
    assert agent("a", Helper(), agent="triage").agent_key == "triage"
    assert agent("a", Helper(), model="other").agent_key == "other"
    assert agent("a", reply).agent_key == f"{__name__}:reply"
    assert agent("a", Odd()).agent_key == f"{__name__}:Odd"
    assert agent("a", reply).estimate is None


def test_the_definition_tells_agents_apart_by_all_that_makes_their_answers():
    plain = agent("a", reply).definition()
    assert plain == {"kind": "agent", "name": "a", "run": f"{__name__}:reply"}
    options = {"output": list[int], "model": "m", "agent": "n", "system_prompt": "p", "settings": {"t": 0}}
    assert agent("a", reply, **options).definition() == {**plain, **options, "output": "list[int]"}
    assert agent("a", reply, output=Helper).definition()["output"] == f"{__name__}:Helper"


def test_answers_that_stand_in_no_file_are_told_apart_by_what_they_are():
    one, same, other = scripted(["a"]), scripted(["a"]), scripted(["b"])
    assert agent("a", one).agent_key == agent("a", same).agent_key != agent("a", other).agent_key


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (None, "step 'a' has no agent to ask"),
        ("reply", "'str' can't be called"),
        (agent("b", reply), "step 'a' runs 'b', which is a step itself"),
    ],
)
def test_what_can_t_be_asked_is_refused(run, message):
    with pytest.raises(ConfigurationError) as caught:
        AgentStep("a", run)
    assert str(caught.value) == message
