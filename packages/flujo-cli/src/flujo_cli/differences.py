"""What differs between the records of two runs, step by step."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import unified_diff
from typing import Any, NamedTuple

from flujo.domain.interfaces import JournalRecord, RecordKind, RunRow
from flujo.domain.lives import is_abort
from flujo.domain.usage import NO_USAGE, Usage
from flujo.runner.definitions import bare_path
from flujo_cli.records import value_of

__all__ = ["Decision", "Inputs", "Pair", "Step", "decisions", "pairs_of", "row_values", "steps_of", "text_diff"]

#: What a step came to, by the last record of it that says.
_STATUSES = {RecordKind.RESULT: "ok", RecordKind.FAILED: "failed", RecordKind.WAIT: "waits", RecordKind.ANSWER: "waits"}

#: Which of a step's values are compared, and what they are called.
_COMPARED = ("status", "input", "output", "changes", "error", "attempts", "usage", "fallback")

#: The prefixes of kinds that choose what runs under them.
_CHOOSING = ("agentic_loop:", "conditional:", "loop:", "map:", "router:", "state_machine:")


#: What a run's steps were given, by path, as a record would have it.
Inputs = Mapping[str, bytes]


class Step(NamedTuple):
    """What one run has recorded of a step: `changes` is what it did to the context, `usage` counts every attempt.

    `input` is what a replay gave it, if that is known: a tuple of one value, or of none.
    """

    status: str
    output: Any
    changes: Any
    error: str | None
    attempts: int
    usage: Usage
    duration_s: float
    fallback: str | None
    input: tuple[Any, ...] = ()

    def is_other(self, other: "Step", name: str) -> bool:
        """Whether the value called `name` is another one; an input that is not known of both is none."""
        mine, theirs = getattr(self, name), getattr(other, name)
        return bool(mine != theirs and (name != "input" or (mine and theirs)))


class Pair(NamedTuple):
    """A step of both runs, or of one of them; `differs` names what is not the same in both. Times never are."""

    path: str
    a: Step | None
    b: Step | None

    @property
    def differs(self) -> tuple[str, ...]:
        """What is another, by name; "only in a" and "only in b" where the other has nothing."""
        if self.a is None or self.b is None:
            return ("only in a" if self.b is None else "only in b",)
        other = [name for name in _COMPARED if self.a.is_other(self.b, name)]
        return tuple(name for name in other if name != "attempts" or "status" not in other)


class Decision(NamedTuple):
    """Where two runs went on in different ways: what follows the step at `path` in each."""

    path: str
    a: tuple[str, ...]
    b: tuple[str, ...]


def steps_of(records: Sequence[JournalRecord], inputs: Inputs) -> dict[str, Step]:
    """What is recorded of each step that keeps a record of its own, in the order of the first one; with its input."""
    by_path: dict[str, list[JournalRecord]] = {}
    for record in records:
        by_path.setdefault(bare_path(record), []).append(record)
    given = {path: (value_of(inputs[path]),) if path in inputs else () for path in by_path}
    return {path: _step(found)._replace(input=given[path]) for path, found in by_path.items()}


def _step(records: Sequence[JournalRecord]) -> Step:
    telling = [each for each in records if each.kind in _STATUSES]
    last = next((each for each in telling if each.kind is RecordKind.RESULT), telling[-1] if telling else records[-1])
    is_result = last.kind is RecordKind.RESULT
    other = "aborted" if is_abort(last) else "at work"
    status = "cached" if is_result and last.attempt == 0 else _STATUSES.get(last.kind, other)
    tried = [each for each in records if each.kind in (RecordKind.RESULT, RecordKind.ATTEMPT, RecordKind.FAILED)]
    return Step(
        status,
        value_of(last.out) if is_result and last.out is not None else None,
        None if last.delta is None else value_of(last.delta),
        last.error.message if last.error and not is_result else None,
        last.attempt if is_result or last.kind is RecordKind.FAILED else 0,
        sum((each.usage for each in records), NO_USAGE),
        sum(each.ended_at - each.started_at for each in tried),
        last.fallback,
    )


def pairs_of(a: Sequence[JournalRecord], b: Sequence[JournalRecord], inputs: Sequence[Inputs] = ({}, {})) -> list[Pair]:
    """The steps of both runs by path: in the order of the first, and what only the second has where it has it."""
    mine, others = steps_of(a, inputs[0]), steps_of(b, inputs[1])
    return [Pair(path, mine.get(path), others.get(path)) for path in _merged(mine, others)]


def _merged(mine: Iterable[str], others: Iterable[str]) -> Iterator[str]:
    """All of `mine`, and what else is in `others` after what stands before it there."""
    following: dict[str, list[str]] = {"": []}
    following |= {path: [] for path in mine}
    before = ""
    for path in others:
        if path in following:
            before = path
        else:
            following[before].append(path)
    for path, more in following.items():
        yield from (path, *more) if path else more


def decisions(pairs: Sequence[Pair], whole: tuple[bool, bool]) -> Iterator[Decision]:
    """Where the runs differ in what was chosen: branches, how many iterations or items, states.

    `whole` says of each whether it has completed: then nothing was chosen where nothing is recorded.
    """
    a, b = _chosen(each.path for each in pairs if each.a), _chosen(each.path for each in pairs if each.b)
    told: list[str] = []
    for path in {**a, **b}:
        one, other = a.get(path, ()), b.get(path, ())
        inside = "cache:" in path or path.startswith(tuple(told))  # it was not come to, or a kept result served
        known = (one and other) or (not inside and whole[0 if other else 1])
        if one != other and known:
            told += [f"{path}/", f"{path}["]
            yield Decision(path, one, other)


def _chosen(paths: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """What stands next in the paths under each step that chooses."""
    found: dict[str, dict[str, None]] = {}
    for path in paths:
        for at, parent, following in _forks(path):
            if at.startswith(_CHOOSING):
                found.setdefault(parent, {})[following] = None
    return {parent: tuple(following) for parent, following in found.items()}


def _forks(path: str) -> Iterator[tuple[str, str, str]]:
    """Each segment of a path, the path up to it, and what follows it: a branch, or "[2]"."""
    parts = path.replace("[", "/[").split("/")
    for number, part in enumerate(parts[:-1]):
        yield part, "/".join(parts[: number + 1]).replace("/[", "["), parts[number + 1]


def text_diff(a: Any, b: Any, names: tuple[str, str]) -> str:
    """How two values differ, line by line, as `diff -u` writes it; nothing where they are the same."""
    return "\n".join(unified_diff(_lines(a), _lines(b), *names, lineterm=""))


def _lines(value: Any) -> list[str]:
    if value is None:
        return []
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    return text.splitlines()


def row_values(row: RunRow) -> dict[str, Any]:
    """A run's input, first context and output as plain data."""
    stored = {"input": row.input, "context": row.base, "output": row.output}
    return {name: None if value is None else value_of(value) for name, value in stored.items()}
