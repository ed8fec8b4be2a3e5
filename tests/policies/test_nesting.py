"""Kinds inside kinds: what they come to, and how deep they stand."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import Flujo, OpenContext, Pipeline, Step, StepConfig, branch, loop, map_, parallel, route
from flujo.domain.scope import Scope
from flujo.engine.executor_core import ExecutorCore
from flujo.exceptions import BlueprintError, ConfigurationError
from flujo.plugins import create_default_registry

# A program is a tuple: ("add", n), ("note", key), or a kind's name and its parts.
PROGRAMS = st.recursive(
    st.tuples(st.just("add"), st.integers(-2, 3)) | st.tuples(st.just("note"), st.sampled_from("pq")),
    lambda inner: st.one_of(
        st.tuples(st.just("seq"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("if"), inner, inner),
        st.tuples(st.just("loop"), st.integers(1, 3), inner),
        st.tuples(st.just("map"), inner, st.sampled_from(["overwrite", "keep_first", "no_merge"])),
        st.tuples(
            st.just("fan"), st.lists(inner, min_size=1, max_size=3), st.sampled_from(["overwrite", "keep_first"])
        ),
        st.tuples(st.just("route"), inner, inner),
    ),
    max_leaves=8,
)


def build(program: Any, name: str = "s") -> Step[Any, Any]:  # noqa: PLR0911 - one line a kind
    """The pipeline that a program stands for."""
    kind, *parts = program
    if kind == "add":
        return Step(name, lambda data: data + parts[0])
    if kind == "note":
        return Step(name, lambda data: data, sink_to=parts[0])
    if kind == "seq":
        return Pipeline([build(each, f"s{n}") for n, each in enumerate(parts[0])], name=name)
    if kind == "if":
        return branch(name, on="previous_step > 2", branches={True: build(parts[0]), False: build(parts[1])})
    if kind == "loop":
        return loop(name, build(parts[1]), until="previous_step > 5", max_loops=parts[0], on_max="take_last")
    if kind == "map":
        over = lambda data, context: [data, data + 1]  # noqa: E731
        total = {"output_template": "{{ previous_step | sum }}"}
        return map_(name, build(parts[0]), over=over, merge_strategy=parts[1], concurrency=2, finalize=total)
    if kind == "fan":
        branches = {f"b{n}": build(each) for n, each in enumerate(parts[0])}
        return parallel(name, branches, merge_strategy=parts[1], reduce=lambda outputs: sum(outputs.values()))
    chosen = Step("pick", lambda data: ["a", "b"] if data > 2 else "b")
    branches = {"a": build(parts[0]), "b": build(parts[1])}
    return route(name, chosen, branches, merge_strategy="overwrite", reduce="last")


def interpret(program: Any, data: int, context: dict[str, int]) -> int:  # noqa: C901, PLR0911 - one case a kind
    """What a program comes to; changes `context`."""
    kind, *parts = program
    if kind == "add":
        return data + parts[0]
    if kind == "note":
        context[parts[0]] = data
        return data
    if kind == "seq":
        for each in parts[0]:
            data = interpret(each, data, context)
        return data
    if kind == "if":
        return interpret(parts[0 if data > 2 else 1], data, context)
    if kind == "loop":
        for _ in range(parts[0]):
            data = interpret(parts[1], data, context)
            if data > 5:
                break
        return data
    if kind == "map":
        return sum(beside([(parts[0], data), (parts[0], data + 1)], context, parts[1]))
    if kind == "fan":
        return sum(beside([(each, data) for each in parts[0]], context, parts[1]))
    return beside([(each, data) for each in (parts if data > 2 else parts[1:])], context, "overwrite")[-1]


def beside(work: list[tuple[Any, int]], context: dict[str, int], strategy: str) -> list[int]:
    """What programs come to that each have a copy of `context`; their changes flow back by `strategy`."""
    before, outputs, changed = dict(context), [], set()
    for program, data in work:
        own = dict(before)
        outputs.append(interpret(program, data, own))
        for key, value in own.items():
            is_kept = strategy == "keep_first" and key in changed
            if value != before.get(key) and not is_kept and strategy != "no_merge":
                context[key] = value
                changed.add(key)
    return outputs


async def outcome_of(program: Any, data: int) -> tuple[Any, dict[str, int]]:
    async with Flujo(build(program), context_model=OpenContext, initial_context_data={"p": 0, "q": 0}) as flujo:
        result = await flujo.run(data)
    assert result.error is None
    return result.output, dict(result.final_pipeline_context.model_extra)


@pytest.mark.parametrize("strict", ["0", "1"])
@given(program=PROGRAMS, data=st.integers(-1, 4))
def test_nested_kinds_come_to_what_a_plain_interpreter_says(strict, program, data):
    context = {"p": 0, "q": 0}
    expected = interpret(program, data, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLUJO_STRICT_CONTEXT", strict)
        assert asyncio.run(outcome_of(program, data)) == (expected, context)


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
