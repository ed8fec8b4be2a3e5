"""A pipeline of its own as one step: `kind: import`."""

import copy
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import ConfigSpec, Spec, StepSpec
from flujo.domain.context import PipelineContext
from flujo.domain.imports import ImportOutput, ImportStep
from flujo.domain.outcomes import StepOutcome, Success
from flujo.domain.scope import NOTHING, Outputs
from flujo.domain.steps import Step
from flujo.engine.changes import sink, snapshot, unshared
from flujo.engine.context_manager import ContextManager, Isolation
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.exceptions import ConfigurationError, ContextFieldError
from flujo_policies_builtin.composites import options_of
from flujo_policies_builtin.sequence import SequencePolicy
from flujo_policies_builtin.skills.context import read_path

__all__ = ["ImportConfig", "ImportPolicy", "ImportSpec", "OutputSpec", "build_import"]


class ImportPolicy(StepPolicy[ImportStep[Any, Any]]):
    """Runs the child's steps as a run of their own would, and lets flow back what the step says."""

    def __init__(self) -> None:
        self._sequence = SequencePolicy()

    @property
    def handles_type(self) -> type[ImportStep[Any, Any]]:
        """`ImportStep`."""
        return ImportStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """Hand on what the child comes to. What must hold around the step is not asked of the child's own context."""
        step: ImportStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        contexts = frame.run.contexts
        begin = contexts.isolate if step.inherit_context else contexts.renew
        own = begin(frame.context, purpose=f"the child of {frame.path!r}")
        _give(step, own.context, frame.data)
        own = own._replace(before=snapshot(own.context))  # what it is given is not what it changes
        child = frame._replace(
            step=step.pipeline,
            run=replace(frame.run, input=unshared(frame.data)),
            context=own.context,
            outputs=Outputs(),
            extras=NOTHING,
            invariants=(),
        )
        outcome = await self._sequence.execute(core, child)
        contexts.verify(own)
        if isinstance(outcome, Success):
            _hand_back(step, own, contexts)
        return outcome


def _give(step: ImportStep[Any, Any], context: PipelineContext, data: Any) -> None:
    """Put the step's data where `input_to` says, beside its being the child's data."""
    if step.input_to == "initial_prompt":
        context.initial_prompt = data if isinstance(data, str) else ""
    elif step.input_to != "scratchpad":
        sink(context, step.input_to, copy.deepcopy(data))
    elif isinstance(data, dict):
        context.scratchpad = {**context.scratchpad, **copy.deepcopy(data)}
    else:
        raise ContextFieldError(
            f"import {step.name!r} puts {type(data).__name__!r} into the scratchpad, expected a mapping",
            suggestion="name a place in it: input_to: scratchpad.input",
        )


def _hand_back(step: ImportStep[Any, Any], own: Isolation, contexts: ContextManager) -> None:
    """Let the outputs, or else what `updates_context` allows, into the parent's context."""
    if step.outputs:
        values = [(parent, _read(step, own.context, child)) for child, parent in step.outputs]
        for path, value in values:
            sink(own.parent, path, value)
    elif step.updates_context:
        contexts.hand_back(own)


def _read(step: ImportStep[Any, Any], context: PipelineContext, path: str) -> Any:
    try:
        return copy.deepcopy(read_path(context, path))
    except ContextFieldError as error:
        raise ContextFieldError(
            f"import {step.name!r} hands back what its child has not set: {error.message}", suggestion=error.suggestion
        ) from error


class OutputSpec(Spec):
    """One of `outputs`."""

    child: str = Field(description="Dotted path in the child's context")
    parent: str = Field(description="Dotted path in this pipeline's context that gets the value")


class ImportConfig(ConfigSpec):
    """`config:` of an import: how it is run, and what goes in and comes back."""

    #: `initial_prompt` takes text only, `scratchpad` a mapping's keys.
    input_to: str = Field(
        default="initial_prompt",
        description="Where the data also stands in the child's context: initial_prompt, scratchpad, or a dotted path",
    )
    #: When the child has succeeded; a path that it has not set is an error. Without `outputs` nothing flows back,
    #: unless `updates_context` is `true`: then everything does that the child has changed, in mappings key by key, but
    #: not what `input_to` gave it.
    outputs: list[OutputSpec] | None = Field(default=None, description="What is copied into this pipeline's context")
    #: By default it is empty at first.
    inherit_context: bool = Field(default=False, description="Begin with a copy of this pipeline's context")
    #: `abort`: the step fails; `skip`: its output is nothing; `continue_with_default`: it is an empty mapping.
    on_failure: Literal["abort", "skip", "continue_with_default"] = Field(
        default="abort", description="What the child's failure means"
    )


class ImportSpec(StepSpec):
    """A step of kind `import`."""

    uses: str | None = Field(default=None, description="imports.NAME, as the document's imports declare it")
    #: Give one of the two.
    path: str | None = Field(default=None, description="The child's file, relative to this one")
    config: ImportConfig = Field(default_factory=ImportConfig, description="Retries, time, and what goes in and out")


def build_import(spec: ImportSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`. Raises `ConfigurationError` where it doesn't name one file."""
    options = options_of(spec, context)
    if (spec.uses is None) == (spec.path is None):
        raise ConfigurationError(
            f"import {spec.name!r} needs one file", suggestion="write uses: imports.NAME, or path: FILE"
        )
    config = spec.config
    if config.outputs == []:
        options["updates_context"] = False  # nothing is to flow back
    return ImportStep(
        **options,
        pipeline=context.imported(name=spec.uses, path=spec.path or ""),
        input_to=config.input_to,
        outputs=[ImportOutput(output.child, output.parent) for output in config.outputs or ()],
        inherit_context=config.inherit_context,
        on_failure=config.on_failure,
    )
