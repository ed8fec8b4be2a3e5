"""Kinds inside kinds: what they come to, and how deep they stand."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from flujo import Pipeline, Step, StepConfig, agentic_loop, branch, loop, map_, parallel, route, state_machine
from flujo.domain.scope import Scope
from flujo.engine.executor_core import ExecutorCore
from flujo.exceptions import BlueprintError, ConfigurationError
from flujo.plugins import create_default_registry


def one_turn(data: Any) -> Any:
    """A planner that lets the agent `a` work on the goal, and hands on what that gives."""
    if data["history"]:
        return {"action": "finish", "output": data["history"][0]["result"]}
    return {"action": "run_agent", "agent": "a", "input": data["goal"]}


AROUND: dict[str, Callable[..., Step[Any, Any]]] = {
    "agentic_loop": lambda step, **options: agentic_loop("g", Step("plan", one_turn), {"a": step}, **options),
    "branch": lambda step, **options: branch("c", on="true", branches={True: step}, **options),
    "loop": lambda step, **options: loop("l", step, max_loops=1, **options),
    "map": lambda step, **options: map_(
        "m", step, over=lambda data, context: [data], finalize={"output": "{{ previous_step[0] }}"}, **options
    ),
    "parallel": lambda step, **options: parallel("p", {"a": step}, reduce="first", **options),
    "pipeline": lambda step, **options: Pipeline([step], name="sub", **options),
    "route": lambda step, **options: route("r", Step("pick", lambda data: "a"), {"a": step}, reduce="first", **options),
    "state_machine": lambda step, **options: state_machine("s", {"a": step}, start="a", end=["a"], **options),
}


def nested(kind: str, depth: int, *, leaf: Step[Any, Any] | None = None, **options: Any) -> Step[Any, Any]:
    step: Step[Any, Any] = leaf or Step("leaf", lambda data: data + 1)
    for _ in range(depth):
        step = AROUND[kind](step, **options)
    return step


KINDS = list(AROUND)


@pytest.mark.parametrize("options", [{}, {"config": StepConfig(timeout_s=60, max_retries=1)}], ids=["plain", "guarded"])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_stands_64_deep_in_itself(run, kind, options):
    result = await run(nested(kind, 64, **options), 1)

    assert (result.error, result.output) == (None, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_65_deep_are_refused_when_the_pipeline_is_made(kind):
    with pytest.raises(ConfigurationError, match="holds steps 65 deep"):
        nested(kind, 66)


IN_FILES = {
    "agentic_loop": "{name: s, kind: agentic_loop, agentic_loop: {planner: {name: p}, agents: {a: [%s]}}}",
    "cache": "{name: s, kind: cache, cache: {body: [%s]}}",
    "conditional": "{name: s, kind: conditional, condition_expression: 'true', branches: {true: [%s]}}",
    "loop": "{name: s, kind: loop, loop: {body: [%s], max_loops: 1}}",
    "map": "{name: s, kind: map, map: {iterable_input: '{{ [1] }}', body: [%s]}}",
    "parallel": "{name: s, kind: parallel, branches: {a: [%s]}}",
    "pipeline": "{name: s, steps: [%s]}",
    "router": "{name: s, kind: dynamic_router, router: {router_agent: {name: r, input: a}, branches: {a: [%s]}}}",
    "state_machine": "{name: s, kind: state_machine, start_state: a, end_states: [a], states: {a: [%s]}}",
}


def in_file(kind: str, depth: int) -> str:
    text = "{name: leaf, input: done}"
    for _ in range(depth):
        text = IN_FILES[kind] % text
    return f"  - {text}\n"


@pytest.mark.parametrize("kind", IN_FILES)
def test_every_kind_stands_64_deep_in_a_file(load, kind):
    assert load(in_file(kind, 64)).depth == 64


@pytest.mark.parametrize("kind", IN_FILES)
def test_a_step_65_deep_in_a_file_is_told_as_that(load, kind):
    with pytest.raises(BlueprintError) as caught:
        load(in_file(kind, 65))

    assert {finding.code for finding in caught.value.findings} == {"V-Y04"}
    assert all(each.message.startswith("steps stand more than 64 deep") for each in caught.value.findings)


async def test_what_a_file_nests_64_deep_runs(run, load):
    assert (await run(load(in_file("loop", 64)), 1)).output == "done"


def test_types_that_do_not_fit_inside_kinds_of_a_file_are_told_at_the_steps_in_them(load):
    helpers = "def n(data: str) -> int: ...\ndef s(data: str) -> str: ...\ndef any_(data): ...\n"
    text = """\
  - {name: first, uses: "helpers:n"}
  - name: p
    kind: parallel
    branches:
      one: [{name: x, uses: "helpers:any_"}]
      two: [{name: x, uses: "helpers:s"}]
  - kind: loop
    name: l
    loop:
      body:
        - {name: y, uses: "helpers:s"}
        - {name: z, uses: "helpers:n"}
"""
    with pytest.raises(BlueprintError) as caught:
        load(text, helpers)

    assert [(each.code, each.path, each.location.line, each.message) for each in caught.value.findings] == [
        ("V-T01", "p/x", 7, "step 'first' gives int, but step 'p/x' takes str"),
        ("V-T01", "l/y", 12, "step 'p' gives dict[str, Any], but step 'l/y' takes str"),
        ("V-T01", "l/y", 12, "step 'z' gives int, but step 'l/y' takes str"),
    ]


def test_a_chain_of_fallbacks_in_a_file_that_is_too_long_is_told_with_its_step(load):
    text = "{name: s0}"
    for number in range(1, 13):
        text = f"{{name: s{number}, fallback: {text}}}"
    with pytest.raises(BlueprintError) as caught:
        load(f"  - {text}\n")

    (finding,) = caught.value.findings
    assert (finding.code, finding.path) == ("V-K02", "s12/s11")
    assert "has a chain of more than 10 fallbacks" in finding.message


@pytest.mark.parametrize(
    ("step", "rest"),
    [
        ("kind: conditional, condition_expression: 'a ==', branches: { a: { name: s } }", "==', branches"),
        ("kind: loop, loop: { body: { name: s }, exit_expression: 'a ==' }", "==' }"),
        ("kind: loop, loop: { body: { name: s }, state: { n: '{{ a | nope }}' } }", "nope }}"),
        ("kind: map, map: { body: { name: s }, finalize: { output: { n: '{{ a | nope }}' } } }", "nope }}"),
        ("kind: map, map: { body: { name: s }, iterable_input: 'items[' }", "{ name: x"),
    ],
)
def test_text_in_a_file_that_does_not_compile_is_told_at_its_place(load, step, rest):
    line = f"  - {{ name: x, {step} }}\n"
    with pytest.raises(BlueprintError) as caught:
        load(line)

    (finding,) = caught.value.findings
    assert (finding.code, finding.path, finding.location.line) == ("V-T02", "x", 2)
    assert line[finding.location.column - 1 :].startswith(rest)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_run_leaves_nothing_behind_however_deep(run, kind):
    before, started = asyncio.all_tasks(), asyncio.Event()

    async def wait(data: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(run(nested(kind, 60, leaf=Step("leaf", wait)), 1))
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


def test_a_policy_without_a_language_says_what_is_missing():
    core = ExecutorCore(policy_registry=create_default_registry())
    scope = Scope(None, {}, None, None)

    for ask in (core.render, core.evaluate):
        with pytest.raises(ConfigurationError, match="was given no template compiler"):
            ask("true", scope)
