"""What every step made of other steps has in common. Data only.

A body or branch is a pipeline of its own; it may be given as a step, a sequence of steps or a pipeline.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, NoReturn, TypeAlias

from flujo.domain.callables import UNKNOWN, reference
from flujo.domain.steps import MAX_DEPTH, In, Out, Pipeline, Step, chained
from flujo.domain.suggest import did_you_mean
from flujo.domain.validation import Refusal
from flujo.exceptions import ConfigurationError

__all__ = ["WENT_ON", "Body", "CompositeStep", "as_body", "branch_key"]

Body: TypeAlias = Step[Any, Any] | Sequence[Step[Any, Any]]

#: What a step records that goes on from a child which has failed or paused, at "/on:failure" and "/on:pause".
WENT_ON: Mapping[str, Step[Any, Any]] = {"failure": Step("failure"), "pause": Step("pause")}

#: What may stand in a branch's name: it is part of paths.
_BRANCH = re.compile(r"[A-Za-z0-9_.-]{1,63}")


def as_body(body: Body, name: str) -> Pipeline[Any, Any]:
    """`body` as a pipeline called `name`; a pipeline with a name or options of its own stays as it is.

    Raises `ConfigurationError` for what is neither a step nor a sequence of steps.
    """
    if not isinstance(body, Step):
        parts: Any = body if isinstance(body, list | tuple) else [body]
        return Pipeline(parts, name=name)
    parts = chained(body)
    return body if isinstance(body, Pipeline) and parts == (body,) else Pipeline(parts, name=name)


def branch_key(value: Any) -> str:
    """The branch that a condition's value names: `True` is "true", an enum its value, anything else its text."""
    if isinstance(value, Enum):
        return branch_key(value.value)
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, eq=False, kw_only=True)
class CompositeStep(Step[In, Out]):
    """A step made of other steps: its children keep the record, and say what its types are.

    A kind with `picks` gives its data to some of the steps that are `fed`, not to all. Where its children may be at
    work `side_by_side`, `spares` names the field that, where it is not at its default, lets some of them fail without
    the whole.
    """

    records: ClassVar[bool] = False
    holds_steps: ClassVar[bool] = True
    picks: ClassVar[bool] = False
    side_by_side: ClassVar[bool] = False
    spares: ClassVar[str] = ""

    @property
    def fed(self) -> Sequence[Pipeline[Any, Any]]:
        """The bodies and branches that get the step's own data."""
        return ()

    @property
    def input_type(self) -> Any:
        """What those who get the data take, if all take the same."""
        types = [each.input_type for each in self.fed]
        return types[0] if types and all(each == types[0] for each in types) else UNKNOWN

    def _refusals(self, given: Any, maybe: bool) -> Iterator[Refusal]:
        for body in self.fed:
            yield from body.refusals(given, maybe=maybe or self.picks)

    @property
    def output_type(self) -> Any:
        """Not declared."""
        return UNKNOWN

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.run is not None:
            self._wrong(f"runs {reference(self.run)!r}, but runs steps only", "wrap it: Step('name', function)")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _wrong(self, what: str, suggestion: str) -> NoReturn:
        raise ConfigurationError(f"{self.kind} {self.name!r} {what}", suggestion=suggestion)

    def _body(
        self, body: Body | None, name: str = "body", *, what: str = "", may_be_empty: bool = False
    ) -> Pipeline[Any, Any]:
        made = as_body(() if body is None else body, name)
        if not made.steps and not may_be_empty:
            self._wrong(f"has nothing in its {what or name}", "give it at least one step")
        if made.depth >= MAX_DEPTH:
            self._wrong(f"holds steps {made.depth + 1} deep", f"at most {MAX_DEPTH} can stand in one another")
        return made

    def _branches(
        self,
        branches: Mapping[Any, Body],
        *,
        what: str = "a branch",
        plural: str = "branches",
        may_be_empty: bool = False,
    ) -> dict[str, Pipeline[Any, Any]]:
        given: object = branches
        if not isinstance(given, Mapping) or not given:
            self._wrong(f"has no {plural}", "give it a mapping from names to steps, with at least one")
        made: dict[str, Pipeline[Any, Any]] = {}
        for key, body in branches.items():
            name = branch_key(key)
            if not _BRANCH.fullmatch(name):
                self._wrong(f"has {what} {name!r}", f"{what}'s name has letters, digits, '_', '.' and '-', at most 63")
            if name in made:
                self._wrong(f"has two {plural} {name!r}", "True is 'true', a number its text, an enum its value")
            shown = f"{what.partition(' ')[2]} {name!r}"
            own_name = name if name[0].isalpha() else f"_{name}"
            made[name] = self._body(body, own_name, what=shown, may_be_empty=may_be_empty)
        return made

    def _refuse_all(self, found: Iterable[tuple[str, str]]) -> None:
        """Refuse the step for everything that is wrong with it, each with advice; nothing is done where nothing is."""
        if wrong := list(found):
            self._wrong("; it ".join(what for what, _ in wrong), "; ".join(advice for _, advice in wrong))

    def _no_expression(self, name: str) -> Iterator[tuple[str, str]]:
        value = getattr(self, name)
        if not isinstance(value, str | None):
            yield f"has {name} {value!r}", "an expression is text; or give a callable"

    def _unknown(self, name: str, known: tuple[str, ...], *, or_callable: bool = False) -> Iterator[tuple[str, str]]:
        value = getattr(self, name)
        if value not in known and not (or_callable and callable(value)):
            yield f"has {name} {value!r}", did_you_mean(str(value), known, what=f"{name} is one of")
