"""The small parts of the engine: frames, the registry, the event stream, fallback chains, plans."""

from typing import Any

import pytest

from flujo import Pipeline, Step
from flujo.domain.callables import reference
from flujo.domain.context import OpenContext
from flujo.domain.events import RunStarted, SinkDetached
from flujo.domain.outcomes import ErrorInfo, Success
from flujo.engine.event_stream import EventStream
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepPolicy
from flujo.engine.policy_registry import PolicyRegistry
from flujo.engine.step_run import StepRun
from flujo.exceptions import MissingPolicyError
from flujo.testing import RecordingSink


class Answer(StepPolicy[Step[Any, Any]]):
    def __init__(self, handles: type[Step[Any, Any]]) -> None:
        self.handles = handles

    @property
    def handles_type(self) -> type[Step[Any, Any]]:
        return self.handles

    async def execute(self, core, frame):
        return Success("answer")


class Special(Step[Any, Any]):
    """A kind of step of someone else's."""


class BrokenSink:
    def handle(self, event):
        raise RuntimeError("broken")


def frame_of(step: Step[Any, Any], **kwargs: Any) -> ExecutionFrame:
    return ExecutionFrame(step, "x", None, OpenContext(), **kwargs)


def test_the_exact_type_comes_before_its_bases_and_the_fallback_last():
    registry, step, pipeline, other = PolicyRegistry(), Answer(Step), Answer(Pipeline), Answer(Step)
    registry.register(pipeline)
    registry.register_fallback(other)

    assert registry.get(Pipeline()) is pipeline
    assert registry.get(Special("s")) is other
    registry.register(step)
    assert registry.get(Special("s")) is step
    assert registry.list_registered() == [Pipeline, Step]


def test_a_missing_policy_names_the_type_and_the_policies_there_are():
    registry = PolicyRegistry()
    registry.register(Answer(Pipeline))

    with pytest.raises(MissingPolicyError, match=r"no policy runs steps of type Special \('s'\)") as caught:
        registry.require(Special("s"))
    assert "installed policies run Pipeline" in caught.value.suggestion


def test_a_childs_path_names_every_step_on_the_way_and_the_iteration():
    outer = frame_of(Pipeline(name="outer"))

    child = outer.child(Pipeline(name="inner"), "y")
    item = child.child(Step("leaf"), "z", at="[3]/leaf")

    assert child.path == "sub:inner"
    assert item.path == "sub:inner[3]/leaf"
    assert (item.data, item.context is outer.context, item.outputs is outer.outputs) == ("z", True, True)


def test_a_child_can_have_a_context_outputs_and_names_of_its_own():
    outer, own = frame_of(Pipeline(name="outer")), OpenContext()

    child = outer.child(Step("a"), "y", context=own, extras={"item": 1})

    assert child.context is own
    assert child.extras == {"item": 1}


def test_the_idempotency_key_is_the_steps_and_not_the_attempts():
    key = StepRun("r", "a/b", 1).idempotency_key

    assert key == StepRun("r", "a/b", 2).idempotency_key
    assert key != StepRun("r", "a/c", 1).idempotency_key
    assert key != StepRun("s", "a/b", 1).idempotency_key


def test_a_sink_that_fails_is_detached_and_the_others_go_on():
    broken, sink = BrokenSink(), RecordingSink()
    stream = EventStream([broken, sink])

    stream.emit(RunStarted("r", "p"))
    stream.emit(RunStarted("r", "p"))

    error = ErrorInfo.of(stream.broken[0][1])
    assert sink.events == [SinkDetached("r", reference(broken), error), RunStarted("r", "p"), RunStarted("r", "p")]
    assert [(each, str(error)) for each, error in stream.broken] == [(broken, "broken")]


def test_of_many_sinks_that_fail_each_is_told_of_once_and_called_no_more():
    broken, sink = [BrokenSink() for _ in range(4)], RecordingSink()
    reports = []
    stream = EventStream([*broken, sink, broken[0]], reports.append)

    stream.emit(RunStarted("r", "p"))
    stream.emit(RunStarted("r", "p"))

    assert [each for each, _ in stream.broken] == broken
    assert sink.of_type(SinkDetached) == reports
    assert len(reports) == 4
    assert len(sink.of_type(RunStarted)) == 2


def test_nobody_listens_when_the_last_sink_is_detached():
    stream = EventStream([BrokenSink()])

    stream.emit(RunStarted("r", "p"))

    assert not stream.active
    assert not EventStream().active


async def test_a_chain_of_fallbacks_may_have_one_name_many_times(bench):
    def fail(data: Any) -> Any:
        raise ValueError("no")

    step = Step("a", lambda data: f"{data}!")
    for _ in range(10):
        step = Step("a", fail, fallback=step)

    outcome = await bench.execute(step, "x")

    assert isinstance(outcome, Success)
    assert outcome.value == "x!"
