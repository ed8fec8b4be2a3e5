"""Kinds inside kinds: what they come to, and how deep they stand."""

import asyncio
from typing import Any

import pytest

from flujo import Pipeline, Step, StepConfig, branch, loop, map_, parallel, route
from flujo.domain.scope import Scope
from flujo.engine.executor_core import ExecutorCore
from flujo.exceptions import BlueprintError, ConfigurationError
from flujo.plugins import create_default_registry


def nested(kind: str, depth: int, *, leaf: Step[Any, Any] | None = None, **options: Any) -> Step[Any, Any]:
    step: Step[Any, Any] = leaf or Step("leaf", lambda data: data + 1)
    for _ in range(depth):
        if kind == "branch":
            step = branch("c", on="true", branches={True: step}, **options)
        elif kind == "loop":
            step = loop("l", step, max_loops=1, **options)
        elif kind == "map":
            step = map_(
                "m", step, over=lambda data, context: [data], finalize={"output": "{{ previous_step[0] }}"}, **options
            )
        elif kind == "parallel":
            step = parallel("p", {"a": step}, reduce="first", **options)
        elif kind == "route":
            step = route("r", Step("pick", lambda data: "a"), {"a": step}, reduce="first", **options)
        else:
            step = Pipeline([step], name="sub", **options)
    return step


KINDS = ["branch", "loop", "map", "parallel", "route", "pipeline"]


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
