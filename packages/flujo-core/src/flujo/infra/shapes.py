"""Classes that can be stored: enums, dataclasses and pydantic models, known by name once they are declared."""

import dataclasses
import functools
from collections.abc import Iterable
from enum import Enum
from typing import Any, Protocol

from pydantic import BaseModel

from flujo.infra.annotations import mentioned_classes
from flujo.infra.scalars import Refused, Unreadable

__all__ = ["Shape", "Shapes", "class_name"]

#: Bases whose own content is not in an object's fields.
_OPAQUE = (str, int, float, complex, bytes, bytearray, list, dict, tuple, set, frozenset, BaseException, type)

_NOT_FIELDS = frozenset({"__orig_class__"})  # left on instances by a subscripted generic class


def class_name(cls: type) -> str:
    """The name under which `cls` is stored; it is looked up among declared classes and never imported."""
    return f"{cls.__module__}:{cls.__qualname__}"


class Shape(Protocol):
    """What the objects of one class consist of.

    Parts are a dict of JSON scalars, lists of names, and dicts of values that are still to be written.
    """

    cls: type

    def take(self, value: Any, /) -> dict[str, Any]:
        """The parts of `value`. Raises `Refused` when they are not all of it."""
        ...

    def build(self, parts: dict[str, Any], /) -> Any:
        """The object of these parts. Raises `Unreadable` when the class has changed."""
        ...


class _EnumShape:
    """An enum's member by its name, and by its value where that is plain: both have to fit."""

    def __init__(self, cls: type[Enum]) -> None:
        self.cls = cls

    def take(self, value: Enum, /) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if self.cls.__members__.get(str(value.name)) is value:
            parts["n"] = value.name
        plain = value.value
        if type(plain) is int or (type(plain) is str and plain.isprintable()):
            parts["v"] = plain
        if not parts:
            raise Refused(f"a nameless member of {class_name(self.cls)!r}")
        return parts

    def build(self, parts: dict[str, Any], /) -> Any:
        if "n" not in parts:
            return self.cls(parts["v"])
        member = self.cls.__members__.get(parts["n"])
        if member is None or ("v" in parts and member.value != parts["v"]):
            raise _changed(self.cls, f"its member {parts['n']!r} is gone or has another value")
        return member


class _DataclassShape:
    """A dataclass's fields. Its constructor is not called again: the fields are put back as they were."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self._fields = {field.name: field for field in dataclasses.fields(cls)}
        cached = (name for base in cls.__mro__ for name, attribute in vars(base).items() if _is_cached(attribute))
        self._known = self._fields.keys() | _NOT_FIELDS | set(cached)
        self._open = bool(cls.__dictoffset__)

    def take(self, value: Any, /) -> dict[str, Any]:
        if self._open and not vars(value).keys() <= self._known:
            names = sorted(vars(value).keys() - self._known)
            raise Refused(
                f"an object of class {class_name(self.cls)!r} with attributes that are no fields: {', '.join(names)}",
                "declare them as fields; with 'field(init=False)' they stay out of the constructor",
            )
        try:
            return {"v": {name: getattr(value, name) for name in self._fields}}
        except AttributeError as error:
            raise Refused(f"an object of class {class_name(self.cls)!r} with a field that was never set") from error

    def build(self, parts: dict[str, Any], /) -> Any:
        values = parts["v"]
        _check_known(self.cls, values.keys() - self._fields.keys())
        made: Any = object.__new__(self.cls)
        for name, field in self._fields.items():
            object.__setattr__(made, name, values[name] if name in values else self._default(field))
        return made

    def _default(self, field: dataclasses.Field[Any]) -> Any:
        if field.default is not dataclasses.MISSING:
            return field.default
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
        raise _changed(self.cls, f"it has a new field {field.name!r} without a default")


class _ModelShape:
    """A model's fields, extra and private attributes, and which were set; nothing is validated a second time."""

    def __init__(self, cls: type[BaseModel]) -> None:
        self.cls = cls
        self._fields = cls.model_fields

    def take(self, value: BaseModel, /) -> dict[str, Any]:
        values = vars(value)
        if unset := self._fields.keys() - values.keys():
            raise Refused(f"a model of class {class_name(self.cls)!r} without its field {min(unset)!r}")
        parts: dict[str, Any] = {"v": {name: values[name] for name in self._fields}}
        given = value.__pydantic_fields_set__
        if given != self._fields.keys():
            parts["s"] = sorted(given)
        if value.__pydantic_extra__ is not None:
            parts["x"] = dict(value.__pydantic_extra__)
        if value.__pydantic_private__ is not None:
            parts["p"] = dict(value.__pydantic_private__)
        return parts

    def build(self, parts: dict[str, Any], /) -> Any:
        values = parts["v"]
        _check_known(self.cls, values.keys() - self._fields.keys())
        for name, field in self._fields.items():
            if name not in values:
                if field.is_required():
                    raise _changed(self.cls, f"it has a new field {name!r} without a default")
                values[name] = field.get_default(call_default_factory=True)
        made = self.cls.__new__(self.cls)
        BaseModel.__setstate__(
            made,
            {
                "__dict__": {name: values[name] for name in self._fields},
                "__pydantic_fields_set__": set(parts.get("s", self._fields)),
                "__pydantic_extra__": parts.get("x"),
                "__pydantic_private__": parts.get("p"),
            },
        )
        return made


def _is_cached(attribute: object) -> bool:
    return isinstance(attribute, functools.cached_property)


def _check_known(cls: type, unknown: set[str]) -> None:
    if unknown:
        raise _changed(cls, f"it has no field {min(unknown)!r} any more")


def _changed(cls: type, how: str) -> Unreadable:
    return Unreadable(
        f"the class {class_name(cls)!r} has changed since: {how}",
        "restore the class as it was when the value was stored; a new field needs a default",
    )


class Shapes:
    """The classes that were declared, by class and by name."""

    def __init__(self, annotations: Iterable[Any] = ()) -> None:
        self._by_class: dict[type, Shape] = {}
        for cls in mentioned_classes(annotations):
            if cls not in self._by_class and (shape := _shape(cls)) is not None:
                self._by_class[cls] = shape
        self._by_name = {class_name(cls): shape for cls, shape in self._by_class.items()}

    def of(self, cls: type) -> Shape | None:
        """The shape of exactly this class. Raises `Refused` when another declared class has its name."""
        shape = self._by_class.get(cls)
        if shape is not None and self._by_name[class_name(cls)] is not shape:
            raise Refused(f"an object of one of two classes named {class_name(cls)!r}", "rename one of the classes")
        return shape

    def named(self, name: str) -> Shape | None:
        """The shape stored under `name`, or of the one class of that name that has moved to another module."""
        if (shape := self._by_name.get(name)) is not None:
            return shape
        own = name.partition(":")[2]
        moved = [shape for shape in self._by_class.values() if shape.cls.__qualname__ == own]
        return moved[0] if len(moved) == 1 else None


def _shape(cls: type) -> Shape | None:
    if issubclass(cls, Enum):
        return _EnumShape(cls)
    if issubclass(cls, BaseModel):
        return _ModelShape(cls)
    if dataclasses.is_dataclass(cls) and not issubclass(cls, _OPAQUE):
        return _DataclassShape(cls)
    return None
