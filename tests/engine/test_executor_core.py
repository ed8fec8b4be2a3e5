"""The one way to run a step: what is recalled, attempted, recorded and told, and in which order."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from flujo import Pipeline, Step, StepConfig
from flujo.domain.context import OpenContext
from flujo.domain.events import StepFinished, StepRetried, StepStarted
from flujo.domain.interfaces import RecordKind, Sync
from flujo.domain.outcomes import Aborted, Failure, Paused, Success
from flujo.engine.executor_core import ExecutorCore
from flujo.engine.policy import StepPolicy
from flujo.engine.policy_registry import PolicyRegistry
from flujo.exceptions import (
    ConfigurationError,
    ContextFieldError,
    ExecutionError,
    MissingPolicyError,
    PausedException,
    PipelineAbortSignal,
    StateStorageFull,
    StepTimeoutError,
    TemplateResolutionError,
    ValueNotStorable,
)
from flujo.infra.memory import InMemoryBackend


class Flaky:
    """A function that fails a number of times before it works, and counts its calls."""

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.failures = failures
        self.calls = 0
        self.error = error or RuntimeError("not yet")

    async def run(self, data: Any) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return f"{data} after {self.calls}"


async def test_a_step_that_works_succeeds_and_is_recorded(bench):
    outcome = await bench.execute(Step("up", lambda data: data.upper()), "x")

    assert isinstance(outcome, Success)
    assert outcome.value == "X"
    assert (await bench.recorded())["up"].kind is RecordKind.RESULT


async def test_a_recorded_step_is_not_executed_again(bench):
    flaky = Flaky(0)
    step = Step("once", flaky)
    first = await bench.execute(step, "x")

    second = await bench.execute(step, "other")

    assert flaky.calls == 1
    assert second.value == first.value
    assert second.step_result.recalled
    assert not first.step_result.recalled


async def test_a_recalled_step_finishes_without_having_started(bench):
    step = Step("once", lambda data: data)
    await bench.execute(step, "x")
    bench.sink.events.clear()

    await bench.execute(step, "x")

    assert [type(event) for event in bench.sink.events] == [StepFinished]


async def test_what_a_step_raises_becomes_a_failure(bench):
    outcome = await bench.execute(Step("boom", Flaky(9, ValueError("boom"))), "x")

    assert isinstance(outcome, Failure)
    assert str(outcome.error) == "boom"
    assert outcome.step_result.error.location.partition(":")[0].endswith("test_executor_core.py")
    assert (await bench.recorded())["boom#a1"].kind is RecordKind.FAILED


async def test_system_exit_in_a_step_fails_the_step_and_not_the_process(bench):
    outcome = await bench.execute(Step("quit", Flaky(9, SystemExit(7)), config=StepConfig(max_retries=3)), "x")

    assert isinstance(outcome.error, SystemExit)
    assert outcome.step_result.attempts == 1


async def test_a_failed_step_is_tried_again_when_the_run_is_resumed(bench):
    step = Step("later", Flaky(1))
    assert isinstance(await bench.execute(step, "x"), Failure)

    outcome = await bench.execute(step, "x")

    assert outcome.value == "x after 2"


class OddError(BaseException):
    """An exception that is none of the ordinary ones, and can't even say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [OddError(), asyncio.CancelledError("my own")])
async def test_whatever_a_step_raises_by_itself_is_its_failure(bench, error):
    outcome = await bench.execute(Step("odd", Flaky(9, error)), "x")

    assert isinstance(outcome, Failure)
    assert outcome.step_result.error.type == type(error).__name__


async def test_an_error_without_a_text_is_still_described(bench):
    outcome = await bench.execute(Step("odd", Flaky(9, OddError()), fallback=Step("b", Flaky(9, OddError()))), "x")

    told = "an error whose text can't be had: RuntimeError: no text"
    assert outcome.step_result.error.message == f"{told}; then fallback 'b': {told}"


async def test_an_interrupt_from_the_keyboard_goes_through(bench):
    with pytest.raises(KeyboardInterrupt):
        await bench.execute(Step("stop", Flaky(9, KeyboardInterrupt())), "x")


@pytest.mark.parametrize("direct", [True, False])
async def test_signals_become_outcomes_and_are_never_retried(bench, direct):
    config = StepConfig() if direct else StepConfig(max_retries=2)
    pause = await bench.execute(Step("ask", Flaky(9, PausedException("why?")), config=config), "x")
    abort = await bench.execute(Step("end", Flaky(9, PipelineAbortSignal("enough")), config=config), "x")

    assert isinstance(pause, Paused)
    assert pause.message == "why?"
    assert isinstance(abort, Aborted)
    assert abort.reason == "enough"
    recorded = await bench.recorded()
    assert [*recorded] == ["ask?p1?", "end#a1"]
    end = recorded["end#a1"]
    assert (end.kind, end.attempt, end.error.code, end.error.message) == (RecordKind.ATTEMPT, 0, "FLUJO-302", "enough")


async def test_a_run_that_goes_on_tries_what_has_ended_it_as_often_as_a_new_one(bench):
    step = Step("s", Flaky(1, PipelineAbortSignal("enough")), config=StepConfig(max_retries=1))
    assert isinstance(await bench.execute(step, "x"), Aborted)
    step = Step("s", Flaky(1, OSError("no")), config=StepConfig(max_retries=1))
    again = await bench.execute(step, "x")

    assert (again.value, again.step_result.attempts) == ("x after 2", 2)
    assert [(each.path, each.attempt) for each in await bench.backend.load("r")] == [("s#a1", 0), ("s#a2", 1), ("s", 2)]


@pytest.mark.parametrize("direct", [True, False])
async def test_only_the_step_that_ends_the_run_by_itself_has_a_record_of_that(bench, direct):
    end = Step("end", Flaky(9, PipelineAbortSignal("enough")))
    whole = Pipeline([end], name="p") if direct else Step("p", Flaky(9, OSError("no")), fallback=end)
    assert isinstance(await bench.execute(whole, "x"), Aborted)

    assert [*await bench.recorded()] == (["p/end#a1"] if direct else ["p#a1", "p/fallback:end#a1"])


async def test_cancellation_is_not_an_outcome(bench):
    started = asyncio.Event()

    async def wait(data: str) -> str:
        started.set()
        await asyncio.sleep(60)
        return data

    task = asyncio.ensure_future(bench.execute(Step("wait", wait), "x"))
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await bench.recorded() == {}


async def test_retries_stop_at_the_first_success(bench):
    step = Step("flaky", Flaky(2), config=StepConfig(max_retries=5))

    outcome = await bench.execute(step, "x")

    assert outcome.value == "x after 3"
    assert outcome.step_result.attempts == 3
    assert [event.attempt for event in bench.sink.of_type(StepRetried)] == [1, 2]


async def test_retries_stop_at_the_limit(bench):
    flaky = Flaky(9)

    outcome = await bench.execute(Step("flaky", flaky, config=StepConfig(max_retries=2)), "x")

    assert isinstance(outcome, Failure)
    assert flaky.calls == 3


async def test_a_long_wait_is_recorded_so_that_a_crash_does_not_forget_the_attempt(bench):
    config = StepConfig(max_retries=1, backoff={"initial_s": 5})

    outcome = await bench.execute(Step("flaky", Flaky(1), config=config), "x")

    assert outcome.value == "x after 2"
    assert bench.clock.monotonic() >= 5
    assert (await bench.recorded())["flaky#a1"].kind is RecordKind.ATTEMPT


async def test_recorded_attempts_count_against_the_retries_after_a_crash(bench):
    config = StepConfig(max_retries=1, backoff={"initial_s": 5})
    bench.clock.sleep = _cancelled  # the process dies during the wait
    flaky = Flaky(9)
    with pytest.raises(asyncio.CancelledError):
        await bench.execute(Step("flaky", flaky, config=config), "x")

    outcome = await bench.execute(Step("flaky", flaky, config=config), "x")

    assert isinstance(outcome, Failure)
    assert flaky.calls == 2


async def _cancelled(seconds: float) -> None:
    raise asyncio.CancelledError


async def test_an_attempt_that_takes_too_long_times_out(bench):
    async def slow(data: str) -> str:
        await asyncio.sleep(30)
        return data

    outcome = await bench.execute(Step("slow", slow, config=StepConfig(timeout_s=0.01)), "x")

    assert isinstance(outcome.error, StepTimeoutError)
    assert "'slow' took longer than 0.01 s" in str(outcome.error)


async def test_a_timeout_of_the_steps_own_is_its_own_error(bench):
    outcome = await bench.execute(Step("own", Flaky(9, TimeoutError("mine")), config=StepConfig(timeout_s=5)), "x")

    assert type(outcome.error) is TimeoutError


async def test_the_context_is_put_back_before_the_next_attempt(bench):
    bench.context = OpenContext(log=[])
    calls = []

    async def flaky(data: str, *, context: Any) -> str:
        calls.append(data)
        context.log.append(f"try{len(calls)}")
        context.extra = 1
        if len(calls) < 2:
            raise ValueError("again")
        return "ok"

    await bench.execute(Step("flaky", flaky, config=StepConfig(max_retries=1)), "x")

    assert bench.context.log == ["try2"]


async def test_a_step_that_fails_leaves_the_context_as_it_was(bench):
    async def spoil(data: str, *, context: Any) -> str:
        context.scratchpad["a"] = 1
        raise ValueError("no")

    await bench.execute(Step("spoil", spoil), "x")

    assert bench.context.scratchpad == {}


async def test_a_recalled_step_changes_the_context_as_it_did(bench):
    async def note(data: str, *, context: Any) -> str:
        context.scratchpad["seen"] = [data]
        return data

    step = Step("note", note, sink_to="answer")
    await bench.execute(step, "x")
    bench.context = OpenContext()

    await bench.execute(step, "x")

    assert bench.context.scratchpad == {"seen": ["x"]}
    assert bench.context.answer == "x"


async def test_only_what_the_output_writes_is_recorded_as_a_change(bench):
    bench.context = OpenContext(big="x" * 1000)

    await bench.execute(Step("put", lambda data: {"a": 1}, updates_context=True, sink_to="scratchpad.last"), "x")

    assert b"big" not in (await bench.recorded())["put"].delta
    assert bench.context.a == 1
    assert bench.context.scratchpad == {"last": {"a": 1}}


async def test_the_fields_of_a_model_are_recorded_as_a_change(bench):
    class Found(BaseModel):
        a: int

    def find(data) -> Found:
        return Found(a=1)

    await bench.execute(Step("put", find, updates_context=True), "x")

    assert bench.context.a == 1
    assert b'"a"' in (await bench.recorded())["put"].delta


async def test_an_output_that_the_context_refuses_fails_the_step_and_leaves_no_trace(bench):
    step = Step("put", lambda data: {"scratchpad": {"b": 1}, "hitl_history": 5}, updates_context=True)

    outcome = await bench.execute(step, "x")

    assert isinstance(outcome.error, ContextFieldError)
    assert bench.context.scratchpad == {}
    assert "put" not in await bench.recorded()


async def test_a_value_that_can_not_be_stored_fails_the_step(bench):
    outcome = await bench.execute(Step("nan", lambda data: {"x": float("nan")}, config=StepConfig(max_retries=2)), "x")

    assert isinstance(outcome.error, ValueNotStorable)
    assert outcome.step_result.attempts == 1
    assert (await bench.recorded())["nan#a1"].kind is RecordKind.FAILED


class FullBackend(InMemoryBackend):
    """A backend whose disk is full from the n-th record on."""

    room = 0

    async def append(self, claim, record, /):
        if self.room <= 0:
            raise StateStorageFull("the disk is full")
        self.room -= 1
        await super().append(claim, record)


async def test_a_state_that_can_not_be_written_ends_the_run_through_every_step_around_it(bench):
    bench.backend = FullBackend()
    inner = Pipeline([Step("a", lambda data: data)], name="inner", config=StepConfig(max_retries=3))

    with pytest.raises(StateStorageFull):
        await bench.execute(Pipeline([inner]), "x", path="")


async def test_a_state_error_of_the_steps_own_is_an_ordinary_failure(bench):
    outcome = await bench.execute(Step("own", Flaky(9, StateStorageFull("theirs"))), "x")

    assert isinstance(outcome, Failure)


async def test_an_input_that_can_not_be_made_fails_the_step(bench):
    outcome = await bench.execute(Step("a", Flaky(0), input="{{ steps.nope.output }}"), "x")

    assert isinstance(outcome.error, TemplateResolutionError)


@pytest.mark.parametrize(
    ("source", "expected"),
    [(lambda scope: scope.previous * 2, "xx"), (7, 7), (None, None), ({"k": "{{ input }}"}, {"k": "x"})],
)
async def test_an_input_is_a_template_a_function_or_a_value(bench, source, expected):
    outcome = await bench.execute(Step("a", lambda data: data, input=source), "x")

    assert outcome.value == expected


async def test_effects_ask_for_a_record_that_survives_the_machine(bench):
    await bench.execute(Step("pay", lambda data: data, effects="external"), "x")
    await bench.execute(Step("count", lambda data: data), "x")

    recorded = await bench.recorded()
    assert recorded["pay"].sync is Sync.FULL
    assert recorded["count"].sync is Sync.NORMAL


async def test_events_come_in_order(bench):
    await bench.execute(Pipeline([Step("a", Flaky(1), config=StepConfig(max_retries=1))], name="p"), "x", path="")

    told = [(type(event), event.path) for event in bench.sink.events]
    assert told == [(StepStarted, ""), (StepStarted, "a"), (StepRetried, "a"), (StepFinished, "a"), (StepFinished, "")]


async def test_a_composite_that_is_retried_repeats_only_what_did_not_succeed(bench):
    bench.context = OpenContext(log=[])

    async def log(data: str, *, context: Any) -> str:
        context.log.append(data)
        return data

    first, second = Flaky(0), Flaky(1)
    steps = [Step("log", log), Step("a", first), Step("b", second)]

    outcome = await bench.execute(Pipeline(steps, name="p", config=StepConfig(max_retries=1)), "x", path="sub:p")

    assert outcome.value == "x after 1 after 2"
    assert (first.calls, second.calls) == (1, 2)
    assert bench.context.log == ["x"]


async def test_a_composite_writes_its_output_to_the_context(bench):
    inner = Pipeline([Step("a", lambda data: data)], name="inner", sink_to="answer")

    await bench.execute(inner, "x", path="sub:inner")

    assert bench.context.answer == "x"


async def test_a_policy_that_returns_something_else_fails_the_step(bench):
    class Careless(StepPolicy[Step[Any, Any]]):
        handles_type = Step

        async def execute(self, core, frame):
            return "value"

    registry = PolicyRegistry()
    registry.register(Careless())
    bench.core = ExecutorCore(policy_registry=registry)

    outcome = await bench.execute(Step("a"), "x")

    assert isinstance(outcome.error, ExecutionError)
    assert "Careless returned 'str', expected a step outcome" in str(outcome.error)


async def test_a_core_made_of_the_parts_of_another_runs_what_that_one_has_prepared(bench):
    step = Step("a", str.upper)
    bench.core.prepare(step)
    other = ExecutorCore(**bench.core.parts())

    assert other.with_fingerprint(step.fingerprint) is step
    bench.core = other
    assert (await bench.execute(step, "x")).value == "X"


async def test_without_a_policy_preparing_says_what_to_install():
    core = ExecutorCore(policy_registry=PolicyRegistry())

    with pytest.raises(MissingPolicyError) as caught:
        core.prepare(Step("a"))

    assert "pip install flujo-policies-builtin" in caught.value.suggestion


async def test_a_template_without_a_compiler_is_refused_when_the_step_is_prepared(bench):
    registry = PolicyRegistry()
    registry.register(bench.core._registry.get(Step("a")))

    with pytest.raises(ConfigurationError, match="no template compiler"):
        ExecutorCore(policy_registry=registry).prepare(Step("a", input="{{ x }}"))
