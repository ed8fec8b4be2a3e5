"""What happens in a run, as it happens. History, progress, logs and tracing are sinks on this one stream."""

from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from flujo.domain.outcomes import ErrorInfo, PendingAnswer, PipelineResult, StepOutcome, StepResult

__all__ = [
    "AgentAsked",
    "BackgroundFinished",
    "BackgroundLaunched",
    "BudgetOverdrawn",
    "BudgetWarning",
    "CacheMissed",
    "Chunk",
    "Event",
    "PluginChanged",
    "RunFinished",
    "RunInterrupted",
    "RunPaused",
    "RunStarted",
    "SinkDetached",
    "StepAbandoned",
    "StepFinished",
    "StepInDoubt",
    "StepRetried",
    "StepStarted",
]


class RunStarted(NamedTuple):
    """A run begins, or goes on when `resumed`; `recorded` results are known already."""

    run_id: str
    pipeline: str
    resumed: bool = False
    recorded: int = 0


class StepStarted(NamedTuple):
    """A step is about to be executed. A step whose result is recorded does not start: it only finishes."""

    run_id: str
    path: str
    name: str
    kind: str


class AgentAsked(NamedTuple):
    """The step's agent is about to be called: its budget lets it. `agent` is its name, or the step's where it has none;
    `model` is its name in the price table."""

    run_id: str
    path: str
    attempt: int
    agent: str
    model: str


class StepRetried(NamedTuple):
    """Attempt number `attempt` failed; the next one begins in `delay_s` seconds."""

    run_id: str
    path: str
    attempt: int
    error: ErrorInfo
    delay_s: float


class StepInDoubt(NamedTuple):
    """A step that may run only once began at `since` (seconds since the epoch), and did not end: it is not repeated."""

    run_id: str
    path: str
    since: float


class CacheMissed(NamedTuple):
    """A cache step has no result to use, so its body runs. `changed` names what differs from the step's newest one.

    These are "input", "code", "definition" and names that the body reads; "ttl" for one that is too old.
    """

    run_id: str
    path: str
    changed: tuple[str, ...]


class BudgetWarning(NamedTuple):
    """A model is called whose price nobody knows, under a limit of cost that lets it: told once of each model."""

    run_id: str
    model: str


class BudgetOverdrawn(NamedTuple):
    """The run completed, but has used more than a limit allows: the last calls turned out to use more than was left.

    `spent` and `allowed` are US dollars, tokens or calls, as `limit` names.
    """

    run_id: str
    limit: str
    spent: Decimal | int
    allowed: Decimal | int


class BackgroundLaunched(NamedTuple):
    """A background step is about to begin; the pipeline goes on with the step's input."""

    run_id: str
    path: str
    name: str


class BackgroundFinished(NamedTuple):
    """A background step has come to its end, or the end of its run has cut it off, as its error `Cancelled` says."""

    run_id: str
    path: str
    result: StepResult[object]


class StepFinished(NamedTuple):
    """A step has come to its end, and what it came to is recorded: its line of the history, and its outcome."""

    run_id: str
    path: str
    result: StepResult[object]
    outcome: StepOutcome[Any]


class StepAbandoned(NamedTuple):
    """A step that has started comes to no end, because its run is let go of: it runs again when the run goes on, unless
    it may run only once, and is in doubt."""

    run_id: str
    path: str
    error: ErrorInfo


class Chunk(NamedTuple):
    """A part of what a step is about to give, as soon as it is there.

    Where attempt number `attempt` fails after it, `StepRetried` says so, and the next attempt begins anew. A step
    whose result is recorded gives no parts again.
    """

    run_id: str
    path: str
    value: object
    attempt: int = 1


class PluginChanged(NamedTuple):
    """A plugin that a resumed run needs is not what it was when the run began: `was` and `now` are "name version".

    `now` is empty for one that takes no part any more, `was` for one that did not take part.
    """

    run_id: str
    was: str
    now: str


class RunPaused(NamedTuple):
    """The run waits for people; `pending` are its open questions. `RunFinished` comes after it."""

    run_id: str
    pending: tuple[PendingAnswer, ...]


class RunInterrupted(NamedTuple):
    """The run was let go of before its end, and can be resumed: somebody stopped it, or its state can't be written.

    There is no result then, and `RunFinished` does not come.
    """

    run_id: str
    error: ErrorInfo


class RunFinished(NamedTuple):
    """The run has ended, or stopped where it can be resumed; see the result's status."""

    run_id: str
    result: PipelineResult[object, object]


class SinkDetached(NamedTuple):
    """An event sink has failed, and hears nothing more; `run_id` is the run that it heard of, "" when it was closed."""

    run_id: str
    sink: str
    error: ErrorInfo


Event: TypeAlias = (
    RunStarted
    | StepStarted
    | AgentAsked
    | StepRetried
    | StepInDoubt
    | CacheMissed
    | BudgetOverdrawn
    | BudgetWarning
    | BackgroundLaunched
    | BackgroundFinished
    | Chunk
    | PluginChanged
    | StepFinished
    | StepAbandoned
    | RunPaused
    | RunInterrupted
    | RunFinished
    | SinkDetached
)
