"""Contexts of their own for branches, items and iterations, and how what they changed flows back."""

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from flujo.domain.context import PipelineContext
from flujo.domain.kinds import MergeStrategy
from flujo.engine.changes import Change, Snapshot, apply, change, fields_of, snapshot
from flujo.exceptions import ContextIsolationError, ContextMergeError, ContextMutationError

__all__ = ["ContextManager", "Isolation"]

_Path = tuple[Any, ...]


class Isolation(NamedTuple):
    """A context of its own, what it was made from, and for whom ("branch 'legal' of 'parallel:fan'").

    `before` is what the parent held then: copied in strict mode, to see whether the parent was changed.
    """

    parent: PipelineContext
    context: PipelineContext
    purpose: str
    before: Snapshot


class ContextManager:
    """Isolates contexts and lets what was changed flow back, always in the order of declaration.

    `strict` (by default whether `FLUJO_STRICT_CONTEXT` is 1) also compares the parent before and after: any change
    of it through a child, however deep, raises `ContextMutationError`.
    """

    def __init__(self, *, strict: bool | None = None) -> None:
        self.strict = os.environ.get("FLUJO_STRICT_CONTEXT") == "1" if strict is None else strict

    def isolate(self, parent: PipelineContext, *, purpose: str, include_keys: Collection[str] = ()) -> Isolation:
        """Copy `parent`: what can change is copied, what can't is shared. `include_keys` narrows what flows in.

        Raises `ContextIsolationError` when a field that is left out has no default.
        """
        model = type(parent)
        held = snapshot(parent, include_keys or None)
        missing = [name for name, field in model.model_fields.items() if field.is_required() and name not in held]
        if missing:
            raise ContextIsolationError(
                f"{purpose} leaves out context field {missing[0]!r}, which has no default",
                suggestion=f"add {missing[0]!r} to include_keys, or give the field a default",
            )
        child = model.model_construct(run_id=parent.run_id, initial_prompt=parent.initial_prompt, **held)
        before = snapshot(parent) if self.strict else fields_of(parent)
        if include_keys:
            before = {name: value for name, value in before.items() if name in held}
        return Isolation(parent, child, purpose, before)

    def verify(self, isolation: Isolation) -> None:
        """In strict mode, raise `ContextMutationError` if the parent has changed since it was isolated."""
        if not self.strict:
            return
        changed = change(isolation.before, isolation.parent, isolation.before)
        if changed is not None:
            place = ".".join(str(part) for part in changed[0][1])
            raise ContextMutationError(
                f"{isolation.purpose} changed {place!r} in its parent's context",
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
                for operation in self._changes(isolation):
                    if wanted is None or _flows(operation[1], wanted):
                        merged.add(name, operation, isolation.context)
            apply(parent, merged.operations)

    def _changes(self, isolation: Isolation) -> Change:
        return change(isolation.before, isolation.context) or []


def _flows(path: list[Any], wanted: Collection[str]) -> bool:
    """Whether a change at `path` is within one of the dotted paths in `wanted`."""
    place = ".".join(str(part) for part in path)
    return any(place == each or place.startswith(f"{each}.") for each in wanted)


class _Merge:
    """Operations of several branches put into one list, and what happens when two of them meet."""

    def __init__(self, strategy: str) -> None:
        self.operations: Change = []
        self._strategy = strategy
        self._changed: dict[_Path, tuple[str, list[Any]]] = {}
        self._inside: dict[_Path, tuple[str, list[Any]]] = {}

    def add(self, branch: str, operation: list[Any], context: PipelineContext) -> None:
        """Take the operation, leave it, or raise `ContextMergeError`."""
        path: _Path = tuple(operation[1])
        rival = self._rival(path, branch)
        if rival is not None:
            if self._strategy == "keep_first" or (self._strategy == "context_update" and rival[1] == operation):
                return
            if self._strategy != "overwrite":
                raise ContextMergeError(
                    f"branches {rival[0]!r} and {branch!r} both changed {'.'.join(map(str, path))!r} in the context",
                    suggestion="let one of them change it, or choose a merge_strategy: overwrite, keep_first, no_merge",
                )
            path = min(path, tuple(rival[1][1]), key=len)  # the later branch wins all of the place where they meet
            operation = operation if operation[0] == "del" else ["set", list(path), _value_at(context, path)]
        self.operations.append(operation)
        self._changed[path] = (branch, operation)
        for depth in range(1, len(path)):
            self._inside[path[:depth]] = (branch, operation)

    def _rival(self, path: _Path, branch: str) -> tuple[str, list[Any]] | None:
        """The operation of another branch at this place, around it or within it."""
        around = (self._changed.get(path[:depth]) for depth in range(1, len(path) + 1))
        for found in (*around, self._inside.get(path)):
            if found is not None and found[0] != branch:
                return found
        return None


def _value_at(context: PipelineContext, path: _Path) -> Any:
    holder: Any = getattr(context, path[0])
    for key in path[1:]:
        holder = holder[key]
    return holder
