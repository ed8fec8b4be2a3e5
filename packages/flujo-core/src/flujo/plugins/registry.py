"""The registry of policies that the plugins make up."""

import sys
from functools import partial
from typing import Any

from flujo.engine.policy import StepPolicy
from flujo.engine.policy_registry import PolicyRegistry
from flujo.exceptions import PluginError
from flujo.plugins.contributions import ANY_STEP, PolicySpec
from flujo.plugins.discovery import attempt, load_target
from flujo.plugins.manager import PluginManager, create_plugin_manager
from flujo.plugins.precedence import Offer, Table

__all__ = ["create_default_registry"]


def create_default_registry(manager: PluginManager | None = None) -> PolicyRegistry:
    """The policies of `manager`, or of every installed plugin.

    A policy is imported and made for the first step that it runs. A step type that two plugins claim raises
    `PolicyConflictError` when a step of it is looked up, a policy that can't be made `PluginError`.
    """
    manager = manager or create_plugin_manager()
    policies = manager.contributions.policies
    own = {record.name for record in manager.records if record.is_first_party}
    registry = PolicyRegistry(blame=partial(manager.blame, "policies"))
    for key in policies:
        make, offer = partial(_make, policies, key), policies.offers(key)[0]
        plugin = None if offer.name in own else offer.provider
        if key == ANY_STEP:
            registry.register_fallback_factory(make, plugin)
        else:
            registry.register_factory(offer.value.handles, make, plugin)
    for key in policies:
        _refuse_misnamed(registry, policies.offers(key)[0])
    return registry


def _refuse_misnamed(registry: PolicyRegistry, offer: Offer) -> None:
    """Let steps of a type fail for which a policy is registered by a name that it is only handed on by.

    The policy would never run, and nobody would know. What is not imported yet can't be told.
    """
    module, _, name = offer.key.partition(":")
    found = getattr(sys.modules.get(module), "__dict__", {}).get(name)
    if not isinstance(found, type):
        return
    defined = f"{found.__module__}:{found.__qualname__}"
    if defined != offer.key:
        error = PluginError(
            f"plugin {offer.provider} has a policy for {offer.key!r}, which is defined as {defined!r}",
            suggestion=f"register it for {defined!r}",
        )
        registry.register_factory(found, partial(_raise, error), offer.provider)


def _raise(error: PluginError) -> StepPolicy[Any]:
    raise error


def _make(policies: Table[PolicySpec], key: str) -> StepPolicy[Any]:
    spec = policies[key]
    made = load_target(spec.factory, spec.provider)
    if isinstance(made, type) or not isinstance(made, StepPolicy):
        made = _call(made, spec.provider, key)
    if isinstance(made, StepPolicy):
        return made
    raise PluginError(
        f"plugin {spec.provider} gives {type(made).__name__!r} as the policy for {key!r}, expected a StepPolicy",
        suggestion="register an instance, or a class or function that makes one without arguments",
    )


def _call(factory: Any, provider: str, key: str) -> Any:
    try:
        return attempt(factory)
    except PluginError as error:
        raise PluginError(f"plugin {provider} can't make the policy for {key!r}: {error}", cause=error) from error
