"""What is checked before anything runs: unique names, and types that fit. All findings at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol

__all__ = ["Finding", "Location", "check_sequence", "fits"]

#: Types that promise nothing, so that everything fits them and they fit everything.
_OPEN = (Any, object, None)


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a text file; lines and columns count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a pipeline. `path` is the step's, `help` how to mend it."""

    code: str
    message: str
    severity: Literal["error", "warning"] = "error"
    path: str = ""
    help: str | None = None
    location: Location | None = None


class Typed(Protocol):
    """What the checks need to know of a step."""

    @property
    def name(self) -> str: ...
    @property
    def input_type(self) -> Any: ...
    @property
    def output_type(self) -> Any: ...
    @property
    def takes_previous(self) -> bool: ...


def check_sequence(steps: Sequence[Typed], path: str = "") -> Iterable[Finding]:
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
            yield Finding(
                "V-T01",
                f"step {before.name!r} gives {_show(before.output_type)}, "
                f"but step {after.name!r} takes {_show(after.input_type)}",
                path=f"{path}{after.name}",
                help=f"change one of the annotations, or give {after.name!r} an 'input' that converts",
            )


def fits(given: Any, wanted: Any) -> bool:
    """Whether every value of type `given` is one of type `wanted`, as far as annotations can say.

    Classes are compared as Python does (an int fits a float, PEP 484); everything else is beartype's judgement.
    """
    if given in _OPEN or wanted in _OPEN or given == wanted:
        return True
    if isinstance(given, type) and isinstance(wanted, type):
        numeric = wanted is float and issubclass(given, int)
        return numeric or _is_subclass(given, wanted)
    from beartype.door import is_subhint  # noqa: PLC0415 - a fifth of a second that most pipelines never need
    from beartype.roar import BeartypeException  # noqa: PLC0415

    try:
        return is_subhint(given, wanted)
    except BeartypeException:
        return True  # a hint that can't be judged is no mismatch


def _is_subclass(given: type, wanted: type) -> bool:
    try:
        return issubclass(given, wanted)
    except TypeError:
        return True  # a protocol with data members can't be judged by its class


def _show(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint).replace("typing.", "")
