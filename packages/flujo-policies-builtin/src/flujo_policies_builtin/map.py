"""The same steps for every item: `kind: map`."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from pydantic import Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import Spec, StepSpec
from flujo.domain.kinds import MapStep, MergeStrategy
from flujo.domain.outcomes import Failure, StepOutcome, Success
from flujo.domain.scope import Scope
from flujo.domain.steps import Step
from flujo.engine.context_manager import Isolation
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.exceptions import ExecutionError
from flujo_policies_builtin.composites import body_of, called, isolated, options_of, resolved, spent

__all__ = ["MapPolicy", "MapSpec", "build_map"]


class _Items:
    """The work on one map's items: what each came to, and whether that is enough."""

    def __init__(
        self, core: StepExecutor, frame: ExecutionFrame, step: MapStep[Any, Any], items: Iterable[Any]
    ) -> None:
        self._core = core
        self._frame = frame
        self._step = step
        self._waiting: Iterator[tuple[int, Any]] = enumerate(items)
        self._failures = 0
        self.outcomes: dict[int, StepOutcome[Any]] = {}
        self.isolations: dict[str, Isolation] = {}
        self.stopped_by: StepOutcome[Any] | None = None

    async def work(self) -> None:
        """Take one item after the other until there are none, or one has stopped the map."""
        for index, item in self._waiting:
            own = isolated(self._frame, self._step.body, f"item {index}", wanted=callable(self._step.merge_strategy))
            extras = {**self._frame.extras, "this": item, "item": item, "loop": {"index": index + 1, "index0": index}}
            context = own.context if own else None
            frame = self._frame.child(self._step.body, item, at=f"[{index}]", context=context, extras=extras)
            outcome = self.outcomes[index] = await self._core.execute(frame)
            if own and isinstance(outcome, Success):
                self.isolations[str(index)] = own
            if self._is_enough(outcome) and self.stopped_by is None:
                self.stopped_by = outcome
            if self.stopped_by is not None:
                return

    def _is_enough(self, outcome: StepOutcome[Any]) -> bool:
        if isinstance(outcome, Success):
            return False
        if not isinstance(outcome, Failure) or self._step.on_error == "fail":
            return True
        self._failures += 1
        return self._step.max_failures is not None and self._failures > self._step.max_failures


class MapPolicy(StepPolicy[MapStep[Any, Any]]):
    """Runs the body for every item, each in a context of its own; items in flight are finished, whatever happens."""

    @property
    def handles_type(self) -> type[MapStep[Any, Any]]:
        """`MapStep`."""
        return MapStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """The items' results in their order, or what `finalize` makes of them."""
        step: MapStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        items = _Items(core, frame, step, await _iterable(core, frame, step))
        await _together([items.work() for _ in range(step.concurrency)])
        outcomes = [items.outcomes[index] for index in sorted(items.outcomes)]
        results = tuple(outcome.step_result for outcome in outcomes if outcome.step_result is not None)
        if items.stopped_by is not None:
            return items.stopped_by._replace(usage=spent(results), children=results, step_result=None)
        merged = {name: items.isolations[name] for name in sorted(items.isolations, key=int)}
        frame.run.contexts.merge(frame.context, merged, step.merge_strategy)
        outputs = [
            _output(outcome) for outcome in outcomes if isinstance(outcome, Success) or step.on_error == "collect"
        ]
        return Success(_finalized(core, frame, step, outputs), spent(results), results)


async def _together(work: list[Any]) -> None:
    """Run all of it, and leave nothing running when one part raises or the whole is cancelled."""
    if len(work) == 1:
        await work[0]
        return
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise


async def _iterable(core: StepExecutor, frame: ExecutionFrame, step: MapStep[Any, Any]) -> Iterable[Any]:
    """The items. Raises `ExecutionError` for what can't be iterated, text and mappings among it."""
    source = step.iterable_input
    if source is None:
        items = frame.data
    elif callable(source):
        items = await called(source, frame.data, frame.context)
    elif "{{" in source:
        items = core.render(source, frame.scope())
    else:
        items = core.evaluate(f"context.{source.removeprefix('context.')}", frame.scope())
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise ExecutionError(
            f"map {step.name!r} needs a list of items, but {source or 'its input'} is {type(items).__name__!r}",
            suggestion="name a list in the context with iterable_input, or hand the step a list",
        )
    return items


def _output(outcome: StepOutcome[Any]) -> Any:
    return {"error": str(outcome.error)} if isinstance(outcome, Failure) else outcome.value  # type: ignore[union-attr]


def _finalized(core: StepExecutor, frame: ExecutionFrame, step: MapStep[Any, Any], outputs: list[Any]) -> Any:
    if not step.finalize:
        return outputs
    scope = Scope(outputs, frame.outputs, frame.context, frame.run.input, frame.extras)
    template = step.finalize.get("output_template", step.finalize.get("output"))
    return core.render(template, scope)


class MapPart(Spec):
    """`map:` of a map."""

    iterable_input: str | None = Field(
        default=None, description="A field of the context, or a template; else the input"
    )
    body: Any = Field(description="The steps that every item goes through")
    concurrency: int = Field(default=1, ge=1, description="How many items are worked on at a time")
    on_error: Literal["fail", "skip", "collect"] = Field(default="fail", description="What an item's failure means")
    max_failures: int | None = Field(default=None, ge=0, description="How many items may fail before the step does")
    finalize: dict[str, Any] = Field(default_factory=dict, description="output_template or output, over the results")
    merge_strategy: str = Field(
        default="context_update", description=f"{', '.join(get_args(MergeStrategy))}, or module:attr"
    )


class MapSpec(StepSpec):
    """A step of kind `map`."""

    map: MapPart = Field(description="The items and what is done with each")


def build_map(spec: MapSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    part = spec.map
    return MapStep(
        **options_of(spec, context),
        body=body_of(part.body, context),
        iterable_input=part.iterable_input,
        concurrency=part.concurrency,
        on_error=part.on_error,
        max_failures=part.max_failures,
        finalize=part.finalize,
        merge_strategy=resolved(part.merge_strategy, get_args(MergeStrategy), context),
    )
