"""Plugins cost a run nothing once they are loaded."""

import sys
from collections import Counter
from typing import Annotated

from pydantic import BaseModel

from flujo import (
    ContextReference,
    Flujo,
    Pipeline,
    PipelineContext,
    Step,
    Success,
    Usage,
    UsageLimits,
    agent,
    map_,
    parallel,
    step,
)
from flujo.domain.agents import AgentResult
from flujo.engine.executor_core import ExecutorCore
from flujo.plugins import InMemoryBackend, StepPolicy, create_plugin_manager, hookimpl
from flujo.testing import InMemoryStateProvider


class Ring(Step[int, int]):
    """A step of the plugin's own."""


class RingPolicy(StepPolicy[Ring]):
    handles_type = Ring

    def __init__(self, asked):
        self.asked = asked

    async def execute(self, core, frame):
        self.asked["policies"] += 1
        return Success(frame.data)


class Bells:
    """A plugin of every sort that a run could meet; it counts what it is asked while one is executed."""

    def __init__(self):
        self.asked = Counter()

    def handle(self, event):
        self.asked["sinks"] += 1

    def open_state(self, url, root):
        self.asked["backends"] += 1
        return InMemoryBackend()

    def open_tower(self, root):
        self.asked["state_providers"] += 1
        return InMemoryStateProvider()

    def price(self, model, usage):
        self.asked["pricing"] += 1
        return 0

    @hookimpl
    def flujo_register_policies(self, registrar):
        registrar.policy(Ring, lambda: RingPolicy(self.asked))

    @hookimpl
    def flujo_register_event_sinks(self, registrar):
        registrar.sink("bells", lambda settings, root: self, summary="count what is heard")

    @hookimpl
    def flujo_register_state_backends(self, registrar):
        registrar.backend("bells", self.open_state)

    @hookimpl
    def flujo_register_state_providers(self, registrar):
        registrar.provider("tower", self.open_tower)

    @hookimpl
    def flujo_register_pricing(self, registrar):
        registrar.pricing("bells", self.price)


class Ringer:
    model = "bells:large"

    async def run(self, data):
        return AgentResult(data, Usage(1, 5))

    def estimate(self, data):
        return Usage(1, 5)


class Tower(BaseModel):
    bells: int = 0


class Town(PipelineContext):
    tower: Annotated[Tower, ContextReference("tower", "main")] = Tower()


@step
def double(data: int) -> int:
    return data * 2


async def test_no_hook_is_called_while_steps_are_executed():
    parts = [
        Ring("ring"),
        double,
        agent("count", Ringer()),
        parallel("both", {"a": double, "b": double}),
        step(lambda data: [1, 2], name="list"),
        map_("each", double),
    ]
    bells = Bells()
    flujo = Flujo(
        Pipeline(parts, name="p"),
        context_model=Town,
        plugins=create_plugin_manager(bells),
        sinks=["bells"],
        state_uri="bells:",
        usage_limits=UsageLimits(total_cost_usd_limit=1),
    )
    files = Counter()

    def note(frame, event, arg):
        if event == "call":
            files[frame.f_code.co_filename] += 1

    sys.setprofile(note)
    try:
        result = await flujo.run(1)
    finally:
        sys.setprofile(None)

    assert result.output == [2, 4]
    assert bells.asked.keys() == {"backends", "policies", "pricing", "sinks", "state_providers"}
    assert files[ExecutorCore.execute.__code__.co_filename] > 0
    assert [file for file in files if "pluggy" in file or "importlib_metadata" in file] == []
