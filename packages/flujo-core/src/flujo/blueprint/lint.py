"""Rules of plugins about pipelines: what they are given, what they give, and the guard around each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flujo.blueprint.document import Document
from flujo.blueprint.kinds import LintRuleSpec
from flujo.domain.foreign import attempt, visible
from flujo.domain.validation import Finding, Location
from flujo.exceptions import FlujoError, PluginError

if TYPE_CHECKING:
    from flujo.domain.steps import Step

__all__ = ["LintNote", "LintedFile", "LintedStep", "lint", "steps_of"]


class LintNote(NamedTuple):
    """What a rule has to say: the step's `path`, advice in `help`, and the `location` in the file.

    Without a location it stands where the step of its `path` does, and without a path at the file's first line. Code
    and severity of the finding that it becomes are those of its rule.
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


def lint(file: LintedFile, rules: Mapping[str, LintRuleSpec], at: Location | None = None) -> Iterator[Finding]:
    """What the rules find in `file`; what they give no place for stands `at` one. A rule that fails is a warning,
    which names its plugin."""
    for code in rules:
        try:
            rule = rules[code]
            yield from attempt(partial(_findings, rule, file, at), partial(_failed, rule), but=PluginError)
        except FlujoError as error:  # two plugins claim the rule, or it can't be loaded, or raises
            yield _visible(Finding("V-L01", error.message, "warning", help=error.suggestion, location=at))


def steps_of(step: "Step[Any, Any]", path: str = "") -> Iterator[LintedStep]:
    """The steps inside a step that was made in Python, in path order, fallbacks included."""
    for child in (*step.children(), *filter(None, [step.fallback])):
        inner = f"{path}{child.name}"
        yield LintedStep(inner, child.kind, {}, child)
        yield from steps_of(child, f"{inner}/")


def _findings(rule: LintRuleSpec, file: LintedFile, at: Location | None) -> list[Finding]:
    places = {step.path: step.note("").location or at for step in file.steps}
    found = []
    for note in rule.target(file):
        if not isinstance(note, LintNote):
            raise TypeError(f"it gave {type(note).__name__!r}, expected LintNote")
        place = Location(*note.location) if note.location else places.get(note.path, at)
        found.append(_visible(Finding(rule.code, note.message, rule.severity, note.path, note.help, place)))
    return found


def _visible(finding: Finding) -> Finding:
    """The finding as it may be printed: its words are a stranger's."""
    advice = None if finding.help is None else visible(finding.help)
    return finding._replace(message=visible(finding.message), path=visible(finding.path), help=advice)


def _failed(rule: LintRuleSpec, said: str, error: BaseException) -> PluginError:
    return PluginError(
        f"lint rule {rule.code!r} of {rule.provider} failed: {said}",
        suggestion="its other rules were asked all the same; tell the plugin's author",
        cause=error,
    )
