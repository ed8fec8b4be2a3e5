"""What steps do to the context: snapshots, changes as data, and changes applied.

A change is a list of operations on paths, each `["set", path, value]`, `["del", path]` or `["add", path, items]`
(items appended to a list): it grows with what a step changed, not with the context.
"""

import copy
from collections.abc import Collection, Iterable, Mapping
from operator import is_
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel
from pydantic import ValidationError as PydanticError

from flujo.domain.context import PipelineContext
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ContextFieldError, ContextIsolationError, StateCorrupt

__all__ = [
    "Change",
    "Snapshot",
    "apply",
    "as_change",
    "as_fields",
    "assign",
    "change",
    "fields_of",
    "merge_output",
    "not_stored",
    "restore",
    "same",
    "sink",
    "snapshot",
    "twin",
    "unshared",
]

C = TypeVar("C", bound=PipelineContext)

Change: TypeAlias = list[list[Any]]
Snapshot: TypeAlias = dict[str, Any]

_IMMUTABLE = frozenset({type(None), bool, int, float, str, bytes, complex})

#: What is copied for each of its users.
_PLAIN = frozenset({dict, list, set, tuple})

#: What copying raises for what can't be copied.
_NOT_COPIED = (TypeError, RecursionError, copy.Error)

#: What lies deeper in plain data is shared: no state takes it, and Python limits the stack.
_DEEPEST = 100


def unshared(value: Any) -> Any:
    """`value` for one more user: its dicts, lists, sets and tuples are copied, however deep; anything else is shared.

    Never fails, and costs nothing for other values. What contains itself is copied as such.
    """
    return _parted(value, {}, 0) if type(value) in _PLAIN else value


def _parted(value: Any, made: dict[int, Any], depth: int) -> Any:
    kind = type(value)
    if id(value) in made:
        return made[id(value)]
    if kind is set or depth == _DEEPEST:
        return value.copy() if kind is set else value  # a set holds nothing that could be changed
    if kind is tuple:
        parts = [_parted(item, made, depth + 1) if type(item) in _PLAIN else item for item in value]
        copied = value if all(part is item for part, item in zip(parts, value, strict=True)) else tuple(parts)
        made[id(value)] = copied
        return copied
    copied = made[id(value)] = value.copy()  # at once: a thread that was given up may still be changing it
    for key, item in copied.items() if kind is dict else enumerate(copied):
        if type(item) in _PLAIN:
            copied[key] = _parted(item, made, depth + 1)
    return copied


def not_stored(where: str) -> StateCorrupt:
    """The error for a value of another shape than any that is stored `where`."""
    return StateCorrupt(
        f"{where} can't be read: it is not what was stored", suggestion="restore the state from a backup"
    )


def as_fields(value: Any, where: str = "context") -> dict[str, Any]:
    """`value`, read back, as the fields that were stored. Raises `StateCorrupt` where it is no object."""
    if type(value) is not dict:
        raise not_stored(where)
    return value


def as_change(value: Any, where: str) -> Change:
    """`value`, read back, as a change that can be applied. Raises `StateCorrupt` where it is none."""
    if type(value) is not list or not all(map(_is_operation, value)):
        raise not_stored(where)
    return value


def _is_operation(value: Any) -> bool:
    match value:
        case ["set", [str(), *_], _] | ["add", [str(), *_], list()] | ["del", [str(), *_]]:
            return True
        case _:
            return False


def fields_of(context: PipelineContext) -> dict[str, Any]:
    """The context's fields and extra fields, without those the engine sets; the values themselves."""
    own = type(context).engine_fields
    fields = {name: value for name, value in context.__dict__.items() if name not in own and name[0] != "_"}
    if context.__pydantic_extra__:
        fields.update(context.__pydantic_extra__)
    return fields


def twin(context: C, fields: Snapshot) -> C:
    """A context of the same class and run that holds a copy of `fields`: what `model_copy` makes, in half the time.

    Raises `ContextIsolationError` for a value that can't be copied. Private attributes are `unshared`.
    """
    cls = type(context)
    declared = {name: context.__dict__[name] for name in cls.engine_fields}
    extra: Snapshot = {}
    for name, value in fields.items():
        (declared if name in cls.model_fields else extra)[name] = _kept(value, [name])
    made = cls.__new__(cls)
    private = context.__pydantic_private__
    object.__setattr__(made, "__dict__", declared)
    object.__setattr__(made, "__pydantic_extra__", extra if context.__pydantic_extra__ is not None else None)
    object.__setattr__(made, "__pydantic_fields_set__", set(context.__pydantic_fields_set__))
    object.__setattr__(made, "__pydantic_private__", unshared(private))
    return made


def snapshot(context: PipelineContext, names: Iterable[str] | None = None) -> Snapshot:
    """Copy the fields called `names` (all, by default) so that later changes in place don't reach the copy.

    Raises `ContextIsolationError` for a value that can't be copied.
    """
    fields = fields_of(context)
    wanted = fields if names is None else {name: fields[name] for name in names if name in fields}
    try:
        return {name: _copy(value) for name, value in wanted.items()}
    except _NOT_COPIED:
        return {name: _kept(value, [name]) for name, value in wanted.items()}  # says which


def restore(context: PipelineContext, before: Snapshot, names: Iterable[str] | None = None) -> None:
    """Put the context back to `before`; fields called `names` (all, by default) that `before` lacks go away."""
    current = fields_of(context)
    for name in current if names is None else [name for name in names if name in current]:
        if name not in before:
            delattr(context, name)
    for name, value in before.items():
        _put(context, name, _copy(value))


def change(before: Snapshot, context: PipelineContext, names: Collection[str] | None = None) -> Change | None:
    """What has changed since `before` in the fields called `names` (all, by default); None for nothing.

    Raises `ContextIsolationError` for a value that can't be copied.
    """
    operations: Change = []
    after = fields_of(context)
    if names is not None:
        after = {name: value for name, value in after.items() if name in names}
    _compare_mappings(before, after, [], operations)
    return operations or None


def apply(context: PipelineContext, operations: Change) -> None:
    """Do to the context what a recorded step did to it; the operations stay as they are."""
    for operation, path, *values in operations:
        rest = [_copy(value) for value in values]
        if len(path) == 1 and operation == "set":
            _put(context, path[0], rest[0])
        elif len(path) == 1 and operation == "del":
            delattr(context, path[0])
        elif operation == "add":
            _at(context, path).extend(rest[0])
        elif operation == "set":
            _at(context, path[:-1])[path[-1]] = rest[0]
        else:
            del _at(context, path[:-1])[path[-1]]


def sink(context: PipelineContext, path: str, value: Any) -> None:
    """Put `value`, `unshared`, at the dotted `path` in the context; mappings on the way are made as needed.

    Raises `ContextFieldError` for a field the context does not have, or a value its type refuses.
    """
    first, *rest = path.split(".")
    value = unshared(value)
    if not rest:
        assign(context, first, value)
        return
    if first not in fields_of(context):
        assign(context, first, {})
    holder = getattr(context, first)
    for key in rest[:-1]:
        holder = _inside(holder, key, path)
    if isinstance(holder, BaseModel):
        assign(holder, rest[-1], value)
    elif isinstance(holder, dict):
        holder[rest[-1]] = value
    else:
        raise _not_a_place(holder, rest[-1], path)


def merge_output(context: PipelineContext, output: Any, step: str) -> None:
    """Merge a mapping or model output into the context, field by field, each value `unshared`.

    Raises `ContextFieldError` for any other output, for a field the context does not have, and for a value that
    the field's type refuses.
    """
    if isinstance(output, BaseModel):
        output = {name: getattr(output, name) for name in type(output).model_fields}
    if not isinstance(output, Mapping):
        raise ContextFieldError(
            f"step {step!r} updates the context with {type(output).__name__!r}, expected a mapping or a model",
            suggestion="return a mapping, or name one field with sink_to",
        )
    for name, value in output.items():
        assign(context, str(name), unshared(value))


def assign(model: BaseModel, name: str, value: Any) -> None:
    """Set a field as its type demands. Raises `ContextFieldError` naming the field and the nearest known one."""
    cls = type(model)
    if name in getattr(cls, "engine_fields", ()) or name.startswith("_"):
        raise ContextFieldError(f"{cls.__name__}.{name} can't be set", suggestion="use a field of your own")
    if name not in cls.model_fields and cls.model_config.get("extra") != "allow":
        raise ContextFieldError(
            f"{cls.__name__} has no field {name!r}",
            suggestion=did_you_mean(name, cls.model_fields, what="its fields are"),
        )
    try:
        cls.__pydantic_validator__.validate_assignment(model, name, value)
    except PydanticError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or name
        raise ContextFieldError(
            f"{cls.__name__}.{place} refuses the value: {first['msg'].lower()}",
            suggestion="give it a value of the field's type, or change the field's annotation",
            cause=error,
        ) from error


def _inside(holder: Any, key: str, path: str) -> Any:
    if isinstance(holder, BaseModel):
        if key not in type(holder).model_fields and key not in (holder.model_extra or {}):
            assign(holder, key, {})
        return getattr(holder, key)
    if isinstance(holder, dict):
        return holder.setdefault(key, {})
    raise _not_a_place(holder, key, path)


def _not_a_place(holder: Any, key: str, path: str) -> ContextFieldError:
    return ContextFieldError(
        f"{path!r} leads into a {type(holder).__name__}, which has no {key!r} to set",
        suggestion="a path goes through mappings and models only",
    )


def _at(context: PipelineContext, path: list[Any]) -> Any:
    holder: Any = getattr(context, path[0])
    for key in path[1:]:
        holder = getattr(holder, key) if isinstance(holder, BaseModel) else holder[key]
    return holder


def _put(context: PipelineContext, name: str, value: Any) -> None:
    """Set a field to a value that it has held before: there is nothing to validate."""
    holder: Any = context.__dict__ if name in type(context).model_fields else context.__pydantic_extra__
    holder[name] = value


def _copy(value: Any) -> Any:
    """A copy that shares what can't change. Plain data is copied by hand: ten times faster than `deepcopy`.

    A list or dict of nothing but such values is copied as it stands, and that by far the fastest.
    """
    kind = type(value)
    if kind in _IMMUTABLE:
        return value
    if kind is list:
        items = value.copy()
        return items if not items or _IMMUTABLE.issuperset(map(type, items)) else [_copy(item) for item in items]
    if kind is dict:
        members = value.copy()
        if not members or _IMMUTABLE.issuperset(map(type, members.values())):
            return members
        return {key: _copy(item) for key, item in members.items()}
    if kind is tuple:
        return tuple(_copy(item) for item in value)
    return copy.deepcopy(value)


def _kept(value: Any, path: list[Any]) -> Any:
    """A copy of what is at `path` in the context."""
    try:
        return _copy(value)
    except _NOT_COPIED as error:
        raise ContextIsolationError(
            f"context field {'.'.join(map(str, path))!r} can't be copied: {error}",
            suggestion="keep what can't be copied in resources, or in a private attribute of the context",
            cause=error,
        ) from error


def _compare(before: Any, after: Any, path: list[Any], operations: Change) -> None:
    kind = type(before)
    if kind in _PLAIN and kind is type(after) and not (before or after):
        return  # both are empty, as most fields of most contexts
    if kind is dict and type(after) is dict and _keeps_order(before, after):
        _compare_mappings(before, after, path, operations)
    elif not same(before, after):
        grown = kind is list and type(after) is list and 0 < len(before) < len(after)
        if grown and same(before, after[: len(before)]):
            operations.append(["add", path, _kept(after[len(before) :], path)])
        else:
            operations.append(["set", path, _kept(after, path)])


def _keeps_order(before: dict[Any, Any], after: dict[Any, Any]) -> bool:
    """Whether deleting and adding keys gives the keys of `after` in their order, which is part of a mapping."""
    kept = [key for key in before if key in after]
    return kept == (list(after) if len(kept) == len(after) else list(after)[: len(kept)])


def same(before: Any, after: Any) -> bool:
    """Equal in value and in type, all the way down: `True` is not 1 here, and NaN is NaN.

    Of values that are not equal, for a class may not say when they are, what they are made of is compared.
    """
    return _same(before, after, frozenset())


def _same(before: Any, after: Any, above: frozenset[tuple[int, int]]) -> bool:
    kind = type(before)
    if before is after or kind is not type(after):
        return before is after
    if kind is list or kind is tuple:
        return len(before) == len(after) and _all_same(before, after, above)
    if kind is dict:
        return list(before) == list(after) and _all_same(before.values(), after.values(), above)
    if kind in _IMMUTABLE:
        return bool(before == after or (before != before and after != after))  # NaN
    return (before == after) is True or _same_parts(before, after, above)


def _all_same(before: Iterable[Any], after: Iterable[Any], above: frozenset[tuple[int, int]]) -> bool:
    """Whether the items are the same one by one. In a copy of plain data most of them are the very same objects."""
    if all(map(is_, before, after)):
        return True
    for one, other in zip(before, after, strict=False):  # a thread that was given up may be changing one of them
        if one is not other and not _same(one, other, above):
            return False
    return True


def _same_parts(before: Any, after: Any, above: frozenset[tuple[int, int]]) -> bool:
    """Whether both are made in the same way of the same parts; `above` are those that they are parts of."""
    pair = (id(before), id(after))
    if pair in above:
        return True
    try:
        parts = before.__reduce_ex__(4), after.__reduce_ex__(4)
    except TypeError:  # it can't be taken apart: it is the same as itself only
        return False
    return _same(*parts, above | {pair})


def _compare_mappings(before: dict[str, Any], after: dict[str, Any], path: list[Any], operations: Change) -> None:
    for key in before:
        if key not in after:
            operations.append(["del", [*path, key]])
    for key, value in after.items():
        if key in before:
            if before[key] is not value:  # most values are what they were, and a path takes longer than that
                _compare(before[key], value, [*path, key], operations)
        else:
            operations.append(["set", [*path, key], _kept(value, [*path, key])])
