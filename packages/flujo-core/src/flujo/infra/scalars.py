"""Values without parts: how each built-in type stands in JSON, and how it is read back."""

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

__all__ = ["EXACT_INT", "READERS", "TAG", "WRITERS", "Refused", "Unreadable", "tagged"]

#: The key that marks a JSON object as the form of something else: `{"$": name, "v": form}`.
TAG = "$"

#: Integers up to here are JSON numbers; beyond it readers in other languages would round them (RFC 8259, 6).
EXACT_INT = 2**53

#: A zone's key chooses a file, so that it may hold nothing that leads elsewhere.
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


class _Reason(Exception):
    def __init__(self, reason: str, suggestion: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.suggestion = suggestion


class Refused(_Reason):
    """A value has no form from which exactly the same value could be read back."""


class Unreadable(_Reason):
    """JSON data that no writer has written, or that needs a class which isn't there or has changed."""


def tagged(name: str, form: Any) -> dict[str, Any]:
    """The JSON object that stands for a value of the type called `name`."""
    return {TAG: name, "v": form}


def _same(value: Any) -> Any:
    return value


def _write_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused(
            "text with a lone surrogate, which is no character", "decode the text with errors='replace'"
        ) from None  # the cause would hold the text
    return value


def _write_int(value: int) -> Any:
    # Hexadecimal, because Python refuses to write or read more than 4,300 decimal digits.
    return value if -EXACT_INT <= value <= EXACT_INT else tagged("int", format(value, "x"))


def _write_float(value: float) -> float:
    if not math.isfinite(value):
        raise Refused("a number that is not finite", "give None or text where there is no number")
    return value


def _write_decimal(value: Decimal) -> Any:
    if not value.is_finite():
        raise Refused("a Decimal that is not finite", "give None or text where there is no number")
    return tagged("decimal", str(value))


def _write_moment(value: datetime | time) -> Any:
    """ISO 8601 text, or a list of it, the fold and the zone where the text can't say all."""
    zone = _write_zone(value.tzinfo)
    # `fromisoformat` takes an offset of less than a second for none, so that such an offset is written by itself.
    if value.fold or zone[:1] == ["zone"] or zone[2:] not in ([], [None]) or (zone and zone[1] % 1):
        return tagged(type(value).__name__, [value.replace(tzinfo=None).isoformat(), value.fold, *zone])
    return tagged(type(value).__name__, value.isoformat())


def _write_zone(zone: tzinfo | None) -> list[Any]:
    """Nothing, a zone's key, or a fixed offset in seconds with its name; None is the name that any offset has."""
    if zone is None:
        return []
    if type(zone) is ZoneInfo and zone.key and _ZONE_KEY.fullmatch(zone.key):
        return ["zone", zone.key]
    offset = zone.utcoffset(None)
    if offset is None:
        raise Refused(
            f"a time zone of class {type(zone).__qualname__!r}", "use a zoneinfo.ZoneInfo with a key, or a fixed offset"
        )
    name = zone.tzname(None)
    return ["offset", offset.total_seconds(), None if name == timezone(offset).tzname(None) else name]


def _read_moment(cls: type[datetime] | type[time], form: Any) -> datetime | time:
    if isinstance(form, str):
        return cls.fromisoformat(form)
    text, fold, *zone = form
    return cls.fromisoformat(text).replace(fold=fold, tzinfo=_read_zone(*zone) if zone else None)


def _read_zone(kind: str, *form: Any) -> tzinfo:
    if kind == "zone":
        (key,) = form
        if not _ZONE_KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a time zone")
        return ZoneInfo(key)
    seconds, name = form
    offset = timedelta(seconds=seconds)
    return timezone(offset, name) if name is not None else timezone(offset)


#: By exact type: the value's form in JSON. Raises `Refused`.
WRITERS: Mapping[type, Callable[[Any], Any]] = {
    type(None): _same,
    bool: _same,
    str: _write_text,
    int: _write_int,
    float: _write_float,
    Decimal: _write_decimal,
    datetime: _write_moment,
    time: _write_moment,
    date: lambda value: tagged("date", value.isoformat()),
    timedelta: lambda value: tagged("timedelta", [value.days, value.seconds, value.microseconds]),
    UUID: lambda value: tagged("uuid", str(value)),
    bytes: lambda value: tagged("bytes", b64encode(value).decode()),
}

#: By tag: the value from its form. Raises whatever the type's constructor does when the form is broken.
READERS: Mapping[str, Callable[[Any], Any]] = {
    "int": lambda form: int(form, 16),
    "decimal": Decimal,
    "datetime": lambda form: _read_moment(datetime, form),
    "time": lambda form: _read_moment(time, form),
    "date": date.fromisoformat,
    "timedelta": lambda form: timedelta(*form),
    "uuid": UUID,
    "bytes": lambda form: b64decode(form, validate=True),
}
