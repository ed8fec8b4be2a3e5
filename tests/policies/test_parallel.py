"""Branches side by side."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import Flujo, OpenContext, Pipeline, Step, StepConfig, parallel
from flujo.exceptions import BlueprintError, ConfigurationError, PausedException
from flujo.testing import RecordingSink


def give(value: Any, name: str = "s", **options: Any) -> Step[Any, Any]:
    return Step(name, lambda data: value, **options)


def boom(data: Any) -> Any:
    raise ValueError("boom")


def fan(outputs: dict[str, Any], **options: Any) -> Step[Any, Any]:
    return parallel("fan", {name: give(value) for name, value in outputs.items()}, **options)


async def test_every_branch_gets_the_data_and_the_outputs_stand_in_the_order_of_declaration(run):
    tail = [Step("b", lambda d: d + "2"), Step("c", lambda d: d + "3")]
    result = await run(parallel("fan", {"legal": Step("a", lambda d: d + "1"), "cost": tail}), "x")

    assert list(result.output.items()) == [("legal", "x1"), ("cost", "x23")]
    assert [child.path for child in result.step_history[0].children] == ["parallel:fan/legal", "parallel:fan/cost"]


@pytest.mark.parametrize(
    ("reduce", "outputs", "reduced"),
    [
        ("keys", {"a": 1, "b": 2}, ["a", "b"]),
        ("values", {"a": 1, "b": 2}, [1, 2]),
        ("union", {"a": {"x": 1, "y": 1}, "b": {"y": 2}}, {"x": 1, "y": 2}),
        ("concat", {"a": [1], "b": 2, "c": (3,)}, [1, 2, 3]),
        ("first", {"a": 1, "b": 2}, 1),
        ("last", {"a": 1, "b": 2}, 2),
        ("majority_vote", {"a": 1, "b": 2, "c": 2}, 2),
        ("majority_vote", {"a": 1, "b": 2}, 1),
        (lambda outputs: sum(outputs.values()), {"a": 1, "b": 2}, 3),
    ],
)
async def test_reduce_makes_one_value_of_the_outputs(run, reduce, outputs, reduced):
    assert (await run(fan(outputs, reduce=reduce))).output == reduced


async def test_a_union_of_what_is_no_mapping_fails_and_keeps_what_the_branches_did(run):
    result = await run(fan({"a": {}, "b": 2}, reduce="union"))

    assert result.error.message == "reduce 'union' needs mappings, but branch 'b' gives 'int'"
    assert [child.output for child in result.step_history[0].children] == [{}, 2]


async def test_a_merge_conflict_names_both_branches_and_the_field(run):
    branches = {"legal": give(1, sink_to="n"), "cost": give(2, sink_to="n")}
    result = await run(parallel("fan", branches), initial_context_data={"n": 0})

    assert result.error.message == "branch 'legal' and branch 'cost' both changed 'n' in the context"
    assert result.final_pipeline_context.n == 0
    assert len(result.step_history[0].children) == 2


@given(order=st.permutations("abc"), strategy=st.sampled_from(["overwrite", "keep_first", "context_update"]))
async def test_neither_outputs_nor_the_context_depend_on_who_finishes_first(order, strategy):
    done = {name: asyncio.Event() for name in "abc"}

    def wait(name: str) -> Step[Any, Any]:
        async def work(data: Any, *, context: OpenContext) -> str:
            before = order.index(name)
            if before:
                await done[order[before - 1]].wait()
            context.log = [*context.log, "x" if strategy == "context_update" else name]
            done[name].set()
            return name

        return Step(name, work)

    step = parallel("fan", {name: wait(name) for name in "abc"}, merge_strategy=strategy)
    async with Flujo(step, context_model=OpenContext, initial_context_data={"log": [0]}) as flujo:
        result = await flujo.run(None)

    assert list(result.output) == ["a", "b", "c"]
    last = {"overwrite": "c", "keep_first": "a", "context_update": "x"}[strategy]
    assert result.final_pipeline_context.log == [0, last]


class Waits:
    """Steps that wait for ever, and what became of them."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def step(self, name: str) -> Step[Any, Any]:
        async def wait(data: Any) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise

        return Step(name, wait)


async def test_a_failing_branch_cancels_the_others_which_say_so(run):
    waits = Waits()
    branches = {"slow": waits.step("slow"), "bad": Step("b", boom), "never": waits.step("never")}
    result = await run(parallel("fan", branches, max_concurrency=2))

    assert (result.error.message, result.error.path) == ("boom", "parallel:fan/bad/b")
    assert waits.cancelled == ["slow"]
    slow, _, never = result.step_history[0].children
    assert slow.error.message == never.error.message == "cancelled because branch 'bad' failed"
    assert slow.error.type == never.error.type == "Cancelled"


async def test_a_failing_branch_can_be_ignored_and_leaves_no_trace_in_the_context(run):
    bad = [give(1, sink_to="n"), Step("b", boom)]
    branches = {"bad": bad, "good": give(2, sink_to="m")}
    result = await run(parallel("fan", branches, on_branch_failure="ignore"), initial_context_data={"n": 0})

    assert result.output == {"good": 2}
    assert (result.final_pipeline_context.n, result.final_pipeline_context.m) == (0, 2)


async def test_when_all_branches_fail_there_is_nothing_to_ignore(run):
    result = await run(parallel("fan", {"a": Step("a", boom), "b": Step("b", boom)}, on_branch_failure="ignore"))

    assert (result.status, result.error.path) == ("failed", "parallel:fan/a/a")


async def test_failures_can_be_collected_in_their_places(run):
    result = await run(parallel("fan", {"a": Step("a", boom), "b": give(2)}, on_branch_failure="collect"))

    assert list(result.output.items()) == [("a", {"error": "boom"}), ("b", 2)]


@pytest.mark.parametrize(("at_most", "peak"), [(1, 1), (2, 2), (None, 4)])
async def test_at_most_so_many_branches_run_at_a_time(run, at_most, peak):
    now, seen = 0, []

    async def work(data: Any) -> None:
        nonlocal now
        now += 1
        seen.append(now)
        await asyncio.sleep(0.01)
        now -= 1

    await run(parallel("fan", {name: Step("s", work) for name in "abcd"}, max_concurrency=at_most))

    assert max(seen) == peak


async def test_a_run_that_is_cancelled_leaves_no_branch_behind(run):
    waits = Waits()
    before = asyncio.all_tasks()
    started = asyncio.Event()
    signal = Step("signal", lambda data: started.set())
    task = asyncio.ensure_future(run(parallel("fan", {"a": waits.step("a"), "b": [signal, waits.step("b")]})))
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


async def test_a_timeout_ends_every_branch(run):
    waits = Waits()
    from_outside = parallel("fan", {"a": waits.step("a"), "b": waits.step("b")}, config=StepConfig(timeout_s=0.01))
    result = await run(from_outside)

    assert result.error.type == "StepTimeoutError"
    assert sorted(waits.cancelled) == ["a", "b"]


async def test_branches_that_are_recorded_do_not_run_again(resumed):
    branches = {"a": resumed.calls("a"), "b": [resumed.calls("b", sink_to="seen"), resumed.flaky("c")]}
    result = await resumed(parallel("fan", branches, max_concurrency=1))

    assert (result.output, result.final_pipeline_context.seen) == ({"a": "x", "b": "x"}, "x")
    assert resumed.ran == ["a", "b", "c", "c"]


async def test_a_pause_in_one_branch_lets_the_others_finish(run):
    def ask(data: Any) -> Any:

        raise PausedException("who?")

    result = await run(parallel("fan", {"a": Step("ask", ask), "b": give(1)}))

    assert (result.status, [asked.message for asked in result.pending]) == ("paused", ["who?"])
    assert [child.success for child in result.step_history[0].children] == [False, True]


async def test_include_keys_narrow_what_a_branch_sees(run):
    seen = Step("see", lambda data, *, context: sorted(context.model_extra))
    options = {"include_keys": ["a"], "initial_context_data": {"a": 1, "b": 2}}
    result = await run(
        parallel("fan", {"x": seen}, include_keys=["a"]), initial_context_data=options["initial_context_data"]
    )

    assert result.output == {"x": ["a"]}
    assert result.final_pipeline_context.b == 2


async def test_in_strict_mode_a_branch_that_changes_its_parent_s_context_fails_the_step(run, monkeypatch):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", "1")
    held: list[OpenContext] = []
    take = Step("take", lambda data, *, context: held.append(context))
    change = Step("change", lambda data: held[0].items[0].append(2))
    result = await run(Pipeline([take, parallel("fan", {"a": change})]), initial_context_data={"items": [[1]]})

    assert result.error.message == "branch 'a' of 'parallel:fan' changed 'items' in its parent's context"


async def test_every_branch_tells_of_its_start_and_its_end(run):
    sink = RecordingSink()
    await run(fan({"a": 1}), sinks=[sink])

    paths = [event.path for event in sink.events if type(event).__name__ == "StepFinished"]
    assert paths == ["parallel:fan/a/s", "parallel:fan/a", "parallel:fan", ""]


@pytest.mark.parametrize(
    ("options", "message", "advice"),
    [
        (
            {"merge_strategy": "overwrritte"},
            "parallel 'fan' has merge_strategy 'overwrritte'",
            "did you mean 'overwrite'?",
        ),
        ({"reduce": "sum"}, "has reduce 'sum'", "reduce is one of"),
        ({"on_branch_failure": "panic"}, "has on_branch_failure 'panic'", "propagate"),
        ({"max_concurrency": 0}, "has max_concurrency 0", "at least one"),
        ({"field_mapping": {"z": []}}, "maps fields of 'z'", "its branches are a"),
        ({"run": print}, "runs 'builtins:print'", "wrap it"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message, advice):
    with pytest.raises(ConfigurationError) as caught:
        fan({"a": 1}, **options)

    assert message in str(caught.value)
    assert advice in caught.value.suggestion


PARALLEL = """
  - name: fan
    kind: parallel
    branches:
      a: { name: a, sink_to: n }
      b: [{ name: b }, { name: c }]
    merge_strategy: overwrite
    reduce: values
    field_mapping: { a: [n] }
    context_include_keys: [n]
    on_branch_failure: collect
    max_concurrency: 1
"""


async def test_a_file_and_python_say_the_same(run, load):
    made = parallel(
        "fan",
        {"a": Step("a", sink_to="n"), "b": Step("b") >> Step("c")},
        merge_strategy="overwrite",
        reduce="values",
        field_mapping={"a": ["n"]},
        include_keys=["n"],
        on_branch_failure="collect",
        max_concurrency=1,
    )
    loaded = load(PARALLEL)

    assert loaded.steps[0].definition() == made.definition()
    assert (await run(loaded, "x")).output == ["x", "x"]


HELPERS = """
def merge(parent, branches):
    parent.names = list(branches)

def count(outputs):
    return len(outputs)
"""

CALLABLES = """
  - name: fan
    kind: parallel
    merge_strategy: helpers:merge
    reduce: helpers:count
    branches: { b: { name: s }, a: { name: s } }
"""


async def test_a_file_may_name_functions_that_merge_and_reduce(run, load):
    loaded = load(CALLABLES, HELPERS)
    result = await run(loaded)

    assert (result.output, result.final_pipeline_context.names) == (2, ["b", "a"])


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("branches: {}", "has no branches"),
        ("branches: { a: [] }", "has nothing in its branch 'a'"),
        ("branches: { a: { name: s } }, merge_strategy: merge", "has merge_strategy 'merge'"),
        ("branches: { a: { name: s } }, on_branch_failure: stop", "on_branch_failure"),
        ("branches: { a: { name: s, agent: flujo.builtins.nope } }", "flujo.builtins.nope"),
    ],
)
def test_a_mistake_in_a_file_is_told(load, rest, message):
    with pytest.raises(BlueprintError, match=message):
        load(f"  - {{ name: fan, kind: parallel, {rest} }}\n")
