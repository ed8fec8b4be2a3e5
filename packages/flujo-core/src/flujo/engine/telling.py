"""Telling what became of a step: in the history that it belongs to, and to whoever listens."""

from typing import Any

from flujo.domain.events import StepAbandoned, StepFinished
from flujo.domain.outcomes import ErrorInfo, StepOutcome, StepResult, Success
from flujo.engine.frame import ExecutionFrame, RunScope

__all__ = ["enter", "in_step", "tell_abandoned", "tell_finished"]


def enter(frame: ExecutionFrame, outcome: StepOutcome[Any], result: StepResult[Any]) -> StepOutcome[Any]:
    """Put the line into the history it belongs to; the outcome."""
    if frame.siblings is not None:
        frame.siblings[frame.path] = result
    return outcome


def tell_finished(frame: ExecutionFrame, outcome: StepOutcome[Any], result: StepResult[Any]) -> StepOutcome[Any]:
    """Tell whoever listens, with a copy of the output, which the next steps may change, and `enter` the line."""
    events = frame.run.events
    if events.active:
        told = outcome._replace(value=result.output) if type(outcome) is Success else outcome
        events.emit(StepFinished(frame.run.run_id, frame.path, result, told))
    if frame.siblings is not None:  # as `enter` does
        frame.siblings[frame.path] = result
    return outcome


def tell_abandoned(frame: ExecutionFrame, error: ErrorInfo) -> None:
    """Tell whoever listens that the step comes to no end: its run is let go of because of `error`."""
    if frame.run.events.active:
        frame.run.events.emit(StepAbandoned(frame.run.run_id, frame.path, error))


async def in_step(run: RunScope, outcome: StepOutcome[Any]) -> StepOutcome[Any]:
    """The outcome of a step, once a reader of the events has come nearer."""
    await run.events.room()
    return outcome
