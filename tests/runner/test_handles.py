"""One run to await or to iterate, by several at once."""

import asyncio
from typing import Any

import pytest

from flujo import Flujo, PipelineResult, RunStatus, Step
from flujo.exceptions import ConfigurationError
from flujo.infra.memory import InMemoryBackend

READ = "the run of this handle is being read by another task"


class Gate:
    """A step that waits until it is let through."""

    def __init__(self) -> None:
        self.begun, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, data: Any) -> Any:
        self.begun.set()
        await self.open.wait()
        return data


async def items(stream):
    return [item async for item in stream]


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def backend():
    return InMemoryBackend()


@pytest.fixture
def handle(gate, backend):
    return Flujo(Step("gate", gate), state_backend=backend).run_async("x", run_id="mine")


async def awaiting(handle):
    return await handle


async def test_many_await_one_run_at_the_same_time_and_get_its_one_result(gate, backend, handle):
    waiting = [asyncio.ensure_future(awaiting(handle)) for _ in range(3)]
    await gate.begun.wait()
    gate.open.set()

    first, *others = await asyncio.gather(*waiting)

    assert (first.output, [other is first for other in others]) == ("x", [True, True])
    assert len(await backend.list()) == 1


async def test_who_awaits_a_run_that_another_waiter_was_cancelled_in_is_told_that_it_was_given_up(
    gate, backend, handle
):
    first, second = (asyncio.ensure_future(awaiting(handle)) for _ in range(2))
    await gate.begun.wait()
    first.cancel()

    with pytest.raises(ConfigurationError, match="the run of this handle has been given up"):
        await second
    assert first.cancelled()
    assert (await backend.get("mine")).status is RunStatus.INTERRUPTED


@pytest.mark.parametrize("other", [awaiting, items, lambda handle: handle.aclose()], ids=["await", "iterate", "close"])
async def test_while_a_task_iterates_no_other_takes_its_items(gate, handle, other):
    reading = asyncio.ensure_future(items(handle))
    await gate.begun.wait()

    with pytest.raises(ConfigurationError, match=READ) as caught:
        await other(handle)

    assert caught.value.suggestion == "await that task, or stop the run by Flujo.cancel"
    gate.open.set()
    assert [type(item) for item in await reading][-1] is PipelineResult
    assert (await handle).output == "x"


async def test_while_a_task_awaits_nobody_else_iterates(gate, handle):
    waiting = asyncio.ensure_future(awaiting(handle))
    await gate.begun.wait()

    with pytest.raises(ConfigurationError, match=READ):
        await items(handle)

    gate.open.set()
    assert (await waiting).output == "x"
