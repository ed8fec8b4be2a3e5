"""One obvious way to write each kind of step in Python."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from flujo.domain.composite import Body
from flujo.domain.kinds import (
    ConditionalStep,
    DynamicParallelRouterStep,
    LoopStep,
    MapStep,
    MergeStrategy,
    OnBranchFailure,
    Operations,
    ParallelStep,
    Reduce,
)
from flujo.domain.steps import Step

__all__ = ["branch", "loop", "map_", "parallel", "route"]

Merge = MergeStrategy | Callable[..., Any]


def branch(
    name: str,
    *,
    on: str | Callable[[Any, Any], Any],
    branches: Mapping[Any, Body],
    default: Body | None = None,
    **options: Any,
) -> ConditionalStep[Any, Any]:
    """Run the branch that `on` names: an expression, or a callable of data and context. `default` runs for any
    other value. Options are those of every step. Raises `ConfigurationError`; see `ConditionalStep`."""
    expression, condition = (None, on) if callable(on) else (on, None)
    return ConditionalStep(
        name,
        condition_expression=expression,
        condition=condition,
        branches=branches,
        default_branch=default,
        **options,
    )


def loop(
    name: str,
    body: Body,
    *,
    until: str | Callable[[Any, Any], Any] | None = None,
    max_loops: int = 5,
    on_max: Literal["fail", "take_last"] = "fail",
    init: Operations | None = None,
    state: Operations | None = None,
    **options: Any,
) -> LoopStep[Any, Any]:
    """Run `body` again and again `until` an expression, or a callable of output and context, holds; without it
    `max_loops` times. Options are the mappers, `propagation`, and those of every step. Raises
    `ConfigurationError`; see `LoopStep`."""
    expression, condition = (None, until) if callable(until) else (until, None)
    return LoopStep(
        name,
        body=body,
        exit_expression=expression,
        exit_condition=condition,
        max_loops=max_loops,
        on_max=on_max,
        init=init or {},
        state=state or {},
        **options,
    )


def map_(
    name: str,
    body: Body,
    *,
    over: str | Callable[[Any, Any], Any] | None = None,
    concurrency: int = 1,
    on_error: Literal["fail", "skip", "collect"] = "fail",
    max_failures: int | None = None,
    finalize: Mapping[str, Any] | None = None,
    merge_strategy: Merge = "context_update",
    **options: Any,
) -> MapStep[Any, Any]:
    """Run `body` for every item `over` a field of the context, a template's value, or what a callable of data and
    context gives; without it for every item of the step's data. Options are those of every step. Raises
    `ConfigurationError`; see `MapStep`."""
    return MapStep(
        name,
        body=body,
        iterable_input=over,
        concurrency=concurrency,
        on_error=on_error,
        max_failures=max_failures,
        finalize=finalize or {},
        merge_strategy=merge_strategy,
        **options,
    )


def parallel(
    name: str,
    branches: Mapping[Any, Body],
    *,
    reduce: Reduce | Callable[[dict[str, Any]], Any] | None = None,
    merge_strategy: Merge = "context_update",
    on_branch_failure: OnBranchFailure = "propagate",
    max_concurrency: int | None = None,
    **options: Any,
) -> ParallelStep[Any, Any]:
    """Run `branches` side by side. Options are `field_mapping`, `include_keys`, and those of every step. Raises
    `ConfigurationError`; see `ParallelStep`."""
    return ParallelStep(
        name,
        branches=cast("Mapping[str, Any]", branches),
        reduce=reduce,
        merge_strategy=merge_strategy,
        on_branch_failure=on_branch_failure,
        max_concurrency=max_concurrency,
        **options,
    )


def route(
    name: str,
    router: Step[Any, Any],
    branches: Mapping[str, Body],
    *,
    reduce: Reduce | Callable[[dict[str, Any]], Any] | None = None,
    merge_strategy: Merge = "context_update",
    on_branch_failure: OnBranchFailure = "propagate",
    max_concurrency: int | None = None,
    **options: Any,
) -> DynamicParallelRouterStep[Any, Any]:
    """Run those of `branches`, side by side, that the step `router` names. Options are `field_mapping`,
    `include_keys`, and those of every step. Raises `ConfigurationError`; see `DynamicParallelRouterStep`."""
    return DynamicParallelRouterStep(
        name,
        router=router,
        branches=branches,
        reduce=reduce,
        merge_strategy=merge_strategy,
        on_branch_failure=on_branch_failure,
        max_concurrency=max_concurrency,
        **options,
    )
