"""Contexts of their own for branches, items and iterations, and how what they changed flows back."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError as PydanticError

from flujo.domain.context import PipelineContext
from flujo.domain.kinds import MergeStrategy
from flujo.domain.suggest import did_you_mean
from flujo.engine.changes import Change, Snapshot, apply, assign, change, fields_of, same, snapshot, twin
from flujo.exceptions import ContextInheritanceError, ContextIsolationError, ContextMergeError, ContextMutationError

__all__ = ["ContextManager", "Isolation"]

_Path = tuple[Any, ...]

#: Fields that only ever grow: what a child adds to its own comes after what its parent has.
_HISTORIES = ("hitl_history", "conversation_history")


class Isolation(NamedTuple):
    """A context of its own, what it was made from, and for whom ("branch 'legal' of 'parallel:fan'").

    `before` is what it began with; `held` is, in strict mode, a copy of what its parent held then. Where `include`
    names fields, only they flow in and out.
    """

    parent: PipelineContext
    context: PipelineContext
    purpose: str
    before: Snapshot
    held: Snapshot | None
    include: Collection[str] = ()


class ContextManager:
    """Isolates contexts and lets what was changed flow back, always in the order of declaration.

    `strict` (by default whether `FLUJO_STRICT_CONTEXT` is 1) also compares the parent before and after: any change
    of it through a child, however deep, raises `ContextMutationError`.
    """

    __slots__ = ("strict",)

    def __init__(self, *, strict: bool | None = None) -> None:
        self.strict = os.environ.get("FLUJO_STRICT_CONTEXT") == "1" if strict is None else strict

    def isolate(self, parent: PipelineContext, *, purpose: str, include_keys: Collection[str] = ()) -> Isolation:
        """Copy `parent`: what can change is copied, what can't is shared. `include_keys` narrows what flows in and out.

        A field that is left out starts with its default. Raises `ContextIsolationError` when it has none, for
        a name in `include_keys` that no field can have, and for a value that can't be copied.
        """
        fields = fields_of(parent)
        before = _narrowed(parent, fields, include_keys, purpose) if include_keys else fields
        try:
            held = snapshot(parent) if self.strict else None
            return Isolation(parent, twin(parent, before), purpose, before, held, include_keys)
        except ContextIsolationError as error:
            raise ContextIsolationError(
                f"{purpose} can't have a context of its own: {error.message}", suggestion=error.suggestion, cause=error
            ) from error

    def renew(self, parent: PipelineContext, *, purpose: str) -> Isolation:
        """A context of the parent's class that knows nothing of the parent but its run.

        Raises `ContextInheritanceError`, naming the fields, when one can't be made without data.
        """
        cls = type(parent)
        try:
            context = cls(run_id=parent.run_id)
        except PydanticError as error:
            wrong = (f"{'.'.join(map(str, e['loc'])) or 'it'!r}: {e['msg'].lower()}" for e in error.errors())
            raise ContextInheritanceError(
                f"{purpose} can't begin with a fresh {cls.__name__}: {'; '.join(wrong)}",
                suggestion="give the fields defaults, or let the child begin with its parent's: inherit_context",
                cause=error,
            ) from error
        return Isolation(parent, context, purpose, snapshot(context), snapshot(parent) if self.strict else None)

    def hand_back(self, isolation: Isolation) -> None:
        """Let everything flow back that a child has changed which did not begin with what its parent has.

        What it changed in a mapping, however deep, is put into the parent's, histories come after the parent's, and
        anything else takes the place of the parent's value.
        """
        self.verify(isolation)
        parent, before, there = isolation.parent, isolation.before, fields_of(isolation.parent)
        value = snapshot(isolation.context)
        for name in _HISTORIES:
            began = before[name]
            if len(value[name]) > len(began) and same(began, value[name][: len(began)]):
                value[name] = [*there[name], *value[name][len(began) :]]
        handed = _put_onto(there, before, value)
        for name in there.keys() - handed.keys():
            delattr(parent, name)
        for name, item in handed.items():
            if name not in there or item is not there[name]:
                assign(parent, name, item)

    def held(self, context: PipelineContext, *, purpose: str) -> Isolation:
        """A context that nobody but what `purpose` names is at work with, for `verify`."""
        return Isolation(context, context, purpose, {}, snapshot(context) if self.strict else None)

    def verify(self, isolation: Isolation, at_work: Iterable[Isolation] = ()) -> None:
        """In strict mode, raise `ContextMutationError` if the parent has changed since it was isolated.

        `at_work` are all that may have done it.
        """
        changed = None if isolation.held is None else change(isolation.held, isolation.parent)
        if changed is not None:
            others = (other.purpose for other in at_work if other is not isolation)
            told = " or ".join((isolation.purpose, *others))
            raise ContextMutationError(
                f"{told} changed {_dotted(changed[0][1])!r} in its parent's context",
                suggestion="change the context that a step is given, and keep no reference to another",
            )

    def adopt(self, isolation: Isolation) -> None:
        """Let everything that the child changed flow back: there is nobody it could conflict with."""
        self.verify(isolation)
        apply(isolation.parent, self._changes(isolation))

    def merge(
        self,
        parent: PipelineContext,
        branches: Mapping[str, Isolation],
        strategy: MergeStrategy | Callable[..., Any],
        *,
        field_mapping: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Let what `branches` changed flow back, in their order.

        "context_update" and "error_on_conflict" raise `ContextMergeError` when two branches changed one place, the
        first only if they changed it to different values; "overwrite" lets the later branch win, "keep_first" the
        earlier; a callable gets the parent and the branches' contexts. `field_mapping` names the fields that may flow
        back from a branch.
        """
        for isolation in branches.values():
            self.verify(isolation)
        if callable(strategy):
            strategy(parent, {name: isolation.context for name, isolation in branches.items()})
        elif strategy != "no_merge":
            merged = _Merge(strategy)
            for name, isolation in branches.items():
                wanted = (field_mapping or {}).get(name)
                changes, context = self._changes(isolation), isolation.context
                if wanted is not None:
                    changes, context = _within(changes, wanted), twin(parent, isolation.before)
                    apply(context, changes)
                label = isolation.purpose.partition(" of ")[0]  # "branch 'legal'", "item 3"
                for operation in changes:
                    merged.add(label, operation, context)
            apply(parent, merged.operations)

    def _changes(self, isolation: Isolation) -> Change:
        changes = [_added(each, isolation.before) for each in change(isolation.before, isolation.context) or []]
        return _within(changes, isolation.include) if isolation.include else changes


def _added(operation: list[Any], before: Snapshot) -> list[Any]:
    """The operation; of what was put into a history that was empty, as an addition to it."""
    action, path, *values = operation
    is_first = action == "set" and len(path) == 1 and path[0] in _HISTORIES and not before[path[0]]
    return ["add", path, *values] if is_first else operation


def _narrowed(
    parent: PipelineContext, fields: Mapping[str, Any], include_keys: Collection[str], purpose: str
) -> Snapshot:
    """What a child that gets `include_keys` alone starts with."""
    declared = type(parent).model_fields
    for name in include_keys:
        if name not in declared and type(parent).model_config.get("extra") != "allow":
            raise ContextIsolationError(
                f"{purpose} includes {name!r}, which is no field of the context",
                suggestion=did_you_mean(name, declared, what="its fields are"),
            )
    kept = {name: value for name, value in fields.items() if name in include_keys}
    for name, field in declared.items():
        if field.is_required() and name not in kept:
            raise ContextIsolationError(
                f"{purpose} leaves out context field {name!r}, which has no default",
                suggestion=f"add {name!r} to include_keys, or give the field a default",
            )
    return fields_of(type(parent).model_construct(**kept))


def _put_onto(there: Any, began: Any, value: Any) -> Any:
    """`value`, which began as `began`, where the parent has `there`: of a mapping only what has changed in it."""
    if type(value) is not dict:
        return value
    known = began if type(began) is dict else {}
    kept = there if type(there) is dict else {}
    gone = {key for key in known.keys() - value.keys() if key in kept and same(known[key], kept[key])}
    changed = {
        key: _put_onto(kept.get(key), known.get(key), item)
        for key, item in value.items()
        if key not in known or not same(known[key], item)
    }
    return {key: item for key, item in kept.items() if key not in gone} | changed


def _dotted(path: Iterable[Any]) -> str:
    """A path in the context as text."""
    return ".".join(str(part) for part in path)


def _within(changes: Change, wanted: Collection[str]) -> Change:
    """The changes within the dotted paths in `wanted`."""
    starts = tuple(f"{each}." for each in wanted)
    return [operation for operation in changes if f"{_dotted(operation[1])}.".startswith(starts)]


#: Where a state machine says in which state it is: of machines side by side the last one has its say.
_WHEREABOUTS = frozenset(
    (*place, name) for place in ((), ("scratchpad",)) for name in ("current_state", "last_error", "next_state")
)


class _Merge:
    """Operations of several branches put into one list, and what happens when two of them meet."""

    def __init__(self, strategy: str) -> None:
        self.operations: Change = []
        self._strategy = strategy
        self._changed: dict[_Path, tuple[str, list[Any]]] = {}
        self._inside: dict[_Path, tuple[str, list[Any]]] = {}

    def add(self, branch: str, operation: list[Any], context: PipelineContext) -> None:
        """Take the operation, leave it, or raise `ContextMergeError`. Histories follow each other."""
        path: _Path = tuple(operation[1])
        if operation[0] == "add" and path[0] in _HISTORIES:
            self.operations.append(operation)
            return
        if self._has_won(path, branch):
            return
        rival = self._rival(path)
        if rival is not None:
            other, there = rival
            strategy = "overwrite" if path in _WHEREABOUTS and self._strategy != "keep_first" else self._strategy
            if strategy == "keep_first" or (strategy != "error_on_conflict" and same(there, operation)):
                return
            if strategy != "overwrite":
                raise ContextMergeError(
                    f"{other} and {branch} both changed {_dotted(path)!r} in the context",
                    suggestion="let one of them change it, or choose a merge_strategy: overwrite, keep_first, no_merge",
                )
            place = min(path, tuple(there[1]), key=len)  # the later branch wins all of the place where they meet
            if operation[0] != "del" or place != path:
                operation = ["set", list(place), _value_at(context, place)]
            path = place
        self.operations.append(operation)
        self._changed[path] = (branch, operation)
        for depth in range(1, len(path)):
            self._inside[path[:depth]] = (branch, operation)

    def _around(self, path: _Path) -> Iterator[tuple[str, list[Any]]]:
        """The operations at this place and at those around it."""
        found = (self._changed.get(path[:depth]) for depth in range(1, len(path) + 1))
        return (each for each in found if each is not None)

    def _has_won(self, path: _Path, branch: str) -> bool:
        """Whether the branch's own value already stands around this place."""
        return any(owner == branch for owner, _ in self._around(path))

    def _rival(self, path: _Path) -> tuple[str, list[Any]] | None:
        """The operation of another branch at this place, around it or within it."""
        return next(self._around(path), self._inside.get(path))


def _value_at(context: PipelineContext, path: _Path) -> Any:
    holder: Any = getattr(context, path[0])
    for key in path[1:]:
        holder = holder[key]
    return holder
