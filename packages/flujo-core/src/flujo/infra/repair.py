"""The JSON value in a text that somebody wrote by hand, or a model did: fenced, explained, with commas too many."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["json_in"]

#: A whole string, or one that never ends: whatever is in it is left alone.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'
_SPURIOUS_COMMA = re.compile(rf"({_STRING})|,(?=\s*[\]}}])", re.DOTALL)
_TOKEN = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_OPENING = re.compile(r"[\[{]")
#: A fence stands at the beginning of a line, where no JSON string can reach.
_FENCE = re.compile(r"^[ \t]*```([^`\n]*)$", re.MULTILINE)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_loads = json.JSONDecoder(parse_constant=_no_constant).decode


def json_in(text: str) -> Any:
    """The one JSON value that `text` is, or that stands in it between fences or in prose.

    Commas before a closing bracket are overlooked; what stands in strings is never changed, and what was cut off is
    not completed. Raises `ValueError` with what is wrong.
    """
    mistakes: list[ValueError] = []
    for candidates in ([text], _fenced(text), _bracketed(text)):
        values = list(_values(candidates, mistakes))
        if len(values) == 1:
            return values[0]
        if values:
            raise ValueError(f"there are {len(values)} JSON values in the text, expected one")
    raise ValueError(f"the text is no JSON: {mistakes[-1]}")


def _values(texts: Iterable[str], mistakes: list[ValueError]) -> Iterator[Any]:
    for text in texts:
        try:
            yield _parsed(text)
        except ValueError as error:  # in brackets there may be prose, and between fences another language
            mistakes.append(error)


def _parsed(text: str) -> Any:
    try:
        return _decoded(text)
    except ValueError:
        tidied = _SPURIOUS_COMMA.sub(lambda found: found[1] or "", text)
        if tidied == text:
            raise
        return _decoded(tidied)


def _decoded(text: str) -> Any:
    try:
        return _loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _fenced(text: str) -> Iterator[str]:
    """What stands between two lines with fences, of which only the first may name a language."""
    start = None
    for fence in _FENCE.finditer(text):
        if start is None:
            start = fence.end()
        elif not fence[1].strip():
            yield text[start : fence.start()]
            start = None


def _bracketed(text: str) -> Iterator[str]:
    """What stands between matching brackets, without what is inside of those, up to a bracket that is never closed."""
    opening = _OPENING.search(text)
    while opening is not None:
        end = _closing(text, opening.start())
        if end is None:
            return
        yield text[opening.start() : end]
        opening = _OPENING.search(text, end)


def _closing(text: str, start: int) -> int | None:
    """Where what begins with the bracket at `start` ends; None when it doesn't."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return None
