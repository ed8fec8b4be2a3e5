"""The codec: values as canonical JSON bytes, so that equal bytes mean equal values, or a refusal that says why."""

import json
from collections.abc import Iterable
from types import NoneType
from typing import Any

from flujo.exceptions import StateCorrupt, ValueNotStorable
from flujo.infra.display import jsonable
from flujo.infra.scalars import EXACT_INT, TAG, Refused, Unreadable
from flujo.infra.shapes import Shapes
from flujo.infra.tagged import MAX_DEPTH, Reader, Writer

__all__ = ["JsonCodec", "jsonable", "lost", "readable"]

_ADVICE = "restore the state from a backup"
_TAG_BYTES = f'"{TAG}"'.encode()
_LOST = b"\xfflost: "  # no text in UTF-8 has the first of these
_SURE = frozenset({str, float, bool, NoneType})


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


# The order of a dict is part of it, so keys are not sorted.
_dumps = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")).encode

#: Text of so many characters is quoted faster by searching it, unless it has one of these, which JSON escapes too.
_LONG = 100
_WITHOUT = bytes.maketrans(bytes(each for each in range(32) if each != ord("\n")), b" " * 31)

_quote = json.encoder.encode_basestring  # what `_dumps` does with text, without the way there
_scan = json.JSONDecoder(parse_constant=_no_constant).scan_once  # type: ignore[attr-defined]  # what `decode` reads with


class JsonCodec:
    """Writes values down so that values of the same types, equal to them, are read back.

    JSON's own types stand as they are. Tagged are: large integers, tuple, set, frozenset, bytes, datetime, date,
    time, timedelta, Decimal, UUID, and objects of declared classes: enums, dataclasses and pydantic models. A
    class is looked up by name among those that the annotations in `types` mention, and those of their fields; none
    is imported. Objects are put together without a call of their constructors. A fixed offset from UTC comes back as
    a `datetime.timezone`, whatever class it had.
    """

    def __init__(self, types: Iterable[Any] = ()) -> None:
        self._shapes = Shapes(types)

    def encode(self, value: Any, *, where: str) -> bytes:
        """`value` as JSON in UTF-8. Raises `ValueNotStorable`, naming `where` and the JSON path, never the value."""
        if type(value) is str or _is_plain(value, 1):
            try:
                return _quoted(value) if type(value) is str else _dumps(value).encode()
            except ValueError:
                pass  # no finite number, or no character: the writer finds the place
        writer = Writer(self._shapes, _dumps)
        try:
            return _dumps(writer.write(value)).encode()
        except Refused as refused:
            at = "" if writer.place == "$" else f" at {writer.place}"
            message = f"{where} can't be stored: {refused.reason}{at}"
            raise ValueNotStorable(message, suggestion=refused.suggestion) from refused

    def decode(self, data: bytes, *, where: str) -> Any:
        """The value that was encoded. Raises `StateCorrupt`, naming `where`, and the class if one is missing."""
        return _read(data, self._shapes, where)


def _quoted(text: str) -> bytes:
    """`text` as JSON. Long text is searched for what is to be escaped: the encoder looks at each character."""
    if len(text) < _LONG:
        return _quote(text).encode()
    written = text.encode()
    if written.translate(_WITHOUT) != written:
        return _quote(text).encode()
    return b'"%b"' % written.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")


def readable(data: bytes, *, where: str = "a stored value") -> Any:
    """Stored bytes as plain JSON data for people to look at, without any class. Raises `StateCorrupt`."""
    return jsonable(_read(data, None, where))


def lost(reason: str) -> bytes:
    """What a backend hands out in the place of stored bytes that it has lost: to decode it is refused for that."""
    return _LOST + reason.encode()


def _read(data: bytes, shapes: Shapes | None, where: str) -> Any:
    try:
        text = data.decode()
        value, end = _scan(text, 0)
        if end != len(text):
            raise ValueError(f"more follows at {end}")
        is_tagged = (type(value) is dict or type(value) is list) and _TAG_BYTES in data
        return Reader(shapes).read(value) if is_tagged else value
    except Unreadable as unreadable:
        advice = unreadable.suggestion or _ADVICE
        corrupt = StateCorrupt(f"{where} can't be read: {unreadable.reason}", suggestion=advice)
        corrupt.is_whole = unreadable.suggestion is not None
        raise corrupt from None
    except (ValueError, StopIteration, RecursionError):
        reason = "it is not the JSON that was stored"
        if data.startswith(_LOST):
            reason = data.removeprefix(_LOST).decode(errors="replace")
        raise StateCorrupt(f"{where} can't be read: {reason}", suggestion=_ADVICE) from None


def _is_plain(value: Any, depth: int) -> bool:
    """Whether JSON says all of `value` as it is; text and floats are left to the encoder, which checks them.

    This and the next function are on the way of every result; a loop is the fastest form of both.
    """
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str or key == TAG:
                return False
        return _are_plain(value.values(), depth)
    if kind is list:
        return _are_plain(value, depth)
    return kind in _SURE or (kind is int and -EXACT_INT <= value <= EXACT_INT)


def _are_plain(items: Iterable[Any], depth: int) -> bool:
    if depth > MAX_DEPTH:
        return False
    for item in items:
        kind = type(item)
        if kind in _SURE or (kind is int and -EXACT_INT <= item <= EXACT_INT):
            continue
        if (kind is not dict and kind is not list) or not _is_plain(item, depth + 1):
            return False
    return True
