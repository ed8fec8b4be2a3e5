"""The one stream of events, and the guard around whoever listens."""

import asyncio
from collections.abc import Callable, Iterable

from flujo.domain.callables import reference
from flujo.domain.events import Event, SinkDetached
from flujo.domain.interfaces import EventSink
from flujo.domain.outcomes import ErrorInfo

__all__ = ["EventStream"]


class EventStream:
    """Hands every event to every sink. `active` is false when nobody listens: build no event then.

    A sink that fails is detached and hears nothing more; the others and `report` are told of it, once. `full` says that
    somebody who reads the events one by one is far behind: whoever is about to cause more waits for `room`.
    """

    __slots__ = ("_report", "_sinks", "active", "broken", "full")

    def __init__(self, sinks: Iterable[EventSink] = (), report: Callable[[SinkDetached], None] | None = None) -> None:
        self._sinks = tuple(sinks)
        self._report = report
        self.active = bool(self._sinks)
        self.full = False
        #: Sinks that failed and were detached, with what they failed with.
        self.broken: list[tuple[EventSink, BaseException]] = []

    def emit(self, event: Event) -> None:
        """Hand `event` to every sink that still works."""
        sinks = self._sinks
        for sink in sinks:
            if self._sinks is not sinks and not any(each is sink for each in self._sinks):
                continue  # it was detached while the others were told of one that failed before it
            try:
                sink.handle(event)
            except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - a listener can't fail
                # the run, nor end or cancel it: a cancellation of the run's own comes where something is awaited, and
                # here nothing is
                self.detach(sink, error, event.run_id)

    async def room(self) -> None:
        """Return when there is room for more events: at once, where sinks take each as it comes."""

    def detach(self, sink: EventSink, error: BaseException, run_id: str = "") -> None:
        """Let `sink` hear nothing more, because it failed with `error` at an event of the run."""
        self._sinks = tuple(other for other in self._sinks if other is not sink)
        self.active = bool(self._sinks)
        self.broken.append((sink, error))
        told = SinkDetached(run_id, reference(sink), ErrorInfo.of(error))
        if self._report is not None:
            self._report(told)
        self.emit(told)
