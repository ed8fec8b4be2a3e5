"""Who may write to a run: one owner, the newest."""

import asyncio
from collections.abc import Sequence

import pytest

from flujo.domain.interfaces import MAX_CLAIMS, JournalRecord, RecordKind, StateBackend
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import RunOwnedElsewhere, RunPoisoned, StateError
from flujo.testing.state_base import ERROR, START, Reopen, StateTests, journal_of, new_run, row_of, stored

__all__ = ["OwnershipTests"]


class OwnershipTests(StateTests):
    """A claim is the right to write, until there is a newer one."""

    async def test_claim_that_was_given_up_writes_nothing_more(self, backend: StateBackend) -> None:
        """`finish` lets go of the run: neither a late record nor a second end is written."""
        claim = await backend.create_run(new_run(backend))
        await backend.finish(claim, RunStatus.COMPLETED, at=START)
        with pytest.raises(StateError):
            await backend.append(claim, JournalRecord("late"))
        with pytest.raises(StateError):
            await backend.finish(claim, RunStatus.FAILED, at=START)
        assert (await row_of(backend)).status is RunStatus.COMPLETED
        assert await journal_of(backend) == []

    async def test_finished_run_can_be_claimed_again(self, backend: StateBackend) -> None:
        """The next owner finds the journal, writes on, and the run is running again."""
        first = await backend.create_run(new_run(backend))
        await backend.append(first, JournalRecord("a"))
        await backend.finish(first, RunStatus.FAILED, error=ERROR, at=START)
        second = await backend.claim("run-1")
        row = await row_of(backend)
        assert second.epoch > first.epoch
        assert (row.status, row.epoch, row.error, row.ended_at) == (RunStatus.RUNNING, second.epoch, None, None)
        await backend.append(second, JournalRecord("b"))
        await backend.finish(second, RunStatus.COMPLETED, at=START)
        assert [record.path for record in await journal_of(backend)] == ["a", "b"]

    async def test_owned_run_can_not_be_claimed(self, backend: StateBackend) -> None:
        """A run that somebody works on is refused, and its owner goes on undisturbed."""
        claim = await backend.create_run(new_run(backend))
        with pytest.raises(RunOwnedElsewhere):
            await backend.claim("run-1")
        await backend.append(claim, JournalRecord("a"))
        assert (await row_of(backend)).epoch == claim.epoch

    async def test_forced_claim_fences_off_the_old_owner(self, backend: StateBackend) -> None:
        """After a forced claim the old owner's record and end are refused and change nothing."""
        old = await backend.create_run(new_run(backend))
        await backend.append(old, JournalRecord("a"))
        new = await backend.claim("run-1", force=True)
        with pytest.raises(RunOwnedElsewhere):
            await backend.append(old, JournalRecord("b", out=stored(backend, "old")))
        with pytest.raises(RunOwnedElsewhere):
            await backend.finish(old, RunStatus.FAILED, error=ERROR, at=START)
        row = await row_of(backend)
        assert (row.status, row.error, row.recorded) == (RunStatus.RUNNING, None, 1)
        await backend.append(new, JournalRecord("b", out=stored(backend, "new")))
        assert [r.out for r in await journal_of(backend)] == [None, stored(backend, "new")]

    async def test_every_claim_has_a_higher_epoch(self, backend: StateBackend) -> None:
        """Epochs of one run only grow, by force or not, and claims of one run have one number."""
        claims = [await backend.create_run(new_run(backend))]
        claims.append(await backend.claim("run-1", force=True))
        await backend.finish(claims[-1], RunStatus.INTERRUPTED, at=START)
        claims.append(await backend.claim("run-1"))
        epochs = [claim.epoch for claim in claims]
        assert epochs == sorted(set(epochs))
        assert len({(claim.run_id, claim.number) for claim in claims}) == 1

    async def test_one_of_many_claims_wins(self, backend: StateBackend) -> None:
        """Of claims made at once one owns the run and every other is refused."""
        await backend.finish(await backend.create_run(new_run(backend)), RunStatus.INTERRUPTED, at=START)
        claims = await asyncio.gather(*(backend.claim("run-1") for _ in range(10)), return_exceptions=True)
        assert sorted(type(claim).__name__ for claim in claims) == ["Claim", *["RunOwnedElsewhere"] * 9]

    async def test_closing_lets_go_of_every_run(self, backend: StateBackend, reopen: Reopen) -> None:
        """A run that was open when its backend closed can be claimed without force, and goes on."""
        old = await backend.create_run(new_run(backend))
        await backend.append(old, JournalRecord("a"))
        await backend.close()
        again = reopen()
        new = await again.claim("run-1")
        await again.append(new, JournalRecord("b"))
        assert new.epoch > old.epoch
        assert [record.path for record in await journal_of(again)] == ["a", "b"]

    @pytest.mark.parametrize(("recorded", "where"), [((), "its beginning"), (("x", "y"), "'y'")])
    async def test_run_that_never_gets_on_is_not_claimed_for_ever(
        self, backend: StateBackend, reopen: Reopen, recorded: Sequence[str], where: str
    ) -> None:
        """After so many claims without a record, of owners that did not let go, only force helps; a record does, too.

        Neither a call that begins nor one that was lost or broken off, attempt 0, gets the run on.
        """
        claim = await backend.create_run(new_run(backend))
        for path in recorded:
            await backend.append(claim, JournalRecord(path))
        for number in range(MAX_CLAIMS):
            await backend.close()
            backend = reopen()
            assert (await row_of(backend)).claims == number
            claim = await backend.claim("run-1")
            await backend.append(claim, JournalRecord(f"a#a{number}", RecordKind.ATTEMPT, 0))
            await backend.append(claim, JournalRecord(f"a^c{number + 1}", RecordKind.CALL, number + 1))
        await backend.close()
        backend = reopen()
        with pytest.raises(
            RunPoisoned, match=f"'run-1' was claimed {MAX_CLAIMS} times and got no further than {where}"
        ) as caught:
            await backend.claim("run-1")
        assert "force" in (caught.value.suggestion or "")
        assert ((await row_of(backend)).status, (await row_of(backend)).claims) == (RunStatus.INTERRUPTED, MAX_CLAIMS)
        claim = await backend.claim("run-1", force=True)
        assert (await row_of(backend)).claims == 1
        await backend.append(claim, JournalRecord("last"))
        await backend.close()
        backend = reopen()
        await backend.claim("run-1")
        assert (await row_of(backend)).claims == 1

    @pytest.mark.parametrize("progress", ["record", "answer", "none"])
    async def test_run_that_gets_on_is_claimed_as_often_as_needed(self, backend: StateBackend, progress: str) -> None:
        """A record, an answer and an owner that lets go of the run, whatever for, set the count of claims back."""
        await backend.finish(await backend.create_run(new_run(backend)), RunStatus.INTERRUPTED, at=START)
        for number in range(MAX_CLAIMS + 2):
            claim = await backend.claim("run-1")
            if progress == "record":
                await backend.append(claim, JournalRecord(f"step-{number}"))
            elif progress == "answer":
                await backend.answer("run-1", JournalRecord(f"ask!{number}", RecordKind.ANSWER))
            assert (await row_of(backend)).claims == (progress == "none")
            await backend.finish(claim, RunStatus.INTERRUPTED, at=START)
            assert (await row_of(backend)).claims == 0
