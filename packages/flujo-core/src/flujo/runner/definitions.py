"""What differs between two definitions of a pipeline, and what of a run's record a pipeline could not have written."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from flujo.domain.config import StepConfig
from flujo.domain.interfaces import JournalRecord, RecordKind, RunRow
from flujo.domain.outcomes import RunStatus
from flujo.domain.steps import Step
from flujo.exceptions import DefinitionChanged

__all__ = [
    "Change",
    "Key",
    "bare_path",
    "changes_between",
    "describe_change",
    "differing",
    "misfits",
    "names_in",
    "place_of",
    "places_of",
    "refusal",
]

#: How many changes are told, how much of a value, and how many places in one.
_TOLD, _SHOWN, _PLACES = 12, 48, 4

_INDEX = re.compile(r"\[\d+\]")

#: What follows the path of a step in the path of a record that is no result.
_SUFFIX = re.compile(r"[#?!^].*")

#: What is recorded under a step's fingerprint.
_SIGNED = (RecordKind.RESULT, RecordKind.WAIT, RecordKind.INTENT)


#: Keys of a step that hold data, whatever it looks like.
_DATA = ("input", "params")


class Key(NamedTuple):
    """A key of a step's definition whose value is another: both as short text, its default where it is not said.

    The `name` of a part of it has its place: "input_schema at $.properties.x". What is `soft` is no reason to refuse.
    """

    name: str
    before: str
    after: str
    soft: bool = False


class Change(NamedTuple):
    """How the step at `path` differs: it was "added", "removed", "moved" among its siblings, or "changed" in `keys`.

    The path is made of names, and of the fields that hold steps: "refine/body/draft". The pipeline's own is empty.
    """

    what: str
    path: str
    keys: tuple[Key, ...] = ()

    def __str__(self) -> str:
        hard, soft = (
            ", ".join(f"{key.name}: {key.before} -> {key.after}" for key in self.keys if key.soft is wanted)
            for wanted in (False, True)
        )
        told = "; ".join(filter(None, [hard, f"at liberty: {soft}" if soft else ""]))
        return f"{self.what} {repr(self.path) if self.path else 'the pipeline'}" + (f" ({told})" if told else "")


class _Node(NamedTuple):
    """A step in a definition: its own keys, and the names of the steps that follow each other in it."""

    own: Mapping[str, Any]
    order: tuple[str, ...]


def changes_between(before: str, after: str) -> list[Change]:
    """How the canonical text `after` of a pipeline differs from `before`; of a part that is gone or new only its top.

    Removed steps come first, then those added, moved and changed.
    """
    old, new = (dict(_nodes(json.loads(text), "")) for text in (before, after))
    both = [path for path in new if path in old]
    return [
        *(Change("removed", path) for path in old if path not in new and _parent(path) in new),
        *(Change("added", path) for path in new if path not in old and _parent(path) in old),
        *(Change("moved", f"{path}/{name}".lstrip("/")) for path in both for name in _moved(old[path], new[path])),
        *(Change("changed", path, keys) for path in both if (keys := tuple(_keys(old[path].own, new[path].own)))),
    ]


def describe_change(before: str, after: str) -> str:
    """The changes between two canonical texts as one line."""
    changes = changes_between(before, after)
    more = [f"and {len(changes) - _TOLD} more"] if len(changes) > _TOLD else []
    return "; ".join([*map(str, changes[:_TOLD]), *more]) or "nothing that its steps tell"


def names_in(definition: str) -> set[str]:
    """The names of the steps in the canonical text of a pipeline."""
    return {str(node.own["name"]) for _, node in _nodes(json.loads(definition), "")}


def _nodes(definition: Mapping[str, Any], path: str) -> Iterator[tuple[str, _Node]]:
    inside = {key: {} if key in _DATA else dict(_steps(key, value)) for key, value in definition.items()}
    own = {key: value for key, value in definition.items() if not inside[key]}
    order = tuple(name for key, value in definition.items() if isinstance(value, list) for name in inside[key])
    yield path, _Node(own, order)
    for steps in inside.values():
        for name, step in steps.items():
            yield from _nodes(step, f"{path}/{name}" if path else name)


def _steps(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The steps that a key holds, by what stands for them in paths: their names, or the keys to them."""
    if _is_step(value):
        yield key, value
    elif isinstance(value, list) and all(map(_is_step, value)):
        yield from ((step["name"], step) for step in value)
    elif isinstance(value, dict) and all(map(_is_step, value.values())):
        yield from value.items()


def _is_step(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("kind", "name"))


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _moved(old: _Node, new: _Node) -> list[str]:
    before = [name for name in old.order if name in new.order]
    after = [name for name in new.order if name in old.order]
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    kept = {index for block in blocks for index in range(block.b, block.b + block.size)}
    return [name for index, name in enumerate(after) if index not in kept]


def _keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Key]:
    soft = {name for kind in _kinds(Step) if kind.kind == new.get("kind") for name in kind.soft}
    for name in sorted({*old, *new}):
        if name in old and name in new:
            places = [*differing(old[name], new[name])]
            for place, before, after in places if len(places) <= _PLACES else [("", old[name], new[name])]:
                yield Key(f"{name} at ${place}" if place else name, _brief(before), _brief(after), name in soft)
        elif old.get(name) != new.get(name):
            before, after = (_brief(keys[name]) if name in keys else _usual(keys, name) for keys in (old, new))
            yield Key(name, before, after, name in soft)


def differing(before: Any, after: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The places in two values of JSON where they differ, with what is there: ".properties.decision", "[2]".

    A part that only one of them has is None in the other.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from differing(before.get(key), after.get(key), f"{place}.{key}")
    elif before != after:
        yield place, before, after


def _usual(own: Mapping[str, Any], name: str) -> str:
    """What a key is where a definition leaves it out, as short text; "nothing" for one without a plain default."""
    value = StepConfig.model_fields[name].default if name in StepConfig.model_fields else None
    for kind in _kinds(Step):
        if value is None and kind.kind == own.get("kind"):
            value = next((each.default for each in fields(kind) if each.name == name), None)
    return _brief(value) if value and isinstance(value, str | int | float) else "nothing"


def _kinds(cls: type[Step[Any, Any]]) -> Iterator[type[Step[Any, Any]]]:
    yield cls
    for each in cls.__subclasses__():
        yield from _kinds(each)


def _brief(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def bare_path(record: JournalRecord) -> str:
    """The path of the step that a record belongs to."""
    return _SUFFIX.sub("", record.path)


def place_of(path: str) -> str:
    """The path with "[]" for every number."""
    return _INDEX.sub("[]", path)


def places_of(pipeline: Step[Any, Any]) -> dict[str, list[Step[Any, Any]]]:
    """Every place that records can have, with the steps that may stand there; "[]" stands for any number.

    Steps that follow each other do so here, too.
    """
    found = {"": [pipeline]}
    todo = [("", pipeline)]
    for path, step in todo:
        inside = [(at if path else at.removeprefix("/"), child) for at, child in step.places()]
        if step.fallback is not None:
            inside.append((f"/fallback:{step.fallback.name}", step.fallback))
        for at, child in inside:
            found.setdefault(path + at, []).append(child)
            todo.append((path + at, child))
    return found


def misfits(pipeline: Step[Any, Any], records: Iterable[JournalRecord]) -> dict[str, str]:
    """What of the record `pipeline` could not have written, by path in the order of writing, and why in words.

    Failed attempts don't count: a step that has failed may change, or go.
    """
    places = places_of(pipeline)
    found: dict[str, str] = {}
    for record in records:
        path = bare_path(record)
        steps = places.get(place_of(path)) if record.kind in _SIGNED else ()
        if steps is None:
            found[path] = f"{path!r} is no step any more"
        elif steps and all(not record.fingerprint.startswith(step.fingerprint) for step in steps):
            found[path] = f"{path!r} is another step now"
    return found


def refusal(row: RunRow, name: str, definition: str, wrong: Mapping[str, str], *, allowed: bool) -> DefinitionChanged:
    """Why the run does not go on with the pipeline `name` of this `definition`; `wrong` are its `misfits`."""
    what = describe_change(row.definition, definition)
    ways = ["put the pipeline back as it was", "begin a new run at one of its steps: rerun_from(run_id, path)"]
    if not wrong and row.status is not RunStatus.COMPLETED:
        ways.insert(0, "go on with the pipeline as it is: resume(run_id, allow_changed=True)")
    message = f"pipeline {name!r} is not the one that run {row.run_id!r} has: {what}"
    if allowed and row.status is RunStatus.COMPLETED:
        message += "; it is completed, and there is nothing to go on with"
    elif allowed:
        told = ", ".join([*wrong.values()][:_TOLD])
        message = f"what run {row.run_id!r} has recorded does not fit pipeline {name!r}: {told}; {what}"
    error = DefinitionChanged(message, suggestion="; or ".join(ways))
    error.path = next(iter(wrong), None)
    return error
