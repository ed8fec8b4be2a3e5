"""What happens in a run, as it happens. History, progress, logs and tracing are sinks on this one stream."""

from dataclasses import dataclass
from typing import TypeAlias

from flujo.domain.outcomes import ErrorInfo, PipelineResult, StepResult

__all__ = ["Event", "RunFinished", "RunStarted", "StepFinished", "StepRetried", "StepStarted"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins, or goes on when `resumed`; `recorded` results are known already."""

    run_id: str
    pipeline: str
    resumed: bool = False
    recorded: int = 0


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step is about to be executed. A step whose result is recorded does not start: it only finishes."""

    run_id: str
    path: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class StepRetried:
    """Attempt number `attempt` failed; the next one begins in `delay_s` seconds."""

    run_id: str
    path: str
    attempt: int
    error: ErrorInfo
    delay_s: float


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step has come to its end, and what it came to is recorded."""

    run_id: str
    path: str
    result: StepResult[object]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run has ended, or stopped where it can be resumed; see the result's status."""

    run_id: str
    result: PipelineResult[object, object]


Event: TypeAlias = RunStarted | StepStarted | StepRetried | StepFinished | RunFinished
