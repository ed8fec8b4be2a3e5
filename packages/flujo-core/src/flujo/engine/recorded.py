"""What is read back from a run's journal, and how much of a text goes into it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from flujo.domain.interfaces import JournalRecord
from flujo.domain.lives import CALL_LOST

__all__ = ["Answer", "Item", "Recorded", "Settlement", "asker_of", "calls_in", "kept"]

#: How much of what an attempt taught is kept for the next: characters.
_MOST_FEEDBACK = 100_000


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
