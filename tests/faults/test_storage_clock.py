"""A clock that is wrong, is set right, and jumps while runs are at work."""

import itertools

import pytest

from flujo import Flujo, RunStatus, Step
from flujo.testing import FakeClock
from flujo_state_sqlite.backend import SqliteBackend

DAY = 86_400.0
JUMPS = (0.0, -DAY, 3650 * DAY, -3650 * DAY, 0.5, -0.5, DAY)


class Failing:
    """A step that fails every other time."""

    def __init__(self):
        self.calls = itertools.count()

    async def run(self, data):
        if next(self.calls) % 2 == 0:
            raise OSError("away")
        return data


async def test_runs_go_on_across_any_jump_of_the_clock(tmp_path):
    """35: each run fails, the clock jumps, and it is resumed; ids differ, and the list is in the order of creation."""
    clock, backend, ids = FakeClock(), SqliteBackend(tmp_path / "state.db"), []
    for jump in JUMPS:
        async with Flujo(Step("a", Failing()), state_backend=backend, clock=clock) as flujo:
            failed = await flujo.run("x")
            clock.set_back(-jump)
            result = await flujo.resume(failed.run_id)
        assert (failed.status, result.status, result.output) == (RunStatus.FAILED, RunStatus.COMPLETED, "x")
        ids.append(result.run_id)
    assert len(set(ids)) == len(JUMPS)
    assert [row.run_id for row in await backend.list()] == ids[::-1]
    await backend.close()


async def test_removal_by_age_believes_no_clock_that_was_set_back(tmp_path):
    """35: of runs of the last days none goes, though the clock said for a while that it was 1970."""
    clock, backend = FakeClock(), SqliteBackend(tmp_path / "state.db")
    today = clock.now()
    for back in (0.0, today - 10.0, 10.0 - today):
        clock.set_back(back)
        async with Flujo(Step("a", Failing()), state_backend=backend, clock=clock) as flujo:
            await flujo.resume((await flujo.run("x")).run_id)
    assert await backend.gc(ended_before=today - DAY) == 0
    assert await backend.gc(ended_before=today + DAY, trust_clock=True) == 3
    await backend.close()


@pytest.mark.parametrize("ahead", [DAY * 31, DAY * 3650])
async def test_removal_by_age_believes_no_clock_that_is_ahead(tmp_path, ahead):
    """35: whoever forgets what is older than 30 days, by a clock that is ahead, forgets nothing of today."""
    clock, backend = FakeClock(), SqliteBackend(tmp_path / "state.db")
    for jump in (0.0, 0.0, -ahead):
        async with Flujo(Step("a", Failing()), state_backend=backend, clock=clock) as flujo:
            await flujo.resume((await flujo.run("x")).run_id)
        clock.set_back(jump)
    assert await backend.gc(ended_before=clock.now() - 30 * DAY) == 0
    assert len(await backend.list()) == 3
    await backend.close()
