"""The same steps for every item: `kind: map`."""

import asyncio
from collections.abc import Generator, Iterable, Iterator, Mapping, Set
from contextlib import closing, nullcontext
from functools import partial
from typing import Any, Literal, NoReturn, get_args

from pydantic import Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import NestedSteps, Spec, StepSpec
from flujo.domain.items import FileFormat, FileItems
from flujo.domain.kinds import MapStep, MergeStrategy
from flujo.domain.outcomes import Aborted, ErrorInfo, Failure, StepOutcome, Success
from flujo.domain.scope import Scope
from flujo.domain.steps import Step
from flujo.engine.changes import unshared
from flujo.engine.context_manager import Isolation
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.engine.retry import tolerable
from flujo.engine.shield import all_ended
from flujo.exceptions import ExecutionError, TemplateResolutionError
from flujo_policies_builtin.composites import body_of, called, isolated, options_of, output_of, resolved, watched
from flujo_policies_builtin.files import Malformed, csv_rows, inside, jsonl_values

__all__ = ["FilePart", "MapPart", "MapPolicy", "MapSpec", "build_map"]

#: What reads a file of each format.
_READERS = {"jsonl": jsonl_values, "csv": csv_rows}


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
        self._at_work: dict[str, Isolation] = {}
        self.outcomes: dict[int, StepOutcome[Any]] = {}
        self.isolations: dict[int, Isolation] = {}
        self.stopped = False

    async def work(self) -> None:
        """Take one item after the other until there are none, or one has stopped the map."""
        for index, item in self._waiting:
            own = isolated(self._frame, self._step.body, f"item {index}", wanted=callable(self._step.merge_strategy))
            child = self._child(index, item, own)
            outcome = self.outcomes[index] = await watched(self._core, child, own, self._at_work)
            if own:
                self.isolations[index] = own
            self.stopped = self.stopped or self._is_enough(outcome)
            if self.stopped:
                return

    def _child(self, index: int, item: Any, own: Isolation | None) -> ExecutionFrame:
        frame, body = self._frame, self._step.body
        if isinstance(item, Malformed):
            body = Step(body.name, partial(_refuse, item))
        extras = {**frame.extras, "this": item, "item": item, "loop": {"index": index + 1, "index0": index}}
        context = own.context if own else None
        child = frame.child(body, unshared(item), at=f"[{index}]", context=context, extras=extras)
        return child._replace(item=frame.run.journal.item(frame.path, index, item, frame.item))

    def verdict(self) -> StepOutcome[Any] | None:
        """What keeps the map from succeeding: an abort, else a failure that stopped it, else the first pause.

        A failure that nobody may go on from comes before others.
        """
        outcomes = [self.outcomes[index] for index in sorted(self.outcomes)]
        counting = [each for each in outcomes if self.stopped or not isinstance(each, Failure)]
        unfinished = [each for each in counting if not isinstance(each, Success)]
        return min(unfinished, key=_rank, default=None)

    def merging(self) -> dict[str, Isolation]:
        """The contexts of the items that succeeded, in the order of the items."""
        done = [index for index in sorted(self.isolations) if isinstance(self.outcomes[index], Success)]
        return {str(index): self.isolations[index] for index in done}

    def _is_enough(self, outcome: StepOutcome[Any]) -> bool:
        if isinstance(outcome, Success):
            return False
        if not tolerable(outcome):
            return isinstance(outcome, Failure | Aborted)
        self._failures += 1
        most = 0 if self._step.on_error == "fail" else self._step.max_failures
        return most is not None and self._failures > most


class MapPolicy(StepPolicy[MapStep[Any, Any]]):
    """Runs the body for every item, each in a context of its own; items in flight are finished, whatever happens.

    An item that pauses does not keep the others from being worked on: several questions can be open at a time.
    """

    @property
    def handles_type(self) -> type[MapStep[Any, Any]]:
        """`MapStep`."""
        return MapStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """The items' results in their order, or what `finalize` makes of them."""
        step: MapStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        source = await _iterable(core, frame, step)
        with closing(source) if isinstance(source, Generator) else nullcontext():
            items = _Items(core, frame, step, source)
            await _together([items.work() for _ in range(step.concurrency)])
        unfinished = items.verdict()
        if isinstance(unfinished, Failure) and tolerable(unfinished) and step.on_error != "fail":
            return unfinished._replace(error=_too_many(step, unfinished))
        if unfinished is not None:
            return unfinished
        outcomes = [items.outcomes[index] for index in sorted(items.outcomes)]
        frame.run.journal.check_items(frame.path, len(outcomes))
        frame.run.contexts.merge(frame.context, items.merging(), step.merge_strategy)
        counting = [out for out in outcomes if isinstance(out, Success) or step.on_error == "collect"]
        return Success(_finalized(core, frame, step, [output_of(out) for out in counting]))


def _rank(outcome: StepOutcome[Any]) -> int:
    if isinstance(outcome, Failure):
        return 2 if tolerable(outcome) else 1
    return 0 if isinstance(outcome, Aborted) else 3


def _too_many(step: MapStep[Any, Any], first: Failure[Any]) -> ExecutionError:
    """Why a map ends that goes on without the items that fail: with how many it does not, and the first error."""
    told, line = ErrorInfo.of(first.error), first.step_result
    where = f"{line.path!r}: " if line else ""
    return ExecutionError(
        f"map {step.name!r} ends, as more than max_failures {step.max_failures} of its items failed: "
        f"{where}{told.message}",
        suggestion=told.suggestion,
        cause=first.error,
    )


def _refuse(item: Malformed, _: Any) -> NoReturn:
    raise item.error


async def _together(work: list[Any]) -> None:
    """Run all of it, and leave nothing running when one part raises or the whole is cancelled."""
    if len(work) == 1:
        await work[0]
        return
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        await all_ended(tasks, cancels=True)


async def _iterable(core: StepExecutor, frame: ExecutionFrame, step: MapStep[Any, Any]) -> Iterable[Any]:
    """The items. Raises `ExecutionError` for what is no list of items: text, mappings, sets without an order."""
    source = step.iterable_input
    if source is None:
        items = frame.data
    elif callable(source):
        items = await called(source, frame.data, frame.context)
    elif isinstance(source, FileItems):
        path = core.render(source.file, frame.scope())
        file, shown = inside(frame.run.root, path, f"map {step.name!r}")
        items = _READERS[source.format_of(shown)](file, shown)
    elif step.iterable_field is not None:
        items = _field(core, frame, step.iterable_field)
    else:
        items = core.render(source, frame.scope())
    if isinstance(items, str | bytes | Mapping | Set) or not isinstance(items, Iterable):
        raise ExecutionError(
            f"map {step.name!r} needs a list of items, but {_source(step)} is {type(items).__name__!r}",
            suggestion="name a list in the context with iterable_input, or hand the step a list",
        )
    return items


def _field(core: StepExecutor, frame: ExecutionFrame, field: str) -> Any:
    try:
        return core.evaluate(field, frame.scope())
    except TemplateResolutionError as error:
        name = field.removeprefix("context.")
        advice = f'let a step before sink_to: {name}, or write a template: "{{{{ {field} | default([]) }}}}"'
        raise TemplateResolutionError(error.message, suggestion=advice, cause=error) from error


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


class FilePart(Spec):
    """`iterable_input:` of a map over a file."""

    #: It can't leave that folder.
    file: str = Field(description="The file's path from the project's folder, or a template for it")
    #: `jsonl`: one JSON value a line; `csv`: mappings by the names in the first row.
    format: FileFormat | None = Field(default=None, description="By default what the suffix says")


class MapPart(Spec):
    """`map:` of a map."""

    iterable_input: str | FilePart | None = Field(
        default=None, description="A field of the context, a template, or {file: path}; else the input"
    )
    #: The item is their data, and `item` or `this` in templates.
    body: NestedSteps = Field(description="The steps that every item goes through")
    concurrency: int = Field(default=1, ge=1, description="How many items are worked on at a time")
    #: `fail`: it ends the step, and those under way are finished; `skip`: it is left out; `collect`: `{error: text}`
    #: stands in its place.
    on_error: Literal["fail", "skip", "collect"] = Field(default="fail", description="What an item's failure means")
    max_failures: int | None = Field(default=None, ge=0, description="How many items may fail before the step does")
    finalize: dict[str, Any] = Field(
        default_factory=dict, description="`output_template` or `output`: a template over the results"
    )
    #: As for [`parallel`](#kind-parallel).
    merge_strategy: str = Field(default="context_update", description="How changes of the context flow back")


class MapSpec(StepSpec):
    """A step of kind `map`."""

    map: MapPart = Field(description="The items and what is done with each")


def build_map(spec: MapSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    part, source = spec.map, spec.map.iterable_input
    return MapStep(
        **options_of(spec, context),
        body=body_of(part.body, context),
        iterable_input=FileItems(**dict(source)) if isinstance(source, FilePart) else source,
        concurrency=part.concurrency,
        on_error=part.on_error,
        max_failures=part.max_failures,
        finalize=part.finalize,
        merge_strategy=resolved(part.merge_strategy, get_args(MergeStrategy), context),
    )
