"""Plugins: the public face for their authors, and the manager for those who run them.

A plugin is a module with functions under `@hookimpl`, announced by an entry point in the group "flujo.plugins".
Names are resolved on first use, so that a plugin module costs nothing but pluggy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.plugins.contributions import ANY_STEP, BackendSpec, CommandSpec, Contributions, EventSinkSpec, PolicySpec
    from flujo.plugins.discovery import PluginRecord, PluginStatus
    from flujo.plugins.hookspecs import API_1, hookimpl
    from flujo.plugins.manager import PluginManager, create_plugin_manager
    from flujo.plugins.registrars import (
        AgentRegistrar,
        CommandRegistrar,
        EventSinkRegistrar,
        PolicyRegistrar,
        SkillRegistrar,
        StateBackendRegistrar,
        StateProviderRegistrar,
        StepKindRegistrar,
    )
    from flujo.plugins.registry import create_default_registry

#: Where the public names live; those that are not here are registrars.
_HOMES = {
    "contributions": ("ANY_STEP", "BackendSpec", "CommandSpec", "Contributions", "EventSinkSpec", "PolicySpec"),
    "discovery": ("PluginRecord", "PluginStatus"),
    "hookspecs": ("API_1", "hookimpl"),
    "manager": ("PluginManager", "create_plugin_manager"),
    "registry": ("create_default_registry",),
}

__all__ = [
    "ANY_STEP",
    "API_1",
    "AgentRegistrar",
    "BackendSpec",
    "CommandRegistrar",
    "CommandSpec",
    "Contributions",
    "EventSinkRegistrar",
    "EventSinkSpec",
    "PluginManager",
    "PluginRecord",
    "PluginStatus",
    "PolicyRegistrar",
    "PolicySpec",
    "SkillRegistrar",
    "StateBackendRegistrar",
    "StateProviderRegistrar",
    "StepKindRegistrar",
    "create_default_registry",
    "create_plugin_manager",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home and remember it here."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "registrars")
    return globals().setdefault(name, getattr(import_module(f"{__name__}.{home}"), name))


def __dir__() -> list[str]:
    return __all__
