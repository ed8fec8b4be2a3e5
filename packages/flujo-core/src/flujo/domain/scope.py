"""What templates, conditions and input functions can see."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from flujo.domain.context import PipelineContext

__all__ = ["NOTHING", "Outputs", "Scope"]

#: A mapping that is empty and stays so: what a record has where nothing was given.
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Outputs(Mapping[str, Any]):
    """The outputs of the steps before this one, by step name; a nested pipeline also sees its parents'."""

    __slots__ = ("_own", "_parent")

    def __init__(self, parent: "Outputs | None" = None) -> None:
        self._own: dict[str, Any] = {}
        self._parent = parent

    def add(self, name: str, output: object) -> None:
        """Note the output of the step `name` of this sequence."""
        self._own[name] = output

    def __getitem__(self, name: str) -> Any:
        if name in self._own or self._parent is None:
            return self._own[name]
        return self._parent[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        if self._parent is not None:
            yield from (name for name in self._parent if name not in self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, slots=True)
class Scope:
    """The names a template may use.

    `previous` is `previous_step`, `outputs` is `steps`, `input` is the run's input; `extras` are the names that
    a kind of step adds for its children (`item`, `loop`, ...). Fields of the context are also bare names.
    """

    previous: Any
    outputs: Mapping[str, Any]
    context: PipelineContext | None
    input: Any
    extras: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
