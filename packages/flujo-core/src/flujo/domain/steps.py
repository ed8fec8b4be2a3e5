"""A step, and a pipeline of steps, which is itself a step."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeAlias, TypeVar, get_origin

from flujo.domain.callables import UNKNOWN, Call, inspect_call, reference
from flujo.domain.canonical import digest
from flujo.domain.config import AS_USUAL, StepConfig
from flujo.domain.hints import union
from flujo.domain.scope import Scope
from flujo.domain.step_mistakes import Effects, listed, mistakes
from flujo.domain.validation import NAME, NAME_HELP, Refusal, check_sequence, fits, may_fit, unheard
from flujo.exceptions import BlueprintError, ConfigurationError, InfiniteFallbackError, TypeMismatchError

__all__ = ["MAX_DEPTH", "MAX_FALLBACKS", "PREVIOUS", "Effects", "InputSource", "Pipeline", "Step", "chained"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar as DefaultTypeVar

    In = DefaultTypeVar("In", default=Any)
    Out = DefaultTypeVar("Out", default=Any)
else:
    In = TypeVar("In")
    Out = TypeVar("Out")
Next = TypeVar("Next")

#: How deep steps may stand in one another.
MAX_DEPTH = 64

#: How many fallbacks may follow each other.
MAX_FALLBACKS = 10


class _Previous:
    """The default of `Step.input`: what the step before handed on."""

    def __repr__(self) -> str:
        return "PREVIOUS"


PREVIOUS: Any = _Previous()

#: Template text, a mapping or list with templates in it, or a function of the `Scope`.
InputSource: TypeAlias = str | Mapping[str, Any] | list[Any] | Callable[[Scope], Any]


@dataclass(frozen=True, eq=False)
class Step(Generic[In, Out]):
    """One call of a function or an agent; the base of every kind of step.

    `run` is an async or plain function, an object with a method `run`, or a class with one; without it the step
    hands on its input. `params` are bound to it by name. `input` replaces the previous step's output as its
    data. `sink_to` is a dotted path in the context that gets the output; with `updates_context` a mapping or
    model output is merged into the context. `static_invariants` are expressions that must hold after this step and
    after each step inside it. `validators` are functions of the output; one that raises, or returns False or a text
    with what is wrong, fails the attempt. `effects` says what a second execution could disturb; "at-most-once" forbids
    one, see `EffectInDoubt`. `blocking` runs a plain function in a worker thread. `version` is part of the step's
    identity: raise it when the same code reference comes to mean something else.

    A kind of step is a subclass with its own fields; `prefix` stands before its name in paths, and one with
    `records` false leaves the record to its children; `in_order` says that these run one after the other. A kind whose
    policy changes the context says so by `reads_context`, one that can wait for a person by `asks`; `expressions` and
    `templates` name the fields that hold such text, so that it is checked early, and `soft` those that may be others
    when a run goes on. Raises `ConfigurationError` for a field that can't be so, `InfiniteFallbackError` for a chain of
    more than ten fallbacks.
    """

    name: str
    run: Any = None
    _: KW_ONLY
    params: Mapping[str, Any] = field(default_factory=dict)
    config: StepConfig = AS_USUAL
    input: Any = PREVIOUS
    sink_to: str | None = None
    updates_context: bool = False
    fallback: "Step[Any, Any] | None" = None
    static_invariants: Sequence[str] = ()
    validators: Sequence[Callable[..., Any]] = ()
    effects: Effects = "none"
    blocking: bool = False
    version: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    call: Call | None = field(init=False, repr=False, default=None)

    kind: ClassVar[str] = "step"
    prefix: ClassVar[str] = ""
    records: ClassVar[bool] = True
    holds_steps: ClassVar[bool] = False
    in_order: ClassVar[bool] = False
    asks: ClassVar[bool] = False
    expressions: ClassVar[tuple[str, ...]] = ()
    templates: ClassVar[tuple[str, ...]] = ()
    soft: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise ConfigurationError(f"{name!r} is not a step name", suggestion=NAME_HELP)
        if wrong := list(mistakes(self, Step)):
            self._refuse("; it ".join(what for what, _ in wrong), "; ".join(advice for _, advice in wrong))
        self._check_fallbacks()
        if self.run is not None:
            object.__setattr__(self, "call", inspect_call(self.run, self.params))
        plain_call = self.call is not None and not self.call.is_async
        if self.blocking and not plain_call:
            self._refuse("is blocking, but runs no plain function", "only a plain function can run in a thread")
        if self.config.timeout_s is not None and plain_call and not self.blocking:
            advice = "make it an async function, or run it in a thread: blocking=True"
            self._refuse("has timeout_s, but runs a plain function, which nothing can stop", advice)

    def _check_fallbacks(self) -> None:
        """Refuse a chain that is too long, link by link or in what the links hold."""
        names, link = [self.name], self.fallback
        while link is not None:
            names.append(link.name)
            link = link.fallback
        if len(names) > MAX_FALLBACKS + 1:
            raise InfiniteFallbackError(
                f"step {self.name!r} has a chain of more than {MAX_FALLBACKS} fallbacks: {' -> '.join(names)}",
                suggestion=f"let a chain of at most {MAX_FALLBACKS} fallbacks end in a step that has none",
            )
        if self.fallback is not None:
            self._check_depth(self.fallback.depth + 1)

    def _refuse(self, what: str, suggestion: str) -> NoReturn:
        raise ConfigurationError(f"step {self.name!r} {what}", suggestion=suggestion)

    @cached_property
    def segment(self) -> str:
        """This step's part of a path."""
        return f"{self.prefix}:{self.name}" if self.prefix else self.name

    @property
    def input_type(self) -> Any:
        """The type of data the step takes, `Any` where nobody declared it."""
        return self.call.input_type if self.call else UNKNOWN

    @property
    def output_type(self) -> Any:
        """The type of what the step hands on, `Any` where nobody declared it."""
        return self.call.output_type if self.call else UNKNOWN

    @property
    def agent_key(self) -> str | None:
        """Whose calls a run counts when this step makes them; None for a step that calls no agent."""
        return None

    @property
    def asks_unheard(self) -> bool:
        """Whether the step, or one under it, could ask a person while nobody waits for it."""
        return self.is_background and any(each.asks for each in self.walk())

    @property
    def writes_unseen(self) -> bool:
        """Whether it is a background step, and what is in it would write to the context."""
        return self.is_background and self.writes_context

    @property
    def writes_context(self) -> bool:
        """Whether its output, or that of a step under it or of its fallback, is to go into the context."""
        inside = (*self.children(), *([] if self.fallback is None else [self.fallback]))
        return self.sink_to is not None or self.updates_context or any(each.writes_context for each in inside)

    @property
    def is_background(self) -> bool:
        """Whether the pipeline goes on with the step's own input while the step is still at work."""
        return self.config.execution_mode == "background"

    @property
    def handed_type(self) -> Any:
        """The type of what the next step gets, the fallback's too; a background step hands on its input."""
        if self.is_background:
            return self.input_type
        return self.output_type if self.fallback is None else union([self.output_type, self.fallback.handed_type])

    @property
    def takes_previous(self) -> bool:
        """Whether the step's data is what the step before handed on."""
        return self.input is PREVIOUS and (self.call is None or self.call.takes_data)

    def refusals(self, given: Any, *, maybe: bool = False) -> Iterator[Refusal]:
        """Those, of this step and the steps under it, that would get data of type `given` and can't take it.

        With `maybe` only some of the data comes here: one that could take any of it can take it.
        """
        if self.input is not PREVIOUS:
            return
        yield from self._refusals(given, maybe)
        if self.fallback is not None:
            yield from (each.under(self.fallback.name) for each in self.fallback.refusals(given, maybe=maybe))

    def _refusals(self, given: Any, maybe: bool) -> Iterator[Refusal]:
        if self.takes_previous and not (may_fit if maybe else fits)(given, self.input_type):
            yield Refusal(self, given, self.input_type)

    def inner_refusals(self) -> Iterator[tuple[str, Refusal]]:
        """Those under this step that can't take what another step under it gives, with that one's name.

        Neighbours in a sequence are not among them: every sequence looks at its own.
        """
        if self.fallback is not None:
            yield from ((name, each.under(self.fallback.name)) for name, each in self.fallback.inner_refusals())

    @property
    def merges_output(self) -> bool:
        """Whether the output is merged into the context; a kind may mean something else by `updates_context`."""
        return self.updates_context

    @property
    def reads_context(self) -> bool:
        """Whether the step is handed the context, and so could change it."""
        return self.call is not None and "context" in self.call.injected

    @cached_property
    def touches_context(self) -> bool:
        """Whether this step or one under it could change the context; if not, it can share another's."""
        return any(
            each.reads_context or each.sink_to or each.updates_context or callable(each.input) for each in self.walk()
        )

    @cached_property
    def depth(self) -> int:
        """How deep steps stand in this one. A pipeline that only holds the steps of another kind is no level."""
        levels = [each.depth + (each.kind == self.kind == "pipeline") for each in self.children()]
        inside = max(levels, default=0) + (bool(levels) and self.kind != "pipeline")
        return inside if self.fallback is None else max(inside, self.fallback.depth + 1)

    def _check_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._refuse(f"holds steps {depth} deep", f"at most {MAX_DEPTH} can stand in one another")

    def children(self) -> Iterable["Step[Any, Any]"]:
        """The steps inside this one, in path order, without the fallback: those in its kind's own fields."""
        for _, value in self._own_fields():
            parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else (value,)
            yield from (part for part in parts if isinstance(part, Step))

    def places(self) -> Iterable[tuple[str, "Step[Any, Any]"]]:
        """The steps that this one may run, each with its place in paths under this one's; "[]" stands for any number.

        A kind whose policy gives its children other places than their segments says so here.
        """
        return ((f"/{child.segment}", child) for child in self.children())

    def _own_fields(self) -> Iterator[tuple[str, Any]]:
        """The fields that a kind has beside those of every step, where they are not at their default."""
        for each in fields(self)[_COMMON_FIELDS:]:
            value = getattr(self, each.name)
            if each.init and value != each.default and value not in (None, (), [], {}):
                yield each.name, value

    def walk(self) -> Iterator["Step[Any, Any]"]:
        """This step and every step under it, fallbacks included, in path order."""
        yield self
        for child in self.children():
            yield from child.walk()
        if self.fallback is not None:
            yield from self.fallback.walk()

    def definition(self) -> dict[str, Any]:
        """Plain data that tells this step from any other."""
        return self._described(lambda step: step.definition())

    def identity(self) -> dict[str, Any]:
        """The definition without what is `soft`: what a resumed run must find unchanged."""
        whole = self._described(lambda step: step.identity())
        return {key: value for key, value in whole.items() if key not in self.soft}

    @cached_property
    def fingerprint(self) -> bytes:
        """A digest of the identity, which the records of the step hold."""
        return digest(self.identity())

    def _described(self, nested: "Describe") -> dict[str, Any]:
        what: dict[str, Any] = {"kind": self.kind, "name": self.name}
        if self.call is not None:
            what["run"] = self.call.reference
        if self.params:
            what["params"] = {key: _plain(self.params[key], nested) for key in sorted(self.params)}
        if self.input is not PREVIOUS:
            what["input"] = _plain(self.input, nested)
        for key in ("sink_to", "updates_context", "version", "static_invariants", "validators"):
            if value := getattr(self, key):
                what[key] = _plain(value, nested)
        what.update((key, value) for key, value, usual in _usual(self) if value != usual)
        if self.fallback is not None:
            what["fallback"] = nested(self.fallback)
        return {**what, **{name: _plain(value, nested) for name, value in self._own_fields()}}

    def __rshift__(self, after: "Step[Out, Next]") -> "Pipeline[In, Next]":
        """Make a pipeline of this step and the one after it."""
        return Pipeline([*chained(self), *chained(after)])


@dataclass(frozen=True, eq=False, init=False)
class Pipeline(Step[In, Out]):
    """Steps that run one after the other, each with the output of the one before as its data.

    A pipeline is a step: it nests in other pipelines, with a name of its own. Raises `TypeMismatchError` when
    an output does not fit the next input, `BlueprintError` when two steps have one name, `ConfigurationError`
    for a part that is no step.
    """

    steps: tuple[Step[Any, Any], ...] = ()

    kind: ClassVar[str] = "pipeline"
    prefix: ClassVar[str] = "sub"
    records: ClassVar[bool] = False
    holds_steps: ClassVar[bool] = True
    in_order: ClassVar[bool] = True

    def __init__(
        self, steps: Sequence[Step[Any, Any]] = (), *, name: str = "pipeline", version: str = "", **options: Any
    ) -> None:
        Step.__init__(self, name, None, version=version, **options)
        object.__setattr__(self, "steps", self._checked(steps))
        self._check_depth(self.depth)
        findings = list(check_sequence(self.steps))
        if not findings:
            return
        texts = "; ".join(f.message for f in findings)
        if any(f.code == "V-N02" for f in findings):
            raise BlueprintError(texts, findings=tuple(findings), suggestion=findings[0].help)
        raise TypeMismatchError(texts, suggestion=findings[0].help)

    def _checked(self, steps: Sequence[Step[Any, Any]]) -> tuple[Step[Any, Any], ...]:
        parts = (steps,) if isinstance(steps, Step) else listed(steps, self.name)
        for part in parts:
            if not isinstance(part, Step):
                raise ConfigurationError(
                    f"{reference(part)!r} in pipeline {self.name!r} is not a step",
                    suggestion="decorate a function with @step, or wrap it: Step('name', function)",
                )
        for _, finding in unheard(parts, ""):
            raise ConfigurationError(finding.message, suggestion=finding.help)
        return parts

    def children(self) -> Iterable[Step[Any, Any]]:
        """The steps, for which a sequence asks every time that it runs."""
        return self.steps

    def _refusals(self, given: Any, maybe: bool) -> Iterator[Refusal]:
        for step in self.steps:
            yield from (each.under(step.name) for each in step.refusals(given, maybe=maybe))
            if not (step.is_background and step.input is PREVIOUS):
                return

    @property
    def input_type(self) -> Any:
        """The first step's input type."""
        return self.steps[0].input_type if self.steps and self.steps[0].takes_previous else UNKNOWN

    @property
    def output_type(self) -> Any:
        """The last step's output type."""
        return self.steps[-1].handed_type if self.steps else self.input_type


def _usual(step: Step[Any, Any]) -> Iterator[tuple[str, str, str]]:
    """What a definition only tells where it is not as usual."""
    yield "effects", step.effects, "none"
    yield "execution_mode", step.config.execution_mode, "foreground"


#: What gives a nested step as plain data.
Describe: TypeAlias = Callable[[Step[Any, Any]], dict[str, Any]]

#: How many fields every step has; a kind's own come after them.
_COMMON_FIELDS = len(fields(Step))


def chained(step: Step[Any, Any]) -> Sequence[Step[Any, Any]]:
    """The steps to chain: those of a pipeline that is nothing but its steps, as `>>` makes it, or the step itself."""
    if type(step) is not Pipeline:
        return (step,)
    bare = Pipeline(step.steps)
    same = all(getattr(step, each.name) == getattr(bare, each.name) for each in fields(step))
    return step.steps if same else (step,)


def _plain(value: object, nested: Describe) -> Any:
    """`value` as plain data for a definition; what isn't plain is named by its class or its code."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Step):
        return nested(value)
    if is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, nested) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [_plain(item, nested) for item in value]
        return items if isinstance(value, list | tuple) else sorted(items, key=repr)
    if get_origin(value) is not None:
        return str(value)  # a type with parameters, `list[int]`
    return reference(value)
