"""An agent whose answers are written down, for tests, examples and pipelines that are tried out offline."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from flujo.domain.agents import AgentResult
from flujo.domain.suggest import did_you_mean
from flujo.domain.usage import Usage
from flujo.exceptions import ConfigurationError, ExecutionError
from flujo.infra.values import show

__all__ = ["ScriptedAgent", "scripted"]

Answers: TypeAlias = Sequence[Any] | Mapping[str, Any]

#: The key of the answer to everything that has none of its own.
_ANYTHING = "*"

_COUNTS = ("tokens_in", "tokens_out")
_KEYS = frozenset({"answer", "error", *_COUNTS})


class _Entry(NamedTuple):
    """One answer: what it says, or what it raises, and the tokens that it counts as."""

    answer: Any = None
    error: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


class ScriptedAgent:
    """Gives answers that are written down: by the data they answer, or one after the other.

    A mapping holds the answers by the data as text, "*" the answer to anything else. The n-th answer of a list is the
    answer to the run's n-th call of this agent, over every crash and resume. An answer stands for itself, or is
    {"answer": ..., "tokens_in": n, "tokens_out": n}, or {"error": text}, which fails the call; tokens that are not
    told are a quarter of the bytes. An answer that is an object with a key "answer" or "error" is wrapped in another
    one: {"answer": {"answer": ...}}. `model` is the name in the price table. Raises `ConfigurationError`.
    """

    def __init__(self, answers: Answers, *, model: str = "") -> None:
        self.model = model or f"scripted:{_digest(answers)}"
        self._by_key: dict[str, _Entry] | None = None
        self._in_order: list[_Entry] = []
        if isinstance(answers, Mapping):
            self._by_key = {key: self._entry(answers[key], repr(key)) for key in answers}
        elif isinstance(answers, list | tuple):
            self._in_order = [self._entry(answer, str(number)) for number, answer in enumerate(answers, 1)]
        if not (self._by_key or self._in_order):
            raise self._wrong("has no answers", "write a list of answers, or a mapping with answers by the data")

    async def run(self, data: Any, *, run: Any) -> AgentResult[Any]:
        """The answer to `data`. Raises `ExecutionError` for an answer that is an error."""
        entry = self._find(data, run.calls, run.feedback)
        if entry.error is not None:
            raise ExecutionError(entry.error)
        return AgentResult(copy.deepcopy(entry.answer), _usage(entry, data))

    def estimate(self, data: Any, *, run: Any) -> Usage:
        """What the answer to `data` is going to use."""
        return _usage(self._find(data, run.calls, run.feedback), data)

    def _find(self, data: Any, calls: int, feedback: str | None = None) -> _Entry:
        """Raises `ConfigurationError` when there is no answer, which no second attempt would change."""
        if self._by_key is None:
            if calls < len(self._in_order):
                return self._in_order[calls]
            many = f"{len(self._in_order)} answer{'s' if len(self._in_order) > 1 else ''}"
            why = f"; the last one would not do: {feedback}" if feedback else ""
            raise self._wrong(f"has {many}, and this is call {calls + 1}{why}", "write an answer for every call")
        key = show(data)
        if key in self._by_key or _ANYTHING in self._by_key:
            return self._by_key.get(key) or self._by_key[_ANYTHING]
        brief = key if len(key) <= 60 else f"{key[:57]}..."
        raise self._wrong(f"has no answer to {brief!r}", did_you_mean(key, self._by_key, what="it has answers to"))

    def _entry(self, value: Any, which: str) -> _Entry:
        if not isinstance(value, Mapping) or not {"answer", "error"} & value.keys():
            return _Entry(value)
        if unknown := sorted(str(key) for key in value.keys() - _KEYS):
            said = "answer" if "answer" in value else "error"
            advice = (
                f"beside {said!r} there may be {' and '.join(_COUNTS)}; if the whole object is the answer, wrap it: "
            )
            raise self._wrong(f"has {unknown[0]!r} beside {said!r} in answer {which}", advice + '{"answer": {...}}')
        entry = _Entry(**value)
        for name in _COUNTS:
            count = value.get(name)
            if count is not None and (type(count) is not int or count < 0):
                raise self._wrong(f"has {name} {count!r} in answer {which}", "tokens are a whole number from 0")
        if entry.error is not None and not isinstance(entry.error, str):
            raise self._wrong(f"has an error that is no text in answer {which}", "write the text that is raised")
        return entry

    def _wrong(self, what: str, suggestion: str) -> ConfigurationError:
        return ConfigurationError(f"agent {self.model!r} {what}", suggestion=suggestion)


def scripted(source: str | Path | Answers, *, model: str = "") -> ScriptedAgent:
    """An agent with these answers, or with those in a file: JSON, or one JSON value a line in a file `*.jsonl`.

    See `ScriptedAgent`. Raises `ConfigurationError` for a file that can't be read.
    """
    if not isinstance(source, str | Path):
        return ScriptedAgent(source, model=model)
    path = Path(source)
    return ScriptedAgent(_read(path), model=model or f"scripted:{path.as_posix()}")


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), error) from error
    if path.suffix != ".jsonl":
        return _parsed(text, str(path))
    lines = enumerate(text.split("\n"), 1)
    return [_parsed(line, f"{path}, line {number}") for number, line in lines if line.strip()]


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(place, error) from error


def _unreadable(place: str, error: Exception) -> ConfigurationError:
    advice = "write JSON, or one JSON value a line in a file '*.jsonl'"
    return ConfigurationError(f"answers can't be read from {place!r}: {error}", suggestion=advice)


def _usage(entry: _Entry, data: Any) -> Usage:
    if entry.error is not None:
        return Usage(calls=1)
    asked = _tokens(data) if entry.tokens_in is None else entry.tokens_in
    return Usage(1, asked, _tokens(entry.answer) if entry.tokens_out is None else entry.tokens_out)


def _tokens(value: Any) -> int:
    return -(-len(show(value).encode("utf-8", "surrogatepass")) // 4)


def _digest(answers: Answers) -> str:
    """A name for answers that stand in no file, the same in every process."""
    return hashlib.blake2b(repr(answers).encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()
