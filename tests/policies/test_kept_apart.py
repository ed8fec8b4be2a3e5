"""Contexts that are kept apart: strict mode, threads, machines in machines, background work, things without copies."""

import asyncio
import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from pydantic import PrivateAttr

from flujo import Flujo, OpenContext, Pipeline, Step, StepConfig, import_, loop, map_, parallel, state_machine
from flujo.exceptions import ConfigurationError
from flujo.infra.memory import InMemoryBackend

BEHIND = StepConfig(execution_mode="background")


def same(data: Any) -> Any:
    return data


async def run(*steps: Step[Any, Any], data: Any = 1, model: Any = OpenContext, **context: Any) -> Any:
    return await Flujo(Pipeline(steps, name="p"), context_model=model, initial_context_data=context).run(data)


class Keeper:
    """Keeps the context that a step was handed, and changes it in another step."""

    def __init__(self) -> None:
        self.held: Any = None
        self.changed = asyncio.Event()
        self.seen = asyncio.Event()

    def keep(self, data: Any, context: Any) -> Any:
        self.held = context
        return data

    def change(self, data: Any) -> Any:
        self.held.scratchpad["x"] = 1
        return data

    def change_and_fail(self, data: Any) -> Any:
        self.held.scratchpad["x"] = 1
        raise ValueError("boom")

    async def change_and_wait(self, data: Any) -> Any:
        self.change(data)
        self.changed.set()
        await self.seen.wait()
        return data

    async def wait_for_change(self, data: Any) -> Any:
        await self.changed.wait()
        self.seen.set()
        return data


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Keeper:
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", "1")
    return Keeper()


@pytest.mark.parametrize("does", ["change", "change_and_fail"])
async def test_strict_mode_names_the_branch_that_changed_its_parent_s_context(keeper, does):
    fan = parallel(
        "fan", {"good": [Step("k", same)], "bad": [Step("e", getattr(keeper, does))], "late": [Step("l", same)]}
    )

    result = await run(Step("keep", keeper.keep), fan)

    assert (result.error.type, result.error.message) == (
        "ContextMutationError",
        "branch 'bad' of 'parallel:fan' changed 'scratchpad.x' in its parent's context",
    )


async def test_strict_mode_names_every_branch_that_may_have_changed_it(keeper):
    branches = {
        "a": [Step("k", same)],
        "b": [Step("e", keeper.change_and_wait)],
        "c": [Step("w", keeper.wait_for_change)],
    }

    result = await run(Step("keep", keeper.keep), parallel("fan", branches))

    names = result.error.message.partition(" changed ")[0].split(" or ")
    assert sorted(names) == ["branch 'b' of 'parallel:fan'", "branch 'c' of 'parallel:fan'"]


async def test_strict_mode_names_the_item_that_changed_its_parent_s_context(keeper):
    def second(data: int) -> int:
        return keeper.change(data) if data == 2 else data

    result = await run(Step("keep", keeper.keep), map_("each", Step("s", second), over=lambda d, c: [1, 2, 3]))

    assert result.error.message == "item 1 of 'map:each' changed 'scratchpad.x' in its parent's context"


async def test_strict_mode_finds_a_background_step_that_changes_the_run_s_context(keeper):
    behind = Step("behind", keeper.change, config=BEHIND)

    result = await run(Step("keep", keeper.keep), behind, Step("last", same))

    assert result.error.message == "background step 'behind' changed 'scratchpad.x' in its parent's context"
    assert [each.success for each in result.background] == [True]
    assert [each.name for each in result.step_history] == ["keep", "behind", "last"]


@pytest.mark.parametrize("strict", ["0", "1"])
async def test_private_attributes_are_each_child_s_own(monkeypatch, strict):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", strict)

    class Private(OpenContext):
        _seen: dict[Any, Any] = PrivateAttr(default_factory=dict)

    def note(data: int, context: Any) -> int:
        context._seen[data] = data
        return len(context._seen)

    result = await run(map_("each", Step("n", note), over=lambda d, c: [1, 2]), model=Private)

    assert result.output == [1, 1]
    assert result.final_pipeline_context._seen == {}


@pytest.mark.parametrize("strict", ["0", "1"])
@pytest.mark.parametrize("value", [float("nan"), Keeper()])
async def test_values_that_are_not_equal_to_themselves_disturb_nobody(monkeypatch, strict, value):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", strict)
    fan = parallel("fan", {"a": [Step("a", same, sink_to="a")], "b": [Step("b", same, sink_to="b")]})

    result = await run(loop("l", Step("k", same), max_loops=2), fan, model=OpenContext, value=value)

    assert result.output == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            parallel("fan", {"a": [Step("a", same, sink_to="a")]}),
            "branch 'a' of 'parallel:fan' can't have a context of its own: context field 'lock' can't be copied",
        ),
        (Step("s", lambda data, context: data, config=StepConfig(max_retries=1)), "context field 'lock' can't be"),
    ],
)
async def test_a_context_that_cannot_be_copied_fails_the_step_with_the_field(step, message):
    backend = InMemoryBackend(encodes=False)
    data = {"lock": threading.Lock()}

    result = await Flujo(step, state_backend=backend, context_model=OpenContext, initial_context_data=data).run(1)

    assert result.error.type == "ContextIsolationError"
    assert result.error.message.startswith(message)
    assert result.error.path in step.segment


async def test_a_context_that_cannot_be_copied_serves_steps_that_need_no_copy():
    backend = InMemoryBackend(encodes=False)
    data = {"lock": threading.Lock()}

    assert (
        await Flujo(Step("s", same), state_backend=backend, context_model=OpenContext, initial_context_data=data).run(1)
    ).output == 1


async def test_a_thread_that_nobody_waits_for_any_more_changes_nothing():
    done = threading.Event()
    times = []

    def slow(data: Any, context: Any) -> Any:
        times.append(1)
        if len(times) == 1:
            time.sleep(0.1)
            context.scratchpad["late"] = 1
            done.set()
        context.scratchpad["kept"] = 1
        return data

    async def wait(data: Any) -> Any:
        return await asyncio.to_thread(done.wait, 5) and data

    step = Step("slow", slow, blocking=True, config=StepConfig(timeout_s=0.02, max_retries=1))
    result = await run(step, Step("wait", wait))

    assert result.output == 1
    assert result.final_pipeline_context.scratchpad == {"kept": 1}


async def test_a_thread_that_is_cancelled_with_its_pipeline_changes_nothing():
    done = threading.Event()

    def slow(data: Any, context: Any) -> Any:
        time.sleep(0.1)
        context.scratchpad["late"] = 1
        done.set()
        return data

    async def wait(data: Any) -> Any:
        return await asyncio.to_thread(done.wait, 5) and "rescued"

    inner = Pipeline(
        [Step("slow", slow, blocking=True)], name="inner", config=StepConfig(timeout_s=0.02), fallback=Step("w", wait)
    )
    result = await run(inner)

    assert (result.output, result.final_pipeline_context.scratchpad) == ("rescued", {})


async def test_what_a_thread_gives_may_be_awaited_and_still_change_the_context():
    def plain(data: Any, context: Any) -> Any:
        async def later() -> Any:
            context.scratchpad["later"] = data
            return data

        return later()

    result = await run(Step("s", plain, blocking=True))

    assert result.final_pipeline_context.scratchpad == {"later": 1}


def machine(name: str, body: Any, *states: str, **options: Any) -> Step[Any, Any]:
    """States one after the other; the first one has the body."""
    given = {state: [Step(f"in_{state}", same)] for state in states} | {states[0]: [body]}
    steps = [(one, "success", other) for one, other in pairwise(states)]
    return state_machine(name, given, start=states[0], end=[states[-1]], transitions=steps, **options)


async def test_what_an_inner_machine_leaves_does_not_steer_the_outer_one():
    def leave(data: Any, context: Any) -> Any:
        context.next_state = "nowhere"
        return data

    inner = machine("inner", Step("leave", leave), "only")
    result = await run(machine("outer", inner, "first", "last"))

    assert result.output == 1
    assert result.final_pipeline_context.model_extra == {"current_state": "last"}


@pytest.mark.parametrize("strict", ["0", "1"])
async def test_a_machine_says_again_where_it_is_after_a_machine_among_its_steps(monkeypatch, strict):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", strict)

    result = await run(machine("outer", machine("inner", Step("k", same), "only"), "last"))

    assert result.final_pipeline_context.current_state == "last"


async def test_what_was_next_before_a_machine_began_does_not_count_in_it():
    def before(data: Any, context: Any) -> Any:
        context.next_state = "wrong"
        return data

    states = {name: [Step(f"in_{name}", lambda data, name=name: name)] for name in ("first", "wrong")}
    result = await run(Step("before", before), state_machine("m", states, start="first", end=["wrong"], transitions=[]))

    assert "nothing says which state is next" in result.error.message


@pytest.mark.parametrize(
    "inside",
    [
        Step("k", same, sink_to="x"),
        Step("k", lambda data: {}, updates_context=True),
        loop("l", Step("k", same, sink_to="x"), max_loops=1),
        Step("k", same, fallback=Step("f", same, sink_to="x")),
        import_("i", Pipeline([Step("k", same)], name="c"), updates_context=True),
        import_("i", Pipeline([Step("k", same)], name="c"), outputs=[("scratchpad.a", "scratchpad.b")]),
    ],
)
def test_a_background_step_holds_no_step_that_writes_to_the_context(inside):
    with pytest.raises(ConfigurationError, match="step 'bg' runs in the background, but a step in it writes to the c"):
        Pipeline([Pipeline([inside], name="bg", config=BEHIND)])


async def test_what_is_imported_in_the_background_may_write_to_the_context_of_its_own():
    child = import_("i", Pipeline([Step("k", same, sink_to="x")], name="c"))

    result = await run(Pipeline([child], name="bg", config=BEHIND))

    assert [each.success for each in result.background] == [True]
