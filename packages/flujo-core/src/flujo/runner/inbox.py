"""What the runs of a state wait for, and the way of an answer to its question: nobody needs to own the run for it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from flujo.domain.interfaces import Clock, Codec, RunRow, StateBackend
from flujo.domain.outcomes import PendingAnswer, RunStatus
from flujo.engine.journal import Answer, Journal
from flujo.exceptions import AnswerRejected, RunNotFound, StateCorrupt
from flujo.runner.answers import Questions, Reply, open_question, too_late, waiting
from flujo.runner.decisions import matched

__all__ = ["Inbox", "OpenQuestion", "find", "in_pages", "read_inbox"]

T = TypeVar("T")

#: As many questions are read at once.
_PAGE = 1000


class OpenQuestion(NamedTuple):
    """A question that a run waits with; the run's `status` may be any but one for good."""

    run_id: str
    pipeline: str
    status: RunStatus
    question: PendingAnswer


async def find(backend: StateBackend, run_id: str) -> RunRow:
    """The run's row. Raises `RunNotFound`."""
    row = await backend.get(run_id)
    if row is None:
        raise RunNotFound(f"no run {run_id!r}", suggestion="list runs, or check which state is in use")
    return row


async def read_inbox(
    backend: StateBackend,
    codec: Codec,
    run_id: str | None = None,
    unreadable: Callable[[StateCorrupt], object] | None = None,
) -> tuple[OpenQuestion, ...]:
    """The open questions of one run or of all, the oldest first.

    `unreadable` is told of each that is damaged; without it `StateCorrupt` is raised for the first.
    """
    journal = Journal(backend, None, codec)
    found = []
    async for wait in in_pages(partial(backend.waits, run_id=run_id), _PAGE, unreadable):
        try:
            found.append(OpenQuestion(wait.run_id, wait.pipeline, wait.status, journal.asked(wait.record)))
        except StateCorrupt as error:
            told = StateCorrupt(f"a question of run {wait.run_id!r}: {error.message}", suggestion=error.suggestion)
            if unreadable is None:
                raise told from error
            unreadable(told)
    return tuple(found)


async def in_pages(
    read: Callable[..., Awaitable[Sequence[T]]], size: int, unreadable: Callable[[StateCorrupt], object] | None
) -> AsyncIterator[T]:
    """What `read` gives, which takes a `limit` and an `offset`, `size` at once; a page with damage is read one by one.

    `unreadable` is told of each that is damaged; without it, and for what is no damage of one run, the error is raised.
    """
    offset = 0
    while True:
        try:
            page = await read(limit=size, offset=offset)
        except StateCorrupt as error:
            if error.run_id is None or unreadable is None:
                raise
            if size == 1:
                unreadable(error)
                offset += 1
            size = 1
            continue
        if not page:
            return
        offset += len(page)
        for each in page:
            yield each


class Inbox(NamedTuple):
    """Takes answers to the `questions` of one pipeline's runs."""

    backend: StateBackend
    codec: Codec
    clock: Clock
    questions: Questions

    async def answer(self, row: RunRow, reply: Reply) -> PendingAnswer:
        """Write an answer down, and give the question that it is for; it is safe when this returns.

        Raises `RunNotPaused` and `AnswerRejected` for one that won't do or comes too late; nothing has changed then.
        """
        journal = await self._journal(row)
        asked, answer = self.questions.accept(row, journal, reply, self.clock.now())
        await self._give(row, journal, asked, answer)
        return asked

    async def answer_all(self, row: RunRow, decisions: Mapping[str, Any], by: str) -> tuple[PendingAnswer, ...]:
        """Write many answers down, by what names their questions (see `matched`), and give those that are new.

        All of them are checked before the first is written. An answer that was given before is no mistake: what was
        broken off can be done again.
        """
        journal = await self._journal(row)
        pending = {asked.token for asked in waiting(row, journal)}
        now = self.clock.now()
        accepted = []
        for key, asked in matched(row.run_id, decisions, journal.questions(), pending).items():
            if asked.token in pending:
                accepted.append(self.questions.accept(row, journal, Reply(decisions[key], asked.token, by), now))
            else:
                self._check_same(row, journal, asked, decisions[key])
        for asked, answer in accepted:
            await self._give(row, journal, asked, answer)
        return tuple(asked for asked, _ in accepted)

    def _check_same(self, row: RunRow, journal: Journal, asked: PendingAnswer, value: Any) -> None:
        """Raise `AnswerRejected` unless the question was answered by this very value."""
        given = journal.answer(asked.path)
        if given is None or self.questions.fitted(journal, asked, value) != given.value:
            raise too_late(row, journal, asked)

    async def _give(self, row: RunRow, journal: Journal, asked: PendingAnswer, answer: Answer) -> None:
        if await self.backend.answer(row.run_id, journal.answer_record(asked.path, answer)):
            return
        row = await find(self.backend, row.run_id)
        journal = await self._journal(row)
        open_question(row, journal, asked.token)  # says who was faster; else it is open again, after another answer
        raise AnswerRejected(
            f"the answer comes too late: {asked.path!r} was answered meanwhile, and asks again",
            suggestion="look at what it failed with, and answer again",
        )

    async def check(self, row: RunRow) -> None:
        """Raise `DefinitionChanged` when a question of the run has another schema now."""
        if self.questions:
            self.questions.check(row, await self._journal(row))

    async def _journal(self, row: RunRow) -> Journal:
        return Journal(self.backend, None, self.codec, await self.backend.load(row.run_id))
