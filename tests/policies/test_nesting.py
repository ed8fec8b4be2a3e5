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
