"""Which policy runs which type of step."""

from collections.abc import Callable, Iterable
from importlib import import_module
from operator import attrgetter
from typing import Any

from flujo.domain.steps import Step
from flujo.engine.policy import StepPolicy
from flujo.exceptions import MissingPolicyError

__all__ = ["PolicyRegistry"]


class PolicyRegistry:
    """Policies by step type: the exact type first, then the nearest base class, then the fallback.

    A base class's policy runs only what is of its kind: a subclass that says another `kind` is another thing.
    `problems` are lines about plugins that did not load: one of them may be why a policy is missing.
    """

    def __init__(self, *, problems: Iterable[str] = ()) -> None:
        self._policies: dict[type[Step[Any, Any]], StepPolicy[Any]] = {}
        self._fallback: StepPolicy[Any] | None = None
        self._handles: dict[str, type[Step[Any, Any]] | str] = {}
        self._factories: dict[str, Callable[[], StepPolicy[Any]]] = {}
        self._fallback_factory: Callable[[], StepPolicy[Any]] | None = None
        self._problems = tuple(problems)

    def register(self, policy: StepPolicy[Any]) -> None:
        """Let `policy` run its `handles_type`, in place of any policy that did."""
        self._policies[policy.handles_type] = policy

    def register_fallback(self, policy: StepPolicy[Any]) -> None:
        """Let `policy` run every step that no other policy handles."""
        self._fallback = policy

    def register_factory(self, handles: type[Step[Any, Any]] | str, factory: Callable[[], StepPolicy[Any]]) -> None:
        """Let the policy that `factory` makes run steps of type `handles`, a class or "module:qualname".

        It is made for the first such step; what `factory` raises is raised whenever one is looked up.
        """
        name = handles if isinstance(handles, str) else _name(handles)
        self._handles[name] = handles
        self._factories[name] = factory

    def register_fallback_factory(self, factory: Callable[[], StepPolicy[Any]]) -> None:
        """Let the policy that `factory` makes run every step that no other policy handles."""
        self._fallback_factory = factory

    def get(self, step: Step[Any, Any]) -> StepPolicy[Any] | None:
        """The policy that runs `step`, if any."""
        for base in type(step).__mro__:
            if not issubclass(base, Step) or base.kind != step.kind:
                continue
            if base in self._policies:
                return self._policies[base]
            factory = self._factories.get(_name(base))
            if factory is not None:
                self._policies[base] = policy = factory()
                return policy
        if self._fallback is None and self._fallback_factory is not None:
            self._fallback = self._fallback_factory()
        return self._fallback

    def require(self, step: Step[Any, Any]) -> StepPolicy[Any]:
        """The policy that runs `step`. Raises `MissingPolicyError`, which says what to install."""
        policy = self.get(step)
        if policy is not None:
            return policy
        known = {*self._handles, *map(_name, self._policies)}
        shown = ", ".join(sorted(name.rpartition(":")[2] for name in known))
        advice = (
            f"installed policies run {shown}; install the plugin that brings this type"
            if shown
            else "no step policies are installed: pip install flujo-policies-builtin"
        )
        raise MissingPolicyError(
            f"no policy runs steps of type {type(step).__name__} ({step.name!r})",
            suggestion="; ".join([advice, *self._problems]),
        )

    def list_registered(self) -> list[type[Step[Any, Any]]]:
        """The step types that have a policy of their own; imports those that are known by name only."""
        return list(dict.fromkeys([*self._policies, *map(_type, self._handles.values())]))


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _type(handles: type[Step[Any, Any]] | str) -> type[Step[Any, Any]]:
    if not isinstance(handles, str):
        return handles
    module, _, qualname = handles.partition(":")
    found: type[Step[Any, Any]] = attrgetter(qualname)(import_module(module))
    return found
