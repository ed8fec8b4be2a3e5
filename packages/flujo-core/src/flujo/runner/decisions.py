"""Many answers at once: which question is meant by a ticket's number, an index, a path or a token."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from flujo.domain.outcomes import PendingAnswer
from flujo.exceptions import AnswerRejected

__all__ = ["matched"]

#: As many keys or questions are named in a message.
_SHOWN = 5

_Test = Callable[[PendingAnswer], object]


def matched(
    run_id: str, keys: Collection[str], questions: Sequence[PendingAnswer], pending: Collection[str]
) -> Mapping[str, PendingAnswer]:
    """The question that each of `keys` means, among a run's `questions`; `pending` are the tokens of the open ones.

    A key is a question's token or path, or else a whole word of one question's path (`3` of `map:tickets[3]/ask`), or
    else of one message; where it fits several, the open ones are meant. Raises `AnswerRejected` for keys that mean no
    question or could mean several, and for two that mean the same.
    """
    found = {key: next(_meant(key, questions, pending), []) for key in keys}
    if unknown := [key for key, hits in found.items() if not hits]:
        names = "name" if len(unknown) > 1 else "names"
        raise AnswerRejected(f"{_list(unknown)} {names} no question of run {run_id!r}", suggestion=_ADVICE)
    meant: dict[str, str] = {}
    for key, hits in found.items():
        if len(hits) > 1:
            paths = _list([asked.path for asked in hits])
            raise AnswerRejected(f"{key!r} could name {len(hits)} questions: {paths}", suggestion=_ADVICE)
        other = meant.setdefault(hits[0].token, key)
        if other != key:
            raise AnswerRejected(f"{other!r} and {key!r} name one question: {hits[0].path!r}", suggestion=_ADVICE)
    return {key: hits[0] for key, hits in found.items()}


_ADVICE = "nothing was recorded: give each question's token, its path, or a word that only its path or message has"


def _meant(key: str, questions: Sequence[PendingAnswer], pending: Collection[str]) -> Iterator[list[PendingAnswer]]:
    """What the key may mean, the surest way to understand it first."""
    for test in _tests(key):
        hits = [asked for asked in questions if test(asked)]
        if hits:
            yield [asked for asked in hits if asked.token in pending] or hits


def _tests(key: str) -> tuple[_Test, ...]:
    word = re.compile(rf"(?<![\w-]){re.escape(key)}(?![\w-])")
    return (
        lambda asked: asked.token == key,
        lambda asked: asked.path == key,
        lambda asked: key and word.search(asked.path),
        lambda asked: key and word.search(asked.message),
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
