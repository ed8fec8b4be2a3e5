"""Runs as spans that begin and end, told live from their events."""

import inspect
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from flujo.domain.events import Event, RunFinished, RunInterrupted, RunStarted, StepAbandoned, StepFinished, StepStarted
from flujo.domain.interfaces import Clock
from flujo.domain.outcomes import PipelineResult, StepResult
from flujo.infra.clock import SystemClock

__all__ = ["LiveSpan", "Tracer", "TracingManager"]


@dataclass(slots=True, eq=False)
class LiveSpan:
    """A run or one of its steps, from its beginning to its end, in seconds since the epoch.

    The run itself has the path "" and no `parent`. `result` is what came of a step or a run; one that has ended without
    it was let go of, or its process is about to end.
    """

    run_id: str
    path: str
    name: str
    kind: str
    parent: "LiveSpan | None"
    started_at: float
    ended_at: float = 0.0
    result: StepResult[Any] | PipelineResult[Any, Any] | None = None

    @property
    def depth(self) -> int:
        """How many spans it stands in."""
        return 0 if self.parent is None else self.parent.depth + 1


class Tracer:
    """What is told of spans; a subclass overrides what it wants to hear. All of it must be quick, as for any sink."""

    def began(self, span: LiveSpan) -> None:
        """A run or a step begins."""

    def told(self, span: LiveSpan, event: Event) -> None:
        """Something happens in `span`: every event is told, with the span of its step, or the nearest around it."""

    def ended(self, span: LiveSpan) -> None:
        """A run or a step has come to its end, or is given up."""

    def close(self) -> Awaitable[None] | None:
        """Write out what is left: plain and quick, or async."""
        return None


class TracingManager:
    """An event sink that tells `tracers` of spans, of as many runs at once as there are.

    A step whose result is recorded has no span: it is told as an event in the span around it. A run that goes on with
    an answer that came meanwhile keeps its span.
    """

    def __init__(self, *tracers: Tracer, clock: Clock | None = None) -> None:
        self._tracers = tracers
        self._clock = clock or SystemClock()
        self._open: dict[str, dict[str, LiveSpan]] = {}

    def handle(self, event: Event, /) -> None:
        """Take note of `event`. What is told of runs that were not heard to begin is passed over."""
        if isinstance(event, RunStarted) and event.run_id not in self._open:
            self._begin(LiveSpan(event.run_id, "", event.pipeline, "pipeline", None, self._clock.now()))
        spans = self._open.get(event.run_id)
        if spans is None:
            return
        if isinstance(event, StepStarted) and event.path:
            around = _around(spans, event.path)
            self._begin(LiveSpan(event.run_id, event.path, event.name, event.kind, around, self._clock.now()))
        path: str = event._asdict().get("path", "")
        for tracer in self._tracers:
            tracer.told(spans.get(path) or _around(spans, path), event)
        if isinstance(event, StepFinished | StepAbandoned) and event.path in spans and event.path:
            self._end(spans.pop(event.path), event.result if isinstance(event, StepFinished) else None)
        elif isinstance(event, RunFinished | RunInterrupted):
            self._end_all(event)

    async def close(self) -> None:
        """Close the tracers."""
        for tracer in self._tracers:
            closing = tracer.close()
            if inspect.isawaitable(closing):
                await closing

    def _begin(self, span: LiveSpan) -> None:
        self._open.setdefault(span.run_id, {})[span.path] = span
        for tracer in self._tracers:
            tracer.began(span)

    def _end(self, span: LiveSpan, result: StepResult[Any] | PipelineResult[Any, Any] | None) -> None:
        span.ended_at, span.result = self._clock.now(), result
        for tracer in self._tracers:
            tracer.ended(span)

    def _end_all(self, event: RunFinished | RunInterrupted) -> None:
        """End the run's span, and before it those that nobody has told the end of, the innermost first."""
        root, *others = self._open.pop(event.run_id).values()
        for span in reversed(others):
            self._end(span, None)
        self._end(root, event.result if isinstance(event, RunFinished) else None)


def _around(spans: dict[str, LiveSpan], path: str) -> LiveSpan:
    """The innermost span that is open around the step at `path`; the run's, if there is no other."""
    while path:
        path = path[: max(path.rfind("/"), path.rfind("["), 0)]
        if path in spans:
            return spans[path]
    return spans[""]
