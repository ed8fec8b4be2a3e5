"""Steps one after the other: pipelines, and `kind: pipeline` inside them."""

from typing import Any

from pydantic import Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import NestedStep, StepSpec
from flujo.domain.outcomes import StepOutcome, Success
from flujo.domain.scope import Outputs
from flujo.domain.steps import Pipeline, Step
from flujo.engine.changes import unshared
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy

__all__ = ["SequencePolicy", "SequenceSpec", "build_sequence"]


class SequencePolicy(StepPolicy[Pipeline[Any, Any]]):
    """Runs a pipeline's steps in order, each with the output of the one before, until one does not succeed."""

    @property
    def handles_type(self) -> type[Pipeline[Any, Any]]:
        """`Pipeline`."""
        return Pipeline

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """Hand on the last step's output, or what the first step came to that did not succeed."""
        outputs = Outputs(frame.outputs)
        data = frame.data
        steps = tuple(frame.step.children())
        for number, step in enumerate(steps, 1):
            child = frame.child(step, data, outputs=outputs)
            if step.holds_steps:
                child = child.then(map(frame.place, steps[number:]))
            outcome = await core.execute(child)
            if not isinstance(outcome, Success):
                return outcome
            data = outcome.value
            outputs.add(step.name, unshared(data))
        return Success(data)


class SequenceSpec(StepSpec):
    """A step of kind `pipeline`."""

    steps: list[NestedStep] = Field(min_length=1, description="The steps, run one after the other")


def build_sequence(spec: SequenceSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the pipeline of a validated `spec`. It is retried as a whole only if the file says so: its steps are."""
    options = context.common(spec)
    if "max_retries" not in spec.config.model_fields_set:
        options["config"] = options["config"].model_copy(update={"max_retries": 0})
    return Pipeline(context.sequence(spec.steps), **options)
