"""Durations in pipeline files: seconds, or a number with a unit."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

__all__ = ["Duration", "seconds"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 100 * 365 * 86400
_TEXT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([smhd])")
_Written = Annotated[str, Field(pattern=f"^{_TEXT.pattern}$")]


def seconds(value: Any) -> float:
    """The seconds that `value` stands for: a number of them, or text like "90s", "15m", "2h", "7d".

    Raises `ValueError` for anything else, for what is not more than nothing, and for more than a hundred years.
    """
    number = value
    if isinstance(value, str):
        match = _TEXT.fullmatch(value)
        number = float(match[1]) * _UNITS[match[2]] if match else None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= _LONGEST:
        shown = repr(value) if isinstance(value, str | int | float) else type(value).__name__
        expected = "expected more than 0 seconds, or text like '90s', '15m', '2h', '7d'"
        raise ValueError(f"{shown[:60]} is no duration, {expected}")
    return float(number)


#: The type of a field that holds a duration; its value is in seconds.
Duration = Annotated[float, BeforeValidator(seconds, json_schema_input_type=float | _Written)]
