"""flujo's own event sinks keep the contract; each promise can be broken, and the test of that promise notices."""

import asyncio
import inspect
import threading
import time
from pathlib import Path
from typing import get_args

import pytest

from flujo import LogSink
from flujo.domain.events import Event, RunPaused, StepFinished
from flujo.runner.local_tracer import open_tree
from flujo.testing import RecordingSink
from flujo.testing.event_sink import EVENTS, EventSinkConformance


class TestRecordingSink(EventSinkConformance):
    def open(self, folder):
        return RecordingSink()


class TestLogSink(EventSinkConformance):
    def open(self, folder):
        return LogSink()


class TestTree(EventSinkConformance):
    def open(self, folder):
        return open_tree({}, folder)


class TestOtel(EventSinkConformance):
    def open(self, folder):
        otel = pytest.importorskip("flujo.runner.otel")
        return otel.open_otel({"endpoint": "http://127.0.0.1:9/"}, folder)


class Async:
    async def handle(self, event):
        pass


class Picky:
    """Knows no more than two classes of events."""

    def handle(self, event):
        if not isinstance(event, StepFinished | RunPaused):
            raise TypeError(event)


class Knowing:
    """Knows every class there is today."""

    def handle(self, event):
        if not isinstance(event, get_args(Event)):
            raise TypeError(event)


class Changing:
    def handle(self, event):
        if isinstance(event, StepFinished) and isinstance(event.result.output, dict):
            event.result.output.clear()


class Dazed:
    """Believes that there is one run at a time."""

    def __init__(self):
        self.run_id = None

    def handle(self, event):
        if self.run_id not in (None, event.run_id):
            raise ValueError(event.run_id)
        self.run_id = event.run_id


class Once(RecordingSink):
    def __init__(self):
        super().__init__()
        self.closed = False

    def close(self):
        if self.closed:
            raise ValueError("closed already")
        self.closed = True


class Threaded(RecordingSink):
    def __init__(self):
        super().__init__()
        self.done = threading.Event()
        threading.Thread(target=self.done.wait, args=(5,), daemon=True).start()

    def close(self):
        pass


class Slow:
    def handle(self, event):
        time.sleep(0.06 if isinstance(event, StepFinished) else 0)


class Leaving:
    def handle(self, event):
        self.task = asyncio.create_task(asyncio.sleep(3600))


FINISHED = next(event for event in EVENTS if isinstance(event, StepFinished))
BROKEN = [
    (Async, "test_sink_can_listen", {}),
    (Picky, "test_every_event_is_taken", {"event": EVENTS[-1]}),
    (
        Changing,
        "test_every_event_is_taken",
        {"event": FINISHED._replace(result=FINISHED.result._replace(output={1: 2}))},
    ),
    (Knowing, "test_events_of_later_versions_are_taken", {}),
    (Dazed, "test_whole_runs_are_heard", {}),
    (Once, "test_a_second_close_does_nothing", {}),
    (Threaded, "test_a_second_close_does_nothing", {}),
    (Slow, "test_nobody_waits_long_for_their_turn", {}),
    (Leaving, "test_nothing_is_left_at_work", {}),
]


@pytest.mark.parametrize(("sink", "promise", "given"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
async def test_a_broken_promise_fails_its_test(sink, promise, given, tmp_path):
    tests = type("Suite", (EventSinkConformance,), {"open": lambda self, folder: sink()})()
    test = getattr(tests, promise)
    first = {"tmp_path": tmp_path} if "tmp_path" in inspect.signature(test).parameters else {"sink": sink()}
    with pytest.raises((AssertionError, TypeError, ValueError)):
        await _done(test(**first, **given))


def test_every_promise_is_shown_to_be_breakable():
    every = {name for name in dir(EventSinkConformance) if name.startswith("test_")}
    assert every == {promise for _, promise, _ in BROKEN}


def test_there_is_an_event_of_every_class():
    assert {type(event) for event in EVENTS} == set(get_args(Event))


async def test_a_sink_without_a_close_has_nothing_to_close(tmp_path):
    with pytest.raises(pytest.skip.Exception):
        await TestRecordingSink().test_a_second_close_does_nothing(tmp_path)
    with pytest.raises(TypeError, match="override 'open'"):
        EventSinkConformance().open(Path())


def test_a_recording_sink_finds_what_it_is_asked_for():
    sink = RecordingSink()
    for event in (FINISHED, FINISHED, EVENTS[-1]):
        sink.handle(event)

    assert sink.paths(StepFinished) == ["one", "one"]
    assert sink.one(type(EVENTS[-1])) is EVENTS[-1]
    with pytest.raises(AssertionError, match="there are 2 events of class StepFinished, expected one"):
        sink.one(StepFinished)


async def _done(test):
    if test is not None:
        await test
