"""A policy that knows its answer beforehand."""

from typing import Any

from flujo.domain.outcomes import Aborted, Failure, Paused, StepOutcome, Success
from flujo.domain.steps import Step
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy

__all__ = ["stub_policy"]


def stub_policy(handles: type[Step[Any, Any]], outcome: object) -> StepPolicy[Any]:
    """A policy that gives every step of type `handles` this outcome; what is no outcome is the value of a `Success`."""
    return _Stub(handles, outcome if isinstance(outcome, Success | Failure | Paused | Aborted) else Success(outcome))


class _Stub(StepPolicy[Step[Any, Any]]):
    def __init__(self, handles: type[Step[Any, Any]], outcome: StepOutcome[Any]) -> None:
        self._handles = handles
        self._outcome = outcome

    @property
    def handles_type(self) -> type[Step[Any, Any]]:
        return self._handles

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        return self._outcome
