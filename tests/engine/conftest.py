"""What engine tests share: an executor with the built-in policies, over a run kept in memory."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from flujo.domain.context import OpenContext, PipelineContext
from flujo.domain.interfaces import NewRun
from flujo.domain.outcomes import StepOutcome
from flujo.domain.quota import Quota
from flujo.domain.steps import Step
from flujo.engine.background_task_manager import BackgroundTaskManager
from flujo.engine.call_tally import CallTally
from flujo.engine.context_manager import ContextManager
from flujo.engine.event_stream import EventStream
from flujo.engine.executor_core import ExecutorCore
from flujo.engine.frame import ExecutionFrame, Pulse, RunScope
from flujo.engine.journal import Journal
from flujo.infra.codec import JsonCodec
from flujo.infra.memory import InMemoryBackend
from flujo.infra.templates import Templates
from flujo.plugins import create_default_registry
from flujo.testing import FakeClock, RecordingSink


@dataclass
class Bench:
    """One run in memory, on which steps can be executed again and again as after a crash."""

    core: ExecutorCore
    backend: InMemoryBackend
    context: PipelineContext = field(default_factory=OpenContext)
    clock: FakeClock = field(default_factory=FakeClock)
    sink: RecordingSink = field(default_factory=RecordingSink)

    async def execute(
        self, step: Step[Any, Any], data: Any = None, *, path: str | None = None, quota: Quota | None = None
    ) -> StepOutcome[Any]:
        """Execute `step` with what is recorded so far."""
        row = await self.backend.get("r")
        if row is None:
            claim = await self.backend.create_run(NewRun("r", "p", "", "{}", b"", None, None, 0.0))
        else:
            claim = await self.backend.claim("r", force=True)
        codec = JsonCodec([step.output_type])
        journal = Journal(self.backend, claim, codec, await self.backend.load("r"))
        run = RunScope(
            run_id="r",
            journal=journal,
            events=EventStream([self.sink]),
            clock=self.clock,
            pulse=Pulse(),
            contexts=ContextManager(),
            background=BackgroundTaskManager(),
            tally=CallTally(),
            input=data,
        )
        self.core.prepare(step)
        return await self.core.execute(
            ExecutionFrame(step, data, run, self.context, step.name if path is None else path, quota=quota)
        )

    async def recorded(self) -> dict[str, Any]:
        """What the journal holds, by path."""
        return {record.path: record for record in await self.backend.load("r")}


@pytest.fixture
def bench() -> Bench:
    registry = create_default_registry()
    return Bench(ExecutorCore(policy_registry=registry, templates=Templates()), InMemoryBackend())


Execute = Callable[..., Awaitable[StepOutcome[Any]]]
