"""The one way to run a step, and the only place that knows the order of concerns.

background -> recall -> input -> fallback( retry( timeout( policy ))) -> record -> events
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from flujo.domain.events import BackgroundFinished, BackgroundLaunched, StepRetried, StepStarted
from flujo.domain.interfaces import TemplateCompiler
from flujo.domain.outcomes import Aborted, ErrorInfo, Failure, Paused, StepOutcome, StepResult, Success
from flujo.domain.scope import Scope
from flujo.domain.steps import Step
from flujo.domain.tuples import tuple_of
from flujo.domain.usage import NO_USAGE, Usage
from flujo.engine.cancelling import cancelled, told_of
from flujo.engine.changed import check_used, pass_over
from flujo.engine.changes import restore, snapshot, unshared
from flujo.engine.fallback_handler import FallbackHandler
from flujo.engine.frame import ExecutionFrame
from flujo.engine.plan import StepPlan, names_read, plan_step
from flujo.engine.policy_registry import PolicyRegistry
from flujo.engine.recall import check_place, ended, recalled
from flujo.engine.retelling import launch_its_own, parts_of
from flujo.engine.retry import SIGNALS, retry_delay
from flujo.engine.step_history_tracker import StepHistoryTracker
from flujo.engine.step_run import paused
from flujo.engine.telling import enter, in_step, tell_finished
from flujo.engine.work import (
    Work,
    check_invariants,
    is_answer_kept,
    note_abort,
    note_owed,
    own_usage,
    record_of,
    render_again,
    result_of,
    times_of,
    told,
    validated,
    write_context,
)
from flujo.exceptions import (
    BackgroundTaskError,
    ConfigurationError,
    ContextError,
    ContextIsolationError,
    ExecutionError,
    PausedException,
    PayloadTooLarge,
    PipelineAbortSignal,
    StepTimeoutError,
    TemplateResolutionError,
    UsageLimitExceededError,
    ValueNotStorable,
)

__all__ = ["ExecutorCore"]

#: So many levels of steps share a task: the next ones have a stack of their own, which Python limits.
_LEVELS = 32


class ExecutorCore:
    """Runs steps by the policies of a registry. Holds nothing of any one run: frames carry that.

    A subclass, as the replay's, may do otherwise in these places only: `_launch` (of a background step), `_run` (a
    step, from what is known of it to its end), `_guarded` (its attempts, then its fallback), `_attempts`, `_timed` (one
    attempt: policy and validators), `_limit` (how long that may take), `_settle` (what it gives goes into the context)
    and `_finish` (its end). It shares what another core has prepared: `ExecutorCore(**core.parts())`.
    """

    def __init__(
        self,
        *,
        policy_registry: PolicyRegistry,
        templates: TemplateCompiler | None = None,
        plans: dict[Step[Any, Any], StepPlan] | None = None,
    ) -> None:
        self._registry = policy_registry
        self._templates = templates
        self._plans = {} if plans is None else plans
        self._fallbacks = FallbackHandler()

    def parts(self) -> dict[str, Any]:
        """What it is made of, by the names of the arguments that make it."""
        return {"policy_registry": self._registry, "templates": self._templates, "plans": self._plans}

    def prepare(self, step: Step[Any, Any]) -> None:
        """Plan `step` and every step under it, so that what can't run is found before anything does.

        Raises `MissingPolicyError` for a type of step that no policy runs, `TemplateResolutionError`, and what a
        policy's `prepare` raises.
        """
        for each in step.walk():
            if each not in self._plans:
                self._plans[each] = self._plan(each)

    def _plan(self, step: Step[Any, Any]) -> StepPlan:
        policy = self._registry.require(step)
        policy.prepare(step)
        return replace(plan_step(step, policy, self._templates), plugin=self._registry.plugin_of(step))

    def with_fingerprint(self, fingerprint: bytes) -> Step[Any, Any] | None:
        """The prepared step whose record begins with this fingerprint, if there is one."""
        plans = ((step, plan.fingerprint) for step, plan in self._plans.items())
        return next((step for step, own in plans if own and fingerprint.startswith(own)), None)

    def render(self, template: Any, scope: Scope, /) -> Any:
        """The value of a template; see `StepExecutor.render`."""
        return self._language().compile(template).render(scope)

    def evaluate(self, expression: str, scope: Scope, /) -> Any:
        """The value of an expression; see `StepExecutor.evaluate`."""
        return self._language().compile_expression(expression).render(scope)

    def names(self, step: Step[Any, Any], /) -> frozenset[str]:
        """The names that the templates of a step read; see `StepExecutor.names`."""
        return names_read(step, self._language())

    def _language(self) -> TemplateCompiler:
        if self._templates is None:
            raise ConfigurationError(
                "a step has a template or an expression, but the engine was given no template compiler",
                suggestion="pass ExecutorCore(templates=flujo.infra.templates.Templates())",
            )
        return self._templates

    def execute(self, frame: ExecutionFrame, /) -> Coroutine[Any, Any, StepOutcome[Any]]:
        """Run the frame's step and everything that belongs to it; see `StepExecutor.execute`."""
        plan = self._plans.get(frame.step) or self._plan(frame.step)
        return self._launch(frame, plan) if plan.background else self._run(frame, plan)

    async def _launch(self, frame: ExecutionFrame, plan: StepPlan) -> StepOutcome[Any]:
        """Let the step work on a context of its own while the pipeline goes on with the step's data."""
        check_place(frame)
        run, step = frame.run.alive or frame.run, frame.step
        own = run.contexts.isolate(frame.context, purpose=f"background step {frame.path!r}")
        alone = frame._replace(data=unshared(frame.data), run=replace(run, is_heard=False))
        quota, siblings = frame.quota or run.quotas.quota, run.background.lines
        alone = alone._replace(context=own.context, siblings=siblings, history=None, over=False, quota=quota)
        line = told_of(asyncio.CancelledError(), frame.path)
        cut: StepResult[Any] = StepResult(step.name, False, None, frame.path, step.kind, error=line)
        is_new = run.background.launch(frame.path, self._work_in_background(alone, plan), cut)
        if is_new and run.events.active and not (run.journal.closed or run.journal.knows(frame.path)):
            run.events.emit(BackgroundLaunched(run.run_id, frame.path, step.name))
        pass_over(frame)
        result: StepResult[Any] = StepResult(step.name, True, frame.data, frame.path, step.kind, 0)
        return enter(frame, Success(frame.data, NO_USAGE, (), result), result)

    async def _work_in_background(self, frame: ExecutionFrame, plan: StepPlan) -> StepOutcome[Any]:
        run = frame.run
        outcome = await self._run(frame, plan)
        result = outcome.step_result
        if isinstance(outcome, Paused):
            message = f"background step {frame.step.name!r} asks {outcome.message!r}, but nobody waits for it"
            error = BackgroundTaskError(message, suggestion="ask in the foreground")
            result = result and result._replace(error=ErrorInfo.of(error, frame.path))
            outcome = Failure(error, usage=outcome.usage, step_result=result)
        if run.events.active and result is not None:
            run.events.emit(BackgroundFinished(run.run_id, frame.path, result))
        return outcome

    async def _run(self, frame: ExecutionFrame, plan: StepPlan) -> StepOutcome[Any]:
        run = frame.run
        if not plan.records:
            check_place(frame)
        elif frame.quota is not None or run.journal.knows(frame.path):
            early = recalled(frame, plan, await parts_of(self, frame, plan) if plan.parts else ()) or _stopped(frame)
            if early is not None:
                return await in_step(run, early) if run.events.full else early
        if plan.tries and (run.journal.closed or frame.over) and (early := await ended(self, frame, plan)) is not None:
            return early
        now = run.clock.monotonic()
        if now >= run.pulse.due or now >= run.watch.due or plan.looks or run.events.active:
            await _begun(frame, plan, now)
        frame = _furnished(frame, plan) if frame.history is None or plan.invariants else frame
        work = Work(frame, plan, now, run.journal.spent_on(frame.path))
        try:
            if plan.direct and frame.level % _LEVELS:
                with work:  # what `_guarded` comes to, without its coroutines
                    outcome = _checked(await plan.policy.execute(self, frame), plan)
                outcome = outcome if work.raised is None else await _came_to(work, work.raised)
            else:
                working = self._guarded(work)
                outcome = await (working if frame.level % _LEVELS else asyncio.ensure_future(working))
            return await self._finish(work, outcome)
        except BaseException as error:
            await cancelled(work, error)
            raise

    async def _finish(self, work: Work, outcome: StepOutcome[Any]) -> StepOutcome[Any]:
        """Write down what came of the step, tell whoever listens, and hand it on with its line of the history."""
        frame, plan, run = work.frame, work.plan, work.frame.run
        work.outcome = outcome
        work.duration_s = run.clock.monotonic() - work.started
        if type(outcome) is Success and (plan.records or plan.writes or frame.invariants):
            work.outcome = outcome = await self._settle(work, outcome)
        if run.journal.tracker is not None:
            check_used(frame, outcome)
        result = result_of(work, outcome)
        if type(outcome) is Success:
            outcome = tuple_of(Success, (outcome.value, result.usage, (), result, False, None))
        else:
            if type(outcome) is Failure and (plan.tries or outcome.step_result is None) and not run.journal.closed:
                await self._note_failure(work, outcome, final=True)
            elif type(outcome) is Aborted and not run.journal.closed:
                await note_abort(work, outcome)
            outcome = outcome._replace(usage=result.usage, children=result.children, step_result=result)
        return tell_finished(frame, outcome, result)

    async def _guarded(self, work: Work) -> StepOutcome[Any]:
        """Run the step's attempts, then its fallback when they have all failed."""
        if work.plan.guards:
            try:
                work.before = snapshot(work.frame.context)
            except ContextIsolationError as error:
                return Failure(error)
        fallback = work.frame.step.fallback
        if fallback is None:
            return await self._attempts(work)
        journal, path, earlier = work.frame.run.journal, work.frame.path, NO_USAGE
        if not journal.fell_back(path):
            primary = await self._attempts(work)
            if not isinstance(primary, Failure) or isinstance(primary.error, SIGNALS) or journal.closed:
                pass_over(work.frame, f"/fallback:{fallback.name}")  # its turn in an earlier life has come to nothing
                return primary
            await self._note_failure(work, primary, final=False, fallback=fallback.name)
        else:
            render_again(work)
            await launch_its_own(self, work.frame, work.plan)
            earlier = self._fallbacks.spent_before(work.frame, fallback)
        pass_over(work.frame)
        return await self._fall_back(work, fallback, earlier)

    async def _fall_back(self, work: Work, fallback: Step[Any, Any], earlier: Usage = NO_USAGE) -> StepOutcome[Any]:
        """Run the fallback with the primary's data; the outcome keeps the primary's error and cost, `earlier` too."""
        work.usage = work.frame.run.journal.spent_on(work.frame.path) + earlier
        failed = work.frame.run.journal.attempts(work.frame.path)[-1]
        work.attempt, work.error = max(work.attempt, failed.attempt), failed.error
        if work.begun:
            work.take_data()
        outcome = await self.execute(self._fallbacks.frame(work.frame, fallback))
        if isinstance(outcome, Failure):
            first = work.error.message if work.error else "failed"
            second = outcome.feedback or ErrorInfo.of(outcome.error).message
            return Failure(outcome.error, f"{first}; then fallback {fallback.name!r}: {second}")
        work.fallback = fallback.name
        return outcome._replace(usage=NO_USAGE, children=(), step_result=None)

    async def _attempts(self, work: Work) -> StepOutcome[Any]:
        """Attempt the step until it is through, or until its configuration says that it is enough."""
        run, config, path = work.frame.run, work.frame.step.config, work.frame.path
        used = run.journal.retries_used(path)
        feedback = run.journal.feedback(path) if used else None
        while True:
            work.attempt = used + 1
            if used:
                work.frame = work.frame.at_attempt(work.attempt, feedback)
            outcome = await self._attempt(work)
            if not isinstance(outcome, Failure) or run.journal.closed:
                return outcome
            if work.before is not None:
                restore(work.frame.context, work.before)
            used += 1
            delay = retry_delay(config, used, outcome.error, f"{run.run_id}|{path}")
            if delay is None:
                return outcome
            await self._wait(work, outcome, delay)
            feedback = outcome.feedback

    async def _wait(self, work: Work, failed: Failure[Any], delay: float) -> None:
        """Tell and record that an attempt failed; then wait for the next."""
        run = work.frame.run
        if run.events.active:
            run.events.emit(StepRetried(run.run_id, work.frame.path, work.attempt, told(work, failed), delay))
        work.usage += own_usage(failed)
        await self._note_failure(work, failed, final=False)
        if run.clock.monotonic() >= run.watch.due:
            await run.watch.look()
        if delay:
            await run.clock.sleep(delay)
        work.tried_at = run.clock.monotonic()

    async def _attempt(self, work: Work) -> StepOutcome[Any]:
        """Call the policy once. What user code raises becomes an outcome."""
        with work:
            work.take_data()
            return await self._timed(work)
        assert work.raised is not None
        return await _came_to(work, work.raised)

    async def _timed(self, work: Work) -> StepOutcome[Any]:
        """Call the policy within the step's time, and let the step's validators look at what it gives."""
        plan, step = work.plan, work.frame.step
        if step.config.timeout_s is None:
            outcome = _checked(await plan.policy.execute(self, work.frame), plan)
            return await validated(work.frame, outcome) if step.validators else outcome
        limit = self._limit(work.frame)
        try:
            async with limit:
                frame = work.frame._replace(timer=limit, limits=(*work.frame.limits, limit))
                outcome = _checked(await plan.policy.execute(self, frame), plan)
                return await validated(work.frame, outcome) if step.validators else outcome
        except TimeoutError as error:
            if not limit.expired():
                raise
            still = ", and its thread is still at work" if step.blocking else ""
            raise StepTimeoutError(
                f"step {step.name!r} took longer than {step.config.timeout_s} s{still}",
                suggestion="raise timeout_s, or let the step do less at once",
                cause=error,
            ) from error

    def _limit(self, frame: ExecutionFrame) -> asyncio.Timeout:
        """What ends an attempt of a step that may only take so long."""
        return asyncio.timeout(frame.step.config.timeout_s)

    async def _settle(self, work: Work, outcome: Success[Any]) -> StepOutcome[Any]:
        """Let the output into the context, and write both down; a value that can't be written fails the step."""
        plan = work.plan
        try:
            delta = write_context(work, outcome.value) if plan.writes or plan.watches else None
            if work.frame.invariants:
                check_invariants(work.frame, outcome.value)
            if plan.records:
                await work.frame.run.journal.record(record_of(work, outcome, delta))
        except (ContextError, ExecutionError, TemplateResolutionError, ValueNotStorable, PayloadTooLarge) as error:
            if work.before is not None:
                restore(work.frame.context, work.before, work.written)
            return Failure(error, usage=own_usage(outcome))
        return outcome._replace(value=unshared(outcome.value)) if plan.watches else outcome  # it may be the context's

    async def _note_failure(
        self, work: Work, failed: Failure[Any], *, final: bool, fallback: str | None = None
    ) -> None:
        began, now = times_of(work)
        await work.frame.run.journal.record_attempt(
            work.frame.path,
            told(work, failed),
            attempt=work.attempt,
            final=final,
            cancelled=is_answer_kept(work, failed),
            usage=own_usage(failed),
            started_at=began,
            ended_at=now,
            fallback=fallback,
            feedback=failed.feedback,
        )


async def _begun(frame: ExecutionFrame, plan: StepPlan, now: float) -> None:
    """Let the loop breathe and the watch look when it is time, and tell whoever listens that the step begins."""
    run = frame.run
    if now >= run.pulse.due:
        await run.pulse.beat(now)
    if plan.looks or now >= run.watch.due:
        await run.watch.look()
    if run.events.active:
        await run.events.room()
        run.events.emit(StepStarted(run.run_id, frame.path, frame.step.name, frame.step.kind))


def _stopped(frame: ExecutionFrame) -> Aborted[Any] | None:
    """Nothing more is started once a call has cost more than was left."""
    error = None if frame.quota is None else frame.quota.overdraft()
    return None if error is None else Aborted(error.message, error=error)


async def _came_to(work: Work, error: BaseException) -> StepOutcome[Any]:
    """What a step came to that raised `error`. No budget is used up where there is none."""
    frame, work.raised = work.frame, None
    owed = frame.run.tally.owed(frame.path)
    if isinstance(error, PipelineAbortSignal):
        return Aborted(str(error), owed)
    if isinstance(error, PausedException):
        await note_owed(work, ErrorInfo("Paused", str(error), path=frame.path), owed)
        return paused(error, owed)
    if frame.quota is not None and isinstance(error, UsageLimitExceededError):
        await note_owed(work, ErrorInfo.of(error, frame.path), owed)
        return Aborted(str(error), owed, error=error)
    return Failure(error, usage=owed)


def _furnished(frame: ExecutionFrame, plan: StepPlan) -> ExecutionFrame:
    """The frame with a history for its children, and what must hold after each of them."""
    history = StepHistoryTracker() if frame.history is None else frame.history
    return frame._replace(history=history, invariants=(*frame.invariants, *plan.invariants))


def _checked(outcome: StepOutcome[Any], plan: StepPlan) -> StepOutcome[Any]:
    if type(outcome) is Success or isinstance(outcome, Failure | Paused | Aborted):
        return outcome
    raise ExecutionError(
        f"{type(plan.policy).__name__} returned {type(outcome).__name__!r}, expected a step outcome",
        suggestion="a policy returns Success(value), Failure(error), Paused(message) or Aborted(reason)",
    )
