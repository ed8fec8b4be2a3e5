"""The recording sink keeps what it is told."""

from flujo.domain.events import RunStarted, StepStarted
from flujo.testing import RecordingSink


def test_sink_keeps_events_in_order_and_gives_them_by_class():
    sink = RecordingSink()
    events = [RunStarted("r", "p"), StepStarted("r", "a", "a", "step"), StepStarted("r", "b", "b", "step")]
    for event in events:
        sink.handle(event)
    assert sink.events == events
    assert [event.path for event in sink.of_type(StepStarted)] == ["a", "b"]
    assert sink.of_type(str) == []
