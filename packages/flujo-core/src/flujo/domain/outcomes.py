"""What comes of a step and of a run: values, never exceptions."""

from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from flujo.domain.foreign import attempt
from flujo.domain.masking import masked
from flujo.domain.usage import NO_USAGE, Usage
from flujo.exceptions import ExecutionError, FlujoError

__all__ = [
    "UNREADABLE",
    "Aborted",
    "ErrorInfo",
    "Failure",
    "Paused",
    "PendingAnswer",
    "PipelineResult",
    "RecordedError",
    "RunStatus",
    "StepOutcome",
    "StepResult",
    "Success",
]

Out = TypeVar("Out")
Ctx = TypeVar("Ctx")


class RunStatus(StrEnum):
    """Where a run stands. Every status but `RUNNING` is one that a process has let go of."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STOPPED = "stopped: budget"


#: The type of an error whose record can't be read: its message says why.
UNREADABLE = "Unreadable"


class ErrorInfo(NamedTuple):
    """An exception in a form that can be stored, shown and compared.

    `plugin` is the distribution and version of the plugin whose policy ran the step, None where that is flujo's own.
    """

    type: str
    message: str
    code: str | None = None
    suggestion: str | None = None
    path: str = ""
    location: str | None = None
    plugin: str | None = None

    @classmethod
    def of(cls, error: BaseException, path: str = "") -> "ErrorInfo":
        """Describe `error`, raised by the step at `path`, without secrets that its text may hold.

        The location is the innermost frame of its traceback.
        """
        if isinstance(error, RecordedError):
            return error.info._replace(path=path)
        flujo = error if isinstance(error, FlujoError) else None
        return cls(
            type=type(error).__name__,
            message=masked(_text_of(error)) or type(error).__name__,
            code=flujo.code if flujo else None,
            suggestion=masked(flujo.suggestion) if flujo and flujo.suggestion else None,
            path=path,
            location=None if flujo else _innermost(error),
        )


class RecordedError(ExecutionError):
    """What a step has failed with, as its record says: the exception itself is not kept. `info` describes that one."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message, suggestion=info.suggestion, code=info.code)
        self.info = info


def _text_of(error: BaseException) -> str:
    """`str(error)`; of an error that can't even say what is wrong, what its own failure says."""
    try:
        return attempt(lambda: str(error), lambda text, _: FlujoError(f"an error whose text can't be had: {text}"))
    except FlujoError as failure:
        return failure.message


def _innermost(error: BaseException) -> str | None:
    trace = error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


class StepResult(NamedTuple, Generic[Out]):
    """One line of a run's history: what the step at `path` did, and under it what its parts did.

    `attempts` counts from 1; `duration_s` covers all of them. `recalled` says that the result came from the
    run's record and nothing was executed. `fallback` names the step that gave the output in this one's place;
    `error` then holds what the primary failed with. `cached` says that a result of before served, and nothing was
    attempted; `paused` that the step waits for an answer.
    """

    name: str
    success: bool = True
    output: Out | None = None
    path: str = ""
    kind: str = "step"
    attempts: int = 1
    duration_s: float = 0.0
    usage: Usage = NO_USAGE
    error: ErrorInfo | None = None
    recalled: bool = False
    fallback: str | None = None
    children: tuple["StepResult[Any]", ...] = ()
    cached: bool = False
    paused: bool = False


class Success(NamedTuple, Generic[Out]):
    """The step has a result. A policy gives `value`, and as `usage` what it has used by itself.

    The executor adds what the step's children have used, and fills in `children` and `step_result`. `cached` says
    that the value is that of an earlier execution; `missed` what differed from the newest of these where none served.
    """

    value: Out | None = None
    usage: Usage = NO_USAGE
    children: tuple[StepResult[Any], ...] = ()
    step_result: StepResult[Out] | None = None
    cached: bool = False
    missed: tuple[str, ...] | None = None


class Failure(NamedTuple, Generic[Out]):
    """The step has failed for good. `feedback` is what the next try, a person or a model can learn from it."""

    error: BaseException
    feedback: str | None = None
    usage: Usage = NO_USAGE
    children: tuple[StepResult[Any], ...] = ()
    step_result: StepResult[Out] | None = None


class Paused(NamedTuple, Generic[Out]):
    """The step waits for an answer; `token` names the question, `schema` is the JSON Schema of answers."""

    message: str
    token: str | None = None
    usage: Usage = NO_USAGE
    children: tuple[StepResult[Any], ...] = ()
    step_result: StepResult[Out] | None = None
    schema: Any = None


class Aborted(NamedTuple, Generic[Out]):
    """The run ends here: on purpose, or, with an `error`, because its budget allows no more."""

    reason: str
    usage: Usage = NO_USAGE
    children: tuple[StepResult[Any], ...] = ()
    step_result: StepResult[Out] | None = None
    error: BaseException | None = None


StepOutcome: TypeAlias = Success[Out] | Failure[Out] | Paused[Out] | Aborted[Out]


class PendingAnswer(NamedTuple):
    """A question that the step at `path` has asked, and nobody has answered.

    `token` names it, `schema` is the JSON Schema of answers (None: any answer will do). It was asked at `since`, and
    waits until `deadline`, in seconds since the epoch; None is for ever.
    """

    path: str
    token: str
    message: str
    schema: Any = None
    since: float = 0.0
    deadline: float | None = None

    def is_over(self, now: float) -> bool:
        """Whether nobody waits for an answer any more.

        A clock that has been set back by more than the question was to wait says so too, or it would wait for ever.
        """
        return self.deadline is not None and not 2 * self.since - self.deadline <= now < self.deadline


class PipelineResult(NamedTuple, Generic[Out, Ctx]):
    """What a run came to. `output` is None unless `status` is `COMPLETED`.

    `background` tells what the steps came to that were at work while the pipeline went on, `pending` which questions
    wait for an answer. `exception` is what a failed run failed with, traceback and all; it is not stored, so a result
    that is read back has none.
    """

    run_id: str
    status: RunStatus
    output: Out | None
    final_pipeline_context: Ctx
    step_history: tuple[StepResult[Any], ...] = ()
    usage: Usage = NO_USAGE
    error: ErrorInfo | None = None
    duration_s: float = 0.0
    exception: BaseException | None = None
    background: tuple[StepResult[Any], ...] = ()
    pending: tuple[PendingAnswer, ...] = ()

    @property
    def success(self) -> bool:
        """Whether the run completed."""
        return self.status is RunStatus.COMPLETED

    @property
    def total_cost_usd(self) -> float:
        """The run's cost in US dollars."""
        return float(self.usage.cost_usd)

    @property
    def total_tokens(self) -> int:
        """Tokens in both directions."""
        return self.usage.tokens
