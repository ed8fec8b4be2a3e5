"""The parts of a step whose own result is recorded: told from the record for the history; nothing is executed."""

import copy
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from flujo.domain.context import PipelineContext
from flujo.domain.foreign import attempt
from flujo.domain.outcomes import StepResult, Success
from flujo.domain.steps import Step
from flujo.engine.background_task_manager import BackgroundTaskManager
from flujo.engine.changes import same, unshared
from flujo.engine.event_stream import EventStream
from flujo.engine.fallback_handler import FallbackHandler
from flujo.engine.frame import ExecutionFrame, RunScope
from flujo.engine.plan import StepPlan
from flujo.engine.policy import StepExecutor
from flujo.engine.step_history_tracker import StepHistoryTracker
from flujo.exceptions import ContextIsolationError, DefinitionChanged, ExecutionError, FlujoError

__all__ = ["as_ended", "launch_again", "launch_its_own", "parts_of"]

_FALLBACKS = FallbackHandler()


def as_ended(run: RunScope) -> RunScope:
    """The run as one that has ended here: what is not recorded does not happen any more, and nobody hears of it."""
    journal = copy.copy(run.journal)
    journal.closed, journal.tracker = True, None
    alive = run if run.alive is None and not run.journal.closed else run.alive
    return replace(run, journal=journal, events=EventStream(), background=BackgroundTaskManager(), alive=alive)


async def parts_of(
    core: StepExecutor, frame: ExecutionFrame, plan: StepPlan, run: RunScope | None = None
) -> tuple[StepResult[Any], ...]:
    """The lines of what was done for a recorded result: by the steps in it, and by its fallback.

    They work on a copy of the context, in a run that has ended, or in `run`. Nothing is told of parts that do not come
    to the result: the pipeline was changed since then.
    """
    recorded = frame.run.journal.recall(frame.path, frame.item)
    if recorded is None or not recorded.record.attempt:
        return ()
    step, record, render = frame.step, recorded.record, plan.render
    run = as_ended(frame.run) if run is None else run
    try:
        own = run.contexts.isolate(frame.context, purpose=f"what is told of {frame.path!r}")
    except ContextIsolationError:
        return ()
    data = frame.data
    if render is not None:
        with suppress(FlujoError):  # the step has failed by it, and its fallback had the data as it came
            data = attempt(lambda: render(frame.scope()), lambda text, _: ExecutionError(text))
    told = _apart(frame, run, own.context, data)._replace(invariants=(*frame.invariants, *plan.invariants))
    outcome = None
    try:
        if step.holds_steps:
            outcome = await plan.policy.retell(core, told)
        if record.fallback and step.fallback is not None:
            outcome = await core.execute(_FALLBACKS.frame(told, step.fallback))
    except DefinitionChanged:
        return ()
    finally:
        if run.background is not frame.run.background:
            await run.background.cancel()
    came_to = isinstance(outcome, Success) and same(outcome.value, recorded.value)
    return told.history.results if came_to and told.history is not None else ()


def _apart(frame: ExecutionFrame, run: RunScope, context: PipelineContext, data: Any) -> ExecutionFrame:
    """The frame in which the parts of its step are told of, by `run` and in a context of their own."""
    told = frame._replace(run=run, context=context, data=unshared(data), quota=None)
    return told._replace(siblings=None, history=StepHistoryTracker())


async def launch_again(
    frame: ExecutionFrame, parts: Step[Any, Any], retell: Callable[[ExecutionFrame], Awaitable[object]]
) -> None:
    """Let go on what `parts` have put into the background, which are not run again: `retell` runs them by the record.

    They were gone on from, by a process that died since, and their background steps may not have come to their ends.
    """
    run = frame.run
    if (run.alive or run).journal.closed or not any(each.is_background for each in parts.walk()):
        return
    with suppress(ContextIsolationError, DefinitionChanged):
        own = run.contexts.isolate(frame.context, purpose=f"what {frame.path!r} has in the background")
        await retell(_apart(frame, as_ended(run), own.context, frame.data))


async def launch_its_own(core: StepExecutor, frame: ExecutionFrame, plan: StepPlan) -> None:
    """Let go on what the step's parts have put into the background, where the step is not run again."""
    policy = plan.policy
    await launch_again(frame, frame.step, partial(policy.retell if plan.records else policy.execute, core))
