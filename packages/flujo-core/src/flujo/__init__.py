"""flujo: durable, budgeted, explained pipelines of typed steps.

Names are resolved on first use, so that `import flujo` costs next to nothing and `flujo --version` loads
neither pydantic nor a plugin.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flujo.version import __version__ as __version__

if TYPE_CHECKING:
    from flujo.domain.config import Backoff as Backoff
    from flujo.domain.config import StepConfig as StepConfig
    from flujo.domain.context import OpenContext as OpenContext
    from flujo.domain.context import PipelineContext as PipelineContext
    from flujo.domain.decorators import step as step
    from flujo.domain.dsl import branch as branch
    from flujo.domain.dsl import loop as loop
    from flujo.domain.dsl import map_ as map_
    from flujo.domain.dsl import parallel as parallel
    from flujo.domain.dsl import route as route
    from flujo.domain.kinds import ConditionalStep as ConditionalStep
    from flujo.domain.kinds import DynamicParallelRouterStep as DynamicParallelRouterStep
    from flujo.domain.kinds import LoopStep as LoopStep
    from flujo.domain.kinds import MapStep as MapStep
    from flujo.domain.kinds import ParallelStep as ParallelStep
    from flujo.domain.outcomes import PipelineResult as PipelineResult
    from flujo.domain.outcomes import RunStatus as RunStatus
    from flujo.domain.outcomes import StepResult as StepResult
    from flujo.domain.steps import Pipeline as Pipeline
    from flujo.domain.steps import Step as Step
    from flujo.domain.usage import Usage as Usage
    from flujo.exceptions import FlujoError as FlujoError
    from flujo.runner.flujo import Flujo as Flujo

#: Where each public name lives.
_HOMES = {
    "Backoff": "flujo.domain.config",
    "ConditionalStep": "flujo.domain.kinds",
    "DynamicParallelRouterStep": "flujo.domain.kinds",
    "Flujo": "flujo.runner.flujo",
    "FlujoError": "flujo.exceptions",
    "LoopStep": "flujo.domain.kinds",
    "MapStep": "flujo.domain.kinds",
    "OpenContext": "flujo.domain.context",
    "ParallelStep": "flujo.domain.kinds",
    "Pipeline": "flujo.domain.steps",
    "PipelineContext": "flujo.domain.context",
    "PipelineResult": "flujo.domain.outcomes",
    "RunStatus": "flujo.domain.outcomes",
    "Step": "flujo.domain.steps",
    "StepConfig": "flujo.domain.config",
    "StepResult": "flujo.domain.outcomes",
    "Usage": "flujo.domain.usage",
    "branch": "flujo.domain.dsl",
    "loop": "flujo.domain.dsl",
    "map_": "flujo.domain.dsl",
    "parallel": "flujo.domain.dsl",
    "route": "flujo.domain.dsl",
    "step": "flujo.domain.decorators",
}

__all__ = [
    "Backoff",
    "ConditionalStep",
    "DynamicParallelRouterStep",
    "Flujo",
    "FlujoError",
    "LoopStep",
    "MapStep",
    "OpenContext",
    "ParallelStep",
    "Pipeline",
    "PipelineContext",
    "PipelineResult",
    "RunStatus",
    "Step",
    "StepConfig",
    "StepResult",
    "Usage",
    "branch",
    "loop",
    "map_",
    "parallel",
    "route",
    "step",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home and remember it here."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
