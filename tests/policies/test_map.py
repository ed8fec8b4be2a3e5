"""The same steps for every item."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import Flujo, OpenContext, Step, map_
from flujo.exceptions import BlueprintError, ConfigurationError, PausedException, TemplateResolutionError

DOUBLE = Step("double", lambda data: data * 2)


def odd(data: int) -> int:
    if data % 2 == 0:
        raise ValueError(f"{data} is even")
    return data


async def test_the_results_stand_in_the_order_of_the_items(run):
    result = await run(map_("m", [DOUBLE, Step("plus", lambda data: data + 1)]), [1, 2, 3])

    assert result.output == [3, 5, 7]
    assert [child.path for child in result.step_history[0].children] == ["map:m[0]", "map:m[1]", "map:m[2]"]


@pytest.mark.parametrize("over", ["items", "context.items", "{{ context.items }}", lambda data, context: context.items])
async def test_the_items_come_from_where_over_says(run, over):
    assert (await run(map_("m", DOUBLE, over=over), initial_context_data={"items": [1, 2]})).output == [2, 4]


async def test_no_items_give_no_results(run):
    assert (await run(map_("m", DOUBLE, concurrency=3), [])).output == []


@pytest.mark.parametrize("items", ["text", b"bytes", {"a": 1}, {1, 2}, 3, None])
async def test_what_is_no_list_of_items_fails_the_step(run, items):
    result = await run(map_("m", DOUBLE, over=lambda data, context: items))

    kind = type(items).__name__
    assert result.error.message == f"map 'm' needs a list of items, but what its function gives is {kind!r}"
    assert (await run(map_("m", DOUBLE), 3)).error.message.endswith("but its input is 'int'")
    named = await run(map_("m", DOUBLE, over="run_id"))
    assert named.error.message.endswith("but 'run_id' is 'str'")


async def test_templates_see_the_item_and_its_number(run):
    body = Step("s", input="{{ this }}{{ item }}{{ loop.index }}{{ loop.index0 }}")

    assert (await run(map_("m", body), ["a", "b"])).output == ["aa10", "bb21"]


@given(st.integers(1, 4), st.permutations(range(4)))
async def test_neither_results_nor_the_context_depend_on_who_finishes_first(concurrency, order):
    async def work(data: int, *, context: OpenContext) -> int:
        for _ in range(order[data]):
            await asyncio.sleep(0.01)
        context.last = data
        return data

    step = map_("m", Step("s", work), concurrency=concurrency, merge_strategy="overwrite")
    async with Flujo(step, context_model=OpenContext) as flujo:
        result = await flujo.run([0, 1, 2, 3])

    assert (result.output, result.final_pipeline_context.last) == ([0, 1, 2, 3], 3)


@pytest.mark.parametrize("at_most", [1, 2, 9])
async def test_at_most_so_many_items_are_worked_on_at_a_time(run, at_most):
    now, seen = 0, []

    async def work(data: Any) -> None:
        nonlocal now
        now += 1
        seen.append(now)
        await asyncio.sleep(0.01)
        now -= 1

    await run(map_("m", Step("s", work), concurrency=at_most), [1, 2, 3, 4])

    assert max(seen) == min(at_most, 4)


async def test_the_first_item_that_fails_ends_the_map(run):
    result = await run(map_("m", Step("odd", odd)), [1, 2, 3])

    assert (result.error.message, result.error.path) == ("2 is even", "map:m[1]/odd")
    assert len(result.step_history[0].children) == 2


@pytest.mark.parametrize(("on_error", "output"), [("skip", [1, 3]), ("collect", [1, {"error": "2 is even"}, 3])])
async def test_items_that_fail_are_skipped_or_collected_and_leave_no_trace(run, on_error, output):
    note = Step("note", sink_to="seen")
    step = map_("m", [note, Step("odd", odd)], on_error=on_error, merge_strategy="overwrite")
    result = await run(step, [1, 2, 3])

    assert (result.output, result.final_pipeline_context.seen) == (output, 3)


async def test_too_many_failures_end_the_map(run):
    step = map_("m", Step("odd", odd), on_error="skip", max_failures=1)

    assert (await run(step, [1, 2, 3])).output == [1, 3]
    result = await run(step, [2, 4, 6])
    told = "map 'm' ends, as more than max_failures 1 of its items failed: 'map:m[0]': "
    assert result.error.message.startswith(told)
    assert len(result.step_history[0].children) == 2


async def test_a_conflict_between_items_names_both_and_keeps_what_they_did(run):
    result = await run(map_("m", Step("s", sink_to="n")), [1, 2])

    assert result.error.message == "item 0 and item 1 both changed 'n' in the context"
    assert len(result.step_history[0].children) == 2


async def test_a_pause_ends_the_map_at_that_item(run):
    def ask(data: int) -> int:
        if data == 2:
            raise PausedException("who?")
        return data

    result = await run(map_("m", Step("ask", ask), on_error="skip", concurrency=2), [1, 2, 3])

    assert (result.status, [asked.message for asked in result.pending]) == ("paused", ["who?"])


async def test_a_run_that_is_cancelled_leaves_no_item_behind(run):
    before, started = asyncio.all_tasks(), asyncio.Event()

    async def wait(data: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(run(map_("m", Step("s", wait), concurrency=3), [1, 2, 3]))
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


async def test_items_that_are_recorded_do_not_run_again(resumed):
    body = [resumed.calls("a", "{name}{data}"), resumed.flaky("b", "{name}{data}", on=2)]

    assert (await resumed(map_("m", body), [1, 2, 3])).output == [1, 2, 3]
    assert resumed.ran == ["a1", "b1", "a2", "b2", "b2", "a3", "b3"]


@pytest.mark.parametrize("kind", ["output_template", "output"])
async def test_finalize_makes_the_output_of_the_results(run, kind):
    template = "{{ previous_step | sum }}"
    finalize = {kind: template if kind == "output_template" else {"total": template}}
    result = await run(map_("m", DOUBLE, finalize=finalize), [1, 2])

    assert result.output == (6 if kind == "output_template" else {"total": 6})


async def test_in_strict_mode_an_item_that_changes_its_parent_s_context_fails_the_step(run, monkeypatch):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", "1")
    held: list[OpenContext] = []
    step = map_(
        "m", Step("s", lambda data: held[0].log.append(1)), over=lambda data, context: held.append(context) or [1]
    )
    result = await run(step, initial_context_data={"log": []})

    assert result.error.message == "item 0 of 'map:m' changed 'log' in its parent's context"


@pytest.mark.parametrize("options", [{"over": "items["}, {"over": "{{ items"}, {"finalize": {"output": "{{ a + }}"}}])
def test_text_that_does_not_compile_is_found_before_anything_runs(prepare, options):
    with pytest.raises(TemplateResolutionError):
        prepare(map_("m", DOUBLE, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "has concurrency 0"),
        ({"on_error": "stop"}, "has on_error 'stop'"),
        ({"merge_strategy": "last"}, "has merge_strategy 'last'"),
        ({"max_failures": 1}, "has max_failures 1 and on_error 'fail'"),
        ({"max_failures": -1, "on_error": "skip"}, "has max_failures -1"),
        ({"finalize": {"result": 1}}, "has finalize result"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        map_("m", DOUBLE, **options)


MAP = """
  - name: m
    kind: map
    map:
      iterable_input: "{{ previous_step }}"
      body: [{ name: s, input: "{{ this }}!" }]
      concurrency: 2
      on_error: skip
      max_failures: 3
      merge_strategy: keep_first
      finalize: { output_template: "{{ previous_step | join('') }}" }
"""


async def test_a_file_and_python_say_the_same(run, load):
    made = map_(
        "m",
        Step("s", input="{{ this }}!"),
        over="{{ previous_step }}",
        concurrency=2,
        on_error="skip",
        max_failures=3,
        merge_strategy="keep_first",
        finalize={"output_template": "{{ previous_step | join('') }}"},
    )
    loaded = load(MAP)

    assert loaded.steps[0].definition() == made.definition()
    assert (await run(loaded, ["a", "b"])).output == "a!b!"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("body: []", "has nothing in its body"),
        ("iterable_input: items", "body"),
        ("body: { name: s }, concurrency: 0", "concurrency"),
        ("body: { name: s }, merge_strategy: overwrit", "has merge_strategy 'overwrit'"),
    ],
)
def test_a_mistake_in_a_file_is_told(load, part, message):
    with pytest.raises(BlueprintError, match=message):
        load(f"  - {{ name: m, kind: map, map: {{ {part} }} }}\n")
