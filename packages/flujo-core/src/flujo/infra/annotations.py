"""Searches type annotations for the classes that a value of that type may have in it."""

import dataclasses
import typing
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

__all__ = ["mentioned_classes"]


def mentioned_classes(annotations: Iterable[Any]) -> Iterator[type]:
    """Every class that is mentioned in `annotations`, or in the fields of such a class."""
    # By identity, as not every annotation can be hashed. BaseModel itself declares no fields and can't be asked.
    seen: dict[int, Any] = {id(BaseModel): BaseModel}
    waiting = deque(annotations)
    while waiting:
        annotation = waiting.popleft()
        if id(annotation) in seen:
            continue
        seen[id(annotation)] = annotation
        if isinstance(annotation, type) and typing.get_origin(annotation) is None:
            yield annotation
            waiting.extend(_field_types(annotation))
        else:
            waiting.extend(_mentioned(annotation))


def _mentioned(annotation: Any) -> list[Any]:
    """What `annotation`, which is no class, is made of: arguments, bounds, the other name of an alias."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return [arguments[0]]
    if origin is typing.Literal:
        return [type(value) for value in arguments]
    if origin is not None:
        return [origin, *_flat(arguments)]
    if isinstance(annotation, typing.TypeVar):
        return [annotation.__bound__, *annotation.__constraints__]
    if isinstance(annotation, typing.NewType):
        return [annotation.__supertype__]
    # `type X = ...` (PEP 695) is a class of typing only from Python 3.12 on, and one of typing_extensions before.
    return [annotation.__value__] if type(annotation).__name__ == "TypeAliasType" else []


def _flat(arguments: Iterable[Any]) -> Iterator[Any]:
    for argument in arguments:  # those of a Callable hold a list of parameters
        if isinstance(argument, list):
            yield from argument
        else:
            yield argument


def _field_types(cls: type) -> list[Any]:
    if cls.__module__ == "builtins" or not (issubclass(cls, BaseModel | dict | tuple) or dataclasses.is_dataclass(cls)):
        return []
    found: list[Any] = []
    if issubclass(cls, BaseModel):
        cls.model_rebuild(raise_errors=False)
        found.extend(field.annotation for field in cls.model_fields.values())
    try:
        found.extend(typing.get_type_hints(cls).values())
    except (NameError, TypeError):
        found.extend(vars(cls).get("__annotations__", {}).values())  # what can't be resolved is text, and skipped
    return found
