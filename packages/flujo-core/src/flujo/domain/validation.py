"""What is checked before anything runs: unique names, and types that fit. All findings at once."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol

from flujo.domain.hints import fits, show

__all__ = ["Finding", "Location", "check_sequence", "fits"]


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
    def output_type(self) -> Any: ...
    @property
    def takes_previous(self) -> bool: ...


def check_sequence(steps: Sequence[_Typed], path: str = "") -> Iterable[Finding]:
    """Check steps that follow each other: unique names, and each output against the next input."""
    seen: set[str] = set()
    for step in steps:
        if step.name in seen:
            yield Finding(
                "V-N02",
                f"two steps are named {step.name!r}",
                path=f"{path}{step.name}",
                help="names are addresses: give each step of a sequence its own",
            )
        seen.add(step.name)
    for before, after in pairwise(steps):
        if after.takes_previous and not fits(before.output_type, after.input_type):
            given, wanted = show(before.output_type, after.input_type)
            yield Finding(
                "V-T01",
                f"step {before.name!r} gives {given}, but step {after.name!r} takes {wanted}",
                path=f"{path}{after.name}",
                help=f"change one of the annotations, or give {after.name!r} an 'input' that converts",
            )
