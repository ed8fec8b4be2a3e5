"""The one stream of events, and the guard around whoever listens."""

from collections.abc import Iterable

from flujo.domain.events import Event
from flujo.domain.interfaces import EventSink

__all__ = ["EventStream"]


class EventStream:
    """Hands every event to every sink. `active` is false when nobody listens: build no event then."""

    __slots__ = ("_sinks", "active", "broken")

    def __init__(self, sinks: Iterable[EventSink] = ()) -> None:
        self._sinks = tuple(sinks)
        self.active = bool(self._sinks)
        #: Sinks that failed and were detached, with what they failed with.
        self.broken: list[tuple[EventSink, Exception]] = []

    def emit(self, event: Event) -> None:
        """Hand `event` to every sink that still works."""
        for sink in self._sinks:
            try:
                sink.handle(event)
            except Exception as error:  # noqa: BLE001 - a sink is a listener: it can't be allowed to fail the run
                self._detach(sink, error)

    def _detach(self, sink: EventSink, error: Exception) -> None:
        self._sinks = tuple(other for other in self._sinks if other is not sink)
        self.active = bool(self._sinks)
        self.broken.append((sink, error))
