"""One branch or another: `kind: conditional`, and `kind: switch`."""

from typing import Any

from pydantic import Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import NestedSteps, StepSpec
from flujo.domain.composite import branch_key
from flujo.domain.kinds import ConditionalStep
from flujo.domain.outcomes import StepOutcome
from flujo.domain.steps import Step
from flujo.domain.suggest import did_you_mean
from flujo.engine.changed import check_way
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.exceptions import ExecutionError
from flujo_policies_builtin.composites import body_of, branches_of, called, options_of

__all__ = ["ConditionalPolicy", "ConditionalSpec", "build_conditional"]


class ConditionalPolicy(StepPolicy[ConditionalStep[Any, Any]]):
    """Evaluates the condition and runs the branch that its value names, in the context that it shares."""

    @property
    def handles_type(self) -> type[ConditionalStep[Any, Any]]:
        """`ConditionalStep`."""
        return ConditionalStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """Hand on what the branch comes to. Raises `ExecutionError` when there is none."""
        step: ConditionalStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        if step.condition is not None:
            value = await called(step.condition, frame.data, frame.context)
        else:
            value = core.evaluate(str(step.condition_expression), frame.scope())
        key = branch_key(value)
        body, place = step.branches.get(key), key
        if body is None:
            body, place = step.default_branch, "default_branch"
        if body is None:
            advice = did_you_mean(key, step.branches, what="its branches are")
            raise ExecutionError(
                f"conditional {step.name!r} has no branch {key[:80]!r}", suggestion=f"{advice}; or add a default_branch"
            )
        check_way(frame, f"/{place}")
        return await core.execute(frame.child(body, frame.data, at=f"/{place}"))


class ConditionalSpec(StepSpec):
    """A step of kind `conditional`."""

    #: True is `true`, anything else its text.
    condition_expression: str | None = Field(default=None, description="Expression whose value names the branch")
    #: Give one of the two.
    condition: str | None = Field(default=None, description="module:attr of a function of data and context")
    branches: dict[str, NestedSteps] = Field(description="The steps of each branch, by name")
    #: Without it such a value is an error.
    default_branch: NestedSteps | None = Field(
        default=None, description="The steps that run when no branch has that name"
    )


def build_conditional(spec: ConditionalSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    default = None if spec.default_branch is None else body_of(spec.default_branch, context)
    return ConditionalStep(
        **options_of(spec, context),
        condition_expression=spec.condition_expression,
        condition=None if spec.condition is None else context.resolve(spec.condition),
        branches=branches_of(spec.branches, context),
        default_branch=default,
    )
