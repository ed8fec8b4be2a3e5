"""Steps that are cancelled while they are at work."""

import asyncio
from typing import Any

from flujo.domain.outcomes import ErrorInfo, Failure
from flujo.engine.changes import restore
from flujo.engine.frame import ExecutionFrame
from flujo.engine.shield import undisturbed
from flujo.engine.telling import tell_abandoned, tell_finished
from flujo.engine.work import Work, note_owed, result_of

__all__ = ["cancelled", "told_of"]


async def cancelled(work: Work, error: BaseException) -> None:
    """Say what a step came to that was cancelled while it was at work: by whom, if the canceller told. Where its whole
    run is let go of, as by any other `error`, it comes to no end.

    What it has changed in the context is taken back, and what it owes written down, before the cancellation goes on.
    One that had come to its end has its own line.
    """
    frame, run, outcome = work.frame, work.frame.run, work.outcome
    line = told_of(error, frame.path)
    if outcome is None and work.before is not None and work.plan.watches:
        restore(frame.context, work.before)
    if not isinstance(error, asyncio.CancelledError):
        tell_abandoned(frame, line)
        return
    work.duration_s = run.clock.monotonic() - work.started
    if outcome is None:
        owed = run.tally.owed(frame.path)
        await undisturbed(note_owed(work, line, owed))
        if _is_let_go(frame):
            tell_abandoned(frame, line)
            return
        failure: Failure[Any] = Failure(error, usage=owed)
        result = result_of(work, failure)._replace(error=line)
        tell_finished(frame, failure._replace(step_result=result), result)
    else:
        tell_finished(frame, outcome, result_of(work, outcome))


def told_of(error: BaseException, path: str = "") -> ErrorInfo:
    """What is said of what a step or a run was ended by: of a cancellation, by whom, if the canceller told."""
    if isinstance(error, asyncio.CancelledError):
        return ErrorInfo("Cancelled", str(error) or "cancelled", path=path)
    return ErrorInfo.of(error, path)


def _is_let_go(frame: ExecutionFrame) -> bool:
    """Whether the whole run ends here, where it can be resumed, and not the step alone or what it stands in."""
    run = frame.run
    return run.journal.failure is not None or (run.is_let_go() and not any(limit.expired() for limit in frame.limits))
