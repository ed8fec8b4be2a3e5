"""Functions that ask people while they are at work: `run.ask(...)`, and `raise PausedException(...)`."""

import secrets
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any

from flujo.domain.outcomes import PendingAnswer
from flujo.engine.chunks import tell
from flujo.engine.frame import ExecutionFrame
from flujo.engine.step_run import Asked
from flujo.exceptions import BackgroundTaskError, ConfigurationError, PausedException

__all__ = ["FunctionLine", "answered"]


class FunctionLine:
    """What ties one call of a function to its run, for as long as the block lasts.

    Questions have the step's path, "?" and a number: the function asks them in one order. Leaving the block raises
    `ConfigurationError` when the function has gone on although it was to wait for an answer. `later` brings a call to
    the event loop, for a function in a thread.
    """

    def __init__(self, frame: ExecutionFrame, later: Callable[..., Any] | None = None) -> None:
        self._frame, self._later = frame, later
        self._asked = 0
        self._signal: Asked | None = None
        self._open = True

    def emit(self, value: Any, /) -> None:
        """Tell a part of what is being made, unless the step has ended."""
        if self._open and self._later is not None:
            self._later(tell, self._frame, value)
        elif self._open:
            tell(self._frame, value)

    def ask(self, message: str, schema: Any, /) -> Any:
        """The answer that the journal has. Raises `Asked`; see `StepRun.ask`."""
        frame = self._frame
        if frame.step.effects == "at-most-once":
            raise ConfigurationError(
                f"step {frame.step.name!r} asks {message!r}, but may run only once",
                suggestion="let a step of kind hitl before it ask",
            )
        _check_heard(frame, message)
        self._asked += 1
        path = f"{frame.path}?{self._asked}"
        asked = frame.run.journal.wait(path, frame.item)
        if asked is None:
            self._signal = Asked(_question(frame, path, message, schema))
            raise self._signal
        if asked.message != message:
            raise ConfigurationError(
                f"step {frame.step.name!r} asked {asked.message!r} before, and now asks {message!r} in its place",
                suggestion="ask the same questions in the same order: what they show is best made by a step before",
            )
        answer = frame.run.journal.answer(path)
        if answer is None:
            self._signal = Asked(asked)
            raise self._signal
        return answer.value if schema is None else _language().fitting(schema, answer.value, path)

    def __enter__(self) -> "FunctionLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        if self._signal is None or error is self._signal or not isinstance(error, Exception | None):
            return
        raise ConfigurationError(
            f"step {self._frame.step.name!r} went on although {self._signal.message!r} was not answered yet",
            suggestion="let PausedException pass: catch the errors that you mean, not every Exception, and ask outside "
            "of task groups",
        ) from error


async def answered(frame: ExecutionFrame, signal: PausedException) -> Any:
    """What people have answered to a function that raised `signal`, which is as good as its output.

    Raises `Asked` as long as nobody has: the question is written down before. In a step that may run only once it is
    not: that one does not run again.
    """
    journal = frame.run.journal
    if isinstance(signal, Asked):
        if journal.wait(signal.question.path) is None:
            await _record(frame, signal.question)
        raise signal
    if frame.step.effects == "at-most-once":
        raise signal
    number, message = 1, str(signal)
    _check_heard(frame, message)
    while (asked := journal.wait(f"{frame.path}?p{number}", frame.item)) is not None:
        answer = journal.answer(asked.path)
        if answer is None:
            raise Asked(asked)
        if asked.message == message:
            return answer.value
        number += 1
    asked = _question(frame, f"{frame.path}?p{number}", message, None)
    await _record(frame, asked)
    raise Asked(asked)


def _check_heard(frame: ExecutionFrame, message: str) -> None:
    """Raise `BackgroundTaskError` in a background step, before anything is written down that stays open."""
    if not frame.run.is_heard:
        raise BackgroundTaskError(
            f"step {frame.step.name!r} asks {message!r} in the background, but nobody waits for it",
            suggestion="ask in the foreground",
        )


def _question(frame: ExecutionFrame, path: str, message: str, schema: Any) -> PendingAnswer:
    shape = None if schema is None else _language().json_schema(schema)
    return PendingAnswer(path, secrets.token_hex(6), message, shape, frame.run.clock.now())


async def _record(frame: ExecutionFrame, asked: PendingAnswer) -> None:
    item = frame.item.digest if frame.item else b""
    await frame.run.journal.record_wait(asked, frame.step.fingerprint + item)


def _language() -> ModuleType:
    from flujo.infra import questions  # noqa: PLC0415 - it loads the schemas, and few functions ask

    return questions
