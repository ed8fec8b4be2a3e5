"""The runs of a state, listed by a program."""

from typing import Any

import pytest

from flujo import Flujo, RunStatus, RunSummary, human, step
from flujo.exceptions import ConfigurationError, RunNotFound


@step
async def check(order: str) -> str:
    if order == "bad":
        raise ValueError("no such order")
    return order


@pytest.fixture
def flujo(state: str) -> Flujo[Any, Any]:
    return Flujo(check >> human("ask", "ok?"), state_uri=state)


@pytest.fixture(params=["memory:", "sqlite"])
def state(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    return f"sqlite:///{tmp_path}/runs.db" if request.param == "sqlite" else request.param


async def test_runs_are_listed_newest_first_by_status_and_by_the_beginning_of_their_ids(flujo):
    async with flujo:
        for order in ("a-1", "b-1", "bad", "a-2"):
            await flujo.run(order, run_id=order)
        await flujo.resume("a-1", "yes")

        listed = await flujo.runs()
        assert [(run.run_id, run.status) for run in listed] == [
            ("a-2", RunStatus.PAUSED),
            ("bad", RunStatus.FAILED),
            ("b-1", RunStatus.PAUSED),
            ("a-1", RunStatus.COMPLETED),
        ]
        assert [run.run_id for run in await flujo.runs(prefix="a-", limit=1)] == ["a-2"]
        assert [run.run_id for run in await flujo.runs(status="paused")] == ["a-2", "b-1"]
        assert await flujo.runs(status=RunStatus.PAUSED, limit=0) == ()
        assert isinstance(listed[0], RunSummary)
        assert (listed[0].ended_at is None, listed[1].error.message) == (False, "no such order")


async def test_more_runs_than_are_read_at_once_are_listed(flujo):
    async with flujo:
        for number in range(201):
            await flujo.run("bad" if number == 0 else "x", run_id=f"r{number}")

        assert [run.run_id for run in await flujo.runs(status="failed")] == ["r0"]
        assert len(await flujo.runs(limit=500)) == 201


async def test_the_inbox_of_a_run_that_is_not_there_says_so(flujo):
    async with flujo:
        with pytest.raises(RunNotFound, match="no run 'nosuch'"):
            await flujo.inbox("nosuch")


async def test_a_closed_flujo_is_not_entered_again(flujo):
    await flujo.aclose()
    with pytest.raises(ConfigurationError, match="this Flujo is closed"):
        async with flujo:
            pass
