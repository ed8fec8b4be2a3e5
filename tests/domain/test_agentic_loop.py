"""Loops with a planner: what they may be made of."""

from typing import Any

import pytest

from flujo import Step
from flujo.domain.dsl import agentic_loop
from flujo.exceptions import ConfigurationError


def test_the_planner_and_the_agents_are_its_children():
    made = agentic_loop("plan", Step("decide"), {"search": [Step("ask"), Step("rank")], "write": Step("text")})

    assert [step.name for step in made.walk()] == ["plan", "decide", "search", "ask", "rank", "write", "text"]
    assert (made.segment, made.max_turns) == ("agentic_loop:plan", 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"planner": print}, "has no planner"),
        ({"agents": {}}, "has no agents"),
        ({"agents": {"a": []}}, "has nothing in its agent 'a'"),
        ({"agents": {"a/b": Step("s")}}, "has an agent 'a/b'"),
        ({"agents": {"planner": Step("s")}}, "has an agent 'planner'"),
        ({"agents": {"ask": Step("s")}}, "has an agent 'ask'"),
        ({"max_turns": 0}, "has max_turns 0"),
    ],
)
def test_a_loop_that_cannot_be_is_refused(options, message):
    arguments: dict[str, Any] = {"planner": Step("decide"), "agents": {"a": Step("s")}, **options}
    with pytest.raises(ConfigurationError, match=f"agentic_loop 'plan' {message}"):
        agentic_loop("plan", **arguments)
