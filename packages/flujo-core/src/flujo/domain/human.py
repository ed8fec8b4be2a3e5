"""A question to a person: the kind `hitl`. Data only."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flujo.domain.callables import UNKNOWN
from flujo.domain.steps import In, Out, Step

__all__ = ["HumanInTheLoopStep"]


@dataclass(frozen=True, eq=False, kw_only=True)
class HumanInTheLoopStep(Step[In, Out]):
    """Asks a person: the run pauses, and goes on with the answer as the step's output.

    `message` is a template. `input_schema` says what an answer must be: a JSON Schema as a mapping, a pydantic model,
    or another type; without it every answer will do. Once `deadline_s` seconds have passed since the question, a run
    that is resumed without an answer no longer waits: `on_deadline` is "fail", or {"answer": value}, which is the
    answer then. An answer that comes late is still taken as long as that has not happened.
    """

    message: str = ""
    input_schema: Any = None
    deadline_s: float | None = None
    on_deadline: Any = "fail"

    kind: ClassVar[str] = "hitl"
    asks: ClassVar[bool] = True
    templates: ClassVar[tuple[str, ...]] = ("message",)
    soft: ClassVar[tuple[str, ...]] = ("message", "deadline_s", "on_deadline", "sink_to")

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := list(self._mistakes()):
            self._refuse("; it ".join(what for what, _ in wrong), "; ".join(advice for _, advice in wrong))
        if self.deadline_s is not None:  # as files give it: one definition for both
            object.__setattr__(self, "deadline_s", float(self.deadline_s))

    def _mistakes(self) -> Iterator[tuple[str, str]]:
        message: object = self.message
        if self.run is not None:
            yield "asks a person, and runs nothing", "let a step before it make what the message shows"
        if not isinstance(message, str) or not message.strip():
            yield "has no message", "say what the person is asked"
        if self.config.timeout_s is not None:
            yield "has timeout_s, but waits outside of any process", "say deadline_s, and on_deadline"
        limit: object = self.deadline_s
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf
        ):
            yield f"has deadline_s {limit!r}", "a deadline is a number of seconds above 0"
        if self.on_deadline == "fail":
            return
        if not isinstance(self.on_deadline, Mapping) or set(self.on_deadline) != {"answer"}:
            yield f"has on_deadline {self.on_deadline!r}", 'on_deadline is "fail", or {"answer": value}'
        if limit is None:
            yield "has on_deadline, but no deadline_s", "say after how many seconds it holds"

    @property
    def reads_context(self) -> bool:
        """It adds the question and its answer to the histories in the context."""
        return True

    @property
    def output_type(self) -> Any:
        """The type that answers have, `Any` where a JSON Schema or nothing says what they are."""
        return UNKNOWN if self.input_schema is None or isinstance(self.input_schema, Mapping) else self.input_schema
