"""Whether a value of one annotation can stand where another is wanted."""

import typing
from collections import abc
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

__all__ = ["fits", "item_type", "may_fit", "show", "union"]

#: Types that promise nothing, so that everything fits them and they fit everything.
_OPEN = (Any, object, None)

#: PEP 484: these classes stand for narrower numbers too.
_NUMBERS: dict[Any, tuple[type, ...]] = {float: (int,), complex: (int, float)}

#: Collections whose one parameter is the type of their items, and what is never a list of items.
_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable, abc.Iterator)
_NO_LISTS = (str, bytes, int, float, complex, NoneType, abc.Mapping, abc.Set)

#: Its parameters are not element types.
_CALLABLE: Any = abc.Callable


def fits(given: Any, wanted: Any) -> bool:
    """Whether every value of type `given` is one of type `wanted`, as far as annotations can say.

    What nobody declared fits: `Any`, a bare `list` for a `list[int]`, a type variable, a name that can't be
    resolved. Numbers fit as in PEP 484: an int is a float. Element types are compared as if nothing were changed
    in place, so that a `list[int]` fits a `list[float]`.
    """
    given, wanted = _plain(given), _plain(wanted)
    if given in _OPEN or wanted in _OPEN or given == wanted:
        return True
    if (cases := _cases(given)) is not None:
        return all(fits(case, wanted) for case in cases)
    if (cases := _cases(wanted)) is not None:
        return any(fits(given, case) for case in cases)
    return _fits_one(given, wanted)


def may_fit(given: Any, wanted: Any) -> bool:
    """Whether some value of type `given` could be one of type `wanted`: what a choice by value may come to."""
    pairs = [(one, other) for one in _each(given) for other in _each(wanted)]
    return any(fits(one, other) or fits(other, one) or _is_protocol(one) or _is_protocol(other) for one, other in pairs)


def _is_protocol(hint: Any) -> bool:
    return bool(getattr(get_origin(hint) or hint, "_is_protocol", False))


def _each(hint: Any) -> tuple[Any, ...]:
    """The members of a union, and of those in it; else the type itself."""
    cases = _cases(_plain(hint))
    return (hint,) if cases is None else tuple(found for case in cases for found in _each(case))


def union(hints: Iterable[Any]) -> Any:
    """The type of what is of one of `hints`; `Any` if one of them promises nothing."""
    given = list(hints)
    try:
        return Any if any(_plain(hint) in _OPEN for hint in given) else typing.Union[tuple(given)]  # noqa: UP007
    except TypeError:
        return Any  # what is no type promises nothing


def item_type(hint: Any) -> Any:
    """The type of the items in a value of type `hint`; `Any` where nothing says it, `Never` for what has no items.

    Text, mappings and sets have none: they are no lists.
    """
    items = [_item_type(_plain(case)) for case in _each(hint)]
    known = [item for item in items if item is not typing.Never]
    return union(known) if known else typing.Never


def _item_type(hint: Any) -> Any:
    outer, inner = get_origin(hint) or hint, get_args(hint)
    if isinstance(outer, type) and issubclass(outer, _NO_LISTS):
        return typing.Never
    if outer is tuple and inner:
        return union(each for each in inner if each is not Ellipsis)
    return inner[0] if outer in _LISTS and inner else Any


def _fits_one(given: Any, wanted: Any) -> bool:
    """Compare two types neither of which is a union."""
    if get_origin(given) is typing.Literal:
        return fits(type(get_args(given)[0]), wanted)
    if typing.is_typeddict(wanted):
        return _fits_keys(given, wanted)
    if typing.is_typeddict(given):
        given = dict[str, Any]
    if isinstance(given, type) and isinstance(wanted, type):
        return issubclass(given, _NUMBERS.get(wanted, ())) or _is_subclass(given, wanted)
    return _fits_generic(given, wanted)


def _plain(hint: Any) -> Any:
    """The type that `hint` stands for: without `Annotated`, and with its bound for a type variable."""
    if get_origin(hint) is typing.Annotated:
        return _plain(get_args(hint)[0])
    if isinstance(hint, typing.NewType):
        return _plain(hint.__supertype__)
    if isinstance(hint, typing.TypeVar):
        return typing.Union[hint.__constraints__] if hint.__constraints__ else _plain(hint.__bound__)  # noqa: UP007
    if isinstance(hint, str | typing.ForwardRef) or hint in (typing.Never, typing.NoReturn, typing.Self):
        return Any
    return str if hint is typing.LiteralString else hint


def _cases(hint: Any) -> tuple[Any, ...] | None:
    """The members of a union, or of a literal with several values."""
    if get_origin(hint) in (typing.Union, UnionType):
        return get_args(hint)
    if get_origin(hint) is typing.Literal and len(get_args(hint)) > 1:
        return tuple(typing.Literal[value] for value in get_args(hint))
    return None


def _fits_keys(given: Any, wanted: Any) -> bool:
    """Whether a mapping fits a `TypedDict`; of one whose keys nobody declared no more can be said."""
    if not typing.is_typeddict(given):
        return fits(get_origin(given) or given, abc.Mapping)
    has, wants = typing.get_type_hints(given), typing.get_type_hints(wanted)
    missing = wanted.__required_keys__ - given.__required_keys__
    return not missing and all(fits(has[key], wants[key]) for key in wants if key in has)


def _fits_generic(given: Any, wanted: Any) -> bool:
    """Compare types of which one at least has parameters: first the classes, then parameter by parameter."""
    outer, target = get_origin(given) or given, get_origin(wanted) or wanted
    if isinstance(outer, type) and isinstance(target, type):
        if not _is_subclass(outer, target):
            return False
        inner, targets = get_args(given), get_args(wanted)
        if not targets or not (inner or _has_declared_elements(outer, target)):
            return True
        if outer is tuple:
            return _fits_elements(inner, target, targets)
        if len(inner) == len(targets) and outer is not _CALLABLE:
            return all(fits(one, other) for one, other in zip(inner, targets, strict=True))
    return _is_subhint(given, wanted)


def _has_declared_elements(outer: type, target: type) -> bool:
    """Whether a class without parameters of its own says what it holds, as `class Names(list[str])` does."""
    bases = [base for cls in outer.__mro__ for base in cls.__dict__.get("__orig_bases__", ())]
    own = {get_origin(base) for base in bases} - {None, typing.Generic, typing.Protocol}
    return outer is not target and bool(own)


def _fits_elements(given: tuple[Any, ...], target: type, wanted: tuple[Any, ...]) -> bool:
    """Compare a tuple's elements with a tuple's, or with those of another collection."""
    if target is not tuple or wanted[-1] is Ellipsis:
        return all(fits(element, wanted[0]) for element in given if element is not Ellipsis)
    same_length = Ellipsis not in given and len(given) == len(wanted)
    return same_length and all(fits(one, other) for one, other in zip(given, wanted, strict=True))


def _is_subhint(given: Any, wanted: Any) -> bool:
    from beartype.door import is_subhint  # noqa: PLC0415 - a fifth of a second that most pipelines never need
    from beartype.roar import BeartypeException  # noqa: PLC0415 - as above

    try:
        return is_subhint(given, wanted)
    except BeartypeException:
        return True  # a hint that can't be judged is no mismatch


def _is_subclass(given: type, wanted: type) -> bool:
    try:
        return issubclass(given, wanted)
    except TypeError:
        return True  # a protocol with data members can't be judged by its class


def show(*hints: Any) -> tuple[str, ...]:
    """Each of `hints` as a reader would write it; with modules only where two would look the same."""
    short = tuple(_name(hint) for hint in hints)
    if len(set(short)) == len(short):
        return short
    return tuple(f"{hint.__module__}.{hint.__qualname__}" if isinstance(hint, type) else str(hint) for hint in hints)


def _name(hint: Any) -> str:
    if hint is NoneType:
        return "None"
    return hint.__qualname__ if isinstance(hint, type) else str(hint).replace("typing.", "")
