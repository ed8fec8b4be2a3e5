"""What every event sink has to keep, as tests to subclass."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from flujo.domain import events
from flujo.domain.config import StepConfig
from flujo.domain.context import PipelineContext
from flujo.domain.interfaces import ClosableSink, EventSink
from flujo.domain.outcomes import ErrorInfo, PendingAnswer, PipelineResult, RunStatus, StepResult, Success
from flujo.domain.steps import Pipeline, Step
from flujo.exceptions import PausedException
from flujo.runner.flujo import Flujo
from flujo.testing.conformance import Conformance
from flujo.testing.sinks import RecordingSink
from flujo.testing.turns import HELD_S, longest_turn, some_turns

__all__ = ["EVENTS", "EventSinkConformance"]

_ERROR = ErrorInfo("ValueError", "no 'ü', no \x00\nsecond line", "X-1", "try the other one", "one", "steps.py:12")
_LINE: StepResult[object] = StepResult("one", output={"list": [1, None]}, path="one", error=_ERROR)
_RESULT: PipelineResult[object, object] = PipelineResult("r", RunStatus.FAILED, None, PipelineContext(), (_LINE,))

#: One event of every class that there is, in an order in which no run tells them: each has to be taken by itself.
EVENTS: tuple[events.Event, ...] = (
    events.StepFinished("r", "one", _LINE, Success(1, step_result=_LINE)),
    events.StepRetried("r", "one", 1, _ERROR, 0.5),
    events.StepStarted("r", "one", "one", "step"),
    events.AgentAsked("r", "one", 1, "agent", "model"),
    events.Chunk("r", "one", "part"),
    events.StepInDoubt("r", "one", 1.5),
    events.StepAbandoned("r", "one", _ERROR),
    events.CacheMissed("r", "one", ("input",)),
    events.BudgetWarning("r", "model"),
    events.BudgetOverdrawn("r", "total_cost_usd_limit", Decimal("1.5"), Decimal(1)),
    events.BackgroundFinished("r", "one", _LINE),
    events.BackgroundLaunched("r", "one", "one"),
    events.PluginChanged("r", "acme 1.0", "acme 1.2"),
    events.RunPaused("r", (PendingAnswer("one", "t", "sure?"),)),
    events.RunFinished("r", _RESULT),
    events.RunInterrupted("r", _ERROR),
    events.SinkDetached("r", "other", _ERROR),
    events.RunStarted("r", "pipeline"),
)


class _OfTomorrow(NamedTuple):
    """An event that this version does not have."""

    run_id: str = "r"
    path: str = "one"


class EventSinkConformance(Conformance):
    """Tests of the `EventSink` contract: subclass it as `Test...` and override `open`.

    Most tests are coroutines, for pytest-asyncio or anyio in their automatic modes.
    """

    def open(self, folder: Path) -> EventSink:
        """A new sink; whatever it writes to files belongs into `folder`."""
        raise TypeError("override 'open'")

    @pytest.fixture
    async def sink(self, tmp_path: Path) -> AsyncIterator[EventSink]:
        """A sink, which is closed after the test."""
        sink = self.open(tmp_path)
        yield sink
        await _close(sink)

    def test_sink_can_listen(self, sink: EventSink) -> None:
        """It has a plain function `handle`: nobody would wait for another."""
        assert isinstance(sink, EventSink)
        assert not inspect.iscoroutinefunction(sink.handle)
        assert not inspect.isgeneratorfunction(sink.handle)

    @pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
    async def test_every_event_is_taken(self, sink: EventSink, event: events.Event) -> None:
        """Also one of a run whose beginning was never heard of; it is left as it was."""
        before = repr(event)
        sink.handle(event)
        assert repr(event) == before

    async def test_events_of_later_versions_are_taken(self, sink: EventSink) -> None:
        """An event that the sink does not know is none of its business."""
        sink.handle(cast("events.Event", _OfTomorrow()))

    async def test_whole_runs_are_heard(self, sink: EventSink) -> None:
        """Runs that complete, fail and wait, several at once: the sink is never detached."""
        heard = RecordingSink()
        step = Pipeline([Step("try", _told_by_data, config=StepConfig(max_retries=1))])
        async with Flujo(step, sinks=[sink, heard]) as flujo:
            results = await asyncio.gather(*(flujo.run(data) for data in ("good", "bad", "asks", "good")))
        assert {result.status for result in results} == {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.PAUSED}
        assert heard.of_type(events.SinkDetached) == []

    async def test_a_second_close_does_nothing(self, tmp_path: Path) -> None:
        """Whoever closes a sink does not have to know who else did; nothing of it is left at work."""
        before = set(threading.enumerate())
        sink = self.open(tmp_path)
        if not isinstance(sink, ClosableSink):
            pytest.skip("the sink has nothing to close")
        sink.handle(EVENTS[0])
        await _close(sink)
        await _close(sink)
        assert [thread for thread in threading.enumerate() if thread not in before] == []

    async def test_nobody_waits_long_for_their_turn(self, sink: EventSink) -> None:
        """No event takes more than 50 ms, in the best of some tries: every step of the run waits for it."""

        async def hear() -> None:
            for event in EVENTS:
                sink.handle(event)
                await asyncio.sleep(0)

        held = await longest_turn(lambda: asyncio.create_task(hear()))
        assert held <= HELD_S, f"the sink kept the event loop to itself for {held:.3f} s"

    async def test_nothing_is_left_at_work(self, tmp_path: Path) -> None:
        """No task that the sink has begun outlives it."""
        before = asyncio.all_tasks()
        sink = self.open(tmp_path)
        for event in EVENTS:
            sink.handle(event)
        await _close(sink)
        await some_turns()
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        assert left == set()


async def _told_by_data(data: str) -> str:
    if data == "bad":
        raise ValueError(data)
    if data == "asks":
        raise PausedException("sure?")
    return data


async def _close(sink: Any) -> None:
    closing = sink.close() if isinstance(sink, ClosableSink) else None
    if inspect.isawaitable(closing):
        await closing
