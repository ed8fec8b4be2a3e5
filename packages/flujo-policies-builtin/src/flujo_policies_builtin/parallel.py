"""Branches side by side: `kind: parallel`."""

from typing import Any, Literal, get_args

from pydantic import AliasChoices, Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import NestedSteps, StepSpec
from flujo.domain.kinds import MergeStrategy, OnBranchFailure, ParallelStep, Reduce
from flujo.domain.outcomes import StepOutcome
from flujo.domain.steps import Step
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo_policies_builtin.branches import run_branches
from flujo_policies_builtin.composites import branches_of, options_of, resolved

__all__ = ["MergingSpec", "ParallelPolicy", "ParallelSpec", "build_parallel", "merging_of"]


class ParallelPolicy(StepPolicy[ParallelStep[Any, Any]]):
    """Runs every branch side by side, each in a context of its own."""

    @property
    def handles_type(self) -> type[ParallelStep[Any, Any]]:
        """`ParallelStep`."""
        return ParallelStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """The branches' outputs by name, in the order of declaration, or what `reduce` makes of them."""
        step: ParallelStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        return await run_branches(core, frame, step, step.branches)


class MergingSpec(StepSpec):
    """What kinds with branches side by side say of contexts and failures."""

    #: `union` is of mappings, `concat` of lists; a function is one of the mapping of all.
    reduce: str | None = Field(default=None, description="What the outputs become")
    #: `context_update`: two branches that change one place to different values are an error; `error_on_conflict`: to
    #: any value; `overwrite`: the later branch wins; `keep_first`: the earlier one; `no_merge`: nothing flows back; a
    #: function is one of the context and the branches' contexts.
    merge_strategy: str = Field(default="context_update", description="How changes of the context flow back")
    #: They are dotted paths.
    field_mapping: dict[str, list[str]] = Field(
        default_factory=dict, description="The context's fields that may flow back from a branch, by branch"
    )
    #: And out of them: what a branch changes in others is its own. A context that takes any field may be asked for one
    #: that is not there yet.
    include_keys: list[str] = Field(
        default_factory=list,
        validation_alias=AliasChoices("include_keys", "context_include_keys"),
        description="The context's fields that flow into branches; all by default",
    )
    #: `propagate`: the other branches are cancelled and the step fails; `ignore`: the branch is left out, and one must
    #: succeed; `collect`: `{error: text}` stands in its place.
    on_branch_failure: OnBranchFailure = Field(default="propagate", description="What a branch's failure means")
    max_concurrency: int | None = Field(default=None, ge=1, description="How many branches run at a time")
    #: `shared`: all draw on one pool; `split`: each has an equal part of what is left, whose rest comes back; while all
    #: of it is kept by others, it waits.
    budget: Literal["shared", "split"] = Field(default="shared", description="What of the run's budget a branch has")


class ParallelSpec(MergingSpec):
    """A step of kind `parallel`."""

    branches: dict[str, NestedSteps] = Field(description="The steps of each branch, by name")


def merging_of(spec: MergingSpec, context: BuildContext) -> dict[str, Any]:
    """The arguments of `ParallelStep` that the spec gives, beside its branches."""
    return {
        "reduce": resolved(spec.reduce, get_args(Reduce), context),
        "merge_strategy": resolved(spec.merge_strategy, get_args(MergeStrategy), context),
        "field_mapping": spec.field_mapping,
        "include_keys": tuple(spec.include_keys),
        "on_branch_failure": spec.on_branch_failure,
        "max_concurrency": spec.max_concurrency,
        "budget": spec.budget,
    }


def build_parallel(spec: ParallelSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    options = options_of(spec, context)
    return ParallelStep(**options, **merging_of(spec, context), branches=branches_of(spec.branches, context))
