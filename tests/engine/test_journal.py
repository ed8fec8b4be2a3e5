"""The record of one run, looked up by path."""

from decimal import Decimal

import pytest

from flujo.domain.interfaces import Claim, JournalRecord, NewRun, RecordKind, Sync
from flujo.domain.outcomes import ErrorInfo, PendingAnswer
from flujo.domain.usage import Usage
from flujo.engine.journal import Answer, Journal
from flujo.exceptions import PayloadTooLarge, RunOwnedElsewhere, StateUnavailable, ValueNotStorable
from flujo.infra.codec import JsonCodec
from flujo.infra.memory import InMemoryBackend

ERROR = ErrorInfo("ValueError", "no")


async def open_journal(*, encodes: bool = True) -> tuple[Journal, InMemoryBackend, Claim]:
    backend = InMemoryBackend(encodes=encodes)
    claim = await backend.create_run(NewRun("r", "p", "", "{}", b"", None, None, 0.0))
    return Journal(backend, claim, JsonCodec()), backend, claim


@pytest.mark.parametrize("encodes", [True, False])
async def test_what_is_recorded_is_recalled_here_and_by_the_next_owner(encodes):
    journal, backend, _ = await open_journal(encodes=encodes)

    out, delta = journal.encoded({"x": 1}, "a"), journal.encoded([["set", ["f"], 2]], "a")
    await journal.record(JournalRecord("a", RecordKind.RESULT, 3, out, delta, usage=Usage(calls=1)))

    again = Journal(backend, await backend.claim("r", force=True), JsonCodec(), await backend.load("r"))
    for each in (journal, again):
        recorded = each.recall("a")
        assert (recorded.value, recorded.delta, recorded.record.attempt) == ({"x": 1}, [["set", ["f"], 2]], 3)
        assert each.knows("a")
        assert len(each) == 1


def test_the_fields_of_records_and_claims_stand_in_the_order_in_which_they_are_unpacked():
    values = ("path", "kind", "attempt", "out", "delta", "error", "fallback", "usage", "fingerprint")
    assert JournalRecord._fields == (*values, "started_at", "ended_at", "sync")
    assert Claim._fields == ("run_id", "number", "epoch")


async def test_an_unknown_path_is_not_recalled():
    journal, _, _ = await open_journal()

    assert journal.recall("a") is None
    assert not journal.knows("a")


@pytest.mark.parametrize("encodes", [True, False])
async def test_a_call_that_began_and_did_not_end_is_counted_once_by_the_next_owner(encodes):
    journal, backend, _ = await open_journal(encodes=encodes)
    most = Usage(1, 2, 3, Decimal("0.1"))
    for _ in range(2):
        await journal.record_call("a", most, 5.0)
    await journal.record_call("b", most, 6.0)
    await journal.record(JournalRecord("b"))
    assert (journal.spent(), [each.path for each in await backend.load("r")]) == (Usage(), ["a^c1", "b^c1", "b"])

    again = Journal(backend, await backend.claim("r", force=True), JsonCodec(), await backend.load("r"))
    for _ in range(2):
        await again.count_lost()
    assert (again.spent(), again.spent_on("a"), again.retries_used("a")) == (most, most, 0)
    (lost,) = again.attempts("a")
    assert (lost.path, lost.attempt, lost.started_at, lost.ended_at) == ("a#a1", 0, 5.0, 5.0)


async def test_attempts_are_numbered_over_every_owner():
    journal, backend, _ = await open_journal()
    await journal.record_attempt("a", ERROR, final=False, usage=Usage(cost_usd=Decimal(1)), started_at=1, ended_at=2)
    again = Journal(backend, await backend.claim("r", force=True), JsonCodec(), await backend.load("r"))

    await again.record_attempt("a", ERROR, final=True, usage=Usage(), started_at=3, ended_at=4)

    assert [record.path for record in again.attempts("a")] == ["a#a1", "a#a2"]
    assert [record.kind for record in again.attempts("a")] == [RecordKind.ATTEMPT, RecordKind.FAILED]
    assert again.recall("a") is None


async def test_a_step_that_gave_up_has_all_its_retries_again():
    journal, _, _ = await open_journal()
    for final in (False, True, False, False):
        await journal.record_attempt("a", ERROR, final=final, usage=Usage(), started_at=0, ended_at=0)

    assert journal.retries_used("a") == 2
    assert journal.retries_used("b") == 0


async def test_a_value_that_can_not_be_written_is_the_steps_fault_and_not_the_states():
    journal, _, _ = await open_journal()

    with pytest.raises(ValueNotStorable, match="a"):
        journal.encoded(object(), "a")
    assert journal.failure is None
    assert not journal.knows("a")


async def test_a_value_that_is_too_large_is_the_steps_fault_too():
    journal, backend, _ = await open_journal()

    async def refuse(claim: Claim, record: JournalRecord) -> None:
        raise PayloadTooLarge("too large")

    backend.append = refuse
    with pytest.raises(PayloadTooLarge):
        await journal.record(JournalRecord("a", out="x"))
    assert journal.failure is None


async def test_a_record_that_the_state_refuses_is_the_end_of_the_run():
    journal, backend, _ = await open_journal()
    await backend.claim("r", force=True)

    with pytest.raises(RunOwnedElsewhere) as caught:
        await journal.record(JournalRecord("a", out=1))
    assert journal.failure is caught.value
    assert not journal.knows("a")


@pytest.mark.parametrize("encodes", [True, False])
async def test_a_question_is_open_until_it_is_answered_here_and_for_the_next_owner(encodes):
    journal, backend, _ = await open_journal(encodes=encodes)
    first = PendingAnswer("a", "t1", "ok?", {"type": "string"}, since=1.0, deadline=9.0)
    second = PendingAnswer("loop:b[1]/c", "t2", "and now?", since=2.0)
    await journal.record_wait(first, b"fp")
    await journal.record_wait(second, b"")
    await journal.record_answer("a", Answer("yes", "ann", 3.0))

    again = Journal(backend, await backend.claim("r", force=True), JsonCodec(), await backend.load("r"))
    for each in (journal, again):
        assert (each.wait("a"), each.wait("loop:b[1]/c"), each.wait("c")) == (first, second, None)
        assert each.waits() == (second,)
        assert each.fingerprint("a") == b"fp"
        assert (each.answer("a"), each.answer("loop:b[1]/c")) == (Answer("yes", "ann", 3.0), None)
        assert len(each) == 0


async def test_a_step_with_a_result_waits_no_longer():
    journal, _, _ = await open_journal()
    await journal.record_wait(PendingAnswer("a", "t1", "ok?"), b"")

    await journal.record(JournalRecord("a", out=journal.encoded("yes", "a")))

    assert journal.waits() == ()


async def test_a_question_and_its_answer_are_one_record_each_that_survive_the_machine():
    journal, backend, _ = await open_journal()
    await journal.record_wait(PendingAnswer("a", "t1", "ok?"), b"")
    await journal.record_answer("a", Answer(1, "", 3.0))

    records = await backend.load("r")
    assert [(each.path, each.kind, each.sync) for each in records] == [
        ("a?", RecordKind.WAIT, Sync.FULL),
        ("a!1", RecordKind.ANSWER, Sync.FULL),
    ]


@pytest.mark.parametrize("final", [False, True])
async def test_a_question_is_open_again_when_its_step_gave_up_with_the_answer(final):
    journal, backend, _ = await open_journal()
    await journal.record_wait(PendingAnswer("a", "t1", "ok?"), b"")
    await journal.record_answer("a", Answer(1, "", 3.0))
    await journal.record_attempt("a", ERROR, final=final, usage=Usage(), started_at=0, ended_at=0)

    again = Journal(backend, await backend.claim("r", force=True), JsonCodec(), await backend.load("r"))
    assert (len(again.waits()), again.answer("a")) == ((1, None) if final else (0, Answer(1, "", 3.0)))
    if final:
        await again.record_answer("a", Answer(2, "", 4.0))
    assert again.waits() == ()
    assert again.answer("a").value == (2 if final else 1)
    assert [question.token for question in again.questions()] == ["t1"]


async def test_answers_that_others_have_given_meanwhile_are_taken_note_of_once():
    journal, backend, _ = await open_journal()
    await journal.record_wait(PendingAnswer("a", "t1", "ok?"), b"")
    await journal.record_answer("a", Answer(1, "", 3.0))
    await journal.record_attempt("a", ERROR, final=True, usage=Usage(), started_at=0, ended_at=0)
    assert not await journal.catch_up()
    elsewhere = Journal(backend, None, JsonCodec(), await backend.load("r"))

    assert await backend.answer("r", elsewhere.answer_record("a", Answer(2, "ann", 4.0)))

    assert await journal.catch_up()
    assert (journal.answer("a"), journal.waits()) == (Answer(2, "ann", 4.0), ())
    assert not await journal.catch_up()


async def test_an_answer_that_was_given_meanwhile_stands():
    journal, backend, _ = await open_journal()
    await journal.record_wait(PendingAnswer("a", "t1", "ok?"), b"")
    elsewhere = Journal(backend, None, JsonCodec(), await backend.load("r"))
    await backend.answer("r", elsewhere.answer_record("a", Answer("first", "ann", 3.0)))

    await journal.record_answer("a", Answer("second", "on_deadline", 4.0))

    assert journal.answer("a") == Answer("first", "ann", 3.0)


async def test_an_answer_that_the_state_refuses_is_the_end_of_the_run():
    journal, backend, _ = await open_journal()
    await journal.record_wait(PendingAnswer("a", "t1", "ok?"), b"")
    await backend.close()

    with pytest.raises(StateUnavailable) as caught:
        await journal.record_answer("a", Answer("late", "on_deadline", 4.0))
    assert journal.failure is caught.value
