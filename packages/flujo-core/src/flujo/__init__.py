"""flujo: durable pipelines of typed steps.

Names are resolved on first use, so that `import flujo` costs next to nothing and `flujo --version` loads
neither pydantic nor a plugin.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flujo.version import __version__ as __version__

if TYPE_CHECKING:
    from flujo.domain.agent_step import AgentStep
    from flujo.domain.agentic_loop import AgenticLoopStep
    from flujo.domain.agents import AgentResult
    from flujo.domain.cached import CacheStep
    from flujo.domain.config import Backoff, StepConfig
    from flujo.domain.context import OpenContext, PipelineContext
    from flujo.domain.decorators import step
    from flujo.domain.dsl import (
        agent,
        agentic_loop,
        branch,
        cached,
        human,
        import_,
        loop,
        map_,
        parallel,
        route,
        state_machine,
    )
    from flujo.domain.events import Chunk
    from flujo.domain.human import HumanInTheLoopStep
    from flujo.domain.imports import ImportOutput, ImportStep
    from flujo.domain.items import FileItems
    from flujo.domain.kinds import ConditionalStep, DynamicParallelRouterStep, LoopStep, MapStep, ParallelStep
    from flujo.domain.outcomes import (
        Aborted,
        Failure,
        Paused,
        PendingAnswer,
        PipelineResult,
        RunStatus,
        StepResult,
        Success,
    )
    from flujo.domain.pricing import Price
    from flujo.domain.quota import UsageLimits
    from flujo.domain.state_machine import StateMachineStep, Transition
    from flujo.domain.state_provider import ContextReference, StateProviderAdapter
    from flujo.domain.steps import Pipeline, Step
    from flujo.domain.usage import Usage
    from flujo.engine.step_run import StepRun
    from flujo.exceptions import (
        AnswerRejected,
        ConfigurationError,
        DefinitionChanged,
        EffectInDoubt,
        FlujoError,
        PausedException,
        RunNotFound,
        RunNotPaused,
        RunOwnedElsewhere,
        StateError,
    )
    from flujo.infra.config_manager import get_config_manager
    from flujo.infra.log_sink import LogSink
    from flujo.infra.scripted import ScriptedAgent, scripted
    from flujo.runner.flujo import Flujo
    from flujo.runner.listing import RunSummary
    from flujo.runner.pipeline_resolver import load_pipeline
    from flujo.runner.tracing_manager import Tracer, TracingManager

#: Where the public names live.
_HOMES = {
    home: tuple(names.split())
    for home, names in {
        "flujo.domain.agent_step": "AgentStep",
        "flujo.domain.agentic_loop": "AgenticLoopStep",
        "flujo.domain.agents": "AgentResult",
        "flujo.domain.cached": "CacheStep",
        "flujo.domain.config": "Backoff StepConfig",
        "flujo.domain.context": "OpenContext PipelineContext",
        "flujo.domain.decorators": "step",
        "flujo.domain.dsl": "agent agentic_loop branch cached human import_ loop map_ parallel route state_machine",
        "flujo.domain.events": "Chunk",
        "flujo.domain.human": "HumanInTheLoopStep",
        "flujo.domain.imports": "ImportOutput ImportStep",
        "flujo.domain.items": "FileItems",
        "flujo.domain.kinds": "ConditionalStep DynamicParallelRouterStep LoopStep MapStep ParallelStep",
        "flujo.domain.outcomes": "Aborted Failure Paused PendingAnswer PipelineResult RunStatus StepResult Success",
        "flujo.domain.pricing": "Price",
        "flujo.domain.quota": "UsageLimits",
        "flujo.domain.state_machine": "StateMachineStep Transition",
        "flujo.domain.state_provider": "ContextReference StateProviderAdapter",
        "flujo.domain.steps": "Pipeline Step",
        "flujo.domain.usage": "Usage",
        "flujo.engine.step_run": "StepRun",
        "flujo.exceptions": "AnswerRejected ConfigurationError DefinitionChanged EffectInDoubt FlujoError "
        "PausedException RunNotFound RunNotPaused RunOwnedElsewhere StateError",
        "flujo.infra.config_manager": "get_config_manager",
        "flujo.infra.log_sink": "LogSink",
        "flujo.infra.scripted": "ScriptedAgent scripted",
        "flujo.runner.flujo": "Flujo",
        "flujo.runner.listing": "RunSummary",
        "flujo.runner.pipeline_resolver": "load_pipeline",
        "flujo.runner.tracing_manager": "Tracer TracingManager",
    }.items()
}

__all__ = [
    "Aborted",
    "AgentResult",
    "AgentStep",
    "AgenticLoopStep",
    "AnswerRejected",
    "Backoff",
    "CacheStep",
    "Chunk",
    "ConditionalStep",
    "ConfigurationError",
    "ContextReference",
    "DefinitionChanged",
    "DynamicParallelRouterStep",
    "EffectInDoubt",
    "Failure",
    "FileItems",
    "Flujo",
    "FlujoError",
    "HumanInTheLoopStep",
    "ImportOutput",
    "ImportStep",
    "LogSink",
    "LoopStep",
    "MapStep",
    "OpenContext",
    "ParallelStep",
    "Paused",
    "PausedException",
    "PendingAnswer",
    "Pipeline",
    "PipelineContext",
    "PipelineResult",
    "Price",
    "RunNotFound",
    "RunNotPaused",
    "RunOwnedElsewhere",
    "RunStatus",
    "RunSummary",
    "ScriptedAgent",
    "StateError",
    "StateMachineStep",
    "StateProviderAdapter",
    "Step",
    "StepConfig",
    "StepResult",
    "StepRun",
    "Success",
    "Tracer",
    "TracingManager",
    "Transition",
    "Usage",
    "UsageLimits",
    "agent",
    "agentic_loop",
    "branch",
    "cached",
    "get_config_manager",
    "human",
    "import_",
    "load_pipeline",
    "loop",
    "map_",
    "parallel",
    "route",
    "scripted",
    "state_machine",
    "step",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home and remember it here."""
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(home), name))


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
