"""The places of a run's record as a tree, each with what the pipeline's definition says of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flujo.domain.composite import CompositeStep
from flujo.domain.interfaces import JournalRecord, RecordKind
from flujo.domain.kinds import DynamicParallelRouterStep, MapStep, ParallelStep
from flujo.domain.steps import Pipeline, Step

__all__ = ["MARKS", "PIECES", "RECORDED", "TRIES", "Kinds", "Node", "node_at", "place"]

#: What stands after the path of a step in the paths of records that are not its result.
MARKS = re.compile(r"[#?!^].*")
PIECES = re.compile(r"\[\d+\]|/?[^/\[]+")
TRIES = (RecordKind.ATTEMPT, RecordKind.FAILED)
#: The kinds that never end without a record of their own.
RECORDED = ("step", "agent", "hitl")
#: The classes of kinds of which more is to be known than their names, where no pipeline is at hand to tell it.
_KNOWN: Sequence[type[Step[Any, Any]]] = (Pipeline, MapStep, ParallelStep, DynamicParallelRouterStep)


class Kinds:
    """What is known of the kinds in a run: by their classes, and by the prefixes of their paths."""

    def __init__(self, pipeline: Step[Any, Any] | None) -> None:
        classes = [*_KNOWN, *(type(step) for step in (() if pipeline is None else pipeline.walk()))]
        self.classes = {each.kind: each for each in classes if issubclass(each, CompositeStep)}
        self._names = {each.prefix: each.kind for each in classes if each.prefix}
        self._prefixes = {kind: prefix for prefix, kind in self._names.items()}

    def at(self, prefix: str) -> str:
        """The kind whose paths have this prefix; nothing for steps that have none."""
        return self._names.get(prefix, prefix)

    def segment(self, defined: Mapping[str, Any]) -> str:
        """What stands in paths for the step made of others that is defined so."""
        return f"{self._prefixes.get(defined['kind'], defined['kind'])}:{defined['name']}"


@dataclass(slots=True)
class Node:
    """A place in the tree of paths, and what is recorded there.

    `steps` defines those that follow each other in it, by their names, where they are known. `went` is what it came to
    that the step around it went on from, "failure" or "pause", and `at` when that was, or when it failed.
    """

    path: str
    piece: str
    kind: str
    defined: Mapping[str, Any]
    kinds: Kinds
    records: list[JournalRecord] = field(default_factory=list)
    children: dict[str, "Node"] = field(default_factory=dict)
    went: str = ""
    at: float | None = None
    steps: Mapping[str, Mapping[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        around = "body" if self.piece.startswith("[") else "pipeline"
        held = self.defined if self.kind == "pipeline" else self.defined.get(around, {})
        self.steps = {step["name"]: step for step in held.get("steps", ())}

    @property
    def name(self) -> str:
        """That of the step, without what stands before it for its kind."""
        return self.piece.lstrip("/").rpartition(":")[2]

    @property
    def of(self) -> type[CompositeStep[Any, Any]]:
        """What is known of its kind."""
        return self.kinds.classes.get(self.kind, CompositeStep)

    @property
    def holds_steps(self) -> bool:
        """Whether it is made of others, as far as its place tells."""
        return self.kind not in RECORDED and (":" in self.piece or self.kind in ("pipeline", "item", "iteration"))

    @property
    def spares(self) -> bool:
        """Whether some of its parts may fail without the whole."""
        return self.of.spares in self.defined

    @property
    def is_background(self) -> bool:
        """Whether it runs beside what comes after it."""
        return self.defined.get("execution_mode") == "background" and not self.piece.startswith("[")

    @property
    def is_fallback(self) -> bool:
        """Whether it stands for what failed, in whose place it ran."""
        return self.piece.startswith("/fallback:")

    def last_try(self) -> JournalRecord | None:
        """The last attempt of the step that failed."""
        return next((record for record in reversed(self.records) if record.kind in TRIES), None)

    def child(self, piece: str) -> "Node":
        """The node of a part. Its kind is that of the pipeline's definition, else what the path's prefix says."""
        if piece not in self.children:
            defined = self.defined
            kind = "item" if self.of.side_by_side else "iteration"
            if not piece.startswith("["):
                prefix, _, name = piece.lstrip("/").rpartition(":")
                at = self.kinds.at(prefix)
                step = self.steps.get(name)
                defined = step if step and _is_named(step, name, at) else _defined(self.defined, at, name)
                kind = str(defined.get("kind") or at.removeprefix("fallback") or "step")
            self.children[piece] = Node(self.path + piece, piece, kind, defined, self.kinds)
        return self.children[piece]

    def results(self) -> list[JournalRecord]:
        """The records of what the step gave."""
        return [record for record in self.records if record.kind is RecordKind.RESULT]


def place(root: Node, record: JournalRecord) -> None:
    """Put the record where its path says, in the tree under `root`."""
    path, _, went = record.path.partition("/on:")
    node = node_at(root, MARKS.sub("", path))
    if went:
        node.went, node.at = went, record.ended_at
    else:
        node.records.append(record)


def node_at(root: Node, path: str) -> Node:
    """The node at a path in the tree under `root`, made where nothing is recorded of it."""
    node = root
    for piece in PIECES.findall(path):
        node = node.child(piece)
    return node


def _defined(within: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    """The definition of the step of this kind, by its prefix, and name in the step that `within` defines.

    Where states of one machine have steps of that name, it is what they have in common; nothing for other kinds.
    """
    if kind == "fallback":
        return dict(within.get("fallback", {}))
    level: list[tuple[str, Any]] = list(within.items())
    while level:
        steps = [(key, value) for key, value in level if isinstance(value, dict) and "kind" in value]
        if fitting := [value for key, value in steps if key == name or _is_named(value, name, kind)]:
            same = {key: value for key, value in fitting[0].items() if all(each.get(key) == value for each in fitting)}
            return same if "kind" in same else {}
        inner = [value for _, value in level if not isinstance(value, dict) or value.get("kind") in (None, "pipeline")]
        level = [pair for value in inner for pair in _parts(value)]
    return {}


def _is_named(step: Mapping[str, Any], name: str, kind: str) -> bool:
    """Whether a step's definition is that of a path's segment; a pipeline without a prefix is a branch, by its key."""
    fits = step["kind"] == kind if kind else step["kind"] != "pipeline"
    return fits and step.get("name") == name


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return (("", part) for part in value) if isinstance(value, list) else ()
