"""What is checked before anything runs: unique names, and types that fit. All findings at once."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, Literal, NamedTuple, Protocol

from flujo.domain.hints import fits, show

__all__ = ["NAME", "NAME_HELP", "Finding", "Location", "check_sequence", "fits", "misfits", "twins", "unheard"]

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


class _Typed(Protocol):
    """What the checks need to know of a step."""

    @property
    def name(self) -> str: ...
    @property
    def input_type(self) -> Any: ...
    @property
    def handed_type(self) -> Any: ...
    @property
    def takes_previous(self) -> bool: ...
    @property
    def asks_unheard(self) -> bool: ...


def check_sequence(steps: Sequence[_Typed], path: str = "") -> Iterator[Finding]:
    """Check steps that follow each other: unique names, and each output against the next input."""
    for _, finding in chain(twins([step.name for step in steps], path), misfits(steps, path)):
        yield finding


def twins(names: Iterable[str | None], path: str) -> Iterator[tuple[int, Finding]]:
    """Names that stand before in the same sequence, each with its index. None is a name that isn't known."""
    seen = set()
    advice = "names are addresses: give each step of a sequence its own"
    for index, name in enumerate(names):
        if name is not None and name in seen:
            yield index, Finding("V-N02", f"two steps are named {name!r}", path=f"{path}{name}", help=advice)
        seen.add(name)


def misfits(steps: Sequence[_Typed], path: str) -> Iterator[tuple[int, Finding]]:
    """Steps that can't take what the step before gives, each with its index."""
    for index, (before, after) in enumerate(pairwise(steps), 1):
        if after.takes_previous and not fits(before.handed_type, after.input_type):
            given, wanted = show(before.handed_type, after.input_type)
            message = f"step {before.name!r} gives {given}, but step {after.name!r} takes {wanted}"
            advice = f"change one of the annotations, or give {after.name!r} an 'input' that converts"
            yield index, Finding("V-T01", message, path=f"{path}{after.name}", help=advice)


def unheard(steps: Sequence[_Typed], path: str) -> Iterator[tuple[int, Finding]]:
    """Background steps that ask a person, each with its index."""
    for index, step in enumerate(steps):
        if step.asks_unheard:
            message = f"step {step.name!r} runs in the background, but asks a person"
            advice = "ask before it or after it: the end of a run does not wait for an answer"
            yield index, Finding("V-K02", message, path=f"{path}{step.name}", help=advice)
