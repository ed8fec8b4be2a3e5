"""How a `Flujo` ends: runs that are cancelled, closed and interrupted, one loop after the other, and no loop at all."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from flujo import Flujo, RunStatus, Step, step
from flujo.exceptions import ConfigurationError, DefinitionChanged, StateStorageFull
from flujo.infra.memory import InMemoryBackend
from flujo.testing import RecordingSink


@step
async def double(data: int) -> int:
    return data * 2


class Gate:
    """A step that waits until it is let through, and tells of being cancelled."""

    def __init__(self) -> None:
        self.begun, self.open = asyncio.Event(), asyncio.Event()
        self.cancelled = False

    async def __call__(self, data: Any) -> Any:
        self.begun.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return data


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend()


async def test_closing_stops_runs_where_they_can_be_resumed(backend):
    gate = Gate()
    flujo = Flujo(double >> Step("gate", gate), state_backend=backend)
    running = [asyncio.ensure_future(flujo.run(n, run_id=f"run-{n}")) for n in range(2)]
    await gate.begun.wait()

    await flujo.aclose()

    for task in running:
        with pytest.raises(ConfigurationError, match="closed while the run was at work"):
            await task
        assert not task.cancelled()
    assert {row.status for row in await backend.list()} == {RunStatus.INTERRUPTED}
    gate.open.set()
    assert (await Flujo(double >> Step("gate", gate), state_backend=backend).resume("run-1")).output == 2


async def test_closing_reaches_runs_that_are_read(backend):
    gate = Gate()
    flujo = Flujo(Step("gate", gate), state_backend=backend)
    stream = flujo.run_with_events(1)
    await anext(stream)
    await gate.begun.wait()

    await flujo.aclose()

    with pytest.raises(ConfigurationError, match="closed while the run was at work"):
        [event async for event in stream]


async def test_closing_twice_and_at_the_same_time_is_closing_once(backend):
    gate = Gate()
    flujo = Flujo(Step("gate", gate), state_backend=backend)
    task = asyncio.ensure_future(flujo.run(1))
    await gate.begun.wait()

    await asyncio.gather(flujo.aclose(), flujo.aclose())
    await flujo.aclose()

    with pytest.raises(ConfigurationError):
        await task
    assert task.cancelling() == 0


async def test_a_closed_flujo_says_so_whatever_it_is_asked(backend):
    async with Flujo(double, state_backend=backend) as flujo:
        done = await flujo.run(1)

    for ask in (
        lambda: flujo.run(1),
        lambda: flujo.resume(done),
        lambda: flujo.rerun_from(done, "double"),
        flujo.inbox,
        lambda: flujo.answer(done, 1),
        lambda: flujo.cancel(done),
        lambda: flujo.run_async(1),
        lambda: anext(flujo.run_outcomes(1)),
    ):
        with pytest.raises(ConfigurationError, match="this Flujo is closed"):
            await ask()


async def test_a_step_that_closes_its_own_flujo_stops_its_run(backend):
    async def close(data: int) -> int:
        await flujo.aclose()
        return data

    flujo = Flujo(Step("close", close), state_backend=backend)

    with pytest.raises(ConfigurationError, match="closed while the run was at work"):
        await flujo.run(1, run_id="mine")
    assert (await backend.get("mine")).status is RunStatus.INTERRUPTED


async def test_who_cancels_a_run_that_is_being_closed_is_heard(backend):
    gate = Gate()
    flujo = Flujo(Step("gate", gate), state_backend=backend)
    task = asyncio.ensure_future(flujo.run(1))
    await gate.begun.wait()

    task.cancel()
    await flujo.aclose()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_run_that_ends_in_spite_of_being_closed_hands_out_its_result(backend):
    gate = Gate()

    async def stubborn(data: int) -> int:
        try:
            return await gate(data)
        except asyncio.CancelledError:
            return data + 1

    flujo = Flujo(Step("stubborn", stubborn), state_backend=backend)
    task = asyncio.ensure_future(flujo.run(1))
    await gate.begun.wait()

    await flujo.aclose()

    assert (await task).output == 2


async def test_a_run_inside_a_run_is_closed_with_it(backend):
    gate = Gate()
    inner = Step("gate", gate)

    async def nest(data: int) -> int:
        if data:
            return (await flujo.run(0)).output
        return await gate(data)

    flujo = Flujo(Step("nest", nest), state_backend=backend)
    task = asyncio.ensure_future(flujo.run(1))
    await gate.begun.wait()

    await flujo.aclose()

    with pytest.raises(ConfigurationError, match="closed while the run was at work"):
        await task
    assert inner.name == "gate"
    assert {row.status for row in await backend.list()} == {RunStatus.INTERRUPTED}


def test_runs_in_another_loop_are_not_ours_to_close_and_none_begins_beside_them(backend):
    begun, go_on = threading.Event(), threading.Event()

    def wait(data: int) -> int:
        begun.set()
        go_on.wait()
        return data

    flujo = Flujo(Step("wait", wait, blocking=True), state_backend=backend)
    other = threading.Thread(target=flujo.run_sync, args=(1,))
    other.start()
    begun.wait()

    with pytest.raises(ConfigurationError, match="has runs at work in another event loop"):
        asyncio.run(flujo.aclose())
    with pytest.raises(ConfigurationError, match="has runs at work in another event loop"):
        flujo.run_sync(2)

    go_on.set()
    other.join()
    assert flujo.run_sync(2).output == 2
    asyncio.run(flujo.aclose())


def test_one_flujo_serves_one_loop_after_the_other(tmp_path):
    flujo = Flujo(double, state_uri=f"sqlite:///{tmp_path}/runs.db")

    outputs = [flujo.run_sync(n).output for n in range(3)]
    outputs.append(asyncio.run(flujo.run(3)).output)
    asyncio.run(flujo.aclose())

    assert outputs == [0, 2, 4, 6]


def test_run_sync_leaves_a_state_that_others_can_read(tmp_path):
    uri = f"sqlite:///{tmp_path}/runs.db"
    flujo = Flujo(double, state_uri=uri)
    flujo.run_sync(1, run_id="mine")
    asyncio.run(flujo.aclose())

    again = Flujo(double, state_uri=uri)
    assert again.run_sync(1, run_id="mine").step_history[0].recalled
    asyncio.run(again.aclose())


@pytest.fixture
def heard() -> Iterator[None]:
    """Control-C raises `KeyboardInterrupt`, also where the tests were started with it switched off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("form", ["waiting", "computing"])
@pytest.mark.usefixtures("heard")
def test_control_c_during_run_sync_lets_go_of_the_run(backend, form):
    async def interrupted(data: int) -> int:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60 if form == "waiting" else 0)
        return data

    flujo = Flujo(double >> Step("interrupted", interrupted), state_backend=backend)

    with pytest.raises(KeyboardInterrupt):
        flujo.run_sync(1, run_id="mine")
    assert asyncio.run(backend.get("mine")).status is RunStatus.INTERRUPTED


def test_a_loop_that_ends_stops_a_run_whose_reader_has_not_gone(backend):
    gate, streams = Gate(), []

    async def main() -> None:
        stream = Flujo(double >> Step("gate", gate), state_backend=backend).run_with_events(1, run_id="mine")
        streams.append(stream)
        await anext(stream)
        await gate.begun.wait()

    asyncio.run(main())

    assert asyncio.run(backend.get("mine")).status is RunStatus.INTERRUPTED
    assert gate.cancelled


def test_a_process_that_is_interrupted_leaves_a_run_that_can_go_on(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from flujo import Flujo, Step, step\n"
        "@step\n"
        "async def double(data: int) -> int:\n"
        "    return data * 2\n"
        "async def stop(data):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    await asyncio.sleep(60)\n"
        f"flujo = Flujo(double >> Step('stop', stop), state_uri='sqlite:///{tmp_path}/runs.db')\n"
        "flujo.run_sync(1, run_id='mine')\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, check=False)

    assert done.returncode == -signal.SIGINT
    assert done.stderr.strip().endswith("KeyboardInterrupt")
    assert "Warning" not in done.stderr
    flujo = Flujo(double >> Step("stop", lambda data: data), state_uri=f"sqlite:///{tmp_path}/runs.db")
    with pytest.raises(DefinitionChanged):  # it is nobody's, and would go on with the pipeline that it had
        flujo.run_sync(1, run_id="mine")
    asyncio.run(flujo.aclose())


async def test_cancelling_while_a_run_begins_leaves_no_run_that_nobody_owns(backend):
    class Slow(InMemoryBackend):
        async def create_run(self, run: Any, /) -> Any:
            claim = await super().create_run(run)
            self.created.set()
            await asyncio.sleep(0.01)
            return claim

    slow = Slow()
    slow.created = asyncio.Event()
    flujo = Flujo(double, state_backend=slow)
    task = asyncio.ensure_future(flujo.run(1, run_id="mine"))
    await slow.created.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await slow.get("mine")).status is RunStatus.INTERRUPTED
    assert (await flujo.resume("mine")).output == 2


async def test_cancelling_while_the_state_refuses_a_run_is_cancelling():
    class Full(InMemoryBackend):
        async def create_run(self, run: Any, /) -> Any:
            began.set()
            await asyncio.sleep(0.01)
            raise StateStorageFull("the disk is full")

    began = asyncio.Event()
    task = asyncio.ensure_future(Flujo(double, state_backend=Full()).run(1))
    await began.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_run_that_completed_is_forgotten_where_that_is_wanted(backend):
    def boom(data: int) -> int:
        raise ValueError("boom")

    sink = RecordingSink()
    flujo = Flujo(double, state_backend=backend, delete_on_completion=True, sinks=[sink])
    failing = Flujo(Step("boom", boom), state_backend=backend, delete_on_completion=True)

    result = await flujo.run(2)
    stream = [item async for item in flujo.run_outcomes(2)]
    failed = await failing.run(1)

    assert (result.output, stream[-1].output) == (4, 4)
    assert [row.run_id for row in await backend.list()] == [failed.run_id]
