"""Steps that run at most once: their beginning is recorded, and one without an end is not repeated."""

import shlex
from datetime import UTC, datetime
from typing import Any

from flujo.domain.events import StepInDoubt
from flujo.domain.outcomes import StepOutcome, Success
from flujo.domain.steps import Step
from flujo.engine.frame import ExecutionFrame
from flujo.engine.journal import Settlement
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.engine.step_run import idempotency_key
from flujo.exceptions import EffectInDoubt, UsageLimitExceededError

__all__ = ["OncePolicy"]


class OncePolicy(StepPolicy[Step[Any, Any]]):
    """Runs a step by another policy, unless it has begun before: then it is as a person has settled, or in doubt."""

    def __init__(self, policy: StepPolicy[Any], fingerprint: bytes) -> None:
        self._policy = policy
        self._fingerprint = fingerprint

    @property
    def handles_type(self) -> type[Step[Any, Any]]:
        """As the other policy."""
        return self._policy.handles_type

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """What the other policy comes to, called once in all processes. Raises `EffectInDoubt`."""
        journal, path = frame.run.journal, frame.path
        begun = journal.begun(path, frame.item)
        if begun is not None:
            settled = journal.settlement(path)
            if settled is None:
                raise _in_doubt(frame, begun.ended_at)
            if not settled.again:
                return Success(settled.output)
        item = frame.item.digest if frame.item else b""
        key = idempotency_key(frame.run.run_id, path)
        await journal.record_intent(path, key, self._fingerprint + item, frame.run.clock.now())
        return await self._begin(core, frame)

    async def _begin(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """Call the other policy; a budget that stops an agent before it is called leaves no doubt."""
        run, agent = frame.run, frame.step.agent_key or ""
        called = run.tally.total(agent)
        try:
            return await self._policy.execute(core, frame)
        except UsageLimitExceededError:
            if frame.step.agent_key is not None and run.tally.total(agent) == called:
                uncalled = Settlement(None, True, "the budget", run.clock.now())
                await run.journal.record_settlement(frame.path, uncalled)
            raise


def _in_doubt(frame: ExecutionFrame, since: float) -> EffectInDoubt:
    run, path = frame.run, frame.path
    if run.events.active:
        run.events.emit(StepInDoubt(run.run_id, path, since))
    when = datetime.fromtimestamp(since, UTC).isoformat(sep=" ", timespec="seconds")
    settle, args = f"flujo runs settle {run.run_id} {shlex.quote(path)}", f"{run.run_id!r}, {path!r}"
    return EffectInDoubt(
        f"step {frame.step.name!r} began at {when}, and no result of it is recorded: it may have taken effect",
        suggestion=f"find out whether it did, by its idempotency key {idempotency_key(run.run_id, path)}; then "
        f"`{settle} --output JSON` takes that as its output, `{settle} --again` lets it run once more; in Python "
        f"`await flujo.settle({args}, output)` or `await flujo.settle({args}, again=True)`",
    )
