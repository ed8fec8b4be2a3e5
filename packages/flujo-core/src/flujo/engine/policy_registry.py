"""Which policy runs which type of step."""

from collections.abc import Callable, Iterable
from functools import cache
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
        self._factories: dict[type[Step[Any, Any]] | str, Callable[[], StepPolicy[Any]]] = {}
        self._fallback: Callable[[], StepPolicy[Any] | None] = lambda: None
        self._problems = tuple(problems)

    def register(self, policy: StepPolicy[Any]) -> None:
        """Let `policy` run its `handles_type`, in place of any policy that did."""
        self._factories[policy.handles_type] = lambda: policy

    def register_fallback(self, policy: StepPolicy[Any]) -> None:
        """Let `policy` run every step that no other policy handles."""
        self._fallback = lambda: policy

    def register_factory(self, handles: type[Step[Any, Any]] | str, factory: Callable[[], StepPolicy[Any]]) -> None:
        """Let the policy that `factory` makes run steps of type `handles`, a class or "module:qualname".

        It is made for the first such step; what `factory` raises is raised whenever one is looked up. What is
        registered for the class itself comes before what is registered for its name.
        """
        self._factories[handles] = cache(factory)

    def register_fallback_factory(self, factory: Callable[[], StepPolicy[Any]]) -> None:
        """Let the policy that `factory` makes run every step that no other policy handles."""
        self._fallback = cache(factory)

    def get(self, step: Step[Any, Any]) -> StepPolicy[Any] | None:
        """The policy that runs `step`, if any."""
        for base in type(step).__mro__:
            if issubclass(base, Step) and base.kind == step.kind:
                factory = self._factories.get(base) or self._factories.get(_name(base))
                if factory is not None:
                    return factory()
        return self._fallback()

    def require(self, step: Step[Any, Any]) -> StepPolicy[Any]:
        """The policy that runs `step`. Raises `MissingPolicyError`, which says what to install."""
        policy = self.get(step)
        if policy is not None:
            return policy
        shown = ", ".join(sorted({_name(handles).rpartition(":")[2] for handles in self._factories}))
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
        return list(dict.fromkeys(map(_type, self._factories)))


def _name(handles: type | str) -> str:
    return handles if isinstance(handles, str) else f"{handles.__module__}:{handles.__qualname__}"


def _type(handles: type[Step[Any, Any]] | str) -> type[Step[Any, Any]]:
    if not isinstance(handles, str):
        return handles
    module, _, qualname = handles.partition(":")
    found: type[Step[Any, Any]] = attrgetter(qualname)(import_module(module))
    return found
