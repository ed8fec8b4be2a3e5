"""Running branches side by side and putting together what they come to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from flujo.domain.kinds import ParallelStep
from flujo.domain.outcomes import Aborted, ErrorInfo, Failure, Paused, StepOutcome, StepResult, Success
from flujo.domain.quota import Quota
from flujo.domain.steps import Step
from flujo.engine.changes import unshared
from flujo.engine.context_manager import Isolation
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor
from flujo.engine.recall import NeverEnded
from flujo.engine.retry import tolerable
from flujo.engine.shield import all_ended
from flujo.exceptions import ExecutionError
from flujo_policies_builtin.composites import called, isolated, output_of, watched

__all__ = ["run_branches", "run_together"]

Outcomes = dict[str, StepOutcome[Any]]


async def run_together(
    work: Mapping[Any, Callable[[], Any]], *, at_most: int | None, stop: Callable[[StepOutcome[Any]], bool]
) -> dict[Any, StepOutcome[Any]]:
    """Run `work` side by side, `at_most` so many at a time, and cancel the rest when one's outcome says `stop`.

    What was cancelled is a failure that says so. The outcomes are in the order of `work`.
    """
    gate = asyncio.Semaphore(at_most or len(work) or 1)
    stopped_by: list[Any] = []

    async def one(key: Any, start: Callable[[], Any]) -> StepOutcome[Any]:
        async with gate:
            outcome: StepOutcome[Any] = await start()
        if stop(outcome) and not stopped_by:
            stopped_by.append(key)
            for other, task in tasks.items():
                if other != key:
                    task.cancel(_cancelled_by(key))
        return outcome

    tasks = {key: asyncio.ensure_future(one(key, start)) for key, start in work.items()}
    try:
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await all_ended(tasks.values(), cancels=True)
    errors = [task.exception() for task in tasks.values() if not task.cancelled()]
    for error in filter(None, errors):
        raise error
    return {key: _outcome(task, stopped_by) for key, task in tasks.items()}


def _outcome(task: "asyncio.Future[StepOutcome[Any]]", stopped_by: list[Any]) -> StepOutcome[Any]:
    if task.cancelled():
        return Failure(ExecutionError(_cancelled_by(stopped_by[0])))
    return task.result()


def _cancelled_by(branch: Any) -> str:
    return f"cancelled because branch {branch!r} failed"


async def run_branches(
    core: StepExecutor, frame: ExecutionFrame, step: ParallelStep[Any, Any], branches: Mapping[str, Step[Any, Any]]
) -> StepOutcome[Any]:
    """Run `branches` of `step` on the frame's data, merge their contexts, and put their outputs together."""
    isolations = {
        name: isolated(
            frame, body, f"branch {name!r}", include_keys=step.include_keys, wanted=callable(step.merge_strategy)
        )
        for name, body in branches.items()
    }
    async with _quotas(frame, step, len(branches)) as quotas:
        children = {
            name: _child(frame, name, body, isolations[name], quota)
            for (name, body), quota in zip(branches.items(), quotas, strict=True)
        }
        at_work: dict[str, Isolation] = {}
        outcomes: Outcomes = await run_together(
            {name: partial(watched, core, child, isolations[name], at_work) for name, child in children.items()},
            at_most=step.max_concurrency,
            stop=lambda outcome: _has_failed(outcome) and step.on_branch_failure == "propagate",
        )
    for name, outcome in outcomes.items():
        _note_cancelled(children[name], name, outcome)
    unfinished = _unfinished(step, outcomes)
    if unfinished is not None:
        return unfinished
    _merge(frame, step, {name: own for name, own in isolations.items() if own}, outcomes)
    return Success(await _reduced(step, outcomes))


@asynccontextmanager
async def _quotas(
    frame: ExecutionFrame, step: ParallelStep[Any, Any], count: int
) -> AsyncIterator[Sequence[Quota | None]]:
    """What each branch may use: all of one pool, or an exact part each, whose rest comes back in the end."""
    if frame.quota is None or step.budget == "shared":
        yield [frame.quota] * count
        return
    async with frame.run.quotas.split(frame.quota, count) as parts:
        yield parts


def _child(
    frame: ExecutionFrame, name: str, body: Step[Any, Any], own: Isolation | None, quota: Quota | None
) -> ExecutionFrame:
    child = frame.child(body, unshared(frame.data), at=f"/{name}", context=own.context if own else None)
    return child if quota is frame.quota else child._replace(quota=quota)


def _merge(
    frame: ExecutionFrame, step: ParallelStep[Any, Any], isolations: Mapping[str, Isolation], outcomes: Outcomes
) -> None:
    """Let the contexts of the branches that succeeded flow back."""
    done = {name: own for name, own in isolations.items() if isinstance(outcomes[name], Success)}
    frame.run.contexts.merge(frame.context, done, step.merge_strategy, field_mapping=step.field_mapping)


async def _reduced(step: ParallelStep[Any, Any], outcomes: Outcomes) -> Any:
    collects = step.on_branch_failure == "collect"
    outputs = {name: output_of(out) for name, out in outcomes.items() if collects or isinstance(out, Success)}
    return await called(step.reduce, outputs) if callable(step.reduce) else _REDUCERS[step.reduce](outputs)


def _unfinished(step: ParallelStep[Any, Any], outcomes: Outcomes) -> StepOutcome[Any] | None:
    """What keeps the step from succeeding: an abort, else the first failure that counts, else the first pause."""
    stopped = [outcome for outcome in outcomes.values() if not isinstance(outcome, Success | Failure)]
    stopped.sort(key=lambda outcome: isinstance(outcome, Paused))
    if stopped and isinstance(stopped[0], Aborted):
        return stopped[0]
    failures = [outcome for outcome in outcomes.values() if isinstance(outcome, Failure)]
    own = [failure for failure in failures if failure.step_result is not None]
    own.sort(key=lambda failure: (tolerable(failure), not _has_failed(failure)))
    all_failed = len(failures) == len(outcomes) and step.on_branch_failure == "ignore"
    if own and (all_failed or step.on_branch_failure == "propagate" or not tolerable(own[0])):
        return own[0]
    return stopped[0] if stopped else None


def _has_failed(outcome: StepOutcome[Any]) -> bool:
    """Whether the branch has failed by itself, rather than been cancelled when its run was at work."""
    return isinstance(outcome, Failure) and not isinstance(outcome.error, NeverEnded)


def _note_cancelled(child: ExecutionFrame, name: str, outcome: StepOutcome[Any]) -> None:
    """Give a branch that was cancelled before it began its line in the history, like that of one that had begun."""
    if isinstance(outcome, Failure) and child.siblings is not None and child.siblings[child.path] is None:
        error = ErrorInfo("Cancelled", ErrorInfo.of(outcome.error).message, path=child.path)
        child.siblings[child.path] = StepResult(name, False, None, child.path, child.step.kind, error=error)


def _union(outputs: dict[str, Any]) -> dict[Any, Any]:
    merged: dict[Any, Any] = {}
    for name, output in outputs.items():
        if not isinstance(output, Mapping):
            raise ExecutionError(
                f"reduce 'union' needs mappings, but branch {name!r} gives {type(output).__name__!r}",
                suggestion="let every branch give a mapping, or reduce by another name",
            )
        merged.update(output)
    return merged


def _concat(outputs: dict[str, Any]) -> list[Any]:
    joined: list[Any] = []
    for output in outputs.values():
        joined.extend(output if isinstance(output, list | tuple) else [output])
    return joined


def _majority(outputs: dict[str, Any]) -> Any:
    """The output that most branches gave; of several, the one that came first in the order of declaration."""
    values = list(outputs.values())
    return max(values, key=values.count)


_REDUCERS: dict[str | None, Callable[[dict[str, Any]], Any]] = {
    None: lambda outputs: outputs,
    "keys": list,
    "values": lambda outputs: list(outputs.values()),
    "union": _union,
    "concat": _concat,
    "first": lambda outputs: next(iter(outputs.values())),
    "last": lambda outputs: list(outputs.values())[-1],
    "majority_vote": _majority,
}
