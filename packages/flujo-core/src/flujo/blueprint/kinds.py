"""The kinds of step that a pipeline file may name, each with its schema and its builder."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:  # a table of kinds is read without pydantic, which the models need
    from flujo.blueprint.agents import DeclaredAgent
    from flujo.blueprint.schema import StepSpec
    from flujo.domain.steps import Pipeline, Step

__all__ = ["AgentProviderSpec", "BuildContext", "KindSpec", "LintRuleSpec", "SkillSpec", "blame_nobody"]


class BuildContext(Protocol):
    """What a kind's builder may ask for while a file is built.

    So that everything wrong with a file is told at once, none of the methods raises for a mistake in the file:
    it is noted with its place, and a stand-in is handed out that never runs.
    """

    def build(self, spec: Any, /) -> "Step[Any, Any]":
        """Build one nested step: a mapping as it stands in the file, taken from a field declared as `NestedStep`.

        Its templates may name the steps that this step's own may name, and no others.
        """
        ...

    def sequence(self, specs: Sequence[Any], /) -> "tuple[Step[Any, Any], ...]":
        """Build nested steps that follow each other; their names and types are checked against each other.

        The templates of each may also name those before it.
        """
        ...

    def resolve(self, reference: str, /) -> Any:
        """The skill with this id, or the object at `module:attr` where the project allows it."""
        ...

    def agent(self, reference: str, /) -> "DeclaredAgent | None":
        """The agent that the file declares by this name, written as NAME or "agents.NAME"; None for anything else."""
        ...

    def imported(self, *, name: str | None = None, path: str = "") -> "Pipeline[Any, Any]":
        """The pipeline of another file: of the document's imports by `name` ("imports.NAME"), or else at `path`."""
        ...

    def common(self, spec: "StepSpec", /) -> dict[str, Any]:
        """The keyword arguments that every step type takes, from the fields that every kind has."""
        ...


class KindSpec(NamedTuple):
    """One `kind:`. `model` is its schema; `build` makes the step of a validated instance.

    `build` may raise a `FlujoError`, which becomes a finding at the step.
    """

    name: str
    model: "type[StepSpec]"
    build: "Callable[[Any, BuildContext], Step[Any, Any]]"
    summary: str
    provider: str = ""


class SkillSpec(NamedTuple):
    """One skill id. `target` is `module:attr`, imported on first use, or the object itself."""

    id: str
    target: Any
    summary: str
    side_effects: bool = False
    provider: str = ""


class AgentProviderSpec(NamedTuple):
    """What makes agents whose `model` begins with `prefix` and a colon.

    `factory` is a function of an `AgentDeclaration` and an `AgentContext`, or where it is.
    """

    prefix: str
    factory: Any
    provider: str = ""


def blame_nobody(_sort: str, _name: str, /) -> str:
    """Say nothing on why a kind, skill or provider isn't there: no plugin is known to be missing."""
    return ""


class LintRuleSpec(NamedTuple):
    """A rule about pipelines: `target` is a function of a `LintedFile` that gives `LintNote`s, or where it is."""

    code: str
    target: Any
    severity: Literal["error", "warning"]
    summary: str
    provider: str
