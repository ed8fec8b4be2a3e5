"""Agents that a file declares: who makes them, which steps use them, and what is wrong with them."""

from pathlib import Path
from typing import Any

import pytest

from flujo.blueprint.agents import AgentContext, AgentDeclaration
from flujo.blueprint.kinds import AgentProviderSpec
from flujo.domain.agent_step import AgentStep

SKILLS = """
from pydantic import BaseModel

class Triage(BaseModel):
    label: str

class Loud:
    async def run(self, data: str) -> str:
        return data.upper()

def hush(data):
    return data.lower()

broken = 3
"""
HELPER = "agents:\n  helper: {model: 'function:skills:hush'}\n"


@pytest.fixture
def skilled(project):
    """A project with a module of code and a file of answers."""
    project.write("skills.py", SKILLS)
    project.write("answers.json", '["one", "two"]')
    return project


def only_step(project: Any, text: str) -> AgentStep[Any, Any]:
    (step,) = project.load(text).steps
    assert isinstance(step, AgentStep)
    return step


@pytest.mark.parametrize("use", ["uses: agents.helper", "agent: helper", "agent: agents.helper", "agent: {id: helper}"])
def test_a_step_names_the_agent_it_asks(skilled, use):
    step = only_step(skilled, f"{HELPER}steps:\n  - {{name: a, {use}}}\n")
    assert step.call.reference == "skills:hush"
    assert (step.agent_key, step.model) == ("helper", "function:skills:hush")


def test_a_reference_that_is_no_agent_s_name_means_what_it_means_without_agents(skilled):
    (step,) = skilled.load(f"{HELPER}steps:\n  - {{name: a, agent: 'skills:hush'}}\n").steps
    assert step.kind == "step"


def test_a_step_has_all_that_the_declaration_says(skilled):
    text = """
agents:
  t:
    model: "scripted:answers.json"
    system_prompt: be brief
    output_schema: "skills:Triage"
    params: {temperature: 0}
steps:
  - {name: a, uses: agents.t, sink_to: scratchpad.a, config: {timeout_s: 5}}
"""
    step = only_step(skilled, text)
    assert skilled.check(text) == ()
    assert (step.output.__name__, step.output_type.__name__, step.sink_to) == ("Triage", "Triage", "scratchpad.a")
    assert step.definition() == {
        "kind": "agent",
        "name": "a",
        "run": "flujo.infra.scripted:ScriptedAgent",
        "sink_to": "scratchpad.a",
        "output": "skills:Triage",
        "model": "scripted:answers.json",
        "agent": "t",
        "system_prompt": "be brief",
        "settings": {"temperature": 0},
    }


def test_an_agent_is_made_once_and_only_if_a_step_uses_it(skilled):
    made: list[str] = []

    def make(declaration: AgentDeclaration, _: AgentContext) -> Any:
        made.append(declaration.target)
        return len

    skilled.providers["house"] = AgentProviderSpec("house", make)
    text = "agents: {a: {model: 'house:one:1'}, b: {model: 'nowhere:b'}, c: {model: c, output_schema: {type: odd}}}\n"
    skilled.load(text + "steps:\n  - {name: a, uses: agents.a}\n  - {name: b, agent: a}\n")
    assert made == ["one:1"]


@pytest.mark.parametrize("name", ["str", "int", "float", "bool", "list", "dict"])
def test_an_agent_may_answer_with_a_plain_type(skilled, name):
    text = f"agents: {{t: {{model: 'scripted:answers.json', output_schema: {name}}}}}\n"
    text += "steps: [{name: a, uses: agents.t}]\n"
    assert skilled.check(text) == ()
    assert only_step(skilled, text).output.__name__ == name


def test_imported_files_have_agents_of_their_own_beside_them(skilled):
    child = "agents: {t: {model: 'scripted:own.json'}}\nsteps:\n  - {name: a, uses: agents.t}\n"
    skilled.write("parts/own.json", "[1]")
    skilled.write("parts/child.yaml", child)
    text = "imports: {c: parts/child.yaml}\nagents: {u: {model: 'scripted:answers.json'}}\nsteps:\n"
    pipeline = skilled.load(text + "  - {name: a, uses: imports.c}\n  - {name: b, agent: u}\n")
    assert [step.model for step in pipeline.walk() if isinstance(step, AgentStep)] == [
        "scripted:own.json",
        "scripted:answers.json",
    ]


def test_checking_a_file_imports_nothing_and_makes_its_agents_all_the_same(skilled):
    skilled.write("skills.py", "raise SystemExit('imported')\ndef hush(): ...\nclass Triage: ...\n")
    text = HELPER.replace("}", ", output_schema: 'skills:Triage'}") + "steps:\n  - {name: a, agent: helper}\n"
    assert skilled.check(text) == ()
    (finding,) = skilled.check(text.replace("hush", "hsh"))
    assert (finding.code, finding.message, finding.help) == (
        "V-A04",
        "module 'skills' has no 'hsh'",
        "did you mean 'hush'?",
    )


@pytest.mark.parametrize(
    ("declared", "place", "code", "message"),
    [
        ("{model: 'house:a'}", (2, 14), "V-A07", "no installed plugin provides 'house' agents"),
        ("{model: hush}", (2, 14), "V-A07", "'hush' names no provider"),
        ("{model: 'function:os:system'}", (2, 14), "V-A02", "module 'os' may not be imported by pipeline files"),
        ("{model: 'scripted:../up.json'}", (2, 14), "V-A08", "'../up.json' lies outside the project"),
        ("{model: 'scripted:skills.py'}", (2, 14), "V-A08", "answers can't be read from"),
        ("{model: 'function:skills:hush', params: {a: 1}}", (2, 14), "V-A08", "agent 't' has params, but"),
        (
            "{model: 'function:skills:hush', output_schema: {type: odd}}",
            (2, 53),
            "V-A08",
            "the JSON Schema is wrong at $.type: 'odd' is not valid",
        ),
        (
            "{model: 'function:skills:hush', output_schema: 'skills:broken'}",
            (2, 53),
            "V-A08",
            "'3' is no type of output that can be checked",
        ),
        ("{model: 'function:skills:broken'}", (2, 14), "V-A05", "agent provider 'function' of plugin"),
        ("{}", (2, 6), "V-S01", "missing key 'model'"),
        ("{model: 3}", (2, 14), "V-S03", "'model' should be text, not 3"),
        ("{model: 'scripted:answers.json', prompt: b}", (2, 39), "V-S02", "unknown key 'prompt'"),
        ("hush", (2, 6), "V-S03", "'t' should be a mapping, not 'hush'"),
    ],
)
def test_what_is_wrong_with_an_agent_is_told_once_at_its_place(skilled, declared, place, code, message):
    text = f"agents:\n  t: {declared}\nsteps:\n  - {{name: a, uses: agents.t}}\n"
    (finding,) = skilled.findings(text)
    assert (finding.code, finding.location[1:]) == (code, place)
    assert finding.message.startswith(message)
    if code != "V-K02":
        twice = skilled.findings(f"{text}  - {{name: b, agent: t}}\n")
        assert twice == (finding,)


@pytest.mark.parametrize(
    ("head", "help_text"),
    [
        (HELPER, "did you mean 'helper'?"),
        ("agents: {one: {model: m}}\n", "this file declares one"),
        ("", "say at the top of the file who it is: agents: {helpr: {model: ...}}"),
    ],
)
def test_an_agent_that_nobody_declares_names_the_nearest(skilled, head, help_text):
    (finding,) = skilled.findings(f"{head}steps:\n  - {{name: a, uses: agents.helpr}}\n")
    assert (finding.code, finding.message, finding.help) == ("V-A06", "there is no agent 'helpr'", help_text)


def test_a_provider_that_fails_is_a_finding(skilled):
    def fail(*_: Any) -> Any:
        raise KeyError("token")

    skilled.providers["house"] = AgentProviderSpec("house", fail)
    (finding,) = skilled.findings("agents: {t: {model: 'house:a'}}\nsteps:\n  - {name: a, agent: t}\n")
    assert (finding.code, finding.message) == ("V-A05", "making an agent raised KeyError: 'token'")


def test_a_provider_finds_the_project_s_files(skilled):
    found: list[Path] = []

    def make(declaration: AgentDeclaration, context: AgentContext) -> Any:
        found.append(context.path(declaration.target))
        return context.resolve("skills:Loud")

    skilled.providers["house"] = AgentProviderSpec("house", make)
    step = only_step(skilled, "agents: {t: {model: 'house:answers.json'}}\nsteps:\n  - {name: a, agent: t}\n")
    assert found == [skilled.root / "answers.json"]
    assert step.call.reference == "skills:Loud"
