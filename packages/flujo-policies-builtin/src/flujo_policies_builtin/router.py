"""Branches that an agent picks: `kind: dynamic_router`."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import CalledStep, NestedSteps, Spec
from flujo.domain.kinds import DynamicParallelRouterStep
from flujo.domain.outcomes import StepOutcome, Success
from flujo.domain.steps import Step
from flujo.domain.suggest import did_you_mean
from flujo.engine.changes import unshared
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.exceptions import ExecutionError
from flujo_policies_builtin.branches import run_branches
from flujo_policies_builtin.composites import branches_of, named_step, options_of
from flujo_policies_builtin.parallel import MergingSpec, merging_of

__all__ = ["RouterPart", "RouterPolicy", "RouterSpec", "build_router"]


class RouterPolicy(StepPolicy[DynamicParallelRouterStep[Any, Any]]):
    """Runs the router, then the branches that it names, side by side."""

    @property
    def handles_type(self) -> type[DynamicParallelRouterStep[Any, Any]]:
        """`DynamicParallelRouterStep`."""
        return DynamicParallelRouterStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """The outputs of the chosen branches by name, in the order of the router's answer."""
        step: DynamicParallelRouterStep[Any, Any] = frame.step  # type: ignore[assignment]  # dispatched by type
        answer = await core.execute(frame.child(step.router, unshared(frame.data), at="/router"))
        if not isinstance(answer, Success):
            return answer
        chosen = {name: step.branches[name] for name in _names(step, answer.value)}
        return await run_branches(core, frame, step, chosen)


def _names(step: DynamicParallelRouterStep[Any, Any], answer: Any) -> Sequence[str]:
    """The branch names in the router's answer. Raises `ExecutionError` for anything else."""
    names = [answer] if isinstance(answer, str) else answer
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise ExecutionError(
            f"the router of {step.name!r} answered {type(answer).__name__!r}, expected a branch's name or a list",
            suggestion=f"its branches are {', '.join(step.branches)}",
        )
    for name in names:
        if name not in step.branches:
            raise ExecutionError(
                f"the router of {step.name!r} named {name[:80]!r}, which is no branch",
                suggestion=did_you_mean(name, step.branches, what="its branches are"),
            )
    return list(dict.fromkeys(names))


class RouterPart(Spec):
    """`router:` of a dynamic router."""

    #: It answers with a name or a list of names.
    router_agent: CalledStep = Field(description="What picks the branches: module:attr or a skill's id, or a step")
    branches: dict[str, NestedSteps] = Field(description="The steps of each branch, by name")


class RouterSpec(MergingSpec):
    """A step of kind `dynamic_router`."""

    router: RouterPart = Field(description="The router and its branches")


def build_router(spec: RouterSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    branches = branches_of(spec.router.branches, context)
    options = options_of(spec, context)
    router = named_step(spec.router.router_agent, "router", context, what="router_agent")
    return DynamicParallelRouterStep(**options, **merging_of(spec, context), router=router, branches=branches)
