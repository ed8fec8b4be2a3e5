"""The inbox: what runs wait for, answers while a run is at work, many answers at once."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import Flujo, OpenContext, Step, human, map_, parallel
from flujo.exceptions import AnswerRejected, RunNotFound, RunNotPaused, StateBackendBusy
from flujo.infra.memory import InMemoryBackend
from flujo.testing import FakeClock

TWO = parallel("both", {"a": human("ask", "a?"), "b": human("ask", "b?")})
TICKETS = map_("tickets", human("ask", "pay {{ item.usd }} for {{ item.id }}?", schema={"type": "string"}))
ITEMS = [{"id": "T-1", "usd": 5}, {"id": "T-12", "usd": 7}, {"id": "T-3", "usd": 2}]


@pytest.fixture
def backend() -> InMemoryBackend:
    return InMemoryBackend()


def flujo(step: Step[Any, Any], backend: InMemoryBackend) -> Flujo[Any, Any, OpenContext]:
    return Flujo(step, state_backend=backend, context_model=OpenContext, clock=FakeClock())


async def test_the_inbox_has_the_open_questions_of_every_run_the_oldest_first(backend):
    runner = flujo(TWO, backend)
    first = await runner.run("x", run_id="r1")
    second = await flujo(human("ask", "ok?"), backend).run("x", run_id="r2")
    await flujo(human("ask", "ok?"), backend).cancel((await flujo(human("ask", "ok?"), backend).run("x")).run_id)

    asked = await runner.inbox()

    assert [(each.run_id, each.pipeline, each.status) for each in asked] == [
        ("r1", "both", "paused"),
        ("r1", "both", "paused"),
        ("r2", "ask", "paused"),
    ]
    assert [each.question for each in asked] == [*first.pending, *second.pending]
    assert [each.question for each in await runner.inbox(second)] == list(second.pending)
    await runner.answer("r1", "A", token=first.pending[0].token)
    assert [each.question for each in await runner.inbox("r1")] == [first.pending[1]]


async def test_an_answer_can_be_left_for_somebody_who_goes_on_with_it(backend):
    step = human("ask", "ok?")
    paused = await flujo(step, backend).run("x", run_id="r")

    assert await flujo(step, backend).answer(paused, "yes", by="ann") == paused.pending[0]
    assert (await backend.get("r")).status == "paused"
    with pytest.raises(AnswerRejected, match="'ask' was answered by ann"):
        await flujo(step, backend).answer("r", "no", token=paused.pending[0].token)

    assert (await flujo(step, backend).resume("r")).output == "yes"
    with pytest.raises(RunNotPaused):
        await flujo(step, backend).answer("r", "no")
    with pytest.raises(RunNotFound):
        await flujo(step, backend).answer("nobody", "no")


async def test_an_answer_that_comes_while_another_branch_is_at_work_is_used_before_the_run_is_let_go_of(backend):
    asked, answered = asyncio.Event(), asyncio.Event()
    calls = []

    async def slow(data: Any) -> Any:
        calls.append(data)
        await asyncio.sleep(0.01)
        asked.set()
        await answered.wait()
        return data

    after = Step("after", lambda data: calls.append(data) or data)
    step = parallel("both", {"a": human("ask", "a?") >> after, "b": Step("slow", slow)})
    running = asyncio.create_task(flujo(step, backend).run("x", run_id="r"))
    await asked.wait()
    open_ones = await flujo(step, backend).inbox()
    assert [(each.status, each.question.path) for each in open_ones] == [("running", "parallel:both/a/ask")]

    await flujo(step, backend).answer("r", "yes", by="ann")
    answered.set()

    result = await running
    assert (result.status, result.output, result.pending) == ("completed", {"a": "yes", "b": "x"}, ())
    assert calls == ["x", "yes"]


class Failing(InMemoryBackend):
    """Can't be read once `fails` is set."""

    fails = False

    async def get(self, run_id: str, /) -> Any:
        if self.fails:
            raise StateBackendBusy("another process holds the lock")
        return await super().get(run_id)


async def test_a_state_that_fails_when_an_answer_was_found_leaves_the_run_where_it_can_go_on():
    backend = Failing()

    async def answer(data: Any) -> Any:
        await asyncio.sleep(0.01)
        await flujo(step, backend).answer("r", "yes")
        backend.fails = True
        return data

    step = parallel("both", {"a": human("ask", "a?"), "b": Step("answer", answer)})
    with pytest.raises(StateBackendBusy):
        await flujo(step, backend).run("x", run_id="r")

    backend.fails = False
    assert (await backend.get("r")).status == "interrupted"
    assert (await flujo(step, backend).resume("r")).output == {"a": "yes", "b": "x"}


async def test_many_answers_are_told_apart_by_what_only_one_question_has(backend):
    step = TICKETS
    await flujo(step, backend).run(ITEMS, run_id="r")
    token = (await flujo(step, backend).inbox())[2].question.token

    answered = await flujo(step, backend).answer_all("r", {"T-1": "a", "map:tickets[1]/ask": "b", token: "c"}, by="ann")

    assert [asked.path for asked in answered] == ["map:tickets[0]/ask", "map:tickets[1]/ask", "map:tickets[2]/ask"]
    assert (await flujo(step, backend).resume("r")).output == ["a", "b", "c"]


async def test_an_index_is_a_word_of_the_path_before_it_is_one_of_a_message(backend):
    await flujo(TICKETS, backend).run(ITEMS, run_id="r")

    await flujo(TICKETS, backend).answer_all("r", {"2": "c", "5": "a"})
    pending = (await flujo(TICKETS, backend).resume("r")).pending

    assert [asked.path for asked in pending] == ["map:tickets[1]/ask"]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"T-1": "a", "T-9": "b"}, "'T-9' names no question of run 'r'"),
        ({"T": "a", "": "b"}, "'T', '' name no question of run 'r'"),
        (
            {"ask": "a"},
            "'ask' could name 3 questions: 'map:tickets[0]/ask', 'map:tickets[1]/ask', 'map:tickets[2]/ask'",
        ),
        ({"T-1": "a", "0": "b"}, "'T-1' and '0' name one question: 'map:tickets[0]/ask'"),
        ({"T-1": "a", "T-3": 3}, "the answer to 'map:tickets[2]/ask' does not fit its schema: $: 3 is not of type"),
    ],
)
async def test_of_many_answers_none_is_written_when_one_will_not_do(backend, answers, message):
    paused = await flujo(TICKETS, backend).run(ITEMS, run_id="r")
    before = await backend.load("r")

    with pytest.raises(AnswerRejected) as caught:
        await flujo(TICKETS, backend).answer_all("r", answers)

    assert str(caught.value).startswith(message)
    assert "nothing was recorded" in caught.value.suggestion
    assert await backend.load("r") == before
    assert len(paused.pending) == 3


async def test_the_same_answers_once_more_are_no_mistake_and_others_are(backend):
    runner = flujo(TICKETS, backend)
    await runner.run(ITEMS, run_id="r")
    await runner.answer("r", "a", token=(await runner.inbox())[0].question.token, by="ann")
    await runner.resume("r")

    with pytest.raises(AnswerRejected, match=r"'map:tickets\[0\]/ask' was answered by ann at"):
        await runner.answer_all("r", {"T-1": "other", "T-12": "b"})
    assert [asked.path for asked in await runner.answer_all("r", {"T-1": "a", "T-12": "b"})] == ["map:tickets[1]/ask"]
    assert await runner.answer_all("r", {"T-1": "a", "T-12": "b"}) == ()
    await runner.resume("r", "c")
    assert await runner.answer_all("r", {"T-1": "a", "T-12": "b", "T-3": "c"}) == ()


async def test_a_word_means_the_question_that_is_open(backend):
    step = human("first", "check {{ previous_step }}") >> human("second", "pay {{ context.initial_prompt }}")
    runner = flujo(step, backend)
    await runner.run("T-1", run_id="r")
    await runner.answer_all("r", {"T-1": "checked"})
    await runner.resume("r")

    await runner.answer_all("r", {"T-1": "paid"})

    assert (await runner.resume("r")).output == "paid"


async def test_a_cancelled_run_wants_no_answers(backend):
    runner = flujo(TWO, backend)
    paused = await runner.run("x", run_id="r")
    assert await runner.cancel(paused) == "cancelled"

    with pytest.raises(RunNotPaused, match="run 'r' is cancelled and waits for no answer"):
        await runner.answer("r", "yes")
    with pytest.raises(AnswerRejected, match="'parallel:both/a/ask' no longer waits"):
        await runner.answer_all("r", {"a": "yes"})
    assert await runner.inbox() == ()


class Ended(InMemoryBackend):
    """Has somebody cancel the run between the check of an answer and its record."""

    async def answer(self, run_id: str, record: Any, /) -> bool:
        await self.cancel(run_id, at=0)
        return await super().answer(run_id, record)


async def test_an_answer_to_a_run_that_is_cancelled_meanwhile_is_refused():
    backend = Ended()
    await flujo(TWO, backend).run("x", run_id="r")

    with pytest.raises(AnswerRejected, match="'parallel:both/a/ask' no longer waits"):
        await flujo(TWO, backend).answer_all("r", {"a": "yes"})


@given(order=st.permutations(range(5)), words=st.lists(st.sampled_from(["token", "path", "message"]), min_size=5))
async def test_answers_in_any_order_and_by_any_name_reach_their_questions(order, words):
    backend = InMemoryBackend()
    runner = flujo(map_("all", human("ask", "about {{ item }}")), backend)
    names = [f"item-{number}" for number in range(5)]
    await runner.run(names, run_id="r")

    for number, word in zip(order, words, strict=False):
        asked = next(each.question for each in await runner.inbox() if each.question.path == f"map:all[{number}]/ask")
        key = {"token": asked.token, "path": asked.path, "message": names[number]}[word]
        await runner.answer_all("r", {key: f"answer {number}"})
        result = await runner.resume("r")

    assert result.output == [f"answer {number}" for number in range(5)]
