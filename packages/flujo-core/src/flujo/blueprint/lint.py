"""Rules of plugins about pipelines: what they are given, what they give, and the guard around each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from flujo.blueprint.document import Document
from flujo.domain.validation import Location

if TYPE_CHECKING:
    from flujo.domain.steps import Step

__all__ = ["LintNote", "LintedFile", "LintedStep"]


class LintNote(NamedTuple):
    """What a rule has to say: the step's `path`, advice in `help`, and the place in the file, as far as there is one.

    Code and severity of the finding that it becomes are those of its rule.
    """

    message: str
    path: str = ""
    help: str | None = None
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class LintedStep:
    """A step as a rule sees it: `raw` is its mapping as it is written, empty where it was made in Python.

    `kind` is the file's word for it; of a step made in Python it is the step's own.
    """

    path: str
    kind: str
    raw: Mapping[str, Any]
    step: "Step[Any, Any]"
    document: Document | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The step's name."""
        return self.step.name

    def note(self, message: str, key: str = "", *, help: str | None = None) -> LintNote:  # noqa: A002 - a finding's word
        """What is wrong with this step, at the value of `key` where that is written, else where the step is."""
        found = self.document
        at = (found.value(self.raw, key) or found.at(self.raw)) if found else None
        return LintNote(message, self.path, help, at)


class LintedFile(NamedTuple):
    """A pipeline as a rule sees it: its file's plain data (empty where it was made in Python), and every step.

    `steps` stand in the order of the file, nested ones after the step that they are in.
    """

    file: str
    data: Mapping[str, Any]
    steps: tuple[LintedStep, ...]
