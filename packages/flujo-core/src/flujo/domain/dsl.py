"""One obvious way to write each kind of step in Python."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, Unpack, cast, overload

from flujo.domain.agent_step import AgentStep
from flujo.domain.agentic_loop import AgenticLoopStep
from flujo.domain.agents import Agent
from flujo.domain.cached import CacheStep
from flujo.domain.composite import Body
from flujo.domain.human import HumanInTheLoopStep
from flujo.domain.imports import ImportStep
from flujo.domain.items import FileItems
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
from flujo.domain.options import AgentOptions, BranchesOptions, LoopOptions, PlainFields, StepFields
from flujo.domain.state_machine import StateMachineStep, Transition
from flujo.domain.steps import Step

__all__ = [
    "agent",
    "agentic_loop",
    "branch",
    "cached",
    "human",
    "import_",
    "loop",
    "map_",
    "parallel",
    "route",
    "state_machine",
]

In = TypeVar("In")
Out = TypeVar("Out")

Merge = MergeStrategy | Callable[..., Any]


@overload
def agent(
    name: str, run: Agent, *, output: type[Out], model: str = "", **options: Unpack[AgentOptions]
) -> AgentStep[Any, Out]: ...
@overload
def agent(
    name: str, run: Agent, *, output: Any = None, model: str = "", **options: Unpack[AgentOptions]
) -> AgentStep[Any, Any]: ...
def agent(name: str, run: Agent, *, output: Any = None, model: str = "", **options: Any) -> AgentStep[Any, Any]:
    """Ask an agent: an object with a method `run`, or a function. `output` is a pydantic model, another type, or a JSON
    Schema that the answer must fit. Options are those of every step, and `agent`. Raises `ConfigurationError`; see
    `AgentStep`."""
    return AgentStep(name, run, output=output, model=model, **options)


def agentic_loop(
    name: str,
    planner: Step[Any, Any],
    agents: Mapping[str, Body],
    *,
    max_turns: int = 10,
    **options: Unpack[StepFields],
) -> AgenticLoopStep[Any, Any]:
    """Let the step `planner` say what is done next, by one of `agents` or by a person, until it is done. Options
    are those of every step. Raises `ConfigurationError`; see `AgenticLoopStep`."""
    return AgenticLoopStep(name, planner=planner, agents=agents, max_turns=max_turns, **options)


def branch(
    name: str,
    *,
    on: str | Callable[[Any, Any], Any],
    branches: Mapping[Any, Body],
    default: Body | None = None,
    **options: Unpack[StepFields],
) -> ConditionalStep[Any, Any]:
    """Run the branch that `on` names: an expression, or a callable of data and context. `default` runs for any
    other value. Options are those of every step. Raises `ConfigurationError`; see `ConditionalStep`."""
    expression, condition = (None, on) if callable(on) else (on, None)
    return ConditionalStep(
        name, condition_expression=expression, condition=condition, branches=branches, default_branch=default, **options
    )


@overload
def cached(
    name: str,
    body: Step[In, Out],
    *,
    ttl_s: float | None = None,
    context_keys: Sequence[str] = (),
    **options: Unpack[PlainFields],
) -> CacheStep[In, Out]: ...
@overload
def cached(
    name: str,
    body: Body,
    *,
    ttl_s: float | None = None,
    context_keys: Sequence[str] = (),
    **options: Unpack[StepFields],
) -> CacheStep[Any, Any]: ...
def cached(
    name: str, body: Body, *, ttl_s: float | None = None, context_keys: Sequence[str] = (), **options: Any
) -> CacheStep[Any, Any]:
    """Hand out what `body` came to before with the same data, for up to `ttl_s` seconds; else run it. Options are
    those of every step. Raises `ConfigurationError`; see `CacheStep`."""
    return CacheStep(name, body=body, ttl_s=ttl_s, context_keys=context_keys, **options)


def human(
    name: str,
    message: str,
    *,
    schema: Any = None,
    deadline_s: float | None = None,
    on_deadline: Literal["fail"] | Mapping[str, Any] = "fail",
    **options: Unpack[StepFields],
) -> HumanInTheLoopStep[Any, Any]:
    """Ask a person and wait for the answer: `message` is a template, `schema` a JSON Schema, a pydantic model or
    another type. Options are those of every step. Raises `ConfigurationError`; see `HumanInTheLoopStep`."""
    return HumanInTheLoopStep(
        name, message=message, input_schema=schema, deadline_s=deadline_s, on_deadline=on_deadline, **options
    )


@overload
def import_(
    name: str,
    pipeline: Step[In, Out],
    *,
    outputs: Sequence[tuple[str, str]] = (),
    input_to: str = "initial_prompt",
    inherit_context: bool = False,
    on_failure: Literal["abort"] = "abort",
    **options: Unpack[PlainFields],
) -> ImportStep[In, Out]: ...
@overload
def import_(
    name: str,
    pipeline: Body,
    *,
    outputs: Sequence[tuple[str, str]] = (),
    input_to: str = "initial_prompt",
    inherit_context: bool = False,
    on_failure: Literal["abort", "skip", "continue_with_default"] = "abort",
    **options: Unpack[StepFields],
) -> ImportStep[Any, Any]: ...
def import_(
    name: str,
    pipeline: Body,
    *,
    outputs: Sequence[tuple[str, str]] = (),
    input_to: str = "initial_prompt",
    inherit_context: bool = False,
    on_failure: Literal["abort", "skip", "continue_with_default"] = "abort",
    **options: Any,
) -> ImportStep[Any, Any]:
    """Run `pipeline` with a context of its own; `outputs`, pairs of paths (in its context, in ours), are copied back
    when it has succeeded. Options are those of every step. Raises `ConfigurationError`; see `ImportStep`."""
    return ImportStep(
        name,
        pipeline=pipeline,
        outputs=outputs,
        input_to=input_to,
        inherit_context=inherit_context,
        on_failure=on_failure,
        **options,
    )


@overload
def loop(
    name: str,
    body: Step[Out, Out],
    *,
    until: str | Callable[[Any, Any], Any] | None = None,
    max_loops: int = 5,
    on_max: Literal["fail", "take_last"] = "fail",
    init: Operations | None = None,
    state: Operations | None = None,
    **options: Unpack[PlainFields],
) -> LoopStep[Out, Out]: ...
@overload
def loop(
    name: str,
    body: Body,
    *,
    until: str | Callable[[Any, Any], Any] | None = None,
    max_loops: int = 5,
    on_max: Literal["fail", "take_last"] = "fail",
    init: Operations | None = None,
    state: Operations | None = None,
    **options: Unpack[LoopOptions],
) -> LoopStep[Any, Any]: ...
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


@overload
def map_(
    name: str,
    body: Step[In, Out],
    *,
    over: None = None,
    concurrency: int = 1,
    on_error: Literal["fail", "skip"] = "fail",
    max_failures: int | None = None,
    merge_strategy: Merge = "context_update",
    **options: Unpack[PlainFields],
) -> MapStep[list[In], list[Out]]: ...
@overload
def map_(
    name: str,
    body: Step[Any, Out],
    *,
    over: str | FileItems | Callable[[Any, Any], Any],
    concurrency: int = 1,
    on_error: Literal["fail", "skip"] = "fail",
    max_failures: int | None = None,
    merge_strategy: Merge = "context_update",
    **options: Unpack[PlainFields],
) -> MapStep[Any, list[Out]]: ...
@overload
def map_(
    name: str,
    body: Body,
    *,
    over: str | FileItems | Callable[[Any, Any], Any] | None = None,
    concurrency: int = 1,
    on_error: Literal["fail", "skip", "collect"] = "fail",
    max_failures: int | None = None,
    finalize: Mapping[str, Any] | None = None,
    merge_strategy: Merge = "context_update",
    **options: Unpack[StepFields],
) -> MapStep[Any, Any]: ...
def map_(
    name: str,
    body: Body,
    *,
    over: str | FileItems | Callable[[Any, Any], Any] | None = None,
    concurrency: int = 1,
    on_error: Literal["fail", "skip", "collect"] = "fail",
    max_failures: int | None = None,
    finalize: Mapping[str, Any] | None = None,
    merge_strategy: Merge = "context_update",
    **options: Any,
) -> MapStep[Any, Any]:
    """Run `body` for every item `over` a field of the context, a template's value, a file, or what a callable of data
    and context gives; without it for every item of the step's data. Options are those of every step. Raises
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
    **options: Unpack[BranchesOptions],
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
    **options: Unpack[BranchesOptions],
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


def state_machine(
    name: str,
    states: Mapping[Any, Body],
    *,
    start: Any,
    end: Sequence[Any],
    transitions: Sequence[Transition] = (),
    max_transitions: int = 100,
    **options: Unpack[StepFields],
) -> StateMachineStep[Any, Any]:
    """Run the steps of the state `start`, then those of the state that a transition leads to, up to one of `end`.
    Options are those of every step. Raises `ConfigurationError`; see `StateMachineStep`."""
    return StateMachineStep(
        name,
        states=states,
        start_state=start,
        end_states=end,
        transitions=transitions,
        max_transitions=max_transitions,
        **options,
    )
