"""How a state keeps questions and answers, and the wish to cancel."""

import asyncio

import pytest

from flujo.domain.interfaces import JournalRecord, RecordKind, StateBackend
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import RunNotFound, StateError
from flujo.testing.state_base import START, Reopen, StateTests, journal_of, new_run, row_of, stored

__all__ = ["QuestionTests"]

_OPEN_ENDS = (RunStatus.PAUSED, RunStatus.INTERRUPTED, RunStatus.STOPPED)
_ENDS = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class QuestionTests(StateTests):
    """Of many answers one is taken, no question is forgotten, and who is asked to stop hears of it."""

    @pytest.mark.parametrize("held", [True, False])
    async def test_answer_needs_no_claim(self, backend: StateBackend, *, held: bool) -> None:
        """It is written while the run is at work, and while nobody owns it; with every field."""
        claim = await backend.create_run(new_run(backend))
        if not held:
            await backend.finish(claim, RunStatus.PAUSED, at=START)
        answer = _answer(backend, "a")
        assert await backend.answer("run-1", answer) is True
        assert await journal_of(backend) == [answer]

    async def test_one_of_many_answers_is_taken(self, backend: StateBackend) -> None:
        """The others are told that they were late, and nothing of theirs is kept."""
        await backend.create_run(new_run(backend))
        answers = [_answer(backend, "a", value=n) for n in range(10)]
        taken = await asyncio.gather(*(backend.answer("run-1", answer) for answer in answers))
        assert sorted(taken) == [False] * 9 + [True]
        assert await journal_of(backend) == [answers[taken.index(True)]]

    async def test_recorded_path_takes_no_answer_and_no_record_after_one(self, backend: StateBackend) -> None:
        """An answer and a record exclude each other at one path."""
        claim = await backend.create_run(new_run(backend))
        await backend.append(claim, _answer(backend, "a", value=1))
        assert await backend.answer("run-1", _answer(backend, "a", value=2)) is False
        assert await backend.answer("run-1", _answer(backend, "b")) is True
        with pytest.raises(StateError):
            await backend.append(claim, _answer(backend, "b"))
        assert [record.path for record in await journal_of(backend)] == ["a!1", "b!1"]

    @pytest.mark.parametrize("status", [*_OPEN_ENDS, *_ENDS])
    async def test_run_that_ended_for_good_takes_no_answer(self, backend: StateBackend, status: RunStatus) -> None:
        """A completed or cancelled run has no use for it; every other can be gone on with."""
        claim = await backend.create_run(new_run(backend))
        await backend.finish(claim, status, at=START)
        for_good = status in (RunStatus.COMPLETED, RunStatus.CANCELLED)
        assert await backend.answer("run-1", _answer(backend, "a")) is not for_good
        assert len(await journal_of(backend)) == (0 if for_good else 1)

    async def test_run_that_is_not_there_has_no_questions(self, backend: StateBackend) -> None:
        """It can be neither answered nor cancelled."""
        assert list(await backend.waits()) == []
        with pytest.raises(RunNotFound):
            await backend.answer("nobody", _answer(backend, "a"))
        with pytest.raises(RunNotFound):
            await backend.cancel("nobody", at=START)

    async def test_question_is_open_until_it_is_answered_or_done(self, backend: StateBackend) -> None:
        """An answer that its step failed with opens it again; one at a longer or shorter path is another's.

        A failure that is no try of the step, attempt 0, leaves the question answered.
        """
        claim = await backend.create_run(new_run(backend))
        paths = ["map[1]/ask", "map[10]/ask", "map[10]", "ask"]
        for path in paths:
            await backend.append(claim, _question(backend, path))
        await backend.append(claim, JournalRecord("map[1]", out=stored(backend, 1)))
        assert await _waiting(backend) == paths
        assert await backend.answer("run-1", _answer(backend, "ask")) is True
        assert await _waiting(backend) == paths[:3]
        await backend.append(claim, JournalRecord("ask#a1", RecordKind.ATTEMPT))
        await backend.append(claim, JournalRecord("map[10]/ask#a1", RecordKind.FAILED))
        assert await _waiting(backend) == paths[:3]
        await backend.append(claim, JournalRecord("ask#a2", RecordKind.FAILED, 0))
        assert await _waiting(backend) == paths[:3]
        await backend.append(claim, JournalRecord("ask#a3", RecordKind.FAILED))
        assert await _waiting(backend) == paths
        assert await backend.answer("run-1", _answer(backend, "ask", number=2)) is True
        await backend.append(claim, JournalRecord("map[10]", out=stored(backend, 1)))
        await backend.append(claim, JournalRecord("map[10]#a1", RecordKind.FAILED))
        assert await _waiting(backend) == paths[:2]

    async def test_questions_of_all_runs_are_listed_oldest_first(self, backend: StateBackend) -> None:
        """With the record, the pipeline and the status of each; in pages; of one run alone if it is named."""
        claims = [await backend.create_run(new_run(backend, f"run-{n}")) for n in range(3)]
        for number in (2, 0, 1, 0):
            claim = claims[number]
            count = len(await journal_of(backend, claim.run_id))
            await backend.append(claim, _question(backend, f"ask{count}", at=START - number))
        await backend.finish(claims[1], RunStatus.PAUSED, at=START)
        waits = await backend.waits()
        ids = ["run-2", "run-0", "run-1", "run-0"]
        assert [wait.run_id for wait in waits] == ids
        assert {wait.pipeline for wait in waits} == {"tickets"}
        assert [wait.status for wait in waits[1:3]] == [RunStatus.RUNNING, RunStatus.PAUSED]
        assert waits[3].record == _question(backend, "ask1", at=START)
        assert [wait.run_id for wait in await backend.waits(limit=2, offset=1)] == ids[1:3]
        assert [wait.record.path for wait in await backend.waits(run_id="run-0")] == ["ask0?", "ask1?"]
        assert [wait.record.path for wait in await backend.waits(run_id="run-0", offset=1)] == ["ask1?"]
        assert list(await backend.waits(run_id="run")) == []

    @pytest.mark.parametrize("status", [*_OPEN_ENDS, *_ENDS])
    async def test_run_that_ended_for_good_asks_nothing(self, backend: StateBackend, status: RunStatus) -> None:
        """Its questions are not listed, those of every other are."""
        claim = await backend.create_run(new_run(backend))
        await backend.append(claim, _question(backend, "ask"))
        await backend.finish(claim, status, at=START)
        expected = [] if status in (RunStatus.COMPLETED, RunStatus.CANCELLED) else ["ask"]
        assert await _waiting(backend) == expected

    async def test_step_can_ask_more_than_once(self, backend: StateBackend) -> None:
        """Each question has an answer of its own; once the step has a result, none is open."""
        claim = await backend.create_run(new_run(backend))
        for path in ("a?1", "a?2", "b?1"):
            await backend.append(claim, _question(backend, path))
        assert await _waiting(backend) == ["a?1", "a?2", "b?1"]
        await backend.answer("run-1", _answer(backend, "a?1"))
        assert await _waiting(backend) == ["a?2", "b?1"]
        await backend.append(claim, JournalRecord("a"))
        assert await _waiting(backend) == ["b?1"]

    async def test_questions_and_answers_outlive_the_backend(self, backend: StateBackend, reopen: Reopen) -> None:
        """What was asked and answered before is so for the next process."""
        claim = await backend.create_run(new_run(backend))
        for path in ("a", "b"):
            await backend.append(claim, _question(backend, path))
        await backend.answer("run-1", _answer(backend, "a"))
        await backend.finish(claim, RunStatus.PAUSED, at=START)
        await backend.close()
        again = reopen()
        assert await _waiting(again) == ["b"]
        assert await again.answer("run-1", _answer(again, "a")) is False

    async def test_owner_is_asked_to_stop(self, backend: StateBackend) -> None:
        """Once or twice; the run is its owner's until it lets go, and records what is done."""
        claim = await backend.create_run(new_run(backend))
        assert await backend.is_cancelled(claim) is False
        for _ in range(2):
            assert await backend.cancel("run-1", at=START) is RunStatus.RUNNING
        assert await backend.is_cancelled(claim) is True
        assert (await row_of(backend)).cancelled is True
        await backend.append(claim, JournalRecord("a"))
        await backend.finish(claim, RunStatus.CANCELLED, at=START + 1)
        assert (await row_of(backend)).status is RunStatus.CANCELLED
        assert await backend.cancel("run-1", at=START + 2) is RunStatus.CANCELLED

    @pytest.mark.parametrize("status", _OPEN_ENDS)
    async def test_run_without_owner_is_cancelled_at_once(self, backend: StateBackend, status: RunStatus) -> None:
        """With the time that is given."""
        await backend.finish(await backend.create_run(new_run(backend)), status, at=START)
        assert await backend.cancel("run-1", at=START + 3) is RunStatus.CANCELLED
        row = await row_of(backend)
        assert (row.status, row.updated_at, row.ended_at) == (RunStatus.CANCELLED, START + 3, START + 3)

    @pytest.mark.parametrize("status", _ENDS)
    async def test_run_that_has_ended_stays_so(self, backend: StateBackend, status: RunStatus) -> None:
        """To cancel it changes nothing, and says how it ended."""
        await backend.finish(await backend.create_run(new_run(backend)), status, at=START)
        before = await row_of(backend)
        assert await backend.cancel("run-1", at=START + 3) is status
        assert await row_of(backend) == before

    @pytest.mark.parametrize("status", [*_OPEN_ENDS, *_ENDS])
    async def test_wish_to_cancel_outlives_the_owner(self, backend: StateBackend, status: RunStatus) -> None:
        """An owner that has not heard of it lets go: the run is cancelled, unless it has ended."""
        claim = await backend.create_run(new_run(backend))
        await backend.cancel("run-1", at=START)
        await backend.finish(claim, status, at=START + 1)
        assert (await row_of(backend)).status is (status if status in _ENDS else RunStatus.CANCELLED)

    async def test_run_whose_owner_ends_before_it_has_looked_is_cancelled(
        self, backend: StateBackend, reopen: Reopen
    ) -> None:
        """As of when it was asked: it asks nothing, takes no answer, is forgotten in time, and can be gone on with."""
        for run_id in ("run-1", "run-2"):
            claim = await backend.create_run(new_run(backend, run_id))
            await backend.append(claim, _question(backend, "ask"))
            await backend.cancel(run_id, at=START + 3)
        await backend.close()
        again = reopen()
        row = await row_of(again)
        assert (row.status, row.owner, row.ended_at) == (RunStatus.CANCELLED, None, START + 3)
        assert await _waiting(again) == []
        assert await again.answer("run-1", _answer(again, "ask")) is False
        assert await again.cancel("run-1", at=START + 4) is RunStatus.CANCELLED
        await again.append(await again.claim("run-1"), JournalRecord("a"))
        assert await again.gc(ended_before=START + 3.5, trust_clock=True) == 1
        row = await row_of(again)
        assert (row.status, row.cancelled, await _waiting(again)) == (RunStatus.RUNNING, False, ["ask"])

    async def test_claim_takes_back_the_wish_to_cancel(self, backend: StateBackend) -> None:
        """The old owner hears that the run is no longer its own, the new one is not asked to stop."""
        old = await backend.create_run(new_run(backend))
        await backend.cancel("run-1", at=START)
        new = await backend.claim("run-1", force=True)
        assert [await backend.is_cancelled(claim) for claim in (old, new)] == [True, False]
        row = await row_of(backend)
        assert (row.status, row.cancelled) == (RunStatus.RUNNING, False)

    async def test_cancelled_run_can_be_gone_on_with(self, backend: StateBackend) -> None:
        """Who claims it again has changed their mind."""
        await backend.finish(await backend.create_run(new_run(backend)), RunStatus.PAUSED, at=START)
        await backend.cancel("run-1", at=START)
        claim = await backend.claim("run-1")
        await backend.append(claim, JournalRecord("a"))
        assert (await row_of(backend)).status is RunStatus.RUNNING


def _question(backend: StateBackend, path: str, at: float = START) -> JournalRecord:
    return JournalRecord(f"{path}?", RecordKind.WAIT, out=stored(backend, {"message": path}), ended_at=at)


def _answer(backend: StateBackend, path: str, *, value: object = True, number: int = 1) -> JournalRecord:
    return JournalRecord(f"{path}!{number}", RecordKind.ANSWER, out=stored(backend, {"value": value}), ended_at=START)


async def _waiting(backend: StateBackend) -> list[str]:
    return [wait.record.path.removesuffix("?") for wait in await backend.waits()]
