"""Answers to the questions that a run waits for: which one is meant, and whether the answer will do."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, NamedTuple

from flujo.domain.interfaces import RunRow
from flujo.domain.outcomes import PendingAnswer, RunStatus
from flujo.domain.steps import Step
from flujo.engine.journal import Answer, Journal
from flujo.engine.recorded import asker_of
from flujo.exceptions import AnswerRejected, ConfigurationError, DefinitionChanged, RunNotPaused, SchemaMismatchError
from flujo.runner.definitions import differing

__all__ = ["NO_ANSWER", "Questions", "Reply", "fits", "meant", "open_question", "reply_of", "too_late", "waiting"]

#: As many open questions are listed in advice, and so much of what each asks.
_SHOWN, _SHORT = 12, 30


class _NoAnswer:
    def __repr__(self) -> str:
        return "NO_ANSWER"


#: What stands for an answer where none is given: None is an answer.
NO_ANSWER: Any = _NoAnswer()


class Reply(NamedTuple):
    """An answer as it is given: `token` names the question, None where only one is open; `by` says whose it is.

    For a token its beginning will do, or the question's path.
    """

    value: Any
    token: str | None = None
    by: str = ""


def reply_of(answer: Any, token: str | None, by: str) -> Reply | None:
    """The reply that `Flujo.resume` is given, if any. Raises `ConfigurationError` for a token without an answer."""
    if answer is not NO_ANSWER:
        return Reply(answer, token, by)
    if token is not None:
        raise ConfigurationError(f"token {token!r} comes without an answer", suggestion="give both, or none of both")
    return None


class Questions:
    """What a pipeline's steps may ask. Raises `ConfigurationError` for a step whose schema is none."""

    def __init__(self, pipeline: Step[Any, Any]) -> None:
        asking = [step for step in pipeline.walk() if step.asks]
        self._schemas: Mapping[bytes, Any] = _language().schemas_of(asking) if asking else {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._schemas)

    def accept(self, row: RunRow, journal: Journal, reply: Reply, now: float) -> tuple[PendingAnswer, Answer]:
        """The question that `reply` answers, and the answer as its step wants it; nothing is written.

        Raises `RunNotPaused` for a run that waits for no answer, and `AnswerRejected` for an answer that does not fit,
        for an unknown token and for one that is answered, naming who did it.
        """
        asked = open_question(row, journal, reply.token)
        value = self.fitted(journal, asked, reply.value)
        journal.encoded(value, f"the answer to {asked.path!r}")
        return asked, Answer(value, reply.by, now)

    def check(self, row: RunRow, journal: Journal) -> None:
        """Raise `DefinitionChanged` when a question was asked with another schema than its step's type has now."""
        for asked in journal.questions():
            schema = self._schemas.get(journal.fingerprint(asked.path))
            if schema is None or isinstance(schema, Mapping) or journal.knows(asker_of(asked.path)):
                continue
            for place, _, _ in differing(asked.schema, _language().json_schema(schema)):
                what = f"question {asked.path!r} of run {row.run_id!r} was asked with another schema"
                raise DefinitionChanged(
                    f"{what}: it differs at ${place}",
                    suggestion="go on with the schema as it is: resume(run_id, allow_changed=True); "
                    "or put the type back as it was",
                )

    def fitted(self, journal: Journal, asked: PendingAnswer, value: Any) -> Any:
        """`value` as the step that asks wants its answer. Raises `AnswerRejected`."""
        schema = self._schemas.get(journal.fingerprint(asked.path), asked.schema)
        try:
            return _language().fitting(schema, value, asked.path)
        except SchemaMismatchError as error:
            raise AnswerRejected(
                error.message,
                suggestion="nothing was recorded and the run still waits: answer again as the schema says",
                cause=error,
            ) from error


def fits(schema: Any, value: Any) -> bool:
    """Whether `value` is an answer to a question with this JSON Schema."""
    try:
        _language().fitting(schema, value, "")
    except SchemaMismatchError:
        return False
    return True


def _language() -> ModuleType:
    from flujo.infra import questions  # noqa: PLC0415 - it loads the schemas, and few pipelines ask

    return questions


#: What may be done with a run that wants no answer, where that is not to resume it.
_WAYS_ON = {
    RunStatus.RUNNING: "wait: it is at work, and may ask later",
    RunStatus.CANCELLED: "to resume it without an answer takes the cancellation back",
}


def waiting(row: RunRow, journal: Journal) -> tuple[PendingAnswer, ...]:
    """The questions that still want an answer: a run that has ended for good wants none."""
    return () if row.status in (RunStatus.COMPLETED, RunStatus.CANCELLED) else journal.waits()


def open_question(row: RunRow, journal: Journal, token: str | None) -> PendingAnswer:
    """The question that is answered; without a `token` the only one that is open. Raises as `Questions.accept`."""
    waits = waiting(row, journal)
    if token is not None:
        return _named(row, journal, waits, token)
    if not waits:
        answered = [_answered(journal, asked) for asked in journal.questions()][-1:]
        why = f"; {answered[0]}" if answered else ""
        raise RunNotPaused(
            f"run {row.run_id!r} is {row.status} and waits for no answer{why}",
            suggestion=_WAYS_ON.get(row.status, "resume it without an answer"),
        )
    if len(waits) > 1:
        raise AnswerRejected(
            f"run {row.run_id!r} waits for {len(waits)} answers, and no token says which this is",
            suggestion=f"name it by its token, the beginning of that, or its path; {_listed(waits)}",
        )
    return waits[0]


def meant(questions: Sequence[PendingAnswer], name: str) -> PendingAnswer | None:
    """The question with this token or path, the one asked last of several; else the only one whose token begins so."""
    exact = [asked for asked in questions if name in (asked.token, asked.path)]
    begun = [asked for asked in questions if name and asked.token.startswith(name)]
    return exact[-1] if exact else begun[0] if len(begun) == 1 else None


def _named(row: RunRow, journal: Journal, waits: Sequence[PendingAnswer], token: str) -> PendingAnswer:
    found = meant(journal.questions(), token)
    if found is None:
        raise AnswerRejected(f"run {row.run_id!r} has no question {token!r}", suggestion=_listed(waits))
    if found not in waits:
        raise too_late(row, journal, found)
    return found


def too_late(row: RunRow, journal: Journal, asked: PendingAnswer) -> AnswerRejected:
    """The error for an answer to a question that is no longer open: it says who was faster, and when."""
    return AnswerRejected(
        f"the answer comes too late: {_answered(journal, asked)}", suggestion=_listed(waiting(row, journal))
    )


def _answered(journal: Journal, asked: PendingAnswer) -> str:
    """Who has answered, and when."""
    answer = journal.answer(asked.path)
    if answer is None:
        return f"{asked.path!r} no longer waits"
    when = datetime.fromtimestamp(answer.at, UTC).isoformat(sep=" ", timespec="seconds")
    return f"{asked.path!r} was answered by {answer.by or 'somebody'} at {when}"


def _listed(waits: Sequence[PendingAnswer]) -> str:
    if not waits:
        return "it waits for no answer"
    more = ", ..." if len(waits) > _SHOWN else ""
    return f"open are {', '.join(f'{asked.token} ({asked.path}: {_brief(asked)})' for asked in waits[:_SHOWN])}{more}"


def _brief(asked: PendingAnswer) -> str:
    text = " ".join(asked.message.split())
    return repr(text if len(text) <= _SHORT else f"{text[:_SHORT]}...")
