"""What engine tests share: an executor with the built-in policies, over a run kept in memory."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from flujo.domain.context import OpenContext, PipelineContext
from flujo.domain.interfaces import NewRun
from flujo.domain.outcomes import StepOutcome, Success
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

    crashes: Any = None

    async def execute(
        self, step: Step[Any, Any], data: Any = None, *, path: str | None = None, quota: Quota | None = None
    ) -> StepOutcome[Any]:
        """Execute `step` with what is recorded so far."""

        async def live(backend: Any, sink: Any) -> Any:
            bench = replace(self, backend=backend, sink=sink, context=self.context.model_copy(deep=True))
            outcome = await bench._execute(step, data, path, quota)
            return _told(outcome, bench.context)

        fresh = await self.backend.get("r") is None
        again = all(each.effects != "at-most-once" for each in step.walk())
        check = self.crashes.compare(live) if self.crashes and fresh and again else None
        outcome = await self._execute(step, data, path, quota)
        if check:
            check(_told(outcome, self.context))
        return outcome

    async def _execute(
        self, step: Step[Any, Any], data: Any, path: str | None, quota: Quota | None
    ) -> StepOutcome[Any]:
        row = await self.backend.get("r")
        if row is None:
            claim = await self.backend.create_run(NewRun("r", "p", "", "{}", b"", b"1", b"1", 0.0))
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


def _told(outcome: StepOutcome[Any], context: PipelineContext) -> list[Any]:
    """What a step came to, in words that are the same whenever it comes to it."""
    came_to = repr(outcome.value) if isinstance(outcome, Success) else outcome.step_result and outcome.step_result.error
    return [type(outcome).__name__, str(came_to), repr(context.model_dump(exclude={"run_id", "hitl_history"}))]


@pytest.fixture
def bench(crashes: Any) -> Bench:
    registry = create_default_registry()
    core = ExecutorCore(policy_registry=registry, templates=Templates())
    return Bench(core, InMemoryBackend(), crashes=crashes)


Execute = Callable[..., Awaitable[StepOutcome[Any]]]
