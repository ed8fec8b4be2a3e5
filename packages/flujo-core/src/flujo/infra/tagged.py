"""Values as JSON data: plain where JSON has the type, tagged where it has not."""

import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from io import IOBase
from json.encoder import encode_basestring_ascii
from typing import Any

from pydantic import BaseModel

from flujo.infra.scalars import READERS, TAG, WRITERS, Refused, Unreadable, tagged
from flujo.infra.shapes import Shapes, class_name

__all__ = ["MAX_DEPTH", "Reader", "Writer"]

#: How many lists, dicts and objects may stand one inside the other.
MAX_DEPTH = 100

_MAX_KEY = 60  # of a key's characters stand in a path

_ADVICE = "return plain data: text, numbers, lists and dicts, or a declared class"


class Writer:
    """Turns one value into JSON data. After a `Refused`, `place` says where in the value it was."""

    def __init__(self, shapes: Shapes, dumps: Callable[[Any], str]) -> None:
        self._shapes = shapes
        self._dumps = dumps
        self._path: list[str | int] = []
        self._above: list[int] = []

    @property
    def place(self) -> str:
        """Where the writer stands, as a JSON path such as `$.items[3].when`."""
        return "$" + "".join(map(_step, self._path))

    def write(self, value: Any) -> Any:
        """The JSON data for `value`. Raises `Refused`."""
        kind = type(value)
        scalar = WRITERS.get(kind)
        if scalar is not None:
            return scalar(value)
        if id(value) in self._above:
            raise Refused("a value that contains itself", _ADVICE)
        if len(self._above) >= MAX_DEPTH:
            raise Refused(f"a value nested more than {MAX_DEPTH} levels deep", "return a flatter value")
        self._above.append(id(value))
        container = _CONTAINERS.get(kind)
        data = container(self, value) if container else self._object(value)
        self._above.pop()
        return data

    def _object(self, value: Any) -> dict[str, Any]:
        shape = self._shapes.of(type(value))
        if shape is None:
            raise _refusal(value)
        parts = shape.take(value)
        data = {key: self._members(part) if type(part) is dict else part for key, part in parts.items()}
        return {TAG: class_name(shape.cls), **data}

    def _dict(self, value: dict[Any, Any]) -> dict[str, Any]:
        members = self._members(value)
        return tagged("dict", members) if TAG in members else members

    def _members(self, value: dict[Any, Any]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key, item in value.items():
            if type(key) is not str:
                raise Refused(f"a key of class {type(key).__qualname__!r}", "use text as keys, or a list of pairs")
            self._path.append(key)
            WRITERS[str](key)
            members[key] = self.write(item)
            self._path.pop()
        return members

    def _list(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        items: list[Any] = []
        for index, item in enumerate(value):
            self._path.append(index)
            items.append(self.write(item))
            self._path.pop()
        return items

    def _tuple(self, value: tuple[Any, ...]) -> dict[str, Any]:
        return tagged("tuple", self._list(value))

    def _set(self, value: set[Any] | frozenset[Any]) -> dict[str, Any]:
        """A set has no order: sorted, equal sets give equal bytes."""
        return tagged(type(value).__name__, sorted(self._list(tuple(value)), key=self._dumps))


_CONTAINERS: Mapping[type, Callable[[Writer, Any], Any]] = {
    dict: Writer._dict,
    list: Writer._list,
    tuple: Writer._tuple,
    set: Writer._set,
    frozenset: Writer._set,
}


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if len(part) > _MAX_KEY:
        part = f"{part[:_MAX_KEY]}..."
    return f".{part}" if part.isidentifier() else f"[{encode_basestring_ascii(part)}]"


def _refusal(value: Any) -> Refused:
    """Why an object of a class without a shape can't be stored."""
    cls = type(value)
    name = class_name(cls)
    if any(base.__module__ == "pydantic.types" and "Secret" in base.__name__ for base in cls.__mro__):
        return Refused(f"a secret ({cls.__qualname__})", "hand on the secret's name, and read it where it is used")
    if issubclass(cls, BaseModel | Enum) or dataclasses.is_dataclass(cls):
        return Refused(
            f"an object of class {name!r}, which is not declared",
            f"declare {cls.__qualname__!r} as the step's output type, or as the type of a field of it",
        )
    for kind in (*_CONTAINERS, *WRITERS):
        if issubclass(cls, kind):
            return Refused(
                f"an object of class {name!r}, which would come back as a plain {kind.__qualname__!r}",
                f"convert it by '{kind.__qualname__}(...)' or declare an own class for it",
            )
    if issubclass(cls, IOBase):
        return Refused("an open file", "hand on its path, or what is in it")
    if callable(value):
        return Refused("a function, a class or another callable", _ADVICE)
    return Refused(f"an object of class {name!r}", _ADVICE)


class Reader:
    """Turns JSON data into the value. Without `shapes` objects are shown as dicts and enums by their values."""

    def __init__(self, shapes: Shapes | None) -> None:
        self._shapes = shapes

    def read(self, data: Any) -> Any:
        """The value for `data`. Raises `Unreadable`."""
        kind = type(data)
        if kind is list:
            return [self.read(item) for item in data]
        if kind is not dict:
            return data
        if TAG not in data:
            return {key: self.read(item) for key, item in data.items()}
        name = data[TAG]
        try:
            return self._tagged(name, data) if name in _FORMS else self._object(name, data)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise Unreadable(f"its part of type {name!r} is broken") from None  # the cause would hold the value

    def _tagged(self, name: str, data: dict[str, Any]) -> Any:
        form = data["v"]
        read = READERS.get(name)
        if read is not None:
            return read(form)
        if name == "dict":
            return self._members(form)
        # An object that is shown as a dict has no place in a set.
        return (list if self._shapes is None else _COLLECTIONS[name])(map(self.read, form))

    def _members(self, form: dict[str, Any]) -> dict[str, Any]:
        return {key: self.read(item) for key, item in form.items()}

    def _object(self, name: str, data: dict[str, Any]) -> Any:
        parts = {key: self._members(part) if type(part) is dict else part for key, part in data.items() if key != TAG}
        if self._shapes is None:
            shown = parts.get("v", parts.get("n"))
            return {**shown, **(parts.get("x") or {})} if isinstance(shown, dict) else shown
        shape = self._shapes.named(name)
        if shape is None:
            raise Unreadable(
                f"it holds an object of class {name!r}, which the pipeline does not declare",
                f"have the class again, installed or in the project, as module {name.partition(':')[0]!r} had it, "
                "or declare it as the step's output type",
            )
        return shape.build(parts)


_COLLECTIONS: Mapping[str, Callable[[Any], Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}

_FORMS = frozenset({"dict", *READERS, *_COLLECTIONS})
