"""What a run came to, from what its pipeline and its background steps came to."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from flujo.domain.context import PipelineContext
from flujo.domain.events import BackgroundFinished
from flujo.domain.interfaces import RunRow
from flujo.domain.outcomes import (
    Aborted,
    ErrorInfo,
    Failure,
    Paused,
    PendingAnswer,
    PipelineResult,
    RunStatus,
    StepOutcome,
    StepResult,
    Success,
)
from flujo.domain.usage import Usage
from flujo.engine.background_task_manager import BackgroundTaskManager
from flujo.engine.frame import RunScope
from flujo.engine.retry import tolerable
from flujo.engine.step_history_tracker import StepHistoryTracker
from flujo.exceptions import ContextMutationError, RunOwnedElsewhere, StateProviderError

__all__ = ["Ending", "Progress", "cut_off", "ended", "taken_over", "unsaved", "with_questions"]


class Progress(NamedTuple):
    """What a run has come to so far, while it is at work: its steps, and those in the background.

    `is_let_go` tells whether somebody outside of the run has cancelled all of it.
    """

    history: StepHistoryTracker
    background: BackgroundTaskManager
    is_let_go: Callable[[], bool]

    @classmethod
    def begin(cls, is_let_go: Callable[[], bool] = bool) -> "Progress":
        """Nothing yet."""
        return cls(StepHistoryTracker(), BackgroundTaskManager(), is_let_go)


class Ending(NamedTuple):
    """What a pipeline came to, and its background steps; `total` is what all has used, where it is known."""

    outcome: StepOutcome[Any]
    background: tuple[StepResult[Any], ...]
    total: Usage | None = None

    @classmethod
    def of(cls, outcome: StepOutcome[Any], background: Sequence[StepOutcome[Any]]) -> "Ending":
        """A background step that the budget stopped has stopped the run; one in doubt has failed it."""
        ends = (each for each in background if isinstance(each, Aborted | Failure) and not tolerable(each))
        if isinstance(outcome, Success) and (first := next(ends, None)) is not None:
            root, line = outcome.step_result, first.step_result
            if root is not None and line is not None and isinstance(first, Failure):
                root = root._replace(success=False, error=line.error)
            outcome = first._replace(usage=outcome.usage, step_result=root)
        return cls(outcome, tuple(each.step_result for each in background if each.step_result is not None))

    @classmethod
    def cancelled(cls, progress: Progress, usage: Usage) -> "Ending":
        """What a run came to that somebody has cancelled: what is finished stays recorded. `usage` is of everything."""
        root: StepResult[Any] = StepResult("", False, children=progress.history.results)
        return cls(Aborted("the run was cancelled", usage, step_result=root), progress.background.lines.results, usage)

    @property
    def usage(self) -> Usage:
        """What everything has used."""
        if self.total is not None:
            return self.total
        return sum((result.usage for result in self.background), self.outcome.usage)

    def result(self, run_id: str, context: PipelineContext, duration_s: float) -> PipelineResult[Any, Any]:
        """What the run came to."""
        outcome, root = self.outcome, self.outcome.step_result
        status, error = _status(outcome)
        return PipelineResult(
            run_id=run_id,
            status=status,
            output=outcome.value if isinstance(outcome, Success) else None,
            final_pipeline_context=context,
            step_history=root.children if root else (),
            usage=self.usage,
            error=error,
            duration_s=duration_s,
            exception=outcome.error if isinstance(outcome, Failure | Aborted) else None,
            background=self.background,
        )


def unsaved(result: PipelineResult[Any, Any], error: StateProviderError) -> PipelineResult[Any, Any]:
    """The result of a run whose fields could not be saved: it has failed. An error of its own stays, and says so."""
    own = result.error
    if own is None or result.status is RunStatus.PAUSED:
        failed = ErrorInfo.of(error)
        return result._replace(status=RunStatus.FAILED, output=None, error=failed, exception=error)
    if result.exception is not None:
        result.exception.add_note(str(error))
    return result._replace(error=own._replace(message=f"{own.message}; then {error}"))


def _status(outcome: StepOutcome[Any]) -> tuple[RunStatus, ErrorInfo | None]:
    match outcome:
        case Success():
            return RunStatus.COMPLETED, None
        case Failure(error=error):
            return RunStatus.FAILED, _deepest(outcome) or ErrorInfo.of(error)
        case Paused(message=message):
            return RunStatus.PAUSED, ErrorInfo("Paused", message)
        case Aborted(reason=reason, error=error):
            ended = ErrorInfo("Aborted", reason)
            return (RunStatus.STOPPED, ErrorInfo.of(error)) if error else (RunStatus.CANCELLED, ended)


def _deepest(failure: Failure[Any]) -> ErrorInfo | None:
    """The step's error with the path of the step that it comes from, rather than its parents'.

    Steps before a successful one may have failed with the same words, and been gone on from: it is one after them, if
    there is any.
    """
    result = failure.step_result
    while result is not None and result.error is not None:
        told, children = result.error[:2], result.children
        after = 1 + max((number for number, each in enumerate(children) if each.success), default=-1)
        failed = (each for each in (*children[after:], *children) if not each.success)
        below = next((each for each in failed if each.error is not None and each.error[:2] == told), None)
        if below is None:
            return result.error
        result = below
    return None


async def ended(run: RunScope, context: PipelineContext, outcome: StepOutcome[Any]) -> Ending:
    """What the run has come to, now that its background steps have ended; in strict mode none changed its context."""
    names = " or ".join(map(repr, run.background.at_work))
    if not names:
        return Ending.of(outcome, await run.background.drain())
    if run.clock.monotonic() >= run.watch.due:
        await run.watch.look()
    held = run.contexts.held(context, purpose=f"background step {names}")
    drained = await run.background.drain()
    try:
        run.contexts.verify(held)
    except ContextMutationError as error:
        outcome = Failure(error, usage=outcome.usage, step_result=outcome.step_result)
    return Ending.of(outcome, drained)


async def cut_off(run: RunScope) -> None:
    """Cancel the background steps that are still at work, and tell whoever listens, unless the run is let go of."""
    for line in await run.background.cancel():
        if run.events.active and not run.is_let_go():
            run.events.emit(BackgroundFinished(run.run_id, line.path, line))


def with_questions(result: PipelineResult[Any, Any], pending: tuple[PendingAnswer, ...]) -> PipelineResult[Any, Any]:
    """The result with the open questions: to wait for them is no error."""
    waits = pending and result.status is RunStatus.PAUSED
    return result._replace(pending=pending, error=None if waits else result.error)


def taken_over(row: RunRow) -> RunOwnedElsewhere:
    """The error of a run that is another owner's now."""
    error = RunOwnedElsewhere(
        f"run {row.run_id!r} was taken over by {row.owner or 'a process that has let go of it since'}",
        suggestion="leave it to that process: nothing more is recorded here",
    )
    error.run_id = row.run_id
    return error
