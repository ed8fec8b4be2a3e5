"""A policy under observation: what each of its calls came to, and what it has left behind."""

import asyncio
from typing import Any

from flujo.domain.outcomes import StepOutcome
from flujo.domain.steps import Step
from flujo.domain.usage import Usage
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy

__all__ = ["Call", "WatchedPolicy", "kept_back"]


class Call:
    """One call of a policy. `outcome` is what it returned, `raised` what it raised instead; neither while it lasts.

    `context` is how it was before, `owed` and `left` what the quota kept back before and after (see `kept_back`).
    """

    def __init__(self, frame: ExecutionFrame) -> None:
        self.frame = frame
        self.context = frame.context.model_dump()
        self.owed = kept_back(frame)
        self.outcome: StepOutcome[Any] | None = None
        self.raised: BaseException | None = None
        self._is_over = False
        self.left = self.owed

    def is_over(self) -> bool:
        """Whether the policy has returned or raised."""
        return self._is_over

    def end(self) -> None:
        """Note how things stand now that the call is over."""
        self._is_over = True
        self.left = kept_back(self.frame)


class WatchedPolicy(StepPolicy[Step[Any, Any]]):
    """Runs steps as `inner` does, and keeps every call of it in `calls`; `called` is set from the first one on."""

    def __init__(self, inner: StepPolicy[Any]) -> None:
        self.inner = inner
        self.calls: list[Call] = []
        self.called = asyncio.Event()

    @property
    def handles_type(self) -> type[Step[Any, Any]]:
        """That of `inner`."""
        handles: type[Step[Any, Any]] = self.inner.handles_type
        return handles

    def prepare(self, step: Step[Any, Any]) -> None:
        """As `inner`."""
        self.inner.prepare(step)

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """As `inner`, noting what comes of it."""
        call = Call(frame)
        self.calls.append(call)
        self.called.set()
        try:
            call.outcome = await self.inner.execute(core, frame)
        except BaseException as error:
            call.raised = error
            raise
        finally:
            call.end()
        return call.outcome


def kept_back(frame: ExecutionFrame) -> tuple[Usage, Usage]:
    """What open reservations of the frame's quota hold, and what parts of it hold that were not given back.

    The run has to have limits.
    """
    quota = frame.quota
    assert quota is not None
    return quota.reserved, quota.limits.amounts - quota.spent - quota.reserved - quota.remaining.amounts
