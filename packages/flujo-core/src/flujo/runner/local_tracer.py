"""A run as a tree of lines on a terminal, written as its steps begin and end."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from flujo.domain.events import Event, RunInterrupted, RunPaused, StepFinished, StepRetried
from flujo.domain.foreign import visible
from flujo.domain.outcomes import PipelineResult, StepResult
from flujo.domain.suggest import did_you_mean
from flujo.domain.usage import amount_text
from flujo.exceptions import ConfigurationError
from flujo.runner.tracing_manager import LiveSpan, Tracer, TracingManager

__all__ = ["LocalTracer", "open_tree", "refuse_settings", "traced"]

_MOST = 200


class LocalTracer(Tracer):
    """Writes a line where a step begins, and one where it ends, to `stream` (default: what is stderr then)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def began(self, span: LiveSpan) -> None:
        """Write that the span begins."""
        self._say(span, f"+ {_label(span)}")

    def told(self, span: LiveSpan, event: Event) -> None:
        """Write what else there is to see: attempts that failed, recorded results, and why a run stopped."""
        if isinstance(event, StepRetried):
            error = f"{event.error.type}: {event.error.message}"
            self._say(span, f"  attempt {event.attempt} failed: {error}")
        elif isinstance(event, StepFinished) and event.result.recalled and event.path:
            self._say(span, f"  - {event.path}: recorded")
        elif isinstance(event, RunPaused):
            for question in event.pending:
                self._say(span, f"  {question.path} asks: {question.message}")
        elif isinstance(event, RunInterrupted):
            self._say(span, f"  let go of: {event.error.type}: {event.error.message}")

    def ended(self, span: LiveSpan) -> None:
        """Write what the span came to, and what it took and used."""
        notes = [f"{span.ended_at - span.started_at:.3f} s", *_notes(span.result)]
        self._say(span, f"{_verdict(span)} {_label(span)}: {', '.join(notes)}")

    def _say(self, span: LiveSpan, text: str) -> None:
        stream = self._stream or sys.stderr
        shown = visible(text[:_MOST])
        encoding = getattr(stream, "encoding", None) or "utf-8"
        shown = shown.encode(encoding, "backslashreplace").decode(encoding)
        stream.write(f"{'  ' * span.depth}{shown}\n")
        stream.flush()


def traced(tracer: object) -> Iterator[TracingManager]:
    """The sink for a `Flujo`'s local tracer, if it has one. Raises `ConfigurationError` for what is none."""
    if tracer == "default":
        yield TracingManager(LocalTracer())
    elif isinstance(tracer, Tracer):
        yield TracingManager(tracer)
    elif tracer is not None:
        raise ConfigurationError(
            f"local_tracer can't be {tracer!r}", suggestion="expected 'default', or an object of a subclass of Tracer"
        )


def open_tree(settings: Mapping[str, Any], root: Path) -> TracingManager:
    """The sink "tree": a tree of lines on stderr. It has no settings."""
    refuse_settings(settings, (), "tree")
    return TracingManager(LocalTracer())


def refuse_settings(settings: Mapping[str, Any], known: tuple[str, ...], sink: str) -> None:
    """Raise `ConfigurationError` for a setting that the sink does not have."""
    for name in settings:
        if name not in known:
            advice = did_you_mean(name, known, what="its settings are")
            raise ConfigurationError(f"the event sink {sink!r} has no setting {name!r}", suggestion=advice)


def _label(span: LiveSpan) -> str:
    if span.parent is None:
        return f"{span.name} (run {span.run_id})"
    return span.path[len(span.parent.path) :].lstrip("/")


def _verdict(span: LiveSpan) -> str:
    result = span.result
    if isinstance(result, PipelineResult):
        return str(result.status)
    if result is None:
        return "interrupted"
    return "paused" if result.paused else "ok" if result.success else "FAILED"


def _notes(result: StepResult[Any] | PipelineResult[Any, Any] | None) -> Iterator[str]:
    if result is None:
        return
    if result.usage.tokens:
        yield f"{result.usage.tokens} tokens"
    if result.usage.cost_usd:
        yield f"{amount_text(result.usage.cost_usd)} USD"
    if isinstance(result, StepResult):
        yield from _notes_of_step(result)
    if result.error is not None:
        yield f"{result.error.type}: {result.error.message}"


def _notes_of_step(result: StepResult[Any]) -> Iterator[str]:
    if result.attempts > 1:
        yield f"{result.attempts} attempts"
    if result.cached:
        yield "cached"
    if result.fallback:
        yield f"by fallback {result.fallback}"
