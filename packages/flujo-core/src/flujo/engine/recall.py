"""What is known of a step before it runs: its recorded result, or how it ended in a run that has ended."""

from typing import Any

from flujo.domain.outcomes import ErrorInfo, Failure, RecordedError, StepOutcome, StepResult, Success
from flujo.domain.steps import Step
from flujo.domain.tuples import tuple_of
from flujo.domain.usage import NO_USAGE, Usage
from flujo.engine.changed import refuse
from flujo.engine.changes import apply, sink, unshared
from flujo.engine.frame import ExecutionFrame
from flujo.engine.plan import StepPlan
from flujo.engine.policy import StepExecutor
from flujo.engine.recorded import calls_in
from flujo.engine.retelling import launch_its_own
from flujo.engine.step_history_tracker import PlaceTaken
from flujo.engine.telling import enter, tell_finished
from flujo.exceptions import ContextFieldError, ExecutionError

__all__ = ["NeverEnded", "check_place", "ended", "recalled"]


class NeverEnded(ExecutionError):
    """Nothing is recorded of a step, and its run has ended: a sibling's failure or a time limit has cancelled it."""


def recalled(frame: ExecutionFrame, plan: StepPlan, parts: tuple[StepResult[Any], ...] = ()) -> StepOutcome[Any] | None:
    """Hand out what is recorded: the value is used, the context changed as it was then; nothing is executed.

    `parts` are the lines of the steps that had a part in it.
    """
    run, step, path = frame.run, frame.step, frame.path
    journal = run.journal
    recorded = journal.recall(path, frame.item)
    if recorded is None:
        return None
    check_place(frame)
    value, delta, record = recorded
    _, _, attempt, _, _, error, fallback, usage, signed, started_at, ended_at, _ = record
    if signed and not signed.startswith(plan.fingerprint):
        refuse(frame, f"{path!r} is another step now", path)
    if journal.tracker is not None:
        journal.tracker.reach(path)
    if delta is not None:
        apply(frame.context, delta)
    if step.asks and step.sink_to is not None:
        _put(frame, value)
    if plan.agent is not None:
        run.tally.note(plan.agent, path, usage.calls + calls_in(journal.attempts(path)))
    spent = _spent(frame, fallback is not None) if plan.parts else journal.spent_on(path)
    if spent is not NO_USAGE:
        usage += spent
    took, cached, told = ended_at - started_at, attempt == 0, error if fallback else None
    own, kind = unshared(value), step.kind
    line = (step.name, True, own, path, kind, attempt, took, usage, told, True, fallback, parts, cached, False)
    result: StepResult[Any] = tuple_of(StepResult, line)
    outcome = tuple_of(Success, (value, usage, (), result, False, None))
    return tell_finished(frame, outcome, result) if run.events.active else enter(frame, outcome, result)


def check_place(frame: ExecutionFrame) -> None:
    """Raise `PlaceTaken` for a step that has succeeded in this attempt of its parent: it would get that result, or
    leave one for another step."""
    lines = frame.siblings
    if lines and lines.get(frame.path) and lines.is_taken(frame.path):
        raise PlaceTaken(frame.step.name, frame.path, "what holds it")


def _put(frame: ExecutionFrame, answer: Any) -> None:
    """Put an answer where `sink_to` says now: it may say something else than when the answer was recorded."""
    assert frame.step.sink_to is not None
    try:
        sink(frame.context, frame.step.sink_to, answer)
    except ContextFieldError as error:
        what = f"the answer to {frame.path!r} can't be put at {frame.step.sink_to!r}: {error.message}"
        refuse(frame, what, frame.path, "let sink_to name a place that there is")


async def ended(core: StepExecutor, frame: ExecutionFrame, plan: StepPlan) -> Failure[Any] | None:
    """What a step without a result came to that is not tried again; None for one whose children keep the record.

    In a run that has ended no step is, and none that has failed where the run has gone on from.
    """
    journal = frame.run.journal
    if (frame.run.alive or journal.failed(frame.path) is None) and not (plan.records and journal.closed):
        return None
    await launch_its_own(core, frame, plan)
    error, result = _ended_result(frame)
    outcome: Failure[Any] = Failure(error, usage=result.usage, step_result=result)
    tell_finished(frame, outcome, result)
    return outcome


def _ended_result(frame: ExecutionFrame) -> tuple[ExecutionError, StepResult[Any]]:
    """What a step failed with in a run that has ended, and its line: it is not tried again."""
    path = frame.path
    failed = frame.run.journal.failed(path)
    error: ExecutionError = NeverEnded(f"step {frame.step.name!r} was cancelled before it had a result")
    told = ErrorInfo.of(error, path)
    if failed is not None and failed.error is not None:
        told = failed.error
        error = RecordedError(told._replace(message=_last_part(frame.step, told.message)))
    return error, StepResult(
        frame.step.name,
        False,
        path=path,
        kind=frame.step.kind,
        attempts=0 if failed is None else failed.attempt,
        usage=_spent(frame, frame.step.fallback is not None),
        error=told,
        recalled=True,
    )


def _last_part(step: Step[Any, Any], message: str) -> str:
    """What the last of the step's fallbacks failed with: the step's own line says what all of them did."""
    fallback = step.fallback
    while fallback is not None:
        message = message.partition(f"; then fallback {fallback.name!r}: ")[2] or message
        fallback = fallback.fallback
    return message


def _spent(frame: ExecutionFrame, fell_back: bool) -> Usage:
    """What the step's failed attempts have used, and the steps under it."""
    run, usage = frame.run, frame.run.journal.spent_on(frame.path)
    return usage + run.spent_under(frame.path) if fell_back or frame.step.holds_steps else usage
