"""What may follow a failure, another attempt or what a composite makes of it: decisions from values alone."""

from typing import Any, TypeGuard

from flujo.domain.config import StepConfig
from flujo.domain.outcomes import Failure, RecordedError, StepOutcome
from flujo.engine.step_history_tracker import PlaceTaken
from flujo.exceptions import (
    BackgroundTaskError,
    ConfigurationError,
    ContextError,
    ControlFlowError,
    EffectInDoubt,
    ExecutionError,
    StateError,
    ValidationError,
)

__all__ = ["SIGNALS", "retry_delay", "tolerable"]

#: What no retry, no fallback and no composite may answer, whatever they are configured to do.
SIGNALS = (ControlFlowError, EffectInDoubt)

#: What can't come out differently at the next attempt.
_FINAL = (BackgroundTaskError, ConfigurationError, ContextError, PlaceTaken, ValidationError, StateError, SystemExit)


def tolerable(outcome: StepOutcome[Any]) -> TypeGuard[Failure[Any]]:
    """Whether a composite may go on from what its child came to: a failure, in a run that has ended too, no signal."""
    if not isinstance(outcome, Failure) or isinstance(outcome.error, SIGNALS):
        return False
    return not (isinstance(outcome.error, RecordedError) and outcome.error.code == EffectInDoubt.default_code)


def retry_delay(config: StepConfig, attempt: int, error: BaseException, seed: str) -> float | None:
    """Seconds to wait before the attempt after number `attempt`, or None when there is none.

    `SIGNALS` are never retried. `retry_on` names the only exceptions that are, `no_retry_on` some that aren't;
    without `retry_on` everything is, but for errors that stay the same (see `_FINAL`). What an error says by
    `retry_after_s` is waited for, unless it is longer than any wait may be.
    """
    if attempt > config.max_retries or isinstance(error, SIGNALS):
        return None
    if isinstance(error, config.no_retry_on):
        return None
    wanted = isinstance(error, config.retry_on) if config.retry_on else not isinstance(error, _FINAL)
    asked = error.retry_after_s if isinstance(error, ExecutionError) else None
    if not wanted or (asked is not None and asked > config.backoff.max_s):
        return None
    return max(config.backoff.delay(attempt, seed), asked or 0.0)
