"""One step while it is being worked on, and what is said of it afterwards."""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from pydantic import BaseModel

from flujo.domain.callables import reference
from flujo.domain.foreign import attempt
from flujo.domain.interfaces import CACHE_MISSED, JournalRecord, RecordKind
from flujo.domain.outcomes import Aborted, ErrorInfo, Failure, Paused, StepOutcome, StepResult, Success
from flujo.domain.scope import Scope
from flujo.domain.steps import Step
from flujo.domain.tuples import tuple_of
from flujo.domain.usage import NO_USAGE, Usage
from flujo.engine.changes import Change, Snapshot, change, merge_output, sink, snapshot, unshared
from flujo.engine.frame import ExecutionFrame
from flujo.engine.plan import StepPlan
from flujo.engine.shield import is_cancellation
from flujo.exceptions import ContextFieldError, ExecutionError, FlujoError, PipelineAbortSignal

__all__ = [
    "Work",
    "check_invariants",
    "is_answer_kept",
    "is_own_abort",
    "note_abort",
    "note_owed",
    "own_usage",
    "record_of",
    "render_again",
    "result_of",
    "times_of",
    "told",
    "validated",
    "write_context",
]

_RESULT = RecordKind.RESULT  # an enum's member takes its time to find


class Work:
    """One step at work: `usage` is what its failed attempts have used where no record counts it.

    `data` is what it began with, which no attempt has seen, where it may be needed again; `outcome` what it came to,
    `raised` what its last attempt did, which began at `tried_at`, unless it was the first.
    """

    # What most steps leave as it is costs nothing at each of them.
    duration_s: float = 0.0
    attempt: int = 1
    tried_at: float = float("-inf")
    begun: bool = False
    data: Any = None
    before: Snapshot | None = None
    written: set[str] | None = None
    error: ErrorInfo | None = None
    fallback: str | None = None
    outcome: StepOutcome[Any] | None = None
    raised: BaseException | None = None

    def __init__(self, frame: ExecutionFrame, plan: StepPlan, started: float, usage: Usage = NO_USAGE) -> None:
        self.frame = frame
        self.plan = plan
        self.started = started
        self.usage = usage

    def __enter__(self) -> None:
        """Call the step inside this block: here, and only here, what user code raises is kept, as `raised`."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Let through what is not the step's: what comes from outside, or ends the run, and a cancellation."""
        if error is None:
            return False
        if isinstance(error, KeyboardInterrupt | GeneratorExit) or error is self.frame.run.journal.failure:
            return False
        self.raised = None if is_cancellation(error) else error
        return self.raised is not None

    def take_data(self) -> None:
        """Hand the step its data, rendered once; from the second time on a copy of what it began with."""
        frame, plan = self.frame, self.plan
        if self.begun:
            self.frame = frame.with_data(unshared(self.data))
            return
        if plan.render is not None:
            self.frame = frame.with_data(unshared(plan.render(frame.scope())))
        if plan.retried:
            self.data = unshared(self.frame.data)
        self.begun = True


def render_again(work: Work) -> None:
    """Give the step the data that it had in a process before this one: where that failed, it kept what came to it."""
    render = work.plan.render
    if render is not None:
        with suppress(FlujoError):
            work.data = attempt(lambda: render(work.frame.scope()), lambda text, _: ExecutionError(text))
            work.frame, work.begun = work.frame.with_data(unshared(work.data)), True


def own_usage(outcome: StepOutcome[Any]) -> Usage:
    """What the policy has used by itself: nothing, where it hands on what a child came to."""
    return NO_USAGE if outcome.step_result is not None else outcome.usage


def result_of(work: Work, outcome: StepOutcome[Any]) -> StepResult[Any]:
    """The step's line of the history: with what it, its failed attempts and its children have used."""
    frame = work.frame
    usage = work.usage
    children: tuple[StepResult[Any], ...] = ()
    if outcome.usage is not NO_USAGE:
        usage += own_usage(outcome)
    cached = type(outcome) is Success and outcome.cached
    history = frame.history
    if history:
        children = history.results
        usage += history.usage
    line = (
        frame.step.name,
        type(outcome) is Success,
        unshared(outcome.value) if type(outcome) is Success else None,
        frame.path,
        frame.step.kind,
        0 if cached else work.attempt,
        work.duration_s,
        usage,
        told(work, outcome) if type(outcome) is Failure else work.error,
        False,
        work.fallback,
        children,
        cached,
        type(outcome) is Paused,
    )
    return tuple_of(StepResult, line)


def told(work: Work, failed: Failure[Any]) -> ErrorInfo:
    """What a failed step failed with, and in whose policy; after a fallback that failed too, what both failed with."""
    error, line = ErrorInfo.of(failed.error, work.frame.path), failed.step_result
    if line is None and work.plan.plugin is not None:
        error = error._replace(plugin=work.plan.plugin)
    elif line is not None and line.error is not None:  # the line is that of a part, whose failure is handed on
        error = error._replace(plugin=line.error.plugin)
    return error if work.error is None or failed.feedback is None else error._replace(message=failed.feedback)


def record_of(work: Work, outcome: Success[Any], delta: Change | None) -> JournalRecord:
    """The record of the step's result, its values as the journal holds them."""
    path, journal, item = work.frame.path, work.frame.run.journal, work.frame.item
    now = work.frame.run.clock.now()
    record = (
        path,
        _RESULT,
        0 if outcome.cached else work.attempt,
        journal.encoded(outcome.value, f"the output of step {path!r}"),
        None if delta is None else journal.encoded(delta, f"what step {path!r} changed in the context"),
        work.error if outcome.missed is None else ErrorInfo(CACHE_MISSED, ", ".join(outcome.missed), path=path),
        work.fallback,
        NO_USAGE if outcome.usage is NO_USAGE else own_usage(outcome),
        work.plan.fingerprint if item is None else work.plan.fingerprint + item.digest,
        now - work.duration_s,
        now,
        work.plan.sync,
    )
    return tuple_of(JournalRecord, record)


def is_answer_kept(work: Work, failed: Failure[Any]) -> bool:
    """Whether the answer to a question stands although its step failed: `sink_to` leads nowhere, whatever it says."""
    error = failed.error
    return work.frame.step.asks and isinstance(error, ContextFieldError) and error.__cause__ is None


def is_own_abort(outcome: StepOutcome[Any], work: Work) -> bool:
    """Whether the step has asked for the run's end by itself, rather than handing on what a part or fallback did."""
    if not isinstance(outcome, Aborted) or outcome.error is not None:
        return False
    return outcome.step_result is None and work.fallback is None


async def note_abort(work: Work, outcome: Aborted[Any]) -> None:
    """Write down that the step has asked for the run's end by itself, if it has, and what it used: it is no try."""
    if is_own_abort(outcome, work):
        line = ErrorInfo("Aborted", outcome.reason, PipelineAbortSignal.default_code, path=work.frame.path)
        await _note_untried(work, line, outcome.usage)


async def note_owed(work: Work, line: ErrorInfo, owed: Usage) -> None:
    """Write down what an attempt has used that came to no end of its own, if anything: it is no try."""
    if owed is not NO_USAGE:
        await _note_untried(work, line, owed)


async def _note_untried(work: Work, line: ErrorInfo, used: Usage) -> None:
    began, now = times_of(work)
    await work.frame.run.journal.record_attempt(
        work.frame.path, line, cancelled=True, usage=used, started_at=began, ended_at=now
    )


def times_of(work: Work) -> tuple[float, float]:
    """When the step's last attempt began, and now, in seconds since the epoch."""
    clock = work.frame.run.clock
    now = clock.now()
    return now - (clock.monotonic() - max(work.started, work.tried_at)), now


def write_context(work: Work, value: Any) -> Change | None:
    """Put the output where `sink_to` and `updates_context` say; what the whole step changed, as data."""
    step, context = work.frame.step, work.frame.context
    if work.before is None:
        work.written = _written(step, value)
        work.before = snapshot(context, work.written)
    if step.sink_to is not None:
        sink(context, step.sink_to, value)
    if step.merges_output:
        merge_output(context, value, step.name)
    return change(work.before, context, work.written)


def _written(step: Step[Any, Any], value: Any) -> set[str]:
    """The context's fields that the step's output is about to change."""
    names = {step.sink_to.partition(".")[0]} if step.sink_to is not None else set()
    if step.merges_output and isinstance(value, BaseModel):
        names.update(type(value).model_fields)
    elif step.merges_output and isinstance(value, Mapping):
        names.update(map(str, value))
    return names


def check_invariants(frame: ExecutionFrame, value: Any) -> None:
    """Raise `ExecutionError` for the first expression that no longer holds, now that the step gave `value`."""
    scope = Scope(value, frame.outputs, frame.context, frame.run.input, {**frame.extras, "output": value})
    for text, expression in frame.invariants:
        if not expression.render(scope):
            raise ExecutionError(
                f"step {frame.step.name!r} breaks the invariant {text!r}",
                suggestion="find out why it no longer holds, or change static_invariants",
            )


async def validated(frame: ExecutionFrame, outcome: StepOutcome[Any]) -> StepOutcome[Any]:
    """The outcome, or a failure that says which validator refuses the output, and why."""
    if not isinstance(outcome, Success):
        return outcome
    with frame.run.tally.owing(frame.path, own_usage(outcome)):
        return await _judged(frame.step, outcome)


async def _judged(step: Step[Any, Any], outcome: Success[Any]) -> StepOutcome[Any]:
    for validator in step.validators:
        verdict = validator(outcome.value)
        if inspect.isawaitable(verdict):
            verdict = await verdict
        if verdict is False or isinstance(verdict, str):
            name = reference(validator)
            why = f": {verdict}" if verdict else ""
            error = ExecutionError(f"validator {name!r} refuses the output of step {step.name!r}{why}")
            return Failure(error, verdict or error.message, own_usage(outcome))
    return outcome
