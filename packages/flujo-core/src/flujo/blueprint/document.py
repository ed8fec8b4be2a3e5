"""What the loader makes of a file: plain data, and where in the text each part of it stands."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from flujo.domain.validation import Location

__all__ = ["Document", "Marks", "Place", "place_of", "places_where", "split_lines"]

#: Line and column, counted from 1.
Place: TypeAlias = tuple[int, int]

#: What ends a line for the YAML parser, and so for every place that is shown.
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def split_lines(text: str) -> list[str]:
    """The lines of `text`, without what ends them."""
    return _BREAK.split(text)


def place_of(text: str, offset: int) -> Place:
    """Where the character at `offset` stands."""
    lines = split_lines(text[:offset])
    return len(lines), len(lines[-1]) + 1


class Marks(NamedTuple):
    """Where a mapping or list begins, and each of its keys and values; a list's keys are its indexes."""

    at: Place
    keys: Mapping[Any, Place]
    values: Mapping[Any, Place]


@dataclass(frozen=True)
class Document:
    """A loaded file. Every mapping and list in `data` is an object of its own, and `marks` knows it by its `id`."""

    file: str
    text: str
    data: Any
    marks: Mapping[int, Marks] = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The text's lines."""
        return split_lines(self.text)

    def at(self, container: object) -> Location | None:
        """Where `container` begins; None for an object that the loader did not make."""
        marks = self.marks.get(id(container))
        return Location(self.file, *marks.at) if marks else None

    def key(self, container: object, key: object) -> Location | None:
        """Where `key` of the mapping `container` stands."""
        marks = self.marks.get(id(container))
        return Location(self.file, *marks.keys[key]) if marks and key in marks.keys else None

    def value(self, container: object, key: object) -> Location | None:
        """Where the value at `key` (or at an index) of `container` stands."""
        marks = self.marks.get(id(container))
        return Location(self.file, *marks.values[key]) if marks and key in marks.values else None

    def inside(self, at: Location, value: str, line: int, column: int) -> Location:
        """Where line `line`, column `column` of the text `value` stands, whose scalar begins at `at`.

        Known for text on one line without escapes, and for literal blocks; otherwise the scalar's own place.
        """
        opening = self.lines[at.line - 1][at.column - 1 :]
        if line == 1 and "\n" not in value:
            quote = 0 if opening.startswith(value) else 1
            if opening.startswith(value, quote):
                return Location(self.file, at.line, at.column + quote + column - 1)
        if opening.startswith("|"):
            return self._in_block(at, value, line, column)
        return at

    def _in_block(self, at: Location, value: str, line: int, column: int) -> Location:
        wanted = value.split("\n")[line - 1 : line]
        below = self.lines[at.line + line - 1 : at.line + line]
        if wanted and below and (indent := below[0].find(wanted[0])) >= 0:
            return Location(self.file, at.line + line, indent + column)
        return at


def places_where(data: Any, wanted: Callable[[Any], bool]) -> Iterator[tuple[Any, Any]]:
    """Each value under `data` that is `wanted`, as the mapping or list it is in and its key there, in order."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(data, dict):
        pairs = data.items()
    elif isinstance(data, list):
        pairs = enumerate(data)
    for key, value in pairs:
        if wanted(value):
            yield data, key
        yield from places_where(value, wanted)
