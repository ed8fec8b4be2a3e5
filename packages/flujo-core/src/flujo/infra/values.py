"""The data that templates see: how it is read, how it prints, and what counts as empty.

Only data is reachable: keys of mappings, items of lists, declared fields of models and dataclasses. No method and
no other attribute of an object can be named, so nothing that a template reads can run code.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, time
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from flujo.domain.context import PipelineContext
from flujo.exceptions import TemplateResolutionError

__all__ = [
    "MAX_INT",
    "MAX_TEXT",
    "MISSING",
    "Undefined",
    "absent",
    "bounded_text",
    "holds",
    "items_of",
    "joined",
    "kind_of",
    "missing_from",
    "names_of",
    "read",
    "read_item",
    "refused_at",
    "show",
    "to_json",
    "too_long",
    "truth",
]

#: The longest text, in characters, that a template may make. What it only passes on may be of any length.
MAX_TEXT: Final = 1024 * 1024

#: The largest whole number, and its negative, that a template may compute with.
MAX_INT: Final = 2**63

#: How deep data may be nested to be written as JSON.
_MAX_NESTING = 100

#: How many names an error lists.
_SHOWN = 6


#: What `read` and `read_item` answer where there is nothing.
MISSING: Final[Any] = object()


class Undefined(TemplateResolutionError):
    """A name, key or item isn't there; `or`, `default()` and `is defined` opt out of it."""


def refused_at(source: str, offset: int, message: str, suggestion: str | None = None) -> TemplateResolutionError:
    """The error for what stands at `offset` of the template `source`."""
    line_start = source.rfind("\n", 0, offset) + 1
    return TemplateResolutionError(
        message, suggestion=suggestion, line=source.count("\n", 0, offset) + 1, column=offset - line_start + 1
    )


@lru_cache(maxsize=512)
def _fields(cls: type) -> frozenset[str]:
    """The names of the declared fields of a model or dataclass; nothing for any other class."""
    if issubclass(cls, BaseModel):
        return frozenset(cls.model_fields)
    if dataclasses.is_dataclass(cls):
        return frozenset(field.name for field in dataclasses.fields(cls))
    return frozenset()


def read(value: Any, name: str) -> Any:
    """The key of a mapping or the field of a model or dataclass; `MISSING` where there is none."""
    cls: Any = type(value)
    if cls is dict:
        return value.get(name, MISSING)
    if name in _fields(cls):
        return getattr(value, name, MISSING)
    if isinstance(value, BaseModel):
        return value.model_extra.get(name, MISSING) if value.model_extra else MISSING
    return value.get(name, MISSING) if isinstance(value, Mapping) else MISSING


def read_item(value: object, key: object) -> Any:
    """`value[key]` for a list's index, a mapping's key or a field's name; `MISSING` where there is none."""
    if isinstance(value, list | tuple):
        if isinstance(key, bool) or not isinstance(key, int):
            raise TemplateResolutionError(f"a list is read by a whole number, not by {kind_of(key)}")
        return value[key] if -len(value) <= key < len(value) else MISSING
    if isinstance(value, Mapping):
        return value[key] if holds(value, key) else MISSING
    return read(value, key) if isinstance(key, str) else MISSING


def holds(container: Mapping[Any, Any] | Set[Any], key: object) -> bool:
    """Whether `key` is in a mapping or set; what can't be hashed is in none."""
    try:
        return key in container
    except TypeError:
        return False


def absent(value: object, key: object, label: str) -> Undefined:
    """The error for a `key` that `value`, written as `label`, doesn't have; it names what is there."""
    if value is None:
        return Undefined(f"{label} is none, so there is no {key!r} in it", suggestion=_OPT_OUT)
    if isinstance(value, list | tuple):
        return Undefined(f"{label} is a list of {len(value)}, so there is no {key!r} in it", suggestion=_OPT_OUT)
    names = names_of(value)
    if names is None:
        return Undefined(f"{label} is {kind_of(value)}, so there is no {key!r} in it", suggestion=_OPT_OUT)
    what = "key" if isinstance(value, Mapping) else "field"
    return missing_from(f"{label} has no {what} {key!r}", key, names)


def missing_from(message: str, key: object, names: Iterable[str], verb: str = "it has") -> Undefined:
    """The error `message`, with the `names` that do exist: those like `key` first."""
    known = list(names)
    close = get_close_matches(key, known, n=2) if isinstance(key, str) else []
    shown = [*close, *(name for name in known if name not in close)]
    more = ", ..." if len(shown) > _SHOWN else ""
    listed = ", ".join(repr(name) for name in shown[:_SHOWN]) + more if shown else "nothing"
    return Undefined(f"{message}; {verb} {listed}", suggestion=f"did you mean {close[0]!r}?" if close else _OPT_OUT)


_OPT_OUT = "write `| default(...)` behind what may be absent"


def names_of(value: Any) -> list[str] | None:
    """The keys of a mapping or the fields of a model or dataclass, a context's own first; None for all else."""
    if isinstance(value, Mapping):
        return [str(key) for key in value]
    cls: Any = type(value)
    declared = sorted(_fields(cls))
    if isinstance(value, BaseModel):
        base = PipelineContext.model_fields if isinstance(value, PipelineContext) else {}
        own = [name for name in declared if name not in base]
        return [*(value.model_extra or ()), *own, *base]
    return declared if _is_record(value) else None


_KINDS: tuple[tuple[Any, str], ...] = (
    (type(None), "none"),
    (bool, "a boolean"),
    ((int, float, Decimal), "a number"),
    (str, "text"),
    ((list, tuple), "a list"),
    (Mapping, "a mapping"),
    (Set, "a set"),
)


def kind_of(value: object) -> str:
    """What a message calls `value`; never the value itself, which may be long or secret."""
    for types, words in _KINDS:
        if isinstance(value, types):
            return words
    return f"a {type(value).__name__}"


_CAN_BE_EMPTY: Final = (str, int, float, list, tuple, dict, Decimal, bytes, Mapping, Set)


def truth(value: object) -> bool:
    """Whether `value` counts as true: not none, false, zero or empty. Objects of other types always do."""
    if value is True or value is False:
        return value
    return bool(value) if isinstance(value, _CAN_BE_EMPTY) else value is not None


def items_of(value: object, what: str) -> list[Any]:
    """The items of a list, or the keys of a mapping; `what` wants them. Raises for anything else."""
    if isinstance(value, list | tuple | Mapping):
        return list(value)
    advice = "sets have no order: put `| sort` before" if isinstance(value, Set) else None
    raise TemplateResolutionError(f"{what} takes a list, not {kind_of(value)}", suggestion=advice)


def bounded_text(text: str) -> str:
    """`text`, which a template made, unless it is too long."""
    if len(text) > MAX_TEXT:
        raise too_long()
    return text


def joined(texts: Sequence[str], separator: str = "") -> str:
    """The texts in a row, unless that is too long; the length is known before anything is made."""
    if sum(map(len, texts)) + len(separator) * max(len(texts) - 1, 0) > MAX_TEXT:
        raise too_long()
    return separator.join(texts)


def too_long() -> TemplateResolutionError:
    """The error for text over the bound."""
    return TemplateResolutionError(
        f"the template makes a text of over {MAX_TEXT} characters",
        suggestion="hand a large value on whole: a template that is one expression passes it as it is",
    )


def show(value: object) -> str:
    """How `value` prints inside text.

    None is nothing, a boolean True or False; lists, mappings, models and dataclasses are JSON; an enum's member
    prints as its value, and anything else as `str` has it.
    """
    if isinstance(value, str):
        return str(value.value) if isinstance(value, Enum) else value
    if value is None:
        return ""
    if isinstance(value, Enum):
        return show(value.value)
    if isinstance(value, list | tuple | Mapping | BaseModel) or _is_record(value):
        return to_json(value)
    try:
        return str(value)
    except ValueError as error:  # Python refuses to print a number of more than 4300 digits
        raise TemplateResolutionError(f"{kind_of(value)} is too large to print", cause=error) from error


def to_json(value: object, indent: int | None = None) -> str:
    """`value` as JSON text. Raises for what JSON can't hold, and for more than a text may be."""
    try:
        text = json.dumps(_Plain().of(value, 0), ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError as error:  # NaN, an infinity, or a number of more than 4300 digits
        raise TemplateResolutionError(f"JSON can't hold this value: {error}", cause=error) from error
    return bounded_text(text)


def _is_record(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


class _Plain:
    """Turns data into what JSON knows, and gives up as soon as it is sure to be too long."""

    def __init__(self) -> None:
        self._size = 0

    def of(self, value: object, depth: int) -> Any:
        if isinstance(value, Enum):
            value = value.value
        if depth > _MAX_NESTING:
            raise TemplateResolutionError(f"data nested over {_MAX_NESTING} levels can't be written as JSON")
        self._size += len(value) if isinstance(value, str) else 1
        if self._size > MAX_TEXT:
            raise too_long()
        if value is None or isinstance(value, str | int | float):
            return value
        return self._container(value, depth + 1)

    def _container(self, value: object, depth: int) -> Any:
        if isinstance(value, BaseModel):
            return self.of(value.model_dump(mode="json", warnings=False), depth)
        if isinstance(value, Mapping):
            return {_key(key): self.of(item, depth) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(item, depth) for item in value]
        if _is_record(value):
            return {name: self.of(read(value, name), depth) for name in _in_order(value)}
        return _leaf(value)


def _in_order(record: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(record) if read(record, field.name) is not MISSING]


def _key(key: object) -> str | int | float | None:
    if isinstance(key, Enum):
        key = key.value
    if key is None or isinstance(key, str | int | float):
        return key
    raise TemplateResolutionError(f"JSON can't hold {kind_of(key)} as a key")


def _leaf(value: object) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID | PurePath):
        return str(value)
    raise TemplateResolutionError(f"JSON can't hold {kind_of(value)}")
