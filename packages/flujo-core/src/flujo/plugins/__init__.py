"""Plugins: the public face for their authors, and the manager for those who run them.

A plugin is a module with functions under `@hookimpl`, announced by an entry point in the group "flujo.plugins".
Names are resolved on first use, so that a plugin module costs nothing but pluggy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.plugins.contributions import ANY_STEP as ANY_STEP
    from flujo.plugins.contributions import BackendSpec as BackendSpec
    from flujo.plugins.contributions import CommandSpec as CommandSpec
    from flujo.plugins.contributions import Contributions as Contributions
    from flujo.plugins.contributions import PolicySpec as PolicySpec
    from flujo.plugins.discovery import PluginRecord as PluginRecord
    from flujo.plugins.discovery import PluginStatus as PluginStatus
    from flujo.plugins.hookspecs import API_1 as API_1
    from flujo.plugins.hookspecs import hookimpl as hookimpl
    from flujo.plugins.manager import PluginManager as PluginManager
    from flujo.plugins.manager import create_plugin_manager as create_plugin_manager
    from flujo.plugins.registrars import CommandRegistrar as CommandRegistrar
    from flujo.plugins.registrars import PolicyRegistrar as PolicyRegistrar
    from flujo.plugins.registrars import SkillRegistrar as SkillRegistrar
    from flujo.plugins.registrars import StateBackendRegistrar as StateBackendRegistrar
    from flujo.plugins.registrars import StepKindRegistrar as StepKindRegistrar
    from flujo.plugins.registry import create_default_registry as create_default_registry

#: Where each public name lives.
_HOMES = {
    "ANY_STEP": "contributions",
    "API_1": "hookspecs",
    "BackendSpec": "contributions",
    "CommandRegistrar": "registrars",
    "CommandSpec": "contributions",
    "Contributions": "contributions",
    "PluginManager": "manager",
    "PluginRecord": "discovery",
    "PluginStatus": "discovery",
    "PolicyRegistrar": "registrars",
    "PolicySpec": "contributions",
    "SkillRegistrar": "registrars",
    "StateBackendRegistrar": "registrars",
    "StepKindRegistrar": "registrars",
    "create_default_registry": "registry",
    "create_plugin_manager": "manager",
    "hookimpl": "hookspecs",
}

__all__ = [
    "ANY_STEP",
    "API_1",
    "BackendSpec",
    "CommandRegistrar",
    "CommandSpec",
    "Contributions",
    "PluginManager",
    "PluginRecord",
    "PluginStatus",
    "PolicyRegistrar",
    "PolicySpec",
    "SkillRegistrar",
    "StateBackendRegistrar",
    "StepKindRegistrar",
    "create_default_registry",
    "create_plugin_manager",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home and remember it here."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
