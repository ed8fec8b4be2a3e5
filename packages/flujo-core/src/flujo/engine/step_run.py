"""What a function gets that has a parameter named `run`: who it is, and a line to those who listen and answer."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, overload

from flujo.domain.outcomes import Paused, PendingAnswer
from flujo.domain.usage import NO_USAGE, Usage
from flujo.exceptions import PausedException

__all__ = ["Asked", "Line", "StepRun", "idempotency_key", "paused"]

T = TypeVar("T")


class Asked(PausedException):
    """A function waits for the answer to its `question`."""

    def __init__(self, question: PendingAnswer) -> None:
        super().__init__(question.message)
        self.question = question


def paused(signal: PausedException, usage: Usage = NO_USAGE) -> Paused[Any]:
    """The outcome of a step that raised `signal`."""
    if isinstance(signal, Asked):
        return Paused(signal.message, signal.question.token, usage, schema=signal.question.schema)
    return Paused(str(signal), usage=usage)


class Line(Protocol):
    """What ties a function at work to its run."""

    def emit(self, value: Any, /) -> None:
        """See `StepRun.emit`."""
        ...

    def ask(self, message: str, schema: Any, /) -> Any:
        """See `StepRun.ask`."""
        ...


@dataclass(frozen=True, slots=True)
class StepRun:
    """What a function gets that has a parameter named `run`. `root` is the project's folder, where there is one.

    `feedback` says what was wrong with the answer of the attempt before; `calls` how many times the run has called
    the step's agent until now. Without a `line`, as in a test of the function, nobody hears what it emits, and who
    asks waits.
    """

    run_id: str
    path: str
    attempt: int
    root: Path | None = None
    feedback: str | None = None
    calls: int = 0
    line: Line | None = field(default=None, repr=False, compare=False)

    @property
    def idempotency_key(self) -> str:
        """The same text at every attempt and after every crash, and in no other step or run.

        Hand it to a service that must not do the same work twice.
        """
        return idempotency_key(self.run_id, self.path)

    def emit(self, value: Any) -> None:
        """Tell a part of what is being made, as a `Chunk`: it is no part of the output, and not recorded.

        It can be called in the thread of a `blocking` step. Once the step has ended it does nothing.
        """
        if self.line is not None:
            self.line.emit(value)

    @overload
    def ask(self, message: str, schema: type[T]) -> T: ...
    @overload
    def ask(self, message: str, schema: Any = None) -> Any: ...
    def ask(self, message: str, schema: Any = None) -> Any:
        """A person's answer to `message`: what `schema` says, a JSON Schema, a pydantic model or another type.

        The run pauses until somebody has answered. Then the function runs again from its beginning, and gets here what
        was answered: let it ask the same questions in the same order, and do before it what may be done again. Raises
        `PausedException`, which the function must let pass, and `ConfigurationError` for another question than was
        answered, and in a step that may run only once.
        """
        if self.line is None:
            raise PausedException(message)
        return self.line.ask(message, schema)


def idempotency_key(run_id: str, path: str) -> str:
    """The text that names one step of one run to services; see `StepRun.idempotency_key`."""
    return hashlib.blake2b(f"{run_id}|{path}".encode(), digest_size=16).hexdigest()
