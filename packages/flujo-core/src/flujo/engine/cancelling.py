"""Steps that are cancelled while they are at work."""

import asyncio
from typing import Any

from flujo.domain.outcomes import ErrorInfo, Failure, StepOutcome
from flujo.engine.recall import abandoned, finished
from flujo.engine.shield import undisturbed
from flujo.engine.work import Work, note_owed, result_of

__all__ = ["cancelled", "is_cancellation"]


def is_cancellation(error: BaseException) -> bool:
    """Whether somebody cancels the work, rather than the step having raised `CancelledError` by itself."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)


async def cancelled(work: Work, error: BaseException) -> None:
    """Say what a step came to that was cancelled while it was at work: by whom, if the canceller told. Of any other
    `error` its run is let go of.

    What it owes is written down before the cancellation goes on. One that had come to its end has its own line.
    """
    frame, run = work.frame, work.frame.run
    if not isinstance(error, asyncio.CancelledError):
        abandoned(frame, error)
        return
    owed = run.tally.owed(frame.path)
    outcome: StepOutcome[Any] = work.outcome or Failure(error, usage=owed)
    work.duration_s = run.clock.monotonic() - work.started
    result = result_of(work, outcome)
    if work.outcome is None:
        line = ErrorInfo("Cancelled", str(error) or "cancelled", path=frame.path)
        result = result._replace(error=line)
        await undisturbed(note_owed(work, line, owed))
    finished(frame, outcome, result)
