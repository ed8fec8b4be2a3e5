"""The same steps for every item: `kind: map`."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Set
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
from flujo_policies_builtin.composites import body_of, called, isolated, options_of, output_of, resolved

__all__ = ["MapPart", "MapPolicy", "MapSpec", "build_map"]


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
        self.isolations: dict[int, Isolation] = {}
        self.stopped = False

    async def work(self) -> None:
        """Take one item after the other until there are none, or one has stopped the map."""
        for index, item in self._waiting:
            own = isolated(self._frame, self._step.body, f"item {index}", wanted=callable(self._step.merge_strategy))
            extras = {**self._frame.extras, "this": item, "item": item, "loop": {"index": index + 1, "index0": index}}
            context = own.context if own else None
            frame = self._frame.child(self._step.body, item, at=f"[{index}]", context=context, extras=extras)
            outcome = self.outcomes[index] = await self._core.execute(frame)
            if own:
                self._frame.run.contexts.verify(own)
                self.isolations[index] = own
            self.stopped = self.stopped or self._is_enough(outcome)
            if self.stopped:
                return

    def merging(self) -> dict[str, Isolation]:
        """The contexts of the items that succeeded, in the order of the items."""
        done = [index for index in sorted(self.isolations) if isinstance(self.outcomes[index], Success)]
        return {str(index): self.isolations[index] for index in done}

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
        if items.stopped:
            return _first_unfinished(outcomes)
        frame.run.contexts.merge(frame.context, items.merging(), step.merge_strategy)
        counting = [out for out in outcomes if isinstance(out, Success) or step.on_error == "collect"]
        return Success(_finalized(core, frame, step, [output_of(out) for out in counting]))


def _first_unfinished(outcomes: list[StepOutcome[Any]]) -> StepOutcome[Any]:
    """What stopped the map: the first pause or abort in the order of the items, else the first failure."""
    unfinished = [outcome for outcome in outcomes if not isinstance(outcome, Success)]
    return min(unfinished, key=lambda outcome: isinstance(outcome, Failure))


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
    """The items. Raises `ExecutionError` for what is no list of items: text, mappings, sets without an order."""
    source = step.iterable_input
    if source is None:
        items = frame.data
    elif callable(source):
        items = await called(source, frame.data, frame.context)
    elif step.iterable_field is not None:
        items = core.evaluate(step.iterable_field, frame.scope())
    else:
        items = core.render(source, frame.scope())
    if isinstance(items, str | bytes | Mapping | Set) or not isinstance(items, Iterable):
        raise ExecutionError(
            f"map {step.name!r} needs a list of items, but {_source(step)} is {type(items).__name__!r}",
            suggestion="name a list in the context with iterable_input, or hand the step a list",
        )
    return items


def _source(step: MapStep[Any, Any]) -> str:
    if step.iterable_input is None:
        return "its input"
    return repr(step.iterable_input) if isinstance(step.iterable_input, str) else "what its function gives"


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
