"""Which policy runs which type of step."""

from typing import Any

from flujo.domain.steps import Step
from flujo.engine.policy import StepPolicy
from flujo.exceptions import MissingPolicyError

__all__ = ["PolicyRegistry"]


class PolicyRegistry:
    """Policies by step type: the exact type first, then the nearest base class, then the fallback."""

    def __init__(self) -> None:
        self._policies: dict[type[Step[Any, Any]], StepPolicy[Any]] = {}
        self._fallback: StepPolicy[Any] | None = None

    def register(self, policy: StepPolicy[Any]) -> None:
        """Let `policy` run its `handles_type`, in place of any policy that did."""
        self._policies[policy.handles_type] = policy

    def register_fallback(self, policy: StepPolicy[Any]) -> None:
        """Let `policy` run every step that no other policy handles."""
        self._fallback = policy

    def get(self, step: Step[Any, Any]) -> StepPolicy[Any] | None:
        """The policy that runs `step`, if any."""
        for base in type(step).__mro__:
            if base in self._policies:
                return self._policies[base]
        return self._fallback

    def require(self, step: Step[Any, Any]) -> StepPolicy[Any]:
        """The policy that runs `step`. Raises `MissingPolicyError`, which says what to install."""
        policy = self.get(step)
        if policy is not None:
            return policy
        known = ", ".join(sorted(t.__name__ for t in self._policies))
        raise MissingPolicyError(
            f"no policy runs steps of type {type(step).__name__} ({step.name!r})",
            suggestion=f"installed policies run {known}; install the plugin that brings this type"
            if known
            else "no step policies are installed: pip install flujo-policies-builtin",
        )

    def list_registered(self) -> list[type[Step[Any, Any]]]:
        """The step types that have a policy of their own."""
        return list(self._policies)
