"""The one way to run a step, and the only place that knows the order of concerns.

recall -> input -> fallback( retry( timeout( policy ))) -> record -> events
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from flujo.domain.events import StepFinished, StepRetried, StepStarted
from flujo.domain.interfaces import JournalRecord, RecordKind, TemplateCompiler
from flujo.domain.outcomes import Aborted, ErrorInfo, Failure, Paused, StepOutcome, StepResult, Success
from flujo.domain.scope import Scope
from flujo.domain.steps import Step
from flujo.domain.usage import NO_USAGE, Usage
from flujo.engine.changes import Change, Snapshot, apply, change, merge_output, restore, sink, snapshot
from flujo.engine.fallback_handler import FallbackHandler
from flujo.engine.frame import ExecutionFrame
from flujo.engine.journal import Recorded
from flujo.engine.plan import StepPlan, plan_step
from flujo.engine.policy_registry import PolicyRegistry
from flujo.engine.retry import retry_delay
from flujo.exceptions import (
    ConfigurationError,
    ContextError,
    ControlFlowError,
    ExecutionError,
    InfiniteFallbackError,
    PausedException,
    PayloadTooLarge,
    PipelineAbortSignal,
    StepTimeoutError,
    ValueNotStorable,
)

__all__ = ["ExecutorCore"]

#: A wait from which on a failed attempt is worth a record: a crash during it must not forget the attempt.
_LONG_WAIT_S = 1.0

#: So many levels of steps share a task: the next ones have a stack of their own, which Python limits.
_LEVELS = 32


@dataclass(slots=True)
class _Work:
    """One step while it is being worked on."""

    frame: ExecutionFrame
    plan: StepPlan
    started: float
    duration_s: float = 0.0
    attempt: int = 1
    rendered: bool = False
    before: Snapshot | None = None
    written: set[str] | None = None
    usage: Usage = NO_USAGE
    error: ErrorInfo | None = None
    fallback: str | None = None


class ExecutorCore:
    """Runs steps by the policies of a registry. Holds nothing of any one run: frames carry that."""

    def __init__(
        self,
        *,
        policy_registry: PolicyRegistry,
        templates: TemplateCompiler | None = None,
        fallback_handler: FallbackHandler | None = None,
    ) -> None:
        self._registry = policy_registry
        self._templates = templates
        self._fallbacks = fallback_handler or FallbackHandler()
        self._plans: dict[Step[Any, Any], StepPlan] = {}

    def prepare(self, step: Step[Any, Any]) -> None:
        """Plan `step` and every step under it, so that what can't run is found before anything does.

        Raises `MissingPolicyError` for a type of step that no policy runs, and `TemplateResolutionError`.
        """
        for each in step.walk():
            if each not in self._plans:
                self._plans[each] = self._plan(each)

    def _plan(self, step: Step[Any, Any]) -> StepPlan:
        return plan_step(step, self._registry.require(step), self._templates)

    def render(self, template: Any, scope: Scope, /) -> Any:
        """The value of a template; see `StepExecutor.render`."""
        return self._language().compile(template).render(scope)

    def evaluate(self, expression: str, scope: Scope, /) -> Any:
        """The value of an expression; see `StepExecutor.evaluate`."""
        return self._language().compile_expression(expression).render(scope)

    def _language(self) -> TemplateCompiler:
        if self._templates is None:
            raise ConfigurationError(
                "a step has a template or an expression, but the engine was given no template compiler",
                suggestion="pass ExecutorCore(templates=flujo.infra.templates.Templates())",
            )
        return self._templates

    async def execute(self, frame: ExecutionFrame, /) -> StepOutcome[Any]:
        """Run the frame's step and everything that belongs to it; see `StepExecutor.execute`."""
        plan = self._plans.get(frame.step) or self._plan(frame.step)
        run = frame.run
        if plan.records:
            recorded = run.journal.recall(frame.path)
            if recorded is not None:
                return _recalled(frame, recorded)
        now = run.clock.monotonic()
        if now >= run.pulse.due:
            await run.pulse.beat(now)
        if run.events.active:
            run.events.emit(StepStarted(run.run_id, frame.path, frame.step.name, frame.step.kind))
        work = _Work(frame, plan, now)
        working = self._attempt(work) if plan.direct else self._guarded(work)
        outcome = await (working if frame.level % _LEVELS else asyncio.ensure_future(working))
        work.duration_s = run.clock.monotonic() - work.started
        if type(outcome) is Success and (plan.records or plan.writes):
            outcome = await self._settle(work, outcome)
        if type(outcome) is Failure and plan.records:
            await self._note_failure(work, outcome, final=True)
        return _finished(work, outcome)

    async def _guarded(self, work: _Work) -> StepOutcome[Any]:
        """Run the step's attempts, then its fallback when they have all failed; then let it write to the context."""
        if work.plan.guards:
            work.before = snapshot(work.frame.context)
        fallback = work.frame.step.fallback
        if fallback is None:
            return await self._attempts(work)
        primary = _gave_up_before(work, fallback) or await self._attempts(work)
        if not isinstance(primary, Failure) or isinstance(primary.error, ControlFlowError):
            return primary
        return await self._fall_back(work, primary, fallback)

    async def _fall_back(self, work: _Work, primary: Failure[Any], fallback: Step[Any, Any]) -> StepOutcome[Any]:
        """Run the fallback with the primary's data; the outcome keeps the primary's error and cost."""
        try:
            frame = self._fallbacks.frame(work.frame, fallback)
        except InfiniteFallbackError as error:
            return Failure(error, usage=primary.usage, children=primary.children)
        outcome = await self.execute(frame)
        usage = primary.usage + outcome.usage
        children = (*primary.children, *_results(outcome))
        if isinstance(outcome, Failure):
            first, second = ErrorInfo.of(primary.error), ErrorInfo.of(outcome.error)
            both = f"{first.message}; then fallback {fallback.name!r}: {outcome.feedback or second.message}"
            return Failure(outcome.error, both, usage, children)
        work.error = ErrorInfo.of(primary.error, work.frame.path)
        work.fallback = fallback.name
        return outcome._replace(usage=usage, children=children)

    async def _attempts(self, work: _Work) -> StepOutcome[Any]:
        """Attempt the step until it is through, or until its configuration says that it is enough."""
        run, config, path = work.frame.run, work.frame.step.config, work.frame.path
        used = run.journal.retries_used(path)
        while True:
            work.attempt = used + 1
            outcome = await self._attempt(work)
            if not isinstance(outcome, Failure):
                return outcome
            if work.before is not None:
                restore(work.frame.context, work.before)
            used += 1
            delay = retry_delay(config, used, outcome.error, f"{run.run_id}|{path}")
            if delay is None:
                return outcome
            await self._wait(work, outcome, delay)

    async def _wait(self, work: _Work, failed: Failure[Any], delay: float) -> None:
        """Tell and, where a crash must not forget it, record that an attempt failed; then wait for the next."""
        run = work.frame.run
        work.usage += failed.usage
        if run.events.active:
            error = ErrorInfo.of(failed.error, work.frame.path)
            run.events.emit(StepRetried(run.run_id, work.frame.path, work.attempt, error, delay))
        if work.plan.records and (failed.usage is not NO_USAGE or delay >= _LONG_WAIT_S):
            await self._note_failure(work, failed, final=False)
        if delay:
            await run.clock.sleep(delay)

    async def _attempt(self, work: _Work) -> StepOutcome[Any]:
        """Call the policy once. Here, and only here, what user code raises becomes an outcome."""
        frame, plan = work.frame, work.plan
        try:
            if plan.direct:
                return _checked(await plan.policy.execute(self, frame), plan)
            if plan.render is not None and not work.rendered:
                work.frame, work.rendered = frame.with_data(plan.render(frame.scope())), True
            return await self._timed(work)
        except PausedException as signal:
            return Paused(str(signal))
        except PipelineAbortSignal as signal:
            return Aborted(str(signal))
        except (KeyboardInterrupt, GeneratorExit):
            raise  # these come from outside: the process or the loop is about to end
        except BaseException as error:  # the boundary: a step may raise anything
            if error is frame.run.journal.failure or _is_cancellation(error):
                raise
            return Failure(error)

    async def _timed(self, work: _Work) -> StepOutcome[Any]:
        """Call the policy within the step's time, then put its output where the context should have it."""
        plan, step = work.plan, work.frame.step
        frame = work.frame if work.attempt == 1 else work.frame.at_attempt(work.attempt)
        limit = asyncio.timeout(step.config.timeout_s)
        try:
            async with limit:
                return _checked(await plan.policy.execute(self, frame), plan)
        except TimeoutError as error:
            if not limit.expired():
                raise
            still = ", and its thread is still at work" if step.blocking else ""
            raise StepTimeoutError(
                f"step {step.name!r} took longer than {step.config.timeout_s} s{still}",
                suggestion="raise timeout_s, or let the step do less at once",
                cause=error,
            ) from error

    async def _settle(self, work: _Work, outcome: Success[Any]) -> StepOutcome[Any]:
        """Let the output into the context, and write both down; a value that can't be written fails the step."""
        plan = work.plan
        try:
            delta = _write_context(work, outcome.value) if plan.writes or plan.watches else None
            if plan.records:
                await self._record(work, outcome, delta)
        except (ContextError, ValueNotStorable, PayloadTooLarge) as error:
            if work.before is not None:
                restore(work.frame.context, work.before, work.written)
            return Failure(error, usage=outcome.usage, children=outcome.children)
        return outcome

    async def _record(self, work: _Work, outcome: Success[Any], delta: Change | None) -> None:
        path, journal = work.frame.path, work.frame.run.journal
        now = work.frame.run.clock.now()
        await journal.record(
            JournalRecord(
                path,
                RecordKind.RESULT,
                work.attempt,
                journal.encoded(outcome.value, path),
                None if delta is None else journal.encoded(delta, f"{path} (context)"),
                work.error,
                work.fallback,
                work.usage + outcome.usage,
                work.plan.fingerprint,
                now - work.duration_s,
                now,
                work.plan.sync,
            )
        )

    async def _note_failure(self, work: _Work, failed: Failure[Any], *, final: bool) -> None:
        run = work.frame.run
        now = run.clock.now()
        await run.journal.record_attempt(
            work.frame.path,
            ErrorInfo.of(failed.error, work.frame.path),
            final=final,
            usage=failed.usage,
            started_at=now - (run.clock.monotonic() - work.started),
            ended_at=now,
        )


def _is_cancellation(error: BaseException) -> bool:
    """Whether somebody cancels the work, rather than the step having raised `CancelledError` by itself."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)


def _recalled(frame: ExecutionFrame, recorded: Recorded) -> StepOutcome[Any]:
    """Hand out what is recorded: the value is used, the context changed as it was then; nothing is executed."""
    if recorded.delta is not None:
        apply(frame.context, recorded.delta)
    record = recorded.record
    result: StepResult[Any] = StepResult(
        name=frame.step.name,
        output=recorded.value,
        path=frame.path,
        kind=frame.step.kind,
        attempts=record.attempt,
        duration_s=record.ended_at - record.started_at,
        usage=record.usage,
        error=record.error,
        recalled=True,
        fallback=record.fallback,
    )
    if frame.run.events.active:
        frame.run.events.emit(StepFinished(frame.run.run_id, frame.path, result))
    return Success(recorded.value, record.usage, (), result)


def _gave_up_before(work: _Work, fallback: Step[Any, Any]) -> Failure[Any] | None:
    """The primary's failure, when the record shows that its fallback has already taken over."""
    journal = work.frame.run.journal
    if not journal.knows(f"{work.frame.path}/fallback:{fallback.name}"):
        return None
    attempts = journal.attempts(work.frame.path)
    known = attempts[-1].error if attempts else None
    return Failure(ExecutionError(known.message if known else f"step {work.frame.step.name!r} failed before"))


def _checked(outcome: StepOutcome[Any], plan: StepPlan) -> StepOutcome[Any]:
    if isinstance(outcome, Success | Failure | Paused | Aborted):
        return outcome
    raise ExecutionError(
        f"{type(plan.policy).__name__} returned {type(outcome).__name__!r}, expected a step outcome",
        suggestion="a policy returns Success(value), Failure(error), Paused(message) or Aborted(reason)",
    )


def _write_context(work: _Work, value: Any) -> Change | None:
    """Put the output where `sink_to` and `updates_context` say; what the whole step changed, as data."""
    step, context = work.frame.step, work.frame.context
    if work.before is None:
        work.written = _written(step, value)
        work.before = snapshot(context, work.written)
    if step.sink_to is not None:
        sink(context, step.sink_to, value)
    if step.updates_context:
        merge_output(context, value, step.name)
    return change(work.before, context, work.written)


def _written(step: Step[Any, Any], value: Any) -> set[str]:
    """The context's fields that the step's output is about to change."""
    names = {step.sink_to.partition(".")[0]} if step.sink_to is not None else set()
    if step.updates_context:
        names.update(
            type(value).model_fields
            if isinstance(value, BaseModel)
            else map(str, value)
            if isinstance(value, Mapping)
            else ()
        )
    return names


def _results(outcome: StepOutcome[Any]) -> tuple[StepResult[Any], ...]:
    return () if outcome.step_result is None else (outcome.step_result,)


def _finished(work: _Work, outcome: StepOutcome[Any]) -> StepOutcome[Any]:
    """Describe what came of the step, tell whoever listens, and hand it on."""
    frame, run = work.frame, work.frame.run
    success = type(outcome) is Success
    usage = work.usage + outcome.usage
    error = ErrorInfo.of(outcome.error, frame.path) if type(outcome) is Failure else work.error
    result: StepResult[Any] = StepResult(
        frame.step.name,
        success,
        outcome.value if isinstance(outcome, Success) else None,
        frame.path,
        frame.step.kind,
        work.attempt,
        work.duration_s,
        usage,
        error,
        False,
        work.fallback,
        outcome.children,
    )
    if run.events.active:
        run.events.emit(StepFinished(run.run_id, frame.path, result))
    if isinstance(outcome, Success):
        return Success(outcome.value, usage, (), result)
    return outcome._replace(usage=usage, step_result=result)
