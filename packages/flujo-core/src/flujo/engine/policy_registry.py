"""Which policy runs which type of step."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any, NamedTuple

from flujo.domain.steps import Step
from flujo.engine.policy import StepPolicy
from flujo.exceptions import MissingPolicyError

__all__ = ["PolicyRegistry", "kin"]


class _Entry(NamedTuple):
    """What gives a policy, and the plugin that brings it, where it isn't flujo's own."""

    make: Callable[[], StepPolicy[Any] | None]
    plugin: str | None = None


class PolicyRegistry:
    """Policies by step type: the exact type first, then the nearest base class, then the fallback.

    A base class's policy runs only what is of its kind: a subclass that says another `kind` is another thing.
    `blame` tells of a step type, "module:qualname", without a policy which plugins may be why; empty for none.
    """

    def __init__(self, *, blame: Callable[[str], str] = lambda key: "") -> None:
        self._entries: dict[type[Step[Any, Any]] | str, _Entry] = {}
        self._fallback = _Entry(lambda: None)
        self._blame = blame

    def register(self, policy: StepPolicy[Any]) -> None:
        """Let `policy` run its `handles_type`, in place of any policy that did."""
        self._entries[policy.handles_type] = _Entry(lambda: policy)

    def register_fallback(self, policy: StepPolicy[Any]) -> None:
        """Let `policy` run every step that no other policy handles."""
        self._fallback = _Entry(lambda: policy)

    def register_factory(
        self, handles: type[Step[Any, Any]] | str, factory: Callable[[], StepPolicy[Any]], plugin: str | None = None
    ) -> None:
        """Let the policy that `factory` makes run steps of type `handles`, a class or "module:qualname".

        It is made for the first such step; what `factory` raises is raised whenever one is looked up. What is
        registered for the class itself comes before what is registered for its name. `plugin` is named where such a
        step fails.
        """
        self._entries[handles] = _Entry(cache(factory), plugin)

    def register_fallback_factory(self, factory: Callable[[], StepPolicy[Any]], plugin: str | None = None) -> None:
        """Let the policy that `factory` makes run every step that no other policy handles; `plugin` is as there."""
        self._fallback = _Entry(cache(factory), plugin)

    def get(self, step: Step[Any, Any]) -> StepPolicy[Any] | None:
        """The policy that runs `step`, if any."""
        return self._entry(step).make()

    def plugin_of(self, step: Step[Any, Any]) -> str | None:
        """The plugin whose policy runs `step`, "dist version"; None for flujo's own, and what was put in by hand."""
        return self._entry(step).plugin

    def _entry(self, step: Step[Any, Any]) -> _Entry:
        for base in kin(type(step)):
            entry = self._entries.get(base) or self._entries.get(_name(base))
            if entry is not None:
                return entry
        return self._fallback

    def require(self, step: Step[Any, Any]) -> StepPolicy[Any]:
        """The policy that runs `step`. Raises `MissingPolicyError`, which says what to install."""
        policy = self.get(step)
        if policy is not None:
            return policy
        shown = ", ".join(sorted({_name(handles).rpartition(":")[2] for handles in self._entries}))
        blamed = self._blame(_name(type(step)))
        advice = (
            f"installed policies run {shown}{'' if blamed else '; install the plugin that brings this type'}"
            if shown
            else "no step policies are installed: pip install flujo-policies-builtin"
        )
        raise MissingPolicyError(
            f"no policy runs steps of type {type(step).__name__} ({step.name!r})",
            suggestion="; ".join(filter(None, [blamed, advice])),
        )

    def list_registered(self) -> list[type[Step[Any, Any]]]:
        """The step types that have a policy of their own; imports those that are known by name only."""
        return list(dict.fromkeys(map(_type, self._entries)))


def kin(type_: type[Step[Any, Any]]) -> list[type[Step[Any, Any]]]:
    """The types whose policies may run steps of `type_`, the nearest first: its bases of the same kind, and itself."""
    return [base for base in type_.__mro__ if issubclass(base, Step) and base.kind == type_.kind]


def _name(handles: type | str) -> str:
    return handles if isinstance(handles, str) else f"{handles.__module__}:{handles.__qualname__}"


def _type(handles: type[Step[Any, Any]] | str) -> type[Step[Any, Any]]:
    if not isinstance(handles, str):
        return handles
    module, _, qualname = handles.partition(":")
    found: type[Step[Any, Any]] = attrgetter(qualname)(import_module(module))
    return found
