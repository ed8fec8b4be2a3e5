"""The filters and tests that every template has; plugins add more filters.

A filter is a function of the value before the bar; what stands in brackets are its further arguments. `default`
is not here: it must see whether its value exists at all, so it is part of the language.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import date, datetime, time
from typing import Any, Final, TypeAlias

from flujo.exceptions import TemplateResolutionError
from flujo.infra.operators import bounded_number, is_number, orderable
from flujo.infra.values import (
    MAX_TEXT,
    MISSING,
    Undefined,
    absent,
    items_of,
    joined,
    kind_of,
    read,
    show,
    to_json,
    too_long,
)

__all__ = ["FILTERS", "TESTS", "Filter"]

Filter: TypeAlias = Callable[..., Any]

#: How far `tojson` indents at most, and how many digits `round` keeps at most.
_MAX_INDENT = 16
_MAX_DIGITS = 300

#: The longest format of `dateformat`, and what may stand in it: a width, as in `%09d`, may not.
_MAX_FORMAT = 200
_DIRECTIVES = re.compile(r"(?:[^%]|%-?[aAbBcdfGHIjmMpSuUVwWxXyYzZ%])*", re.DOTALL)


def _wrong(name: str, wants: str, value: object) -> TemplateResolutionError:
    return TemplateResolutionError(f"filter {name!r} takes {wants}, not {kind_of(value)}")


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, int) and low <= value <= high:
        return value
    raise TemplateResolutionError(f"filter {name!r} takes a whole number from {low} to {high}")


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise _wrong(name, "text", value)


def _list(name: str, value: object) -> list[Any]:
    return items_of(value, f"filter {name!r}")


def _pick(items: Sequence[Any], attribute: str | None) -> list[Any]:
    """The items, or of each the part that the dotted path `attribute` leads to."""
    return list(items) if attribute is None else [_follow(item, str(attribute)) for item in items]


def _follow(item: Any, path: str) -> Any:
    for name in path.split("."):
        found = read(item, name)
        if found is MISSING:
            raise absent(item, name, "an item")
        item = found
    return item


def _trim(value: Any, chars: str | None = None) -> str:
    return show(value).strip(None if chars is None else _text("trim", chars))


def _length(value: Any) -> int:
    if isinstance(value, str | list | tuple | Mapping | Set):
        return len(value)
    raise _wrong("length", "text, a list or a mapping", value)


def _join(value: Any, separator: Any = "", attribute: str | None = None) -> str:
    return joined([show(item) for item in _pick(_list("join", value), attribute)], show(separator))


def _tojson(value: Any, indent: int | None = None) -> str:
    return to_json(value, None if indent is None else _whole("tojson", indent, 0, _MAX_INDENT))


def _end(name: str, value: Any, index: int) -> Any:
    items = _list(name, value)
    if not items:
        raise Undefined(f"an empty list has no {name} item", suggestion="write `| default(...)` behind it")
    return items[index]


def _unique(value: Any, attribute: str | None = None) -> list[Any]:
    items = _list("unique", value)
    first: dict[Any, Any] = {}
    for key, item in zip(_pick(items, attribute), items, strict=True):
        first.setdefault(_identity(key), item)
    return list(first.values())


def _identity(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return (dict, to_json(value))  # a class beside the text, so that no text is equal to it
    return value


def _sort(value: Any, reverse: bool = False, attribute: str | None = None) -> list[Any]:
    items = list(value) if isinstance(value, Set) else _list("sort", value)
    keys = _pick(items, attribute)
    for key in keys[1:]:
        if not orderable(keys[0], key):
            raise TemplateResolutionError(f"filter 'sort' can't compare {kind_of(keys[0])} with {kind_of(key)}")
    return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__, reverse=bool(reverse))]


def _sum(value: Any, attribute: str | None = None, start: Any = 0) -> Any:
    total: Any = 0
    for number in (start, *_pick(_list("sum", value), attribute)):
        if not is_number(number):
            raise _wrong("sum", "a list of numbers", number)
        total = bounded_number(total + number)
    return total


def _round(value: Any, precision: int = 0) -> Any:
    if not is_number(value):
        raise _wrong("round", "a number", value)
    return bounded_number(round(value, _whole("round", precision, -_MAX_DIGITS, _MAX_DIGITS)))


def _replace(value: Any, old: str, new: str, count: int | None = None) -> str:
    text, old, new = show(value), _text("replace", old), _text("replace", new)
    found = text.count(old)
    times = found if count is None else min(found, _whole("replace", count, 0, MAX_TEXT))
    if len(text) + times * (len(new) - len(old)) > max(MAX_TEXT, len(text)):
        raise too_long()
    return text.replace(old, new, times)


def _truncate(value: Any, length: int = 255, killwords: bool = False, end: str = "...") -> str:
    text, end = show(value), _text("truncate", end)
    kept = _whole("truncate", length, 0, MAX_TEXT) - len(end)
    if len(text) <= length:
        return text
    if kept < 0:
        raise TemplateResolutionError(f"filter 'truncate' can't cut to {length} characters: {end!r} is longer")
    return (text[:kept] if killwords else text[:kept].rsplit(" ", 1)[0]) + end


def _number(name: str, convert: Callable[[Any], Any], value: Any, default: Any) -> Any:
    try:
        if not (is_number(value) or isinstance(value, str)):
            raise ValueError(kind_of(value))
        return bounded_number(convert(value))
    except (ValueError, ArithmeticError) as error:
        if default is not MISSING:
            return default
        raise TemplateResolutionError(
            f"filter {name!r} can't make a number of this: {kind_of(value)}",
            suggestion=f"say what it is otherwise, as in `| {name}(0)`",
            cause=error,
        ) from error


def _whole_part(value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        return int(float(value))


def _dateformat(value: Any, format: str = "%Y-%m-%d") -> str:  # noqa: A002 - templates say `format=`
    if len(_text("dateformat", format)) > _MAX_FORMAT or not _DIRECTIVES.fullmatch(format):
        raise TemplateResolutionError(
            "filter 'dateformat' takes a short format of plain directives",
            suggestion="write for instance '%Y-%m-%d %H:%M'",
        )
    return _moment(value).strftime(format)


def _moment(value: Any) -> date | time:
    if isinstance(value, date | time):
        return value
    text = _text("dateformat", value)
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise TemplateResolutionError(
            "filter 'dateformat' can't read this text as a date",
            suggestion="dates are written as 2026-01-31 or 2026-01-31T12:30:00Z",
            cause=error,
        ) from error


#: The filters by name.
FILTERS: Final[Mapping[str, Filter]] = {
    "count": _length,
    "dateformat": _dateformat,
    "first": lambda value: _end("first", value, 0),
    "float": lambda value, default=MISSING: _number("float", float, value, default),
    "int": lambda value, default=MISSING: _number("int", _whole_part, value, default),
    "join": _join,
    "last": lambda value: _end("last", value, -1),
    "length": _length,
    "list": lambda value: _list("list", value),
    "lower": lambda value: show(value).lower(),
    "replace": _replace,
    "round": _round,
    "sort": _sort,
    "string": show,
    "sum": _sum,
    "tojson": _tojson,
    "trim": _trim,
    "truncate": _truncate,
    "unique": _unique,
    "upper": lambda value: show(value).upper(),
}

#: The tests that may stand after `is`, beside `defined` and `undefined`, which must see whether there is a value.
TESTS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "boolean": lambda value: isinstance(value, bool),
    "false": lambda value: value is False,
    "float": lambda value: isinstance(value, float),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "mapping": lambda value: isinstance(value, Mapping),
    "none": lambda value: value is None,
    "number": lambda value: is_number(value) and not isinstance(value, bool),
    "sequence": lambda value: isinstance(value, list | tuple),
    "string": lambda value: isinstance(value, str),
    "true": lambda value: value is True,
}
