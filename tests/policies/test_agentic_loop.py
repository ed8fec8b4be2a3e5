"""A planner that says what is done next."""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from flujo import Flujo, OpenContext, Pipeline, Step, agentic_loop, loop, state_machine
from flujo.exceptions import BlueprintError, InfiniteRedirectError, PipelineAbortSignal
from flujo.infra.memory import InMemoryBackend

FINISH = {"action": "finish", "output": "done"}


class Planner:
    """Gives the commands that it has, one each turn, and keeps what it was given."""

    def __init__(self, *commands: Any) -> None:
        self.commands = commands
        self.given: list[dict[str, Any]] = []

    def run(self, data: dict[str, Any]) -> Any:
        self.given.append(data)
        command = self.commands[len(data["history"])]
        return command(data) if callable(command) else command


def planned(*commands: Any, agents: Any = None, **options: Any) -> tuple[Step[Any, Any], Planner]:
    planner = Planner(*commands)
    known = agents or {"double": Step("twice", lambda data: data * 2)}
    return agentic_loop("plan", Step("decide", planner), known, **options), planner


def agent(name: str, data: Any) -> dict[str, Any]:
    return {"action": "run_agent", "agent": name, "input": data}


def paths(results: Any) -> list[str]:
    return [path for result in results for path in (result.path, *paths(result.children))]


async def test_the_planner_is_told_what_came_of_its_commands_until_it_finishes(run):
    step, planner = planned(
        agent("double", 2), lambda data: {"action": "finish", "output": data["history"][-1]["result"]}
    )
    result = await run(step, "a goal")

    assert result.output == 4
    assert planner.given == [
        {"goal": "a goal", "history": [], "agents": ["double"]},
        {
            "goal": "a goal",
            "history": [{"turn": 0, "command": agent("double", 2), "result": 4}],
            "agents": ["double"],
        },
    ]
    assert paths(result.step_history) == [
        "agentic_loop:plan",
        "agentic_loop:plan[0]/planner",
        "agentic_loop:plan[0]/double",
        "agentic_loop:plan[0]/double/twice",
        "agentic_loop:plan[1]/planner",
    ]


class Action(Enum):
    FINISH = "finish"


class Model(BaseModel):
    action: Action | Literal["run_agent"] = Action.FINISH
    output: Any = "model"
    agent: str | None = None


@dataclass
class Data:
    action: str
    output: Any


@pytest.mark.parametrize(
    ("command", "output"),
    [
        (FINISH, "done"),
        (Model(), "model"),
        (Data("finish", None), None),
        (json.dumps(FINISH), "done"),
        ('I am done:\n```json\n{"action": "finish", "output": [1,]}\n```\n', [1]),
    ],
)
async def test_a_command_is_a_mapping_a_model_a_data_class_or_json_text(run, command, output):
    assert (await run(planned(command)[0])).output == output


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        (3, "answered 'int', expected a mapping with an 'action'"),
        ("finish!", "answered 'str', expected a mapping with an 'action'"),
        (None, "answered 'NoneType', expected a mapping with an 'action'"),
        ({}, "gave the action 'None', expected run_agent, ask_human, finish"),
        ({"action": "stop"}, "gave the action 'stop', expected run_agent, ask_human, finish"),
        ({"action": "finish"}, "gave the action 'finish' without 'output'"),
        ({"action": "run_agent", "agent": "double"}, "gave the action 'run_agent' without 'input'"),
        ({"action": "ask_human"}, "gave the action 'ask_human' without 'question'"),
        (agent("triple", 1), "named the agent 'triple', expected double"),
        ({"action": "ask_human", "question": 3}, "asked 'int', expected a question as text"),
    ],
)
async def test_a_wrong_command_is_told_to_the_planner_once_and_then_fails_the_step(run, command, wrong):
    step, planner = planned(command, agent("double", 1), command, command)
    result = await run(step, state_uri="memory:")

    assert [entry["result"] for entry in planner.given[-1]["history"]] == [
        {"error": f"the planner {wrong}"},
        2,
        {"error": f"the planner {wrong}"},
    ]
    assert result.error.message == f"the planner of 'plan' {wrong}, and was wrong in the turn before, too"
    assert result.error.path == "agentic_loop:plan"


async def test_an_agent_that_fails_is_told_to_the_planner_and_leaves_nothing_behind(run):
    def boom(data: Any) -> Any:
        raise ValueError(f"no {data}")

    broken = [Step("change", lambda data: data, sink_to="left"), Step("fail", boom)]
    step, planner = planned(agent("broken", 7), FINISH, agents={"broken": broken})
    result = await run(step)

    assert (result.output, planner.given[-1]["history"][0]["result"]) == ("done", {"error": "no 7"})
    assert result.final_pipeline_context.model_extra == {}
    assert [child.path for child in result.step_history[0].children] == [
        f"agentic_loop:plan{place}" for place in ("[0]/planner", "[0]/broken", "[0]/on:failure", "[1]/planner")
    ]


async def test_what_an_agent_and_the_planner_change_in_the_context_flows_back(run):
    def plan(data: dict[str, Any], *, context: OpenContext) -> Any:
        context.turns = len(data["history"])
        return FINISH if data["history"] else agent("note", 5)

    note = Step("keep", input="{{ previous_step }}-{{ context.turns }}", sink_to="kept")
    context = (await run(agentic_loop("plan", Step("decide", plan), {"note": note}))).final_pipeline_context

    assert context.model_extra == {"turns": 1, "kept": "5-0"}


@pytest.mark.parametrize(
    ("signal", "status"), [(InfiniteRedirectError("round"), "failed"), (PipelineAbortSignal("enough"), "cancelled")]
)
async def test_an_agent_s_signal_ends_the_step(run, signal, status):
    def stop(data: Any) -> Any:
        raise signal

    result = await run(planned(agent("stop", 1), FINISH, agents={"stop": Step("stop", stop)})[0])

    assert (result.status, result.error.message) == (status, str(signal))


async def test_a_planner_that_fails_fails_the_step(run):
    result = await run(planned()[0])

    assert (result.error.type, result.error.path) == ("IndexError", "agentic_loop:plan[0]/planner")


async def test_without_an_end_within_max_turns_the_step_fails(run):
    result = await run(planned(*[agent("double", 1)] * 3, max_turns=3)[0])

    assert result.error.message == "agentic_loop 'plan' did not finish within 3 turns"
    assert len(result.step_history[0].children) == 6


async def test_a_question_pauses_the_run_and_its_answer_is_the_turn_s_result():
    asking = {"action": "ask_human", "question": "is {{ this }} a template?"}
    step, planner = planned(agent("double", 1), asking, lambda data: {**FINISH, "output": data["history"][1]["result"]})
    backend = InMemoryBackend()
    async with Flujo(step, context_model=OpenContext, state_backend=backend) as flujo:
        paused = await flujo.run("x", run_id="r")
    assert [(each.path, each.message) for each in paused.pending] == [
        ("agentic_loop:plan[1]/ask", "is {{ this }} a template?")
    ]
    async with Flujo(step, context_model=OpenContext, state_backend=backend) as flujo:
        result = await flujo.resume("r", answer={"no": True})

    assert (result.output, len(planner.given)) == ({"no": True}, 3)
    assert len(result.final_pipeline_context.hitl_history) == 1


async def test_turns_that_are_recorded_do_not_run_again_nor_agents_that_have_failed(resumed):
    failed: list[Any] = []

    def once(data: Any) -> Any:
        resumed.ran.append("once")
        if not failed:
            failed.append(data)
            raise ValueError("once")

    def plan(data: dict[str, Any]) -> Any:
        resumed.ran.append(f"plan{len(data['history'])}")
        commands = [agent("once", 1), agent("two", "x"), {**FINISH, "output": data["history"]}]
        return commands[len(data["history"])]

    agents = {"once": Step("once", once), "two": [resumed.calls("a"), resumed.flaky("b")]}
    step = Pipeline([agentic_loop("plan", Step("decide", plan), agents), resumed.flaky("after")])
    result = await resumed(step)

    assert [entry["result"] for entry in result.output] == [{"error": "once"}, {"error": "not yet"}]
    assert resumed.ran == ["plan0", "once", "plan1", "a", "b", "plan2", "after", "after"]


@pytest.mark.parametrize("strict", ["0", "1"])
async def test_it_stands_in_loops_and_machines(run, monkeypatch, strict):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", strict)

    def plan(data: dict[str, Any]) -> Any:
        seen = data["history"]
        return {**FINISH, "output": seen[-1]["result"]} if seen else agent("double", data["goal"])

    inner = agentic_loop("plan", Step("decide", plan), {"double": Step("twice", lambda data: data * 2, sink_to="n")})
    result = await run(state_machine("sm", {"a": loop("l", inner, max_loops=3)}, start="a", end=["a"]), 1)

    assert (result.output, result.final_pipeline_context.n) == (8, 8)


HELPERS = """
def plan(data):
    seen = data["history"]
    return {"action": "finish", "output": seen[-1]["result"]} if seen else {
        "action": "run_agent", "agent": data["goal"], "input": "x"
    }

def by(word):
    def say(data):
        return data + word
    return say
"""

FILE = """
  - name: plan
    kind: agentic_loop
    agentic_loop:
      planner: "helpers:plan"
      max_turns: 3
      agents:
        same: flujo.builtins.passthrough
        made: { id: "helpers:by", params: { word: "!" } }
        step: { name: s, input: "{{ previous_step }}?" }
        steps: [{ name: s, input: "{{ previous_step }}1" }, { name: t, input: "{{ previous_step }}2" }]
"""


@pytest.mark.parametrize(("goal", "output"), [("same", "x"), ("made", "x!"), ("step", "x?"), ("steps", "x12")])
async def test_a_file_names_the_planner_and_the_agents(run, load, goal, output):
    assert (await run(load(FILE, HELPERS), goal)).output == output


def test_a_file_and_python_say_the_same(load):
    loaded = load(FILE, HELPERS).steps[0]
    agents = dict(loaded.agents)
    agents["step"] = Step("s", input="{{ previous_step }}?")
    made = agentic_loop("plan", loaded.planner, agents, max_turns=3)

    assert loaded.planner.name == "planner"
    assert loaded.definition() == {**made.definition(), "agents": loaded.definition()["agents"]}


DECLARED = """agents:
  echo: { model: "function:helpers:say" }
"""


async def test_a_declared_agent_is_named_as_in_any_step(run, load):
    helpers = HELPERS + "async def say(data):\n    return data + 'o'\n"
    loaded = load(FILE.replace("flujo.builtins.passthrough", "agents.echo") + DECLARED, helpers)

    assert (await run(loaded, "same")).output == "xo"
    assert loaded.steps[0].agents["same"].steps[0].kind == "agent"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"helpers:plan"', "3", "planner names nothing to call"),
        ("flujo.builtins.passthrough", "{ params: {} }", "agent 'same' names nothing to call"),
        ("flujo.builtins.passthrough", '"helpers:nope"', "module 'helpers' has no 'nope'"),
        ("flujo.builtins.passthrough", "{ id: echo, params: { a: 1 } }", "agent 'same' has params for agent 'echo'"),
        ("max_turns: 3", "max_turns: 0", "'max_turns' should be greater than or equal to 1"),
        ("same: flujo", "planner: flujo", "has an agent 'planner'"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(load, old, new, message):
    with pytest.raises(BlueprintError, match=message):
        load(FILE.replace(old, new) + DECLARED, HELPERS)
