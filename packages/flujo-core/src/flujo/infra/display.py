"""Any value as plain JSON data for people to look at: never exact, never refused."""

import dataclasses
import math
import reprlib
from base64 import b64encode
from collections.abc import Callable
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import MappingProxyType, NoneType
from typing import Any
from uuid import UUID

from pydantic import BaseModel

__all__ = ["jsonable"]

_MAX_DEPTH = 100
_CUT = "…"

# Decimal text of more digits than this is refused by Python's own JSON.
_MAX_BITS = 14_000

# It survives a `__repr__` that raises.
_REPR = reprlib.Repr()
_REPR.maxother = 1_000


def jsonable(value: Any) -> Any:
    """`value` in JSON's types: models as dicts, times as ISO 8601, bytes as base64, the unknown by its `repr`.

    What JSON can't hold is shown as text (`"NaN"`), what lies too deep or contains itself as `"…"`. Never raises.
    """
    return _show(value, ())


def _show(value: Any, above: tuple[int, ...]) -> Any:
    kind = type(value)
    if issubclass(kind, Enum):
        return _show(value.value, (*above, id(value)))
    for known, leaf in _LEAVES:
        if issubclass(kind, known):
            return leaf(value)
    if id(value) in above or len(above) >= _MAX_DEPTH:
        return _CUT
    return _show_parts(value, (*above, id(value)))


def _show_parts(value: Any, above: tuple[int, ...]) -> Any:
    kind = type(value)
    members = _members(value)
    if members is not None:
        return {_key(key): _show(item, above) for key, item in members.items()}
    if issubclass(kind, list | tuple):
        return [_show(item, above) for item in value]
    if issubclass(kind, set | frozenset):
        return sorted((_show(item, above) for item in value), key=repr)
    return _text(_REPR.repr_instance(value, 0))


def _members(value: Any) -> dict[Any, Any] | None:
    kind = type(value)
    if issubclass(kind, dict | MappingProxyType):
        return dict(value)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):  # a named tuple has no other mark
        return dict(zip(kind._fields, value, strict=False))
    if issubclass(kind, BaseModel):
        return {**vars(value), **(value.__pydantic_extra__ or {})}
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(kind)}
    return None


def _key(key: Any) -> str:
    shown = _show(key, ())
    return shown if isinstance(shown, str) else str(shown)


def _text(value: str) -> str:
    return str.__str__(value).encode("utf-8", "backslashreplace").decode()


def _int(value: int) -> int | str:
    plain = int(value)
    return plain if plain.bit_length() <= _MAX_BITS else hex(plain)


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


#: By base class, the first that fits: how a value without parts is shown.
_LEAVES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (bool | NoneType, lambda value: value),
    (str, _text),
    (int, _int),
    (float, _float),
    (date | time, lambda value: value.isoformat()),
    (timedelta | Decimal | UUID | PurePath, str),
    (bytes | bytearray | memoryview, lambda value: b64encode(value).decode()),
)
