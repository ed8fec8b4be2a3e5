"""The real clock and the one for tests keep the same promises."""

import asyncio
import time

import pytest

from flujo.domain.interfaces import Clock
from flujo.infra.clock import SystemClock
from flujo.testing import FakeClock


@pytest.fixture(params=[SystemClock, FakeClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    return request.param()


async def test_sleep_lets_at_least_that_much_time_pass(clock: Clock):
    before = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.009


async def test_sleep_lets_other_tasks_run(clock: Clock):
    ran = []

    async def other() -> None:
        ran.append(1)

    task = asyncio.create_task(other())
    await clock.sleep(0.001)
    assert ran == [1]
    await task


def test_wall_time_is_seconds_since_the_epoch():
    assert abs(SystemClock().now() - time.time()) < 60


def test_fake_clock_moves_by_hand_only():
    clock = FakeClock(now=100.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 2.5)
    assert (clock.now(), clock.monotonic()) == (102.5, 2.5)


async def test_fake_clock_remembers_sleeps():
    clock = FakeClock(now=100.0)
    await clock.sleep(3)
    await clock.sleep(-1)
    assert (clock.slept, clock.now()) == ([3, -1], 103.0)


def test_wall_time_can_be_set_back_but_monotonic_time_can_not():
    clock = FakeClock(now=100.0)
    clock.set_back(60)
    assert (clock.now(), clock.monotonic()) == (40.0, 0.0)
    with pytest.raises(ValueError, match="can't pass by -1 seconds"):
        clock.advance(-1)
