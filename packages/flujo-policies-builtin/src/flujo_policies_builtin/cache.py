"""What a body came to before, handed out again: `kind: cache`."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from flujo.blueprint.durations import Duration
from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import NestedSteps, Spec, StepSpec
from flujo.domain.cached import CacheStep
from flujo.domain.context import PipelineContext
from flujo.domain.events import CacheMissed
from flujo.domain.outcomes import StepOutcome, StepResult, Success
from flujo.domain.scope import Outputs
from flujo.domain.steps import Step
from flujo.engine.cache_manager import Hit, Miss
from flujo.engine.changed import pass_over
from flujo.engine.changes import Change, Snapshot, apply, change, fields_of, restore, snapshot
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.exceptions import ConfigurationError
from flujo_policies_builtin.composites import body_of, options_of

__all__ = ["CachePart", "CachePolicy", "CacheSpec", "build_cache"]


class CachePolicy(StepPolicy[CacheStep[Any, Any]]):
    """Looks for a result under the key of the body and all that it depends on; runs the body if there is none."""

    @property
    def handles_type(self) -> type[CacheStep[Any, Any]]:
        """`CacheStep`."""
        return CacheStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """The kept result, with what it changed in the context; else what the body comes to, which is then kept."""
        step: CacheStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        caches = frame.run.caches
        if caches is None:
            raise ConfigurationError(
                f"cache {step.name!r} has no cache to look in", suggestion="pass RunScope(caches=CacheManager(...))"
            )
        key = caches.key(step, frame.path, frame.data, frame.context, dict(_read(core, frame, step)))
        before, tracker = snapshot(frame.context) if step.reads_context else None, frame.run.journal.tracker
        begun = tracker is not None and tracker.has_begun(f"{frame.path}/body")  # by a process that died before its end
        async with caches.flight(key):
            found = await caches.look_up(key, step.ttl_s)
            if isinstance(found, Hit):
                if not begun and _done_again(frame.context, found.delta, before):
                    pass_over(frame)
                    return Success(found.value, cached=True)
                found = Miss(() if begun else ("context",))
            if frame.run.events.active:
                frame.run.events.emit(CacheMissed(frame.run.run_id, frame.path, found.changed))
            outcome = await core.execute(frame.child(step.body, frame.data, at="/body"))
            # Code may have changed since a recorded step ran: then this is not what the key says.
            if isinstance(outcome, Success) and not _any_recalled(outcome.step_result):
                await caches.store(key, outcome.value, None if before is None else change(before, frame.context))
            return outcome._replace(missed=found.changed) if isinstance(outcome, Success) else outcome

    async def retell(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any] | None:
        """What the body comes to by the record."""
        step: CacheStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        return await core.execute(frame.child(step.body, frame.data, at="/body"))


def _read(core: StepExecutor, frame: ExecutionFrame, step: CacheStep[Any, Any]) -> Iterator[tuple[str, Any]]:
    """What the result depends on beside the data, by name: (is it there, its value)."""
    scope = frame.scope()
    declared = {f"context.{key}" for key in step.context_keys}
    for name in sorted(core.names(step.body) | declared):
        root, *rest = name.split(".")
        if root == "previous_step":
            continue  # the data, or what a step of the body gives
        place = root + "".join(f".{part}" if part.isidentifier() else f"[{part!r}]" for part in rest)
        there, value = core.evaluate(f"[{place} is defined, {place} | default(none)]", scope)
        if isinstance(value, PipelineContext):
            value = fields_of(value)
        yield f"run {name}" if root == "input" else name, [there, dict(value) if isinstance(value, Outputs) else value]


def _done_again(context: PipelineContext, delta: Change | None, before: Snapshot | None) -> bool:
    """Whether what the kept result changed could be changed again; if not, the context is as it was."""
    if delta is None or before is None:
        return True
    try:
        apply(context, delta)
    except (LookupError, AttributeError, TypeError):  # what it goes into is not there now
        restore(context, before)
        return False
    return True


def _any_recalled(result: StepResult[Any] | None) -> bool:
    return result is not None and (result.recalled or any(map(_any_recalled, result.children)))


class CachePart(Spec):
    """`cache:` of a cache."""

    body: NestedSteps = Field(description="The steps whose result is kept")
    #: By default for ever.
    ttl: Duration | None = Field(default=None, description="How long a result serves: seconds, or 15m, 2h, 7d")
    #: Fields, or dotted paths in them.
    context_keys: list[str] = Field(default_factory=list, description="What functions in the body read of the context")


class CacheSpec(StepSpec):
    """A step of kind `cache`."""

    #: Required, unless there is `wrapped_step`.
    cache: CachePart | None = Field(default=None, description="The body and how long its result serves")
    wrapped_step: NestedSteps | None = Field(default=None, description="The body, as older files name it")


def build_cache(spec: CacheSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    if (spec.cache is None) == (spec.wrapped_step is None):
        raise ConfigurationError(
            f"cache {spec.name!r} needs one body", suggestion="write 'cache: {body: ...}', and no wrapped_step"
        )
    part = spec.cache or CachePart(body=spec.wrapped_step)
    return CacheStep(
        **options_of(spec, context), body=body_of(part.body, context), ttl_s=part.ttl, context_keys=part.context_keys
    )
