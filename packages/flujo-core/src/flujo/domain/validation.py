"""What is checked before anything runs: unique names, and types that fit. All findings at once."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from flujo.domain.hints import fits, may_fit, show

__all__ = [
    "NAME",
    "NAME_HELP",
    "Finding",
    "Location",
    "Refusal",
    "check_sequence",
    "fits",
    "may_fit",
    "misfits",
    "twins",
    "unheard",
]

#: The pattern of a name: a path joins names with the characters that are missing here.
NAME = "[A-Za-z_][A-Za-z0-9_.-]{0,63}"
NAME_HELP = "a name starts with a letter or '_', goes on with letters, digits, '_', '.' or '-', at most 64 in all"


class Location(NamedTuple):
    """A place in a text file; lines and columns count from 1."""

    file: str
    line: int
    column: int


class Finding(NamedTuple):
    """One thing that is wrong with a pipeline. `path` is the step's, `help` how to mend it."""

    code: str
    message: str
    severity: Literal["error", "warning"] = "error"
    path: str = ""
    help: str | None = None
    location: Location | None = None


class Refusal(NamedTuple):
    """A step that would get data of type `given`, but takes `wanted`.

    `path` leads to it from the step that was asked, by names; it is empty for that step itself.
    """

    step: Any
    given: Any
    wanted: Any
    path: str = ""

    def under(self, name: str) -> "Refusal":
        """The same, asked of the step called `name` that this one's path begins in."""
        return self._replace(path=f"{name}/{self.path}" if self.path else name)


class _Typed(Protocol):
    """What the checks need to know of a step."""

    @property
    def name(self) -> str: ...
    @property
    def handed_type(self) -> Any: ...
    @property
    def asks_unheard(self) -> bool: ...

    @property
    def writes_unseen(self) -> bool: ...
    def refusals(self, given: Any, *, maybe: bool = False) -> Iterator[Refusal]: ...
    def inner_refusals(self) -> Iterator[tuple[str, Refusal]]: ...


def check_sequence(steps: Sequence[_Typed], path: str = "") -> Iterator[Finding]:
    """Check steps that follow each other: unique names, and each output against the next input."""
    for _, finding in twins([step.name for step in steps], path):
        yield finding
    for _, _, finding in misfits(steps, path):
        yield finding


def twins(names: Iterable[str | None], path: str) -> Iterator[tuple[int, Finding]]:
    """Names that stand before in the same sequence, each with its index. None is a name that isn't known."""
    seen = set()
    advice = "names are addresses: give each step of a sequence its own"
    for index, name in enumerate(names):
        if name is not None and name in seen:
            yield index, Finding("V-N02", f"two steps are named {name!r}", path=f"{path}{name}", help=advice)
        seen.add(name)


def misfits(steps: Sequence[_Typed], path: str) -> Iterator[tuple[int, Refusal, Finding]]:
    """Steps that can't take what they would get, each with the index of the step that it is or stands in."""
    for index, after in enumerate(steps):
        for name, refusal in after.inner_refusals():
            yield index, refusal, _misfit(name, refusal.given, refusal.under(after.name), path)
        if index:
            before = steps[index - 1]
            for refusal in after.refusals(before.handed_type):
                yield index, refusal, _misfit(before.name, before.handed_type, refusal.under(after.name), path)


def _misfit(giver: str, gives: Any, refusal: Refusal, path: str) -> Finding:
    given, wanted = show(refusal.given, refusal.wanted)
    what = given if refusal.given is gives or refusal.given == gives else f"items of type {given}"
    name = refusal.path.rpartition("/")[2]
    message = f"step {giver!r} gives {what}, but step {refusal.path!r} takes {wanted}"
    advice = f"change one of the annotations, or give {name!r} an 'input' that converts"
    return Finding("V-T01", message, path=f"{path}{refusal.path}", help=advice)


def unheard(steps: Sequence[_Typed], path: str) -> Iterator[tuple[int, Finding]]:
    """Background steps that ask a person, and those that hold steps which write to the context, with their index."""
    for index, step in enumerate(steps):
        if step.asks_unheard:
            message = f"step {step.name!r} runs in the background, but asks a person"
            advice = "ask before it or after it: the end of a run does not wait for an answer"
            yield index, Finding("V-K02", message, path=f"{path}{step.name}", help=advice)
        if step.writes_unseen:
            message = f"step {step.name!r} runs in the background, but a step in it writes to the context"
            advice = "nobody could tell when: hand the value on as data, or let the step run in the foreground"
            yield index, Finding("V-K02", message, path=f"{path}{step.name}", help=advice)
