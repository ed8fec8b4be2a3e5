"""What code a step runs, as a digest: a cached result is not taken for that of other code.

Looked at are the bytecode of plain functions, what they have captured, their defaults and attributes, and the functions
of the same module that they name; of an object all that it holds, and its class; of a class all its functions, its
values and its annotations. All of it counts as it is when the step is made. Line numbers count for nothing, and neither
do the standard library and pydantic, other global names, functions of other modules, and what stands deep in objects.
"""

import functools
import hashlib
import inspect
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import fields
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, get_args

from flujo.domain.callables import reference
from flujo.domain.steps import Step

__all__ = ["code_digest"]

#: Fields that are no code, or that hold it a second time.
_SKIPPED = frozenset({"name", "config", "meta", "call"})
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_Memoised: Any = type(functools.cache(len))

#: How deep objects are looked into that are held by objects.
_DEEPEST = 3


def code_digest(step: Step[Any, Any]) -> str:
    """A digest of all code that `step` and the steps under it run, in hexadecimal: the same in every process."""
    hashed = hashlib.blake2b(digest_size=16)
    for each in step.walk():
        for name in (named.name for named in fields(each) if named.name not in _SKIPPED):
            pieces = _Reader().all_of(tuple(_targets(getattr(each, name))))
            hashed.update("\0".join([name, *pieces]).encode("utf-8", "surrogatepass"))
    return hashed.hexdigest()


def _targets(value: Any) -> Iterator[Any]:
    """What in a field isn't plain data, which is in the step's definition, nor a step, which is looked at itself."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _targets(item)
    elif not isinstance(value, (Step, *_PLAIN)):
        yield value


class _Reader:
    """Says what code consists of, in pieces of text."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # the objects too, so that no other gets the number of one
        self._called: list[Any] = []

    def all_of(self, targets: tuple[Any, ...]) -> Iterator[str]:
        """What `targets` consist of, and then the functions of their modules that they call, directly or not."""
        yield from self.read(targets, 0)
        while self._called:  # one after the other: a chain of calls can be long
            functions, self._called = sorted(self._called, key=reference), []
            yield from self._items(functions, 0)

    def read(self, value: Any, level: int) -> Iterator[str]:
        if isinstance(value, _PLAIN):
            yield f"{type(value).__name__} {value!r}"
        elif isinstance(value, tuple):
            yield from self._items(value, level)
        elif isinstance(value, Set):  # its order is another in each process
            yield from self._items(sorted("\0".join(self.read(item, level)) for item in value), level)
        elif id(value) not in self._seen:
            self._seen[id(value)] = value
            yield from self._read_new(value, level)

    def _items(self, items: Iterable[Any], level: int) -> Iterator[str]:
        yield "("
        for item in items:
            yield from self.read(item, level)
        yield ")"

    def _read_new(self, value: Any, level: int) -> Iterator[str]:
        if isinstance(value, CodeType):
            yield from self._code(value)
        elif isinstance(value, FunctionType):
            yield from self._function(value, level)
        elif isinstance(value, BuiltinMethodType):
            yield reference(value)
            yield from self.read(value.__self__, level)
        elif isinstance(value, list | Mapping):
            yield from self.read(tuple(value.items() if isinstance(value, Mapping) else value), level + 1)
        elif (parts := _parts(value)) is not None:
            yield from self.read(parts, level)
        elif isinstance(value, type):
            yield from self._class(value, level)
        else:
            yield from self._object(value, level)

    def _code(self, code: CodeType) -> Iterator[str]:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount, code.co_flags)
        yield from self._items((code.co_code, code.co_exceptiontable, names, code.co_consts), 0)

    def _function(self, function: FunctionType, level: int) -> Iterator[str]:
        yield from self.read(function.__code__, level)
        yield from self.read((function.__defaults__, *sorted((function.__kwdefaults__ or {}).items())), level)
        yield from self._named(sorted(vars(function).items()), level)
        for cell in function.__closure__ or ():
            yield from self._items(_contents(cell), level)
        self._called += _called_by(function)

    def _named(self, values: Iterable[tuple[str, Any]], level: int) -> Iterator[str]:
        for name, value in values:
            yield name
            yield from self.read(value, level)

    def _class(self, cls: type, level: int) -> Iterator[str]:
        yield reference(cls)
        if level > _DEEPEST:
            return
        for each in (each for each in cls.__mro__ if not _is_standard(each.__module__, "pydantic")):
            for name, what in (*inspect.get_annotations(each).items(), *vars(each).get(_FIELDS, {}).items()):
                yield _ADDRESS.sub("", f"{name}: {what!r}")
                yield from self._items(_types_in(getattr(what, "annotation", what)), level + 1)
            for name, held in sorted(vars(each).items()):
                if isinstance(held, FunctionType) or _parts(held) is not None:
                    yield from self._named([(name, held)], level)
                elif not name.startswith("__"):
                    yield from self._named([(name, held)], level + 1)

    def _object(self, value: Any, level: int) -> Iterator[str]:
        """The object's class with its code, and what the object holds; of one that holds nothing, what it shows."""
        if isinstance(value, ModuleType | logging.Logger):
            yield f"{reference(value)} {getattr(value, '__name__', None) or value.name}"
        elif inspect.isroutine(value) or level > _DEEPEST:
            yield reference(value)
        else:
            yield from self.read(type(value), level)
            held = _held(value)
            yield from [_ADDRESS.sub("", repr(value))] if held is None else self._named(held, level + 1)


#: Where a class of pydantic's keeps its fields, with their defaults.
_FIELDS = "__pydantic_fields__"


def _parts(value: Any) -> tuple[Any, ...] | None:
    """What a thing around functions is made of; None for anything else."""
    match value:
        case MethodType():
            return (value.__func__, value.__self__)
        case functools.partial():
            return (value.func, value.args, *sorted(value.keywords.items()))
        case property():
            return (value.fget, value.fset, value.fdel)
        case staticmethod() | classmethod():
            return (value.__func__,)
        case _:
            return (value.__wrapped__,) if isinstance(value, _Memoised) else None


def _held(value: Any) -> list[tuple[str, Any]] | None:
    """What an object holds, by name, its slots too; None when it has no place for anything."""
    slots = [
        name
        for cls in type(value).__mro__
        if not _is_standard(cls.__module__)
        for name, each in vars(cls).items()
        if inspect.ismemberdescriptor(each)
    ]
    try:
        held = dict(vars(value))
    except TypeError:
        if not slots:
            return None
        held = {}
    return sorted({**held, **{name: getattr(value, name) for name in slots if hasattr(value, name)}}.items())


def _called_by(function: FunctionType) -> Iterator[Any]:
    """The functions of its own module that `function`, or a function made in it, names."""
    module = function.__globals__
    if _is_standard(str(module.get("__name__"))):
        return
    for name in sorted(_names(function.__code__)):
        found = module.get(name)
        if isinstance(found, FunctionType | _Memoised):
            inner: Any = inspect.unwrap(found)
            if getattr(inner, "__globals__", None) is module:
                yield found


def _names(code: CodeType) -> set[str]:
    inner = (_names(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*inner)


def _types_in(hint: Any) -> tuple[type, ...]:
    """The classes that an annotation names."""
    if isinstance(hint, type):
        return (hint,)
    return tuple(found for each in get_args(hint) for found in _types_in(each))


def _is_standard(module: str, *others: str) -> bool:
    """Whether the module comes with Python, or in one of the packages `others`."""
    package = module.partition(".")[0]
    return package in sys.stdlib_module_names or package in others


def _contents(cell: CellType) -> tuple[Any, ...]:
    """What a function has captured in `cell`; nothing, while that is still to come."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()
