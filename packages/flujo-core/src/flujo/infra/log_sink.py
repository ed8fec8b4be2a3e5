"""The events of runs as log lines, each with its run's id and its step's path."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flujo.domain import events
from flujo.domain.outcomes import ErrorInfo, PipelineResult, StepResult
from flujo.domain.usage import amount_text
from flujo.infra.logging import Logger, LogLevel

__all__ = ["LOG_LINES", "LogLine", "LogSink"]

Fields = dict[str, Any]


class LogLine(NamedTuple):
    """How an event is logged; `tell` gives the fields beside the run's id and the step's path, None for nothing."""

    level: LogLevel
    words: str
    tell: Callable[[Any], Fields] = lambda _: {}


def _run(result: PipelineResult[Any, Any]) -> Fields:
    used = result.usage
    return {
        "status": str(result.status),
        "duration_s": round(result.duration_s, 3),
        "calls": used.calls or None,
        "tokens": used.tokens or None,
        "cost_usd": amount_text(used.cost_usd) if used.cost_usd else None,
        "failed_at": (result.error and result.error.path) or None,
        "error": result.error and result.error.message,
    }


def _step(result: StepResult[Any]) -> Fields:
    how = "recalled" if result.recalled else "cached" if result.cached else "paused" if result.paused else None
    return {
        "success": result.success,
        "how": how,
        "attempts": result.attempts if result.attempts > 1 else None,
        "duration_s": round(result.duration_s, 3),
        "fallback": result.fallback,
        "error": result.error and result.error.message,
        "plugin": result.error and result.error.plugin,
    }


def _error(error: ErrorInfo) -> str:
    return f"{error.type}: {error.message}"


#: What is logged; an event that is not here is not.
LOG_LINES: dict[type[Any], LogLine] = {
    events.RunStarted: LogLine(
        "info", "the run begins", lambda e: {"pipeline": e.pipeline, "recorded": e.recorded if e.resumed else None}
    ),
    events.RunPaused: LogLine("info", "the run waits for people", lambda e: {"questions": len(e.pending)}),
    events.RunInterrupted: LogLine(
        "info", "the run was let go of", lambda e: {"reason": e.error.type, "error": e.error.message}
    ),
    events.RunFinished: LogLine("info", "the run has ended", lambda e: _run(e.result)),
    events.StepStarted: LogLine("debug", "the step begins", lambda e: {"kind": e.kind}),
    events.StepRetried: LogLine(
        "info", "an attempt failed", lambda e: {"attempt": e.attempt, "again_in_s": e.delay_s, "error": e.error.message}
    ),
    events.StepFinished: LogLine("debug", "the step has ended", lambda e: _step(e.result)),
    events.StepAbandoned: LogLine("debug", "the step was let go of with its run", lambda e: {"error": _error(e.error)}),
    events.StepInDoubt: LogLine("warning", "the step began once and did not end: somebody has to settle it"),
    events.AgentAsked: LogLine("debug", "the agent is asked", lambda e: {"attempt": e.attempt, "model": e.model}),
    events.CacheMissed: LogLine(
        "debug", "no cached result serves", lambda e: {"changed": ", ".join(e.changed) or None}
    ),
    events.BackgroundLaunched: LogLine("info", "the step goes on in the background"),
    events.BackgroundFinished: LogLine("info", "the background step has ended", lambda e: _step(e.result)),
    events.SinkDetached: LogLine(
        "warning", "an event sink failed and was detached", lambda e: {"sink": e.sink, "error": _error(e.error)}
    ),
    events.BudgetWarning: LogLine(
        "warning", "a model has no price: its calls do not count as cost", lambda e: {"model": e.model}
    ),
    events.PluginChanged: LogLine(
        "warning",
        "a plugin is not the one that the run began with",
        lambda e: {"was": e.was or "none", "now": e.now or "none"},
    ),
    events.BudgetOverdrawn: LogLine(
        "warning",
        "the budget is overdrawn",
        lambda e: {"limit": e.limit, "spent": amount_text(e.spent), "allowed": amount_text(e.allowed)},
    ),
}


class LogSink:
    """An event sink that writes log lines, by default to the logger "flujo" of Python's `logging`.

    Each line has the fields `run_id` and `path`. No line is put together that nobody hears.
    """

    def __init__(self, logger: Logger | None = None) -> None:
        self._logger = logger or Logger(None)

    def handle(self, event: events.Event, /) -> None:
        """Write the line for `event`."""
        line = LOG_LINES.get(type(event))
        if line is None or not self._logger.hears(line.level):
            return
        path = event._asdict().get("path")
        if path != "":  # that of the pipeline itself, of which the run tells
            self._logger.log(line.level, line.words, run_id=event.run_id or None, path=path, **line.tell(event))
