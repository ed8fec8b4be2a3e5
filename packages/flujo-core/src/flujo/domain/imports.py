"""A pipeline of its own as one step of another. Data only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple

from flujo.domain.composite import CompositeStep
from flujo.domain.steps import In, Out, Pipeline, Step

__all__ = ["ImportOutput", "ImportStep"]

#: What takes the place of a child that has failed, by `on_failure`: a fallback, so that it is recorded as one.
_INSTEAD: dict[str, Step[Any, Any]] = {
    "skip": Step("_skip", input=None),
    "continue_with_default": Step("_default", input={}),
}


class ImportOutput(NamedTuple):
    """What an import hands back: the value at the path `child` of its context goes to the path `parent` of ours."""

    child: str
    parent: str


@dataclass(frozen=True, eq=False, kw_only=True)
class ImportStep(CompositeStep[In, Out]):
    """Runs another pipeline with the step's data as its input and a context of its own; its output is the step's.

    The child's context is fresh, or with `inherit_context` a copy of the parent's. `input_to` is where the data also
    stands in it: "initial_prompt" (text only, as for a run), "scratchpad" (a mapping's keys), or a dotted path. When
    the child has succeeded `outputs`, pairs of paths (child, parent), are copied into the parent's context; without
    them `updates_context` lets everything flow back that the child has changed, and else nothing does. `on_failure`:
    "abort" fails the step, "skip" gives None, "continue_with_default" {}.

    The child's templates see none of the parent's steps. A pipeline that has options beside its name and version
    stands in paths by its name (`import:review/sub:child/draft`), any other does not (`import:review/draft`).
    """

    pipeline: Any = None
    input_to: str = "initial_prompt"
    outputs: Sequence[tuple[str, str]] = ()
    inherit_context: bool = False
    on_failure: Literal["abort", "skip", "continue_with_default"] = "abort"

    kind: ClassVar[str] = "import"
    prefix: ClassVar[str] = "import"
    in_order: ClassVar[bool] = True

    @property
    def fed(self) -> Sequence[Pipeline[Any, Any]]:
        """The pipeline."""
        return (self.pipeline,)

    @property
    def output_type(self) -> Any:
        """The pipeline's."""
        return self.pipeline.handed_type

    @property
    def reads_context(self) -> bool:
        """Whether it hands anything back."""
        return bool(self.outputs)

    @property
    def writes_context(self) -> bool:
        """Whether anything flows back; what the child writes goes into a context of its own."""
        return bool(self.sink_to or self.updates_context or self.outputs)

    @property
    def merges_output(self) -> bool:
        """Never: with `updates_context` the child's changes flow back, not its output."""
        return False

    def children(self) -> Iterable[Step[Any, Any]]:
        """The pipeline's steps: they stand right under this one in paths."""
        return tuple(self.pipeline.steps)

    def __post_init__(self) -> None:
        self._refuse_all(self._unknown("on_failure", ("abort", *_INSTEAD)))
        if self.fallback is None or self.fallback in _INSTEAD.values():
            self._set("fallback", _INSTEAD.get(self.on_failure))
        elif self.on_failure != "abort":
            self._wrong(f"has a fallback and on_failure {self.on_failure!r}", "say once what a failure means")
        super().__post_init__()
        self._set("pipeline", _nested(self._body(self.pipeline, "pipeline")))
        outputs = tuple(self._output(each) for each in self.outputs)
        self._set("outputs", outputs)
        if outputs and self.is_background:
            self._wrong("runs in the background, but has outputs", "nobody could tell when: drop one of both")
        if not _is_path(self.input_to):
            self._wrong(f"has input_to {self.input_to!r}", "name initial_prompt, scratchpad, or a dotted path")
        parents = [output.parent for output in outputs]
        for parent in parents:
            if parents.count(parent) > 1:
                self._wrong(f"hands two values back to {parent!r}", "give each a path of its own")

    def _output(self, given: Any) -> ImportOutput:
        if not isinstance(given, tuple) or len(given) != 2 or not all(map(_is_path, given)):
            self._wrong(f"has an output {given!r}", "write a pair of dotted paths, in the child's context and in ours")
        return ImportOutput(*given)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and all(value.split("."))


def _nested(body: Pipeline[Any, Any]) -> Pipeline[Any, Any]:
    """`body`, or a pipeline around it when it has options of its own: nothing but its steps is run in its place."""
    bare = Pipeline(body.steps, name=body.name, version=body.version)
    same = all(getattr(body, each.name) == getattr(bare, each.name) for each in fields(body))
    return body if type(body) is Pipeline and same else Pipeline([body], name=body.name)
