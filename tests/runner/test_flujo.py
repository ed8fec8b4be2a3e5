"""`Flujo` as a program uses it: run, resume, and what stays when something goes wrong."""

import asyncio
import time
from typing import Any

import pytest

from flujo import Flujo, OpenContext, Pipeline, PipelineContext, RunStatus, Step, step
from flujo.domain.events import RunFinished, RunStarted, StepStarted
from flujo.engine.policy_registry import PolicyRegistry
from flujo.exceptions import (
    ConfigurationError,
    ContextFieldError,
    DefinitionChanged,
    MissingPolicyError,
    PausedException,
    PipelineAbortSignal,
    RunNotFound,
    RunOwnedElsewhere,
    StateError,
    StateStorageFull,
    StateUnavailable,
)
from flujo.infra.memory import InMemoryBackend
from flujo.plugins import create_plugin_manager
from flujo.testing import RecordingSink


@step
async def double(data: str) -> str:
    return data * 2


@step
async def size(data: str) -> int:
    return len(data)


class Ledger:
    """A step that notes its calls, and fails while it is told to."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.broken: BaseException | None = None

    async def run(self, data: Any) -> Any:
        self.calls.append(data)
        if self.broken is not None:
            raise self.broken
        return data


async def test_a_run_hands_out_its_output_history_and_context():
    result = await Flujo(double >> size).run("ab")

    assert (result.status, result.success, result.output) == (RunStatus.COMPLETED, True, 4)
    assert [(each.path, each.output) for each in result.step_history] == [("double", "abab"), ("size", 4)]
    assert result.final_pipeline_context.initial_prompt == "ab"
    assert result.final_pipeline_context.run_id == result.run_id
    assert (result.total_cost_usd, result.total_tokens) == (0.0, 0)


async def test_a_single_step_is_a_pipeline_too():
    result = await Flujo(size).run("ab")

    assert result.output == 2
    assert [each.path for each in result.step_history] == ["size"]


def test_run_sync_runs_without_a_loop():
    assert Flujo(size).run_sync("abc").output == 3


async def test_run_sync_inside_a_loop_says_what_to_do():
    with pytest.raises(ConfigurationError, match="inside a running event loop"):
        Flujo(size).run_sync("abc")


async def test_the_same_runner_runs_many_at_once():
    runner = Flujo(double >> size)

    results = await asyncio.gather(*(runner.run("x" * n) for n in range(20)))

    assert [each.output for each in results] == [2 * n for n in range(20)]
    assert len({each.run_id for each in results}) == 20


async def test_a_step_that_fails_makes_a_failed_result_and_not_an_exception():
    def boom(data: str) -> str:
        raise ValueError("boom")

    inner = Pipeline([Step("boom", boom)], name="inner")

    result = await Flujo(Pipeline([double, inner, size])).run("x")

    assert (result.status, result.output) == (RunStatus.FAILED, None)
    assert (result.error.type, result.error.message, result.error.path) == ("ValueError", "boom", "sub:inner/boom")
    assert [each.success for each in result.step_history] == [True, False]
    assert (str(result.exception), result.exception.__traceback__ is not None) == ("boom", True)


@pytest.mark.parametrize(
    ("signal", "status"),
    [(PausedException("why?"), RunStatus.PAUSED), (PipelineAbortSignal("enough"), RunStatus.CANCELLED)],
)
async def test_a_signal_ends_the_run_with_a_status_of_its_own(signal, status):
    ledger, after = Ledger(), Ledger()
    ledger.broken = signal

    result = await Flujo(Pipeline([Step("a", ledger), Step("b", after)])).run("x")

    assert result.status is status
    told = [result.error] if result.error else result.pending
    assert [each.message for each in told] == [str(signal)]
    assert after.calls == []


async def test_a_failed_run_is_resumed_where_its_record_ends():
    first, second = Ledger(), Ledger()
    second.broken = ValueError("not now")
    runner = Flujo(Pipeline([Step("a", first), Step("b", second)]), state_backend=InMemoryBackend())
    failed = await runner.run("x")
    second.broken = None

    result = await runner.resume(failed.run_id)

    assert result.output == "x"
    assert (len(first.calls), len(second.calls)) == (1, 2)
    assert [each.recalled for each in result.step_history] == [True, False]


async def test_a_resumed_run_has_the_context_and_input_it_had():
    def note(data: str, *, context: Any) -> str:
        context.seen = f"{context.who} {data}"
        return data

    ledger = Ledger()
    ledger.broken = ValueError("not now")
    pipeline = Pipeline(
        [Step("note", note), Step("stop", ledger), Step("out", lambda d: d, input="{{ context.seen }} {{ input }}")]
    )
    runner = Flujo(
        pipeline, context_model=OpenContext, initial_context_data={"who": "ann"}, state_backend=InMemoryBackend()
    )
    failed = await runner.run("x")
    ledger.broken = None

    result = await runner.resume(failed.run_id)

    assert result.output == "ann x x"
    assert result.final_pipeline_context.seen == "ann x"


async def test_a_completed_run_hands_out_what_is_recorded():
    ledger, backend = Ledger(), InMemoryBackend()
    runner = Flujo(Step("a", ledger), state_backend=backend)
    done = await runner.run("x", run_id="mine")

    for again in (await runner.resume("mine"), await runner.run("x", run_id="mine")):
        assert (again.output, again.status) == (done.output, RunStatus.COMPLETED)
        assert again.step_history[0].recalled
    assert ledger.calls == ["x"]


async def test_the_same_run_id_with_another_input_is_refused():
    runner = Flujo(size, state_backend=InMemoryBackend())
    await runner.run("x", run_id="mine")

    with pytest.raises(StateError, match="'mine' was started with another input"):
        await runner.run("y", run_id="mine")


async def test_an_unknown_run_can_not_be_resumed():
    with pytest.raises(RunNotFound, match="no run 'nope'"):
        await Flujo(size).resume("nope")


async def test_a_run_that_is_at_work_is_owned():
    started, go_on = asyncio.Event(), asyncio.Event()

    async def wait(data: str) -> str:
        started.set()
        await go_on.wait()
        return data

    runner = Flujo(Step("wait", wait), state_backend=InMemoryBackend())
    task = asyncio.create_task(runner.run("x", run_id="mine"))
    await started.wait()

    with pytest.raises(RunOwnedElsewhere):
        await runner.resume("mine")
    go_on.set()
    assert (await task).output == "x"


async def test_a_run_with_another_pipeline_is_refused_and_the_change_is_named():
    ledger, backend = Ledger(), InMemoryBackend()
    ledger.broken = ValueError("not now")
    old = Pipeline([Step("a", ledger), Step("gone", ledger)], name="p")
    new = Pipeline([Step("a", ledger, input="{{ input }}"), Step("b", ledger)], name="p")
    failed = await Flujo(old, state_backend=backend).run("x")

    with pytest.raises(DefinitionChanged) as caught:
        await Flujo(new, state_backend=backend).resume(failed.run_id)

    assert "removed 'gone'; added 'b'; changed 'a'" in str(caught.value)


async def test_steps_in_another_order_are_another_pipeline():
    ledger, backend = Ledger(), InMemoryBackend()
    ledger.broken = ValueError("not now")
    a, b = Step("a", ledger), Step("b", ledger)
    failed = await Flujo(Pipeline([a, b]), state_backend=backend).run("x")

    with pytest.raises(DefinitionChanged, match="moved 'b'"):
        await Flujo(Pipeline([b, a]), state_backend=backend).resume(failed.run_id)


async def test_plain_functions_that_never_wait_do_not_keep_cancellation_out():
    calls = []

    def work(data: int) -> int:
        calls.append(data)
        if len(calls) == 3:
            asyncio.get_running_loop().call_soon(task.cancel)
        time.sleep(0.02)
        return data + 1

    pipeline = Pipeline([Step(f"s{n}", work) for n in range(100)])
    task = asyncio.create_task(Flujo(pipeline, state_backend=InMemoryBackend()).run(0))

    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(calls) < 10


async def test_a_run_that_is_cancelled_while_its_end_is_written_has_ended():
    class Slow(InMemoryBackend):
        async def finish(self, claim, status, /, **kwargs):
            task.cancel()
            await asyncio.sleep(0.01)
            await super().finish(claim, status, **kwargs)

    backend, sink = Slow(), RecordingSink()
    task = asyncio.create_task(Flujo(size, state_backend=backend, sinks=[sink]).run("x", run_id="mine"))

    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await backend.get("mine")).status is RunStatus.COMPLETED
    assert sink.of_type(RunFinished)[0].result.output == 1


async def test_what_is_no_step_can_not_be_run():
    with pytest.raises(ConfigurationError, match=r"is not a step or a pipeline") as caught:
        Flujo(lambda data: data)

    assert "Step('name', function)" in caught.value.suggestion


@pytest.mark.parametrize("run_id", ["", "bad id", "../x", "x" * 65])
async def test_a_run_id_is_a_plain_name(run_id):
    with pytest.raises(ConfigurationError, match="is not a run id"):
        await Flujo(size).run("x", run_id=run_id)


async def test_a_cancelled_run_is_let_go_of_and_can_be_resumed():
    started, go_on = asyncio.Event(), asyncio.Event()

    async def wait(data: str) -> str:
        started.set()
        await go_on.wait()
        return data

    backend = InMemoryBackend()
    runner = Flujo(Pipeline([double, Step("wait", wait)]), state_backend=backend)
    task = asyncio.create_task(runner.run("x", run_id="mine"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (await backend.get("mine")).status is RunStatus.INTERRUPTED
    go_on.set()
    assert (await runner.resume("mine")).output == "xx"


async def test_a_state_that_can_not_be_written_ends_the_run_with_its_error():
    class Full(InMemoryBackend):
        async def append(self, claim, record, /):
            raise StateStorageFull("the disk is full")

        async def finish(self, claim, status, /, **kwargs):
            raise StateStorageFull("still full")

    with pytest.raises(StateStorageFull, match="the disk is full") as caught:
        await Flujo(size, state_backend=Full()).run("x")

    assert "could not be let go of: still full" in caught.value.__notes__[0]


async def test_an_output_that_can_not_be_written_makes_a_failed_run():
    class Picky(InMemoryBackend):
        """Takes bytes, so that the whole output is encoded, while the pipeline's parts never were."""

    def strange(scope: Any) -> Any:
        return object()

    result = await Flujo(Pipeline(name="empty", input=strange), state_backend=Picky()).run("x")

    assert result.status is RunStatus.FAILED
    assert result.error.type == "ValueNotStorable"


async def test_values_stay_what_they_are_when_nothing_is_configured():
    thing = object()

    assert (await Flujo(Step("a", lambda data: thing)).run("x")).output is thing


async def test_context_data_that_does_not_fit_is_refused_before_anything_runs():
    ledger = Ledger()

    with pytest.raises(ContextFieldError, match="context field 'who'") as caught:
        await Flujo(Step("a", ledger)).run("x", initial_context_data={"who": 1})

    assert "scratchpad" in caught.value.suggestion
    assert ledger.calls == []


async def test_the_engines_own_context_fields_can_not_be_given():
    with pytest.raises(ContextFieldError, match="'run_id' is the engine's own"):
        await Flujo(size).run("x", initial_context_data={"run_id": "mine"})


async def test_a_typed_context_is_the_results_context():
    class Mine(PipelineContext):
        count: int = 0

    result = await Flujo(size, context_model=Mine, initial_context_data={"count": 3}).run("x")

    assert result.final_pipeline_context.count == 3


async def test_resources_reach_the_steps_that_ask_for_them():
    def use(data: str, *, resources: dict[str, str]) -> str:
        return resources["greeting"] + data

    assert (await Flujo(Step("use", use), resources={"greeting": "hi "}).run("ann")).output == "hi ann"


async def test_without_policies_the_runner_says_what_to_install():
    with pytest.raises(MissingPolicyError) as caught:
        Flujo(size, registry=PolicyRegistry())

    assert "pip install flujo-policies-builtin" in caught.value.suggestion


async def test_an_unknown_state_scheme_is_refused():
    with pytest.raises(StateUnavailable, match="carrier"):
        Flujo(size, state_uri="carrier:pigeon", plugins=create_plugin_manager())


async def test_sinks_hear_the_run_from_start_to_end_and_of_a_resume():
    sink, ledger = RecordingSink(), Ledger()
    ledger.broken = ValueError("no")
    runner = Flujo(double >> Step("a", ledger), sinks=[sink], state_backend=InMemoryBackend())
    failed = await runner.run("x")
    ledger.broken = None

    await runner.resume(failed.run_id)

    starts, ends = sink.of_type(RunStarted), sink.of_type(RunFinished)
    assert [(each.resumed, each.recorded) for each in starts] == [(False, 0), (True, 1)]
    assert [each.result.status for each in ends] == [RunStatus.FAILED, RunStatus.COMPLETED]
    assert [each.path for each in sink.of_type(StepStarted)] == ["", "double", "a", "", "a"]


async def test_closing_closes_only_what_the_runner_opened():
    backend = InMemoryBackend()
    async with Flujo(size, state_backend=backend) as runner:
        await runner.run("x", run_id="mine")
    await runner.aclose()

    assert (await backend.get("mine")).status is RunStatus.COMPLETED

    owned = Flujo(size, state_uri="memory:")
    await owned.aclose()
    await owned.aclose()
    with pytest.raises(ConfigurationError, match="this Flujo is closed"):
        await owned.run("x")
