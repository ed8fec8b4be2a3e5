"""What is known of a step before it runs: its recorded result, or how it ended in a run that has ended."""

from typing import Any, NoReturn

from flujo.domain.events import StepAbandoned, StepFinished
from flujo.domain.outcomes import ErrorInfo, Failure, RecordedError, StepOutcome, StepResult, Success
from flujo.domain.tuples import tuple_of
from flujo.domain.usage import NO_USAGE, Usage
from flujo.engine.changes import apply, sink, unshared
from flujo.engine.frame import ExecutionFrame
from flujo.engine.plan import StepPlan
from flujo.engine.recorded import calls_in
from flujo.exceptions import ContextFieldError, DefinitionChanged, ExecutionError

__all__ = ["NeverEnded", "abandoned", "accounted", "ended", "filed", "finished", "passed", "recalled"]

_AS_IT_WAS = "put the pipeline back as it was"


class NeverEnded(ExecutionError):
    """Nothing is recorded of a step, and its run has ended: a sibling's failure or a time limit has cancelled it."""


def filed(frame: ExecutionFrame, outcome: StepOutcome[Any], result: StepResult[Any]) -> StepOutcome[Any]:
    """The outcome, now that its line stands in the history it belongs to."""
    if frame.siblings is not None:
        frame.siblings[frame.path] = result
    return outcome


def finished(frame: ExecutionFrame, outcome: StepOutcome[Any], result: StepResult[Any]) -> StepOutcome[Any]:
    """The outcome, `filed`, and told to whoever listens: with a copy of the output, which the next steps may change."""
    events = frame.run.events
    if events.active:
        told = outcome._replace(value=result.output) if type(outcome) is Success else outcome
        events.emit(StepFinished(frame.run.run_id, frame.path, result, told))
    return filed(frame, outcome, result)


def abandoned(frame: ExecutionFrame, error: ErrorInfo) -> None:
    """Tell whoever listens that the step comes to no end: its run is let go of because of `error`."""
    if frame.run.events.active:
        frame.run.events.emit(StepAbandoned(frame.run.run_id, frame.path, error))


def recalled(frame: ExecutionFrame, plan: StepPlan, parts: tuple[StepResult[Any], ...] = ()) -> StepOutcome[Any] | None:
    """Hand out what is recorded: the value is used, the context changed as it was then; nothing is executed.

    `parts` are the lines of the steps that had a part in it.
    """
    run, step, path = frame.run, frame.step, frame.path
    journal = run.journal
    recorded = journal.recall(path, frame.item)
    if recorded is None:
        return None
    value, delta, record = recorded
    _, _, attempt, _, _, error, fallback, usage, signed, started_at, ended_at, _ = record
    if signed and not signed.startswith(plan.fingerprint):
        _refuse(frame, f"{path!r} is another step now", path)
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
    return finished(frame, outcome, result) if run.events.active else filed(frame, outcome, result)


def _refuse(frame: ExecutionFrame, what: str, path: str, advice: str = _AS_IT_WAS) -> NoReturn:
    """Raise `DefinitionChanged`, which ends the run and has the `path` of what does not fit."""
    try:
        frame.run.journal.refuse(what, advice)
    except DefinitionChanged as error:
        error.path = path
        raise


def _put(frame: ExecutionFrame, answer: Any) -> None:
    """Put an answer where `sink_to` says now: it may say something else than when the answer was recorded."""
    assert frame.step.sink_to is not None
    try:
        sink(frame.context, frame.step.sink_to, answer)
    except ContextFieldError as error:
        what = f"the answer to {frame.path!r} can't be put at {frame.step.sink_to!r}: {error.message}"
        _refuse(frame, what, frame.path, "let sink_to name a place that there is")


def accounted(frame: ExecutionFrame, outcome: StepOutcome[Any]) -> None:
    """Look, in a run that goes on with another pipeline, whether what is recorded of a step's parts was used.

    A part that has not succeeded owes nothing. What has is looked at where little is lost by breaking off: at the end
    of the pipeline and of its own steps.
    """
    tracker = frame.run.journal.tracker
    if tracker is None or not frame.step.holds_steps:
        return
    if type(outcome) is not Success:
        tracker.reach(frame.path)
    elif frame.level <= 2 and (unused := tracker.unused(frame.path)) is not None:
        _refuse(frame, f"the result of {unused!r} would not be used any more", unused)


def passed(frame: ExecutionFrame, at: str = "") -> None:
    """Note that nothing recorded under the step's path, or its part `at`, is waited for: something is in its place."""
    if frame.run.journal.tracker is not None:
        frame.run.journal.tracker.reach(frame.path + at)


def ended(frame: ExecutionFrame, plan: StepPlan) -> Failure[Any] | None:
    """What a step without a result came to in a run that has ended; None for one whose children keep the record."""
    if not plan.records and frame.run.journal.failed(frame.path) is None:
        return None
    error, result = _ended_result(frame)
    outcome: Failure[Any] = Failure(error, usage=result.usage, step_result=result)
    finished(frame, outcome, result)
    return outcome


def _ended_result(frame: ExecutionFrame) -> tuple[ExecutionError, StepResult[Any]]:
    """What a step failed with in a run that has ended, and its line: it is not tried again."""
    path = frame.path
    failed = frame.run.journal.failed(path)
    error: ExecutionError = NeverEnded(f"step {frame.step.name!r} was cancelled before it had a result")
    told = ErrorInfo.of(error, path)
    if failed is not None and failed.error is not None:
        told = failed.error
        error = RecordedError(told)
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


def _spent(frame: ExecutionFrame, fell_back: bool) -> Usage:
    """What the step's failed attempts have used, and the steps under it."""
    journal = frame.run.journal
    usage = journal.spent_on(frame.path)
    return usage + journal.spent_under(frame.path) if fell_back or frame.step.holds_steps else usage
