"""How a state forgets runs: whole, never too early, and nothing that others still need."""

import asyncio

import pytest

from flujo.domain.interfaces import Claim, JournalRecord, RecordKind, StateBackend
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import RunNotFound, RunOwnedElsewhere, StateError
from flujo.testing.state_base import START, StateTests, journal_of, new_run, row_of, stored

__all__ = ["RemovalTests"]

_LARGE = "0123456789abcdef" * 2**14


class RemovalTests(StateTests):
    """What is forgotten is gone whole, and what is not is whole."""

    async def test_deleted_run_is_gone_whole(self, backend: StateBackend) -> None:
        """Neither it nor its questions are found, its key is free, and another run is not touched."""
        await _ended(backend, "run-1", key="k")
        await _ended(backend, "run-10")
        await backend.delete("run-1")
        assert [row.run_id for row in await backend.list()] == ["run-10"]
        assert [wait.run_id for wait in await backend.waits()] == ["run-10"]
        for call in (backend.load("run-1"), backend.claim("run-1"), backend.delete("run-1")):
            with pytest.raises(RunNotFound):
                await call
        await backend.create_run(new_run(backend, "run-2", key="k"))

    async def test_run_of_a_living_owner_is_not_deleted(self, backend: StateBackend) -> None:
        """It has to be let go of first."""
        claim = await backend.create_run(new_run(backend))
        with pytest.raises(RunOwnedElsewhere):
            await backend.delete("run-1")
        await backend.append(claim, JournalRecord("a"))
        assert len(await journal_of(backend)) == 1

    async def test_late_owner_writes_nothing_into_a_new_run_of_the_same_id(self, backend: StateBackend) -> None:
        """A number is never used again, so an old claim finds nothing to write to."""
        old = await _ended(backend, "run-1")
        await backend.delete("run-1")
        new = await backend.create_run(new_run(backend))
        assert new.number > old.number
        with pytest.raises(StateError):
            await backend.append(old, JournalRecord("a"))
        with pytest.raises(StateError):
            await backend.finish(old, RunStatus.FAILED, at=START)
        assert await backend.is_cancelled(old) is True
        assert ((await row_of(backend)).status, await journal_of(backend)) == (RunStatus.RUNNING, [])

    @pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.RUNNING])
    async def test_only_what_has_ended_is_forgotten_with_time(self, backend: StateBackend, status: RunStatus) -> None:
        """Not what waits, was interrupted or stopped, nor what is at work."""
        await _ended(backend, "old", status)
        await backend.create_run(new_run(backend, "at-work"))
        gone = status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
        assert await backend.gc(ended_before=START + 1e9, trust_clock=True) == int(gone)
        assert [row.run_id for row in await backend.list()] == (["at-work"] if gone else ["at-work", "old"])

    async def test_forgetting_keeps_to_its_time_and_its_limit(self, backend: StateBackend) -> None:
        """What ended at that time or later stays; the oldest go first."""
        for number in range(5):
            await _ended(backend, f"run-{number}", at=START + number)
        assert await backend.gc(ended_before=START + 4, limit=3, trust_clock=True) == 3
        assert [row.run_id for row in await backend.list()] == ["run-4", "run-3"]
        assert [await backend.gc(ended_before=START + 4, trust_clock=True) for _ in range(2)] == [1, 0]
        assert [row.run_id for row in await backend.list()] == ["run-4"]

    async def test_run_with_a_wrong_time_is_not_forgotten_early(self, backend: StateBackend) -> None:
        """The clock was set back for a while: what was begun after a young run is young, whatever its times say."""
        await _ended(backend, "old", at=START + 1)
        await _ended(backend, "young", at=START + 1001, created_at=START + 1000)
        await _ended(backend, "wrong", at=1.0, created_at=0.0)
        assert await backend.gc(ended_before=START + 500) == 1
        assert [row.run_id for row in await backend.list()] == ["wrong", "young"]

    @pytest.mark.parametrize("ahead", [2.0, 3650 * 86_400.0])
    async def test_clock_is_not_believed_alone(self, backend: StateBackend, ahead: float) -> None:
        """That a time has come is believed once a run was created since: a clock that is ahead forgets nothing."""
        await _ended(backend, "run-1")
        await _ended(backend, "run-2", created_at=START)
        assert await backend.gc(ended_before=START + ahead) == 0
        await backend.create_run(new_run(backend, "run-3", created_at=START + ahead))
        await _ended(backend, "run-4")
        assert await backend.gc(ended_before=START + ahead) == 2
        assert [row.run_id for row in await backend.list()] == ["run-4", "run-3"]

    async def test_what_others_name_is_kept(self, backend: StateBackend) -> None:
        """Runs share a definition, files and large values: the last one to go takes them along."""
        large = stored(backend, _LARGE)
        fields = {"input": large, "base": large, "files": {"a.yaml": _LARGE}}
        for number in range(3):
            claim = await backend.create_run(new_run(backend, f"run-{number}", **fields))
            await backend.append(claim, JournalRecord("a", out=large, delta=large))
            await backend.finish(claim, RunStatus.COMPLETED, output=large, at=START + number)
        await backend.delete("run-2")
        assert await backend.gc(ended_before=START + 1, limit=1, trust_clock=True) == 1
        row = await row_of(backend, "run-1")
        assert (row.input, row.base, row.output, dict(row.files)) == (large, large, large, fields["files"])
        (record,) = await journal_of(backend, "run-1")
        assert (record.out, record.delta) == (large, large)

    async def test_many_who_forget_at_once_forget_each_run_once(self, backend: StateBackend) -> None:
        """Their counts add up to the runs that there were."""
        for number in range(20):
            await _ended(backend, f"run-{number}")
        counts = await asyncio.gather(
            *(backend.gc(ended_before=START + 100, limit=3, trust_clock=True) for _ in range(10))
        )
        assert (sum(counts), list(await backend.list())) == (20, [])


async def _ended(
    backend: StateBackend,
    run_id: str,
    status: RunStatus = RunStatus.FAILED,
    *,
    at: float = START + 1,
    created_at: float = START - 1,
    key: str | None = None,
) -> Claim:
    """A run that has ended with a question."""
    claim = await backend.create_run(new_run(backend, run_id, created_at=created_at, key=key))
    await backend.append(claim, JournalRecord("ask?", RecordKind.WAIT, out=stored(backend, {})))
    await backend.finish(claim, status, at=at)
    return claim
