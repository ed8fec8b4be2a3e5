"""What plain text in a pipeline file stands for: null, true, false, a number, or itself."""

import re
from collections.abc import Mapping

__all__ = ["resolve"]

#: The core forms of YAML 1.2. `no`, `on`, `012`, dates and times are text; so are `.inf` and `.nan`, which no
#: record could hold.
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASED = re.compile(r"0(?:x[0-9a-fA-F]+|o[0-7]+)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_FIRST = frozenset("-+.0123456789")

#: Digits of the longest whole number; Python itself refuses to read much longer ones.
_MOST_DIGITS = 1000


def resolve(text: str) -> str | int | float | bool | None:
    """The value of plain `text`. Raises `ValueError` for a number that is too large."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST:
        return text
    if _INT.fullmatch(text):
        return _whole(text, 10)
    if _BASED.fullmatch(text):
        return _whole(text, 0)
    if _FLOAT.fullmatch(text):
        return _finite(text)
    return text


def _whole(text: str, base: int) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a whole number has at most {_MOST_DIGITS} digits")
    return int(text, base)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("the number is too large")
    return number
