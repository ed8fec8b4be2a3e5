"""Plugins: the public face for their authors, and the manager for those who run them.

A plugin is a module with functions under `@hookimpl`, announced by an entry point in the group "flujo.plugins".
Names are resolved on first use, so that a plugin module costs nothing but pluggy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.blueprint.agents import AgentContext, AgentDeclaration
    from flujo.blueprint.kinds import BuildContext, LintRuleSpec
    from flujo.blueprint.lint import LintedFile, LintedStep, LintNote
    from flujo.blueprint.schema import NestedStep, NestedSteps, StepSpec
    from flujo.domain.interfaces import (
        Claim,
        ClosableSink,
        EventSink,
        JournalRecord,
        NewRun,
        RecordKind,
        RunRow,
        StateBackend,
        StateProvider,
        Sync,
        Wait,
    )
    from flujo.domain.outcomes import ErrorInfo, StepOutcome
    from flujo.domain.validation import Location
    from flujo.engine.frame import ExecutionFrame
    from flujo.engine.policy import StepExecutor, StepPolicy
    from flujo.infra.memory import InMemoryBackend
    from flujo.infra.schemas import OutputSchema
    from flujo.plugins.contributions import (
        ANY_STEP,
        BackendSpec,
        CommandSpec,
        Contributions,
        EventSinkSpec,
        PolicySpec,
        PricingSpec,
    )
    from flujo.plugins.hookspecs import API_1, hookimpl
    from flujo.plugins.manager import PluginManager, create_plugin_manager
    from flujo.plugins.precedence import Conflict, Offer, Rank
    from flujo.plugins.records import PluginRecord, PluginStatus
    from flujo.plugins.registrars import (
        AgentRegistrar,
        CommandRegistrar,
        EventSinkRegistrar,
        LintRegistrar,
        PolicyRegistrar,
        PricingRegistrar,
        SkillRegistrar,
        StateBackendRegistrar,
        StateProviderRegistrar,
        StepKindRegistrar,
    )
    from flujo.plugins.registry import create_default_registry
    from flujo.plugins.switches import PluginOptions, plugin_options

#: Where the public names live; those that are not here are registrars.
_HOMES = {
    "flujo.blueprint.agents": "AgentContext AgentDeclaration",
    "flujo.blueprint.kinds": "BuildContext LintRuleSpec",
    "flujo.blueprint.lint": "LintNote LintedFile LintedStep",
    "flujo.blueprint.schema": "NestedStep NestedSteps StepSpec",
    "flujo.domain.interfaces": "Claim ClosableSink EventSink JournalRecord NewRun RecordKind RunRow "
    "StateBackend StateProvider Sync Wait",
    "flujo.domain.outcomes": "ErrorInfo StepOutcome",
    "flujo.domain.validation": "Location",
    "flujo.engine.frame": "ExecutionFrame",
    "flujo.engine.policy": "StepExecutor StepPolicy",
    "flujo.infra.memory": "InMemoryBackend",
    "flujo.infra.schemas": "OutputSchema",
    "flujo.plugins.contributions": "ANY_STEP BackendSpec CommandSpec Contributions EventSinkSpec PolicySpec "
    "PricingSpec",
    "flujo.plugins.hookspecs": "API_1 hookimpl",
    "flujo.plugins.manager": "PluginManager create_plugin_manager",
    "flujo.plugins.precedence": "Conflict Offer Rank",
    "flujo.plugins.records": "PluginRecord PluginStatus",
    "flujo.plugins.registry": "create_default_registry",
    "flujo.plugins.switches": "PluginOptions plugin_options",
}

__all__ = [
    "ANY_STEP",
    "API_1",
    "AgentContext",
    "AgentDeclaration",
    "AgentRegistrar",
    "BackendSpec",
    "BuildContext",
    "Claim",
    "ClosableSink",
    "CommandRegistrar",
    "CommandSpec",
    "Conflict",
    "Contributions",
    "ErrorInfo",
    "EventSink",
    "EventSinkRegistrar",
    "EventSinkSpec",
    "ExecutionFrame",
    "InMemoryBackend",
    "JournalRecord",
    "LintNote",
    "LintRegistrar",
    "LintRuleSpec",
    "LintedFile",
    "LintedStep",
    "Location",
    "NestedStep",
    "NestedSteps",
    "NewRun",
    "Offer",
    "OutputSchema",
    "PluginManager",
    "PluginOptions",
    "PluginRecord",
    "PluginStatus",
    "PolicyRegistrar",
    "PolicySpec",
    "PricingRegistrar",
    "PricingSpec",
    "Rank",
    "RecordKind",
    "RunRow",
    "SkillRegistrar",
    "StateBackend",
    "StateBackendRegistrar",
    "StateProvider",
    "StateProviderRegistrar",
    "StepExecutor",
    "StepKindRegistrar",
    "StepOutcome",
    "StepPolicy",
    "StepSpec",
    "Sync",
    "Wait",
    "create_default_registry",
    "create_plugin_manager",
    "hookimpl",
    "plugin_options",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home and remember it here."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names.split()), "flujo.plugins.registrars")
    return globals().setdefault(name, getattr(import_module(home), name))


def __dir__() -> list[str]:
    return __all__
