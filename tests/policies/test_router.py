"""Branches that a step picks."""

from typing import Any

import pytest

from flujo import Step, route
from flujo.exceptions import BlueprintError, ConfigurationError

BRANCHES = {name: Step(name, lambda data, name=name: f"{data}{name}") for name in ("legal", "cost", "style")}


def answering(answer: Any) -> Step[Any, Any]:
    return Step("pick", lambda data: answer)


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        ("cost", {"cost": "xcost"}),
        (["style", "legal"], {"style": "xstyle", "legal": "xlegal"}),
        (("cost", "cost"), {"cost": "xcost"}),
    ],
)
async def test_the_outputs_stand_in_the_order_of_the_answer(run, answer, output):
    result = await run(route("r", answering(answer), BRANCHES))

    assert list(result.output.items()) == list(output.items())
    assert [child.path for child in result.step_history[0].children] == [
        f"router:r/{name}" for name in ("router", *output)
    ]


@pytest.mark.parametrize("answer", [None, 3, [], {}, {"legal": 1}, ["legal", 1], {"legal"}, b"legal"])
async def test_an_answer_that_is_no_name_fails_the_step_and_lists_the_branches(run, answer):
    result = await run(route("r", answering(answer), BRANCHES), state_uri="memory:")

    assert result.status == "failed"
    kind = type(answer).__name__
    assert f"answered {kind!r}, expected a branch's name or a list" in result.error.message or kind == "set"


async def test_an_unknown_name_fails_the_step_and_names_the_nearest(run):
    result = await run(route("r", answering(["cost", "legl"]), BRANCHES))

    assert result.error.message == "the router of 'r' named 'legl', which is no branch"
    assert result.error.suggestion == "did you mean 'legal'?"
    assert [child.path for child in result.step_history[0].children] == ["router:r/router"]


async def test_a_router_that_fails_fails_the_step_and_no_branch_runs(run):
    def fail(data: Any) -> Any:
        raise ValueError("no idea")

    result = await run(route("r", Step("pick", fail), BRANCHES))

    assert (result.error.message, result.error.path) == ("no idea", "router:r/router")


async def test_a_recorded_answer_is_not_asked_for_again(resumed):
    result = await resumed(route("r", resumed.calls("pick"), {"a": resumed.flaky("a")}), "a")

    assert result.output == {"a": "a"}
    assert resumed.ran == ["pick", "a", "a"]


def test_a_router_that_is_no_step_and_a_branch_in_its_place_are_refused():
    with pytest.raises(ConfigurationError, match="has no router"):
        route("r", print, BRANCHES)
    with pytest.raises(ConfigurationError, match="has a branch 'router'"):
        route("r", answering("a"), {"router": Step("a")})


HELPERS = """
from flujo import step

def pick(data):
    return data

@step
async def choose(data: str) -> str:
    return data

def by(word):
    async def route(data):
        return word
    return route
"""


def router(agent: str) -> str:
    return f"""
  - name: r
    kind: dynamic_router
    router:
      router_agent: {agent}
      branches:
        a: {{ name: s }}
        b: [{{ name: t }}, {{ name: u }}]
"""


@pytest.mark.parametrize(
    "agent",
    [
        "'helpers:pick'",
        "{ id: 'helpers:pick' }",
        "'helpers:choose'",
        "{ id: 'helpers:by', params: { word: a } }",
        "{ name: pick, uses: 'helpers:pick' }",
    ],
)
async def test_a_file_names_the_router_in_any_of_these_ways(run, load, agent):
    assert (await run(load(router(agent), HELPERS), "a")).output == {"a": "a"}


def test_a_file_and_python_say_the_same(load):
    loaded = load(router("flujo.builtins.passthrough")).steps[0]
    made = route("r", loaded.router, {"a": Step("s"), "b": [Step("t"), Step("u")]})

    assert loaded.definition() == made.definition()


@pytest.mark.parametrize("agent", ["[]", "3", "{ params: {} }", "{ id: 'helpers:pick', paramz: {} }"])
def test_a_router_agent_that_names_nothing_is_told(load, agent):
    with pytest.raises(BlueprintError, match="router_agent names nothing to call"):
        load(router(agent), HELPERS)
