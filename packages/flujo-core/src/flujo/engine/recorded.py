"""What is read back from a run's record, and how much of a text goes into it."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from flujo.domain.interfaces import JournalRecord, RecordKind
from flujo.domain.lives import CALL_LOST
from flujo.engine.changes import as_change, as_fields, not_stored

__all__ = [
    "CHANGE",
    "PLUGINS",
    "Answer",
    "Item",
    "Recorded",
    "Settlement",
    "asker_of",
    "calls_in",
    "is_in",
    "kept",
    "providers",
    "words",
]

#: Beside the kinds of records: what one says that its step has changed in the context.
CHANGE = -1

#: The tag of a run that notes its plugins.
PLUGINS = "plugins"
_NOTED = TypeAdapter(dict[str, tuple[str, ...]])

#: How much of what an attempt taught is kept for the next: characters.
_MOST_FEEDBACK = 100_000


#: What the records of flujo's own words hold, and of which types.
_WORDS: Mapping[int, Mapping[str, Any]] = {
    RecordKind.WAIT: {"token": str, "message": str, "schema": object, "deadline": float | int | None},
    RecordKind.ANSWER: {"value": object, "by": str},
    RecordKind.SETTLED: {"output": object, "again": bool, "by": str},
    RecordKind.CALL: {"calls": int, "tokens_in": int, "tokens_out": int, "cost_usd": object},
}

#: What may be missing: nothing is said of it then.
_OPTIONAL = {"schema", "deadline"}

#: No deadline is further off, in seconds since the epoch.
_LATEST = 62_000_000_000


class Recorded(NamedTuple):
    """A result read back from the journal, with its values as they were before they were written down."""

    value: Any
    delta: Any
    record: JournalRecord


class Item(NamedTuple):
    """The item of a map that steps work on: item `number`, from 0, of the map at `path`; `digest` is of its value."""

    path: str
    number: int
    digest: bytes


class Answer(NamedTuple):
    """A person's answer: `by` says whose it is, `at` when it was given, in seconds since the epoch."""

    value: Any
    by: str
    at: float


class Settlement(NamedTuple):
    """What a person says of a step that began and did not end: its `output`, or that it may run `again`."""

    output: Any
    again: bool
    by: str
    at: float


def words(kind: int, value: Any, where: str) -> Any:
    """`value`, if a record of this kind may hold it, or is a `CHANGE`. Raises `StateCorrupt`, naming `where`."""
    if kind == CHANGE:
        return as_change(value, where)
    if kind in _WORDS:
        types, told = _WORDS[kind], as_fields(value, where)
        fits = types.keys() - _OPTIONAL <= told.keys() <= types.keys()
        fits = fits and all(isinstance(each, types[name]) for name, each in told.items())
        if not fits or not abs(told.get("deadline") or 0) <= _LATEST:
            raise not_stored(where)
    return value


def providers(text: str, where: str) -> dict[str, tuple[str, ...]]:
    """The plugins that a run has noted, and the kinds of step that each runs. Raises `StateCorrupt`, naming `where`."""
    try:
        return _NOTED.validate_json(text, strict=True)
    except ValueError:
        raise not_stored(where) from None


def is_in(path: str, around: str) -> bool:
    """Whether `path` is that of the step `around`, or of one in it; everything is in the pipeline, at ""."""
    return not around or path == around or path.startswith((f"{around}/", f"{around}["))


def asker_of(path: str) -> str:
    """The path of the step that has asked at `path`: its own, or one with "?" and the question's number after it."""
    return path.partition("?")[0]


def calls_in(attempts: Iterable[JournalRecord]) -> int:
    """How many calls came to an end: not those that their process died over, which are made again."""
    heard = (record for record in attempts if record.error is None or record.error.type != CALL_LOST)
    return sum(record.usage.calls for record in heard)


def kept(feedback: str) -> str:
    """As much of a text as every state can keep."""
    return feedback[:_MOST_FEEDBACK].encode(errors="replace").decode()
