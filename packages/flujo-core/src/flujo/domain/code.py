"""What code a step runs, as a digest: a cached result is not taken for that of other code.

Looked at are the bytecode of plain functions, what they have captured and their defaults; of an object the code of
its `run` (or `__call__`) and the values that it holds; of a class the same code and its annotations. What code sets
again while it runs is its state and no part of it; lists, dicts and sets count as they are when the step is made. Line
numbers count for nothing, and neither does code that a function merely calls.
"""

import dis
import hashlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import fields
from functools import partial
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from flujo.domain.callables import reference
from flujo.domain.steps import Step

__all__ = ["code_digest"]

#: Fields that are no code, or that hold it a second time.
_SKIPPED = frozenset({"name", "config", "meta", "call"})
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_MAKERS = frozenset({"__init__", "__post_init__", "__setattr__", "__setstate__"})
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SETS = frozenset({"STORE_DEREF", "STORE_ATTR"})

#: How deep objects are looked into that are held by objects.
_DEEPEST = 3


def code_digest(step: Step[Any, Any]) -> str:
    """A digest of all code that `step` and the steps under it run, in hexadecimal: the same in every process."""
    hashed = hashlib.blake2b(digest_size=16)
    for each in step.walk():
        for name in (named.name for named in fields(each) if named.name not in _SKIPPED):
            pieces = _Reader().read(tuple(_targets(getattr(each, name))), 0)
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
    """Says what code consists of, in pieces of text. `_set_again` are the names that code seen so far sets."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._set_again: set[str] = set()

    def read(self, value: Any, level: int) -> Iterator[str]:
        if isinstance(value, _PLAIN):
            yield f"{type(value).__name__} {value!r}"
        elif isinstance(value, tuple):
            yield from self._items(value, level)
        elif isinstance(value, Set):  # its order is another in each process
            yield from self._items(sorted("\0".join(self.read(item, level)) for item in value), level)
        elif id(value) not in self._seen:
            self._seen.add(id(value))
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
        elif isinstance(value, MethodType):
            yield from self.read((value.__func__, value.__self__), level)
        elif isinstance(value, BuiltinMethodType):
            yield reference(value)
            yield from self.read(value.__self__, level)
        elif isinstance(value, list | Mapping):
            yield from self.read(tuple(value.items() if isinstance(value, Mapping) else value), level + 1)
        elif isinstance(value, partial):
            yield from self.read((value.func, value.args, *sorted(value.keywords.items())), level)
        elif isinstance(value, type):
            yield from self._class(value, level)
        else:
            yield from self._object(value, level)

    def _code(self, code: CodeType) -> Iterator[str]:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount, code.co_flags)
        yield from self._items((code.co_code, code.co_exceptiontable, names, code.co_consts), 0)

    def _function(self, function: FunctionType, level: int) -> Iterator[str]:
        self._set_again.update(_set_by(function.__code__))
        yield from self.read(function.__code__, level)
        yield from self.read((function.__defaults__, *sorted((function.__kwdefaults__ or {}).items())), level)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name not in self._set_again:
                yield from self._items(_contents(cell), level)

    def _class(self, cls: type, level: int) -> Iterator[str]:
        yield reference(cls)
        for each in cls.__mro__[:-1]:
            yield from (_ADDRESS.sub("", f"{name}: {what!r}") for name, what in inspect.get_annotations(each).items())
            functions = (vars(each).get(name) for name in ("run", "__call__"))
            yield from self._items((f for f in functions if isinstance(f, FunctionType)), level)

    def _object(self, value: Any, level: int) -> Iterator[str]:
        """The object's class with its code, and what the object holds; of one that holds nothing, what it shows."""
        if isinstance(value, ModuleType) or inspect.isroutine(value) or level > _DEEPEST:
            yield reference(value)
            return
        yield from self._class(type(value), level)
        self._set_again |= _state_of(type(value))
        try:
            held = vars(value)
        except TypeError:
            yield _ADDRESS.sub("", repr(value))
            return
        for name in sorted(held.keys() - self._set_again):
            yield name
            yield from self.read(held[name], level + 1)


def _set_by(code: CodeType) -> Iterator[str]:
    """The names of attributes and captured variables that the code, and the functions made in it, set."""
    yield from (each.argval for each in dis.get_instructions(code) if each.opname in _SETS)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _set_by(inner)


def _state_of(cls: type) -> set[str]:
    """The names that a class's methods set after an object was made."""
    functions = [each for base in cls.__mro__[:-1] for each in vars(base).values() if isinstance(each, FunctionType)]
    later = (each.__code__ for each in functions if each.__name__ not in _MAKERS)
    return {name for code in later for name in _set_by(code)}


def _contents(cell: CellType) -> tuple[Any, ...]:
    """What a function has captured in `cell`; nothing, while that is still to come."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()
