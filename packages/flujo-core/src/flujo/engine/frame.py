"""One step about to be run: what it gets, where it stands, and the run it belongs to."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from flujo.domain.context import PipelineContext
from flujo.domain.interfaces import Clock
from flujo.domain.scope import NOTHING, Outputs, Scope
from flujo.domain.steps import Step
from flujo.engine.context_manager import ContextManager
from flujo.engine.event_stream import EventStream
from flujo.engine.journal import Journal

__all__ = ["ExecutionFrame", "Pulse", "RunScope", "StepRun"]

#: The outputs before the first step. A sequence adds to outputs of its own.
_NO_OUTPUTS = Outputs()


class Pulse:
    """Lets the event loop breathe: steps that never wait would otherwise keep cancellation and other runs out."""

    __slots__ = ("due",)

    #: How long steps may follow each other without the loop having its turn, in seconds.
    interval_s: ClassVar[float] = 0.05

    def __init__(self) -> None:
        #: The monotonic time from which on the loop should have its turn.
        self.due = 0.0

    async def beat(self, now: float) -> None:
        """Give the loop its turn; whoever cancels the run is heard here."""
        self.due = now + self.interval_s
        await asyncio.sleep(0)


class RunScope(NamedTuple):
    """What every step of one run shares. `root` is the project's folder, where there is one."""

    run_id: str
    journal: Journal
    events: EventStream
    clock: Clock
    pulse: Pulse
    contexts: ContextManager
    input: Any = None
    resources: Any = None
    root: Path | None = None


class ExecutionFrame(NamedTuple):
    """A step, its data and its place. A composite's policy makes its children's frames with `child`.

    `level` counts the steps from the outermost to this one.
    """

    step: Step[Any, Any]
    data: Any
    run: RunScope
    context: PipelineContext
    path: str = ""
    outputs: Outputs = _NO_OUTPUTS
    extras: Mapping[str, Any] = NOTHING
    chain: tuple[str, ...] = ()
    attempt: int = 1
    level: int = 1

    def child(
        self,
        step: Step[Any, Any],
        data: Any,
        *,
        outputs: Outputs | None = None,
        context: PipelineContext | None = None,
        extras: Mapping[str, Any] | None = None,
        at: str | None = None,
    ) -> "ExecutionFrame":
        """The frame of `step` under this one.

        `outputs` are those its templates see as `steps`; `context` an isolated one; `extras` further names. `at`
        stands in the path for the step's own segment: "[3]" for an iteration or item (`loop:refine[3]`), "/legal"
        for a branch.
        """
        if at is None:
            at = f"/{step.segment}" if self.path else step.segment
        return ExecutionFrame(
            step,
            data,
            self.run,
            self.context if context is None else context,
            self.path + at,
            self.outputs if outputs is None else outputs,
            self.extras if extras is None else extras,
            level=self.level + 1,
        )

    def with_data(self, data: Any) -> "ExecutionFrame":
        """This frame with other data."""
        return self._replace(data=data)

    def at_attempt(self, attempt: int) -> "ExecutionFrame":
        """This frame at attempt number `attempt`, counted from 1."""
        return self._replace(attempt=attempt)

    def scope(self) -> Scope:
        """What a template of this step can see."""
        return Scope(self.data, self.outputs, self.context, self.run.input, self.extras)


class StepRun(NamedTuple):
    """What a function gets that has a parameter named `run`. `root` is the project's folder, where there is one."""

    run_id: str
    path: str
    attempt: int
    root: Path | None = None

    @property
    def idempotency_key(self) -> str:
        """The same text at every attempt and after every crash, and in no other step or run.

        Hand it to a service that must not do the same work twice.
        """
        return hashlib.blake2b(f"{self.run_id}|{self.path}".encode(), digest_size=16).hexdigest()
