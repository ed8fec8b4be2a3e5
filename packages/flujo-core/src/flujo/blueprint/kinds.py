"""The kinds of step that a pipeline file may name, each with its schema and its builder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # a table of kinds is read without pydantic, which the models need
    from flujo.blueprint.schema import StepSpec
    from flujo.domain.steps import Step

__all__ = ["BuildContext", "KindSpec", "SkillSpec"]


class BuildContext(Protocol):
    """What a kind's builder may ask for while a file is built."""

    def build(self, spec: Any, /) -> "Step[Any, Any]":
        """Build a nested step or list of steps (a validated `StepSpec`, or a sequence of them)."""
        ...

    def resolve(self, reference: str, /) -> Any:
        """The skill with this id, or the object at `module:attr` where the project allows it.

        Raises `MissingAgentError` or `ConfigurationError`, with the nearest name.
        """
        ...

    def common(self, spec: "StepSpec", /) -> dict[str, Any]:
        """The keyword arguments that every step type takes, from the fields that every kind has."""
        ...


@dataclass(frozen=True, slots=True)
class KindSpec:
    """One `kind:`. `model` is its schema; `build` makes the step of a validated instance."""

    name: str
    model: "type[StepSpec]"
    build: "Callable[[Any, BuildContext], Step[Any, Any]]"
    summary: str
    provider: str = ""


@dataclass(frozen=True, slots=True)
class SkillSpec:
    """One skill id. `target` is `module:attr`, imported on first use, or the object itself."""

    id: str
    target: Any
    summary: str
    side_effects: bool = False
    provider: str = ""


Kinds = Mapping[str, KindSpec]
Skills = Mapping[str, SkillSpec]
