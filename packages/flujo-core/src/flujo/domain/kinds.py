"""The kinds of step beside calls and sequences. Data only: how they run is their policies' business.

Expressions and templates are text in the one language of conditions and templates; a callable may stand for each.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Never, TypeAlias, get_args

from flujo.domain.callables import UNKNOWN
from flujo.domain.composite import CompositeStep
from flujo.domain.hints import item_type, union
from flujo.domain.items import FileItems
from flujo.domain.steps import In, Out, Pipeline, Step
from flujo.domain.validation import Refusal

__all__ = [
    "ConditionalStep",
    "DynamicParallelRouterStep",
    "LoopStep",
    "MapStep",
    "MergeStrategy",
    "OnBranchFailure",
    "Operation",
    "Operations",
    "ParallelStep",
    "Reduce",
    "operations",
]

#: How the contexts of branches flow back, in declaration order; a callable gets (parent, {branch: context}).
MergeStrategy: TypeAlias = Literal["context_update", "overwrite", "keep_first", "no_merge", "error_on_conflict"]
OnBranchFailure: TypeAlias = Literal["propagate", "ignore", "collect"]
Reduce: TypeAlias = Literal["keys", "values", "union", "concat", "first", "last", "majority_vote"]
Operations: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Operation(NamedTuple):
    """What a loop does to the context: "set", "append" or "merge" the `template`'s value at the path `target`."""

    action: str
    target: str | None
    template: Any


def operations(raw: Operations) -> Iterator[Operation]:
    """The operations that `init` or `state` hold, in their order; one that is written wrongly has no target."""
    for group in [raw] if isinstance(raw, Mapping) else raw:
        for key, value in group.items():
            if key in ("set", "append", "merge") and isinstance(value, list | Mapping):
                yield from (_operation(key, each) for each in ([value] if isinstance(value, Mapping) else value))
            else:
                yield Operation("set", key, value)


def _operation(action: str, written: Any) -> Operation:
    if isinstance(written, Mapping) and set(written) == {"target", "value"} and isinstance(written["target"], str):
        return Operation(action, written["target"], written["value"])
    return Operation(action, None, None)


@dataclass(frozen=True, eq=False, kw_only=True)
class LoopStep(CompositeStep[In, Out]):
    """Runs its body again and again, each time with the output of the time before.

    It ends when `exit_expression` or `exit_condition` (a callable of output and context) holds after an iteration,
    and fails after `max_loops` iterations without that, unless `on_max` is "take_last". Without any exit test it is
    a counted loop. `init` (rendered once) and `state` (after every iteration) are operations on the context:
    {path: template}, or {"set" | "append" | "merge": [{"target": path, "value": template}]}. The mappers make the
    first input (of input, context), the next one (of output, context, iterations done) and the loop's output (of
    output, context). `propagation` is a template for the next input, or "context".
    """

    body: Any = None
    max_loops: int = 5
    exit_expression: str | None = None
    exit_condition: Callable[[Any, Any], Any] | None = None
    on_max: Literal["fail", "take_last"] = "fail"
    initial_input_mapper: Callable[[Any, Any], Any] | None = None
    iteration_input_mapper: Callable[[Any, Any, int], Any] | None = None
    loop_output_mapper: Callable[[Any, Any], Any] | None = None
    init: Operations = field(default_factory=dict)
    state: Operations = field(default_factory=dict)
    propagation: str | None = None

    kind: ClassVar[str] = "loop"
    prefix: ClassVar[str] = "loop"
    expressions: ClassVar[tuple[str, ...]] = ("exit_expression",)
    templates: ClassVar[tuple[str, ...]] = ("init", "state", "propagation")

    @property
    def fed(self) -> Sequence[Pipeline[Any, Any]]:
        """The body, unless a function makes its first input."""
        return () if self.initial_input_mapper else (self.body,)

    @property
    def output_type(self) -> Any:
        """The body's, unless a function makes something else of it."""
        return UNKNOWN if self.loop_output_mapper else self.body.handed_type

    def inner_refusals(self) -> Iterator[tuple[str, Refusal]]:
        """Those of the body that can't take what the body gives; an exit test may keep some of that from them."""
        yield from super().inner_refusals()
        if self.max_loops > 1 and not (self.iteration_input_mapper or self.propagation):
            again = self.body.refusals(self.body.handed_type, maybe=not self.counted)
            yield from ((self.body.steps[-1].name, each) for each in again)

    @property
    def reads_context(self) -> bool:
        """Whether its own operations or one of its callables could change the context."""
        callables = (self.exit_condition, self.initial_input_mapper, self.iteration_input_mapper)
        return bool(self.init or self.state) or any((*callables, self.loop_output_mapper))

    def places(self) -> Iterable[tuple[str, Step[Any, Any]]]:
        """The body stands at the number of each iteration."""
        return (("[]", self.body),)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("body", self._body(self.body))
        self._refuse_all(self._mistakes())

    def _mistakes(self) -> Iterator[tuple[str, str]]:
        if self.max_loops < 1:
            yield f"has max_loops {self.max_loops}", "a loop runs at least once"
        if self.exit_expression is not None and self.exit_condition is not None:
            yield "has both exit_expression and exit_condition", "say once when it ends"
        yield from self._no_expression("exit_expression")
        yield from self._unknown("on_max", ("fail", "take_last"))
        if any(each.target is None for each in (*operations(self.init), *operations(self.state))):
            yield "has an operation that is not one", "write {path: template}, or {target: path, value: ...}"

    @property
    def counted(self) -> bool:
        """Whether the loop has no exit test, so that reaching `max_loops` is its end."""
        return self.exit_expression is None and self.exit_condition is None


@dataclass(frozen=True, eq=False, kw_only=True)
class MapStep(CompositeStep[In, Out]):
    """Runs its body once for every item; the output is the list of results, in the order of the items.

    `iterable_input` names a field of the context ("items", "context.items"), is a template, a file (read as the items
    are needed), or a callable of data and context; without it the step's own data is iterated. At most `concurrency`
    items are worked on at a time; one that pauses does not keep the others from it.
    `on_error`: "fail" at the first item that fails, "skip" leaves it out, "collect" puts its error in its place as
    {"error": text}; more than `max_failures` fail the step. `finalize` is {"output_template": template} or
    {"output": {key: template}} over the list. Items work on isolated contexts, which flow back by `merge_strategy`.
    """

    body: Any = None
    iterable_input: str | FileItems | Callable[[Any, Any], Any] | None = None
    concurrency: int = 1
    on_error: Literal["fail", "skip", "collect"] = "fail"
    max_failures: int | None = None
    finalize: Mapping[str, Any] = field(default_factory=dict)
    merge_strategy: MergeStrategy | Callable[..., Any] = "context_update"

    kind: ClassVar[str] = "map"
    prefix: ClassVar[str] = "map"
    side_by_side: ClassVar[bool] = True
    spares: ClassVar[str] = "on_error"
    expressions: ClassVar[tuple[str, ...]] = ("iterable_field",)
    templates: ClassVar[tuple[str, ...]] = ("iterable_input", "iterable_file", "finalize")

    @property
    def output_type(self) -> Any:
        """A list of what the body gives; errors among it promise nothing."""
        item = UNKNOWN if self.on_error == "collect" else self.body.handed_type
        made: Any = list.__class_getitem__(item)
        return UNKNOWN if self.finalize else made

    def _refusals(self, given: Any, maybe: bool) -> Iterator[Refusal]:
        if self.iterable_input is not None:
            return
        item = item_type(given)
        if item is Never:
            yield Refusal(self, given, list)
        else:
            yield from self.body.refusals(item, maybe=maybe)

    @property
    def reads_context(self) -> bool:
        """Whether one of its callables could change the context."""
        return callable(self.iterable_input) or callable(self.merge_strategy)

    def places(self) -> Iterable[tuple[str, Step[Any, Any]]]:
        """The body stands at the number of each item."""
        return (("[]", self.body),)

    @property
    def iterable_file(self) -> str | None:
        """The template for the path of the file that holds the items, if one does."""
        return self.iterable_input.file if isinstance(self.iterable_input, FileItems) else None

    @property
    def iterable_field(self) -> str | None:
        """The expression for the field of the context that `iterable_input` names, if it does."""
        if not isinstance(self.iterable_input, str) or "{{" in self.iterable_input:
            return None
        return f"context.{self.iterable_input.removeprefix('context.')}"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("body", self._body(self.body))
        self._refuse_all(self._mistakes())

    def _mistakes(self) -> Iterator[tuple[str, str]]:
        if self.concurrency < 1:
            yield f"has concurrency {self.concurrency}", "at least one item is worked on at a time"
        over: object = self.iterable_input
        if not isinstance(over, str | FileItems | None) and not callable(over):
            yield f"has iterable_input {over!r}", "name a field of the context; or give a callable"
        yield from self._unknown("on_error", ("fail", "skip", "collect"))
        yield from self._unknown("merge_strategy", get_args(MergeStrategy), or_callable=True)
        if self.max_failures is not None and (self.on_error == "fail" or self.max_failures < 0):
            what = f"has max_failures {self.max_failures} and on_error {self.on_error!r}"
            yield what, "with on_error 'skip' or 'collect', max_failures is how many items may fail"
        if self.finalize and set(self.finalize) not in ({"output_template"}, {"output"}):
            yield f"has finalize {', '.join(self.finalize)}", "finalize takes output_template, or output"


@dataclass(frozen=True, eq=False, kw_only=True)
class ParallelStep(CompositeStep[In, Out]):
    """Runs its branches side by side, each with the step's data and an isolated context.

    The output is a dict by branch in the order of declaration, or what `reduce` makes of it (a name, or a callable
    of that dict). Contexts flow back by `merge_strategy`; `field_mapping` {branch: [fields]} and `include_keys`
    narrow what does. `on_branch_failure`: "propagate" cancels the others and fails, "ignore" leaves the branch out
    (at least one must succeed), "collect" puts {"error": text} in its place. At most `max_concurrency` at a time.
    Of a limited run's budget branches draw on one pool; with `budget` "split" each has an equal part of what is left,
    and the rest of it comes back.
    """

    branches: Mapping[str, Any] = field(default_factory=dict)
    reduce: Reduce | Callable[[dict[str, Any]], Any] | None = None
    merge_strategy: MergeStrategy | Callable[..., Any] = "context_update"
    field_mapping: Mapping[str, Sequence[str]] = field(default_factory=dict)
    include_keys: Sequence[str] = ()
    on_branch_failure: OnBranchFailure = "propagate"
    max_concurrency: int | None = None
    budget: Literal["shared", "split"] = "shared"

    kind: ClassVar[str] = "parallel"
    prefix: ClassVar[str] = "parallel"
    side_by_side: ClassVar[bool] = True
    spares: ClassVar[str] = "on_branch_failure"

    @property
    def fed(self) -> Sequence[Pipeline[Any, Any]]:
        """The branches."""
        return tuple(self.branches.values())

    @property
    def output_type(self) -> Any:
        """A mapping by branch, unless something else is made of it."""
        return dict[str, Any] if self.reduce is None else UNKNOWN

    @property
    def reads_context(self) -> bool:
        """Whether its own way of merging could change the context."""
        return callable(self.merge_strategy)

    def places(self) -> Iterable[tuple[str, Step[Any, Any]]]:
        """Each branch stands at its name."""
        return ((f"/{name}", body) for name, body in self.branches.items())

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("branches", self._branches(self.branches))
        self._refuse_all(self._mistakes())

    def _mistakes(self) -> Iterator[tuple[str, str]]:
        if self.reduce is not None:
            yield from self._unknown("reduce", get_args(Reduce), or_callable=True)
        yield from self._unknown("merge_strategy", get_args(MergeStrategy), or_callable=True)
        yield from self._unknown("on_branch_failure", get_args(OnBranchFailure))
        yield from self._unknown("budget", ("shared", "split"))
        if self.max_concurrency is not None and self.max_concurrency < 1:
            yield f"has max_concurrency {self.max_concurrency}", "at least one branch runs at a time"
        for name in sorted(set(self.field_mapping) - set(self.branches)):
            yield f"maps fields of {name!r}", f"its branches are {', '.join(self.branches)}"


@dataclass(frozen=True, eq=False, kw_only=True)
class DynamicParallelRouterStep(ParallelStep[In, Out]):
    """Asks `router` (a step) for one branch name or several, and runs those as a parallel step would.

    The output is a dict in the order of the router's answer; an unknown name fails the step, listing the known.
    """

    router: Any = None

    kind: ClassVar[str] = "dynamic_router"
    prefix: ClassVar[str] = "router"
    picks: ClassVar[bool] = True

    def _refusals(self, given: Any, maybe: bool) -> Iterator[Refusal]:
        yield from (each.under(self.router.name) for each in self.router.refusals(given, maybe=maybe))
        yield from super()._refusals(given, maybe)

    def places(self) -> Iterable[tuple[str, Step[Any, Any]]]:
        """Each branch stands at its name, and so does the router."""
        return (*super().places(), ("/router", self.router))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.router, Step):
            self._wrong("has no router", "give it the step that picks the branches")
        if "router" in self.branches:
            self._wrong("has a branch 'router'", "that is the router's own place: give the branch another name")
        self._check_depth(self.depth)


@dataclass(frozen=True, eq=False, kw_only=True)
class ConditionalStep(CompositeStep[In, Out]):
    """Runs the branch that its condition names, with the step's data; the branch's output is the step's.

    `condition_expression` is an expression, `condition` a callable of data and context; see `branch_key`. Without a
    branch of that name `default_branch` runs; without that the step fails, listing the branches.
    """

    branches: Mapping[Any, Any] = field(default_factory=dict)
    condition_expression: str | None = None
    condition: Callable[[Any, Any], Any] | None = None
    default_branch: Any = None

    kind: ClassVar[str] = "conditional"
    expressions: ClassVar[tuple[str, ...]] = ("condition_expression",)
    prefix: ClassVar[str] = "conditional"
    picks: ClassVar[bool] = True

    @property
    def fed(self) -> Sequence[Pipeline[Any, Any]]:
        """The branches."""
        last = () if self.default_branch is None else (self.default_branch,)
        return (*self.branches.values(), *last)

    @property
    def output_type(self) -> Any:
        """What one of the branches gives."""
        return union(body.handed_type for body in self.fed)

    @property
    def reads_context(self) -> bool:
        """Whether its condition could change the context."""
        return self.condition is not None

    def places(self) -> Iterable[tuple[str, Step[Any, Any]]]:
        """Each branch stands at its name."""
        default = () if self.default_branch is None else (("/default_branch", self.default_branch),)
        return (*((f"/{name}", body) for name, body in self.branches.items()), *default)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("branches", self._branches(self.branches))
        if (self.condition is None) == (self.condition_expression is None):
            self._wrong("needs one condition", "give it condition_expression, or condition (a callable)")
        self._refuse_all(self._no_expression("condition_expression"))
        if self.default_branch is not None:
            self._set("default_branch", self._body(self.default_branch, "default_branch"))
