"""What the kinds that are made of other steps share: handing on outcomes, contexts of their own, nested specs."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import StepSpec
from flujo.domain.composite import WENT_ON
from flujo.domain.outcomes import ErrorInfo, Failure, StepOutcome, Success
from flujo.domain.steps import Step
from flujo.domain.usage import NO_USAGE
from flujo.engine.changed import pass_over
from flujo.engine.changes import unshared
from flujo.engine.context_manager import Isolation
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor
from flujo.engine.retelling import launch_again
from flujo.exceptions import ConfigurationError

__all__ = [
    "body_of",
    "branches_of",
    "called",
    "go_on",
    "gone_on",
    "isolated",
    "named_step",
    "options_of",
    "output_of",
    "resolved",
    "run_isolated",
    "watched",
]

_Child = tuple[Step[Any, Any], Any, str]


def isolated(
    frame: ExecutionFrame, body: Step[Any, Any], purpose: str, *, include_keys: Sequence[str] = (), wanted: bool = False
) -> Isolation | None:
    """A context of its own for `body`; None when it isn't `wanted` and nothing could change the one it would share."""
    contexts = frame.run.contexts
    if not (body.touches_context or contexts.strict or wanted):
        return None
    return contexts.isolate(frame.context, purpose=f"{purpose} of {frame.path!r}", include_keys=include_keys)


async def run_isolated(
    core: StepExecutor,
    frame: ExecutionFrame,
    body: Step[Any, Any],
    data: Any,
    *,
    at: str,
    purpose: str,
    extras: Mapping[str, Any] | None = None,
) -> StepOutcome[Any]:
    """What `body` comes to in a context of its own; what it changed there flows back if it succeeds.

    `at` begins with the number of the turn in brackets, one of many that come one after the other.
    """
    own = isolated(frame, body, purpose)
    child = frame.child(body, data, at=at, context=own.context if own else None, extras=extras)
    following = int(at[1 : at.index("]")]) + 1
    outcome = await core.execute(child.then([f"{frame.path}[{following}]"]))
    if own:
        (frame.run.contexts.adopt if isinstance(outcome, Success) else frame.run.contexts.verify)(own)
    return outcome


async def watched(
    core: StepExecutor, child: ExecutionFrame, own: Isolation | None, at_work: dict[str, Isolation]
) -> StepOutcome[Any]:
    """What `child`, one of several, comes to in its `own` context; `at_work` are those of all that are under way.

    In strict mode the context that it was made from is looked at, whatever the child comes to.
    """
    if own is None:
        return await core.execute(child)
    at_work[own.purpose] = own
    outcome = await core.execute(child)
    child.run.contexts.verify(own, at_work.values())
    del at_work[own.purpose]
    return outcome


async def gone_on(core: StepExecutor, frame: ExecutionFrame, at: str, child: _Child) -> str | None:
    """From what the step has gone on at `at`, by the record: "failure" or "pause" of a `child` that is not run again.

    `child` is the step, its data and its place.
    """
    on = next((on for on in WENT_ON if frame.run.journal.knows(f"{frame.path}{at}/on:{on}")), None)
    if on is not None:
        body, data, place = child
        await launch_again(frame, body, lambda told: core.execute(told.child(body, unshared(data), at=place)))
        pass_over(frame, at)
    return on


async def go_on(core: StepExecutor, frame: ExecutionFrame, at: str, on: str, to: Any) -> StepOutcome[Any]:
    """Write down `to` what the step goes on from a child that failed or paused; what is written already counts.

    A resumed run tries again what has failed. What came after the failure would then not fit what comes of that.
    """
    note = frame.child(WENT_ON[on], to, at=f"{at}/on:{on}")
    written = await core.execute(note._replace(invariants=(), quota=None))  # it is no step of anybody's
    _count_earlier(frame, f"{frame.path}{at}", note.path)
    return written


def _count_earlier(frame: ExecutionFrame, path: str, note: str) -> None:
    """Count in the line of the `note` what an earlier attempt or life has used under `path`, and has no line for."""
    lines = frame.history
    line = lines.get(note) if lines else None
    if lines and line is not None and line.recalled:
        told = (each.usage for at, each in lines.items() if each and (at == path or at.startswith(f"{path}/")))
        lines[note] = line._replace(usage=frame.run.spent_under(path) - sum(told, NO_USAGE))


def output_of(outcome: StepOutcome[Any]) -> Any:
    """What a branch or item puts into the output: its value, or {"error": text} where failures are collected."""
    if isinstance(outcome, Failure):
        return {"error": ErrorInfo.of(outcome.error).message}
    return outcome.value if isinstance(outcome, Success) else None


async def called(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` gives, awaited if it must be."""
    value = function(*arguments)
    return await value if inspect.isawaitable(value) else value


def options_of(spec: StepSpec, context: BuildContext) -> dict[str, Any]:
    """What every step type takes. A composite's parts have their own retries; it has one only if the file says so."""
    options = context.common(spec)
    if "max_retries" not in spec.config.model_fields_set:
        options["config"] = options["config"].model_copy(update={"max_retries": 0})
    return options


def body_of(raw: Any, context: BuildContext) -> tuple[Step[Any, Any], ...]:
    """The steps of a body: a list of steps, or one."""
    return context.sequence(raw) if isinstance(raw, list) else (context.build(raw),)


def branches_of(raw: Mapping[str, Any], context: BuildContext) -> dict[str, Any]:
    """The steps of each branch."""
    return {name: body_of(body, context) for name, body in raw.items()}


def named_step(raw: Any, name: str, context: BuildContext, *, what: str) -> Step[Any, Any]:
    """A step as the file has it, or one called `name` that asks or calls what `raw` names.

    Raises `ConfigurationError` for anything else; `what` says in which place it stands.
    """
    if isinstance(raw, Mapping) and "name" in raw:
        return context.build(raw)
    named: Any = {"id": raw} if isinstance(raw, str) else raw
    if not isinstance(named, Mapping) or not isinstance(named.get("id"), str) or set(named) - {"id", "params"}:
        raise ConfigurationError(
            f"{what} names nothing to call", suggestion="expected module:attr, {id, params}, or a step"
        )
    params = named.get("params", {})
    agent = context.agent(named["id"])
    if agent is not None and params:
        raise ConfigurationError(
            f"{what} has params for agent {agent.declaration.name!r}, which is made once for all steps",
            suggestion="write them where the agent is declared",
        )
    if agent is not None:
        return agent.step(name=name)
    target = context.resolve(named["id"])
    if isinstance(target, Step):
        return replace(target, params={**target.params, **params}) if params else target
    return Step(name, target, params=params)


def resolved(value: Any, known: Sequence[str], context: BuildContext) -> Any:
    """A name that the kind knows, or else the callable at `module:attr`."""
    return context.resolve(value) if isinstance(value, str) and value not in known and ":" in value else value
