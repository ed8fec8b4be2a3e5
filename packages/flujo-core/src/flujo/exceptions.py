"""The errors that flujo raises and users meet, in one tree.

FlujoError(message, *, suggestion=None, code=None, cause=None)
├── ConfigurationError
│   ├── SettingsError             a setting is unknown or has a bad value
│   ├── PricingNotConfiguredError a budget in money needs a price that nobody gave
│   ├── MissingAgentError         a step names an agent or skill that does not exist
│   ├── MissingPolicyError        no installed policy runs this type of step
│   ├── PolicyConflictError       two plugins claim one key and nothing settles it
│   └── PluginError               a plugin is broken or a named plugin is absent
├── ExecutionError
│   ├── UsageLimitExceededError   a budget of money, tokens or calls is used up
│   ├── AgentIOValidationError    an agent's output does not fit its declared type
│   ├── OrchestratorRetryError    every attempt of a step failed
│   ├── StepTimeoutError          one attempt took longer than its `timeout_s`
│   ├── ReplayMismatchError       a recorded run does not fit the pipeline it is replayed with
│   ├── BackgroundTaskError       a background step failed
│   └── EffectInDoubt             a step that may run only once began, and no result of it is recorded
├── ControlFlowError              signals: never retried, never caught by a fallback
│   ├── PausedException           the run waits for a person
│   ├── PipelineAbortSignal       a step ends the run on purpose
│   ├── InfiniteRedirectError     redirects form a cycle
│   └── InfiniteFallbackError     more than ten fallbacks follow each other
├── ContextError
│   ├── ContextFieldError         a context has no such field, or it can't be set
│   ├── ContextInheritanceError   a child's context can't be made from its parent's
│   ├── ContextIsolationError     a context can't be isolated
│   ├── ContextMergeError         two branches changed one field to different values
│   ├── ContextMutationError      a child changed its parent's context behind its back
│   └── StateProviderError        a field that lives elsewhere can't be loaded or saved
├── ValidationError
│   ├── TypeMismatchError         a step's output does not fit the next step's input
│   ├── TemplateResolutionError   a template names something that isn't there
│   ├── BlueprintError            a pipeline file is wrong; holds every finding
│   └── SchemaMismatchError       a value does not fit its schema; holds every problem
└── StateError
    ├── RunNotFound               no such run in this state
    ├── RunOwnedElsewhere         a living process owns the run
    ├── RunKeyTaken               there is a run with this idempotency key already
    ├── RunPoisoned               a run died too often without getting on
    ├── RunNotPaused              an answer for a run that does not wait
    ├── AnswerRejected            an answer that does not fit its schema, is too late, or is to no open question
    ├── ValueNotStorable          a value can't be written down exactly
    ├── PayloadTooLarge           a value is over the size limit
    ├── StateStorageFull          the disk or the database is full
    ├── StateBackendBusy          another process holds the database's lock for too long
    ├── StateCorrupt              the state can't be read, or isn't ours
    ├── StateUnavailable          the state can't be opened or written
    └── DefinitionChanged         the pipeline is no longer the one the run began with

`str(error)` is the bare message. `suggestion` says how to mend it and `code` is stable: messages may be
reworded, codes are not. How both are shown is the command line's business.
Not drawn, as nobody has to name them: what stands for a recorded failure (`RecordedError`, `NeverEnded`), the question
of a function (`Asked`), what a template misses (`Undefined`), the command line's `OutputError` and `CommandError`.
"""

import copyreg
import warnings
from typing import Any, ClassVar, TypedDict, Unpack

__all__ = [
    "AgentIOValidationError",
    "AnswerRejected",
    "BackgroundTaskError",
    "BlueprintError",
    "ConfigurationError",
    "ContextError",
    "ContextFieldError",
    "ContextInheritanceError",
    "ContextIsolationError",
    "ContextMergeError",
    "ContextMutationError",
    "ControlFlowError",
    "DefinitionChanged",
    "EffectInDoubt",
    "ExecutionError",
    "FlujoError",
    "InfiniteFallbackError",
    "InfiniteRedirectError",
    "MissingAgentError",
    "MissingPolicyError",
    "OrchestratorRetryError",
    "PausedException",
    "PayloadTooLarge",
    "PipelineAbortSignal",
    "PluginError",
    "PolicyConflictError",
    "PricingNotConfiguredError",
    "ReplayMismatchError",
    "RunKeyTaken",
    "RunNotFound",
    "RunNotPaused",
    "RunOwnedElsewhere",
    "RunPoisoned",
    "SchemaMismatchError",
    "SettingsError",
    "StateBackendBusy",
    "StateCorrupt",
    "StateError",
    "StateProviderError",
    "StateStorageFull",
    "StateUnavailable",
    "StepTimeoutError",
    "TemplateResolutionError",
    "TypeMismatchError",
    "UsageLimitExceededError",
    "ValidationError",
    "ValueNotStorable",
]


class _More(TypedDict, total=False):
    """What every error takes beside its message."""

    suggestion: str | None
    code: str | None
    cause: BaseException | None


class FlujoError(Exception):
    """The root of every error flujo raises on purpose.

    `message` says what is wrong in one line, `suggestion` what to do about it, `code` identifies the kind of
    error for ever: `class Mine(FlujoError, code="MINE-1")` sets it for a class of errors. `cause` becomes
    `__cause__`.
    """

    default_code: ClassVar[str] = "FLUJO-000"

    def __init_subclass__(cls, *, code: str | None = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.default_code = code

    def __init__(
        self,
        message: str,
        *,
        suggestion: str | None = None,
        code: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.code = code or self.default_code
        if suggestion is not None:
            self.add_note(f"help: {suggestion}")  # so that a traceback shows it; `str(error)` stays the message
        if cause is not None:
            self.__cause__ = cause

    def __reduce__(self) -> tuple[object, ...]:
        """Keep every attribute and the cause, without calling a constructor that may want other arguments."""
        state = dict(self.__dict__)
        if self.__cause__ is not None:
            state["__cause__"] = self.__cause__
        return (copyreg.__newobj__, (type(self), *self.args), state)  # type: ignore[attr-defined]


class ConfigurationError(FlujoError, code="FLUJO-100"):
    """Something about the installation or its settings is wrong."""


class SettingsError(ConfigurationError, code="FLUJO-101"):
    """A setting is unknown or has a bad value."""


class PricingNotConfiguredError(ConfigurationError, code="FLUJO-102"):
    """A budget in money needs a price that nobody gave."""


class MissingAgentError(ConfigurationError, code="FLUJO-103"):
    """A step names an agent or skill that does not exist."""


class MissingPolicyError(ConfigurationError, code="FLUJO-104"):
    """No installed policy runs this type of step."""


class PolicyConflictError(ConfigurationError, code="FLUJO-105"):
    """Two plugins claim one key and nothing settles it."""


class PluginError(ConfigurationError, code="FLUJO-106"):
    """A plugin is broken, or a plugin that was named is absent."""


class ExecutionError(FlujoError, code="FLUJO-200"):
    """A step could not do its work.

    `retry_after_s` is how many seconds the next attempt has to wait, where whoever was asked has said so. It is waited
    for at least so long; a step whose `backoff.max_s` is less fails at once, to be tried again by a resumed run.
    """

    retry_after_s: float | None = None


class UsageLimitExceededError(ExecutionError, code="FLUJO-201"):
    """A budget of money, tokens or calls is used up: the run stops, and can be resumed with a higher limit.

    `limit` is the name of the limit, a field of `UsageLimits`, where one is known; `enough` is a value of it, a
    `Decimal` or whole number, that would have let the run go on.
    """

    def __init__(self, message: str, *, limit: str | None = None, enough: Any = None, **more: Unpack[_More]) -> None:
        super().__init__(message, **more)
        self.limit = limit
        self.enough = enough


class AgentIOValidationError(ExecutionError, code="FLUJO-202"):
    """An agent's output does not fit its declared type."""


class OrchestratorRetryError(ExecutionError, code="FLUJO-203"):
    """Every attempt of a step failed."""


class StepTimeoutError(ExecutionError, code="FLUJO-204"):
    """One attempt of a step took longer than its `timeout_s`."""


class ReplayMismatchError(ExecutionError, code="FLUJO-205"):
    """A recorded run does not fit the pipeline that it is replayed with; `path` is where, if it is one step."""

    path: str = ""


class BackgroundTaskError(ExecutionError, code="FLUJO-206"):
    """A background step failed."""


class EffectInDoubt(ExecutionError, code="FLUJO-207"):
    """A step that may run only once began, and has no result: a person, no retry and no fallback, settles it."""


class ControlFlowError(FlujoError, code="FLUJO-300"):
    """A signal, not a failure: never retried, never caught by a fallback."""


class PausedException(ControlFlowError, code="FLUJO-301"):
    """The run waits for a person."""


class PipelineAbortSignal(ControlFlowError, code="FLUJO-302"):
    """A step ends the run on purpose."""


class InfiniteRedirectError(ControlFlowError, code="FLUJO-303"):
    """Redirects form a cycle."""


class InfiniteFallbackError(ControlFlowError, code="FLUJO-304"):
    """Fallbacks form a cycle, or more than ten follow each other."""


class ContextError(FlujoError, code="FLUJO-400"):
    """Something about the shared context is wrong."""


class ContextFieldError(ContextError, code="FLUJO-401"):
    """A context has no such field, or the field can't be set to that."""


class ContextInheritanceError(ContextError, code="FLUJO-402"):
    """A child's context can't be made from its parent's."""


class ContextIsolationError(ContextError, code="FLUJO-403"):
    """A context can't be isolated."""


class ContextMergeError(ContextError, code="FLUJO-404"):
    """Two branches changed one field to different values."""


class ContextMutationError(ContextError, code="FLUJO-405"):
    """A child changed its parent's context behind its back."""


class StateProviderError(ContextError, code="FLUJO-406"):
    """A field of the context that lives elsewhere can't be loaded or saved."""


class ValidationError(FlujoError, code="FLUJO-500"):
    """A pipeline, a template or a value does not fit what was declared."""


class TypeMismatchError(ValidationError, code="FLUJO-501"):
    """A step's output does not fit the next step's input."""


class TemplateResolutionError(ValidationError, code="FLUJO-502"):
    """A template names something that isn't there, or says what templates may not say.

    `line` and `column` count from 1 in the template's own text; they are None where the place isn't known.
    """

    def __init__(
        self, message: str, *, line: int | None = None, column: int | None = None, **more: Unpack[_More]
    ) -> None:
        super().__init__(message, **more)
        self.line = line
        self.column = column


class BlueprintError(ValidationError, code="FLUJO-503"):
    """A pipeline is wrong; `findings` holds everything found at once, each with its place and advice.

    The findings are `flujo.domain.validation.Finding`s, ordered by file, line and column.
    """

    def __init__(self, message: str, *, findings: tuple[Any, ...] = (), **more: Unpack[_More]) -> None:
        super().__init__(message, **more)
        self.findings = findings


class SchemaMismatchError(ValidationError, code="FLUJO-504"):
    """A value does not fit its schema.

    `problems` holds every one: where in the value, as `$.items[2].price`, and what is wrong there.
    """

    def __init__(self, message: str, *, problems: tuple[tuple[str, str], ...] = (), **more: Unpack[_More]) -> None:
        super().__init__(message, **more)
        self.problems = problems


class StateError(FlujoError, code="FLUJO-600"):
    """Something about the record of runs is wrong."""

    run_id: str | None = None
    is_whole: bool = False  # what was stored is: it needs a class that isn't there, or is another


class RunNotFound(StateError, code="FLUJO-601"):
    """The state holds no such run."""


class RunOwnedElsewhere(StateError, code="FLUJO-602"):
    """A living process owns the run, or has taken it over; `run_id` is told to who knows it by its key only."""


class RunNotPaused(StateError, code="FLUJO-603"):
    """An answer was given to a run that does not wait for one."""


class AnswerRejected(StateError, code="FLUJO-604"):
    """An answer, or what is said of a step in doubt, will not do: it does not fit, is too late, or not waited for."""


class ValueNotStorable(StateError, code="FLUJO-605"):
    """A value can't be written down so that exactly the same value is read back."""


class PayloadTooLarge(StateError, code="FLUJO-606"):
    """A value is over the size limit; nothing of it was written."""


class StateStorageFull(StateError, code="FLUJO-607"):
    """The disk or the database is full; what was recorded before is intact."""


class StateBackendBusy(StateError, code="FLUJO-608"):
    """Another process held the database's lock for longer than the deadline."""


class StateCorrupt(StateError, code="FLUJO-609"):
    """The state can't be read, or isn't a state of flujo's; `run_id` where only one run of a list is damaged."""


class StateUnavailable(StateError, code="FLUJO-610"):
    """The state can't be opened or written: path, permission, plugin or process."""


class RunKeyTaken(StateError, code="FLUJO-612"):
    """There is a run with this idempotency key already: `run_id`."""

    def __init__(self, message: str, *, run_id: str = "", **more: Unpack[_More]) -> None:
        super().__init__(message, **more)
        self.run_id = run_id


class RunPoisoned(StateError, code="FLUJO-613"):
    """The run's process died again and again, and the run got no further."""


class DefinitionChanged(StateError, code="FLUJO-611"):
    """The pipeline isn't the run's any more: `path` misfits first, `plugin` ran it; `run_id` is for who has a key."""

    path: str | None = None
    plugin: str | None = None


def __getattr__(name: str) -> type[FlujoError]:
    """Resolve the two names that pipelines written for the older project import, with a warning."""
    if name in ("OrchestratorError", "FlujoFrameworkError"):
        warnings.warn(f"{name} is deprecated, use FlujoError", DeprecationWarning, stacklevel=2)
        return FlujoError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
