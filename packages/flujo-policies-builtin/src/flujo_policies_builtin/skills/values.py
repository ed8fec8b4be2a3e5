"""Skills that turn one value into another."""

import json
from functools import cache
from typing import Any, NoReturn

from pydantic import ConfigDict, TypeAdapter

from flujo.exceptions import ValidationError

__all__ = ["from_json", "parse_json", "passthrough", "stringify", "to_json"]


def stringify(data: Any) -> str:
    """Give `data` as text, as `str` does."""
    return str(data)


def passthrough(data: Any) -> Any:
    """Give `data` as it is."""
    return data


def to_json(data: Any, *, indent: int | None = None) -> str:
    """Give `data` as JSON text; models, dates and the like as their JSON forms.

    Raises `ValidationError` for what JSON can't hold: NaN, infinities, objects of unknown classes.
    """
    try:
        plain = _any().dump_python(data, mode="json")
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError as error:  # pydantic's error for an unknown class is one
        raise ValidationError(
            f"{type(data).__name__!r} can't be written as json: {str(error).lower()}",
            suggestion="hand on plain data, or a model",
            cause=error,
        ) from error


def from_json(data: str) -> Any:
    """Give the value that the JSON text `data` stands for. Raises `ValidationError` with line and column."""
    return parse_json(data, "text")


def parse_json(text: Any, what: str, *, is_line: bool = False) -> Any:
    """The value of JSON `text`; `what` names it in errors, with the line if `is_line`.

    NaN, infinities and keys given twice are refused.
    """
    if not isinstance(text, str):
        raise ValidationError(f"{what} is {type(text).__name__!r}, expected json text")
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)
    except RecursionError as error:
        raise ValidationError(f"{what} is json that is nested too deep", cause=error) from error
    except json.JSONDecodeError as error:
        place = f"column {error.pos + 1}" if is_line else f"line {error.lineno}, column {error.colno}"
        raise ValidationError(f"{what} is not json: {error.msg.lower()} at {place}", cause=error) from error
    except ValueError as error:
        raise ValidationError(f"{what} is not json: {error}", cause=error) from error


@cache
def _any() -> TypeAdapter[Any]:
    return TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))  # so that no NaN becomes a silent null


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no json number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} is given twice")
    return found
