"""Every error flujo raises, in one tree.

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
│   └── BackgroundTaskError       a background step failed
├── ControlFlowError              signals: never retried, never caught by a fallback
│   ├── PausedException           the run waits for a person
│   ├── PipelineAbortSignal       a step ends the run on purpose
│   ├── InfiniteRedirectError     redirects form a cycle
│   └── InfiniteFallbackError     fallbacks form a cycle, or a chain of more than ten
├── ContextError
│   ├── ContextFieldError         a context has no such field, or it can't be set
│   ├── ContextInheritanceError   a child's context can't be made from its parent's
│   ├── ContextIsolationError     a context can't be isolated
│   ├── ContextMergeError         two branches changed one field to different values
│   └── ContextMutationError      a child changed its parent's context behind its back
├── ValidationError
│   ├── TypeMismatchError         a step's output does not fit the next step's input
│   ├── TemplateResolutionError   a template names something that isn't there
│   └── BlueprintError            a pipeline file is wrong; holds every finding
└── StateError
    ├── RunNotFound               no such run in this state
    ├── RunOwnedElsewhere         a living process owns the run
    ├── RunNotPaused              an answer for a run that does not wait
    ├── AnswerRejected            an answer that does not fit the question's schema
    ├── ValueNotStorable          a value can't be written down exactly
    ├── PayloadTooLarge           a value is over the size limit
    ├── StateStorageFull          the disk or the database is full
    ├── StateBackendBusy          another process holds the database's lock for too long
    ├── StateCorrupt              the state can't be read, or isn't ours
    ├── StateUnavailable          the state can't be opened or written
    └── DefinitionChanged         the pipeline is no longer the one the run began with

`str(error)` is the bare message. `suggestion` says how to mend it and `code` is stable: messages may be
reworded, codes are not. How both are shown is the command line's business.
"""

import warnings
from typing import Any, ClassVar

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
    "RunNotFound",
    "RunNotPaused",
    "RunOwnedElsewhere",
    "SettingsError",
    "StateBackendBusy",
    "StateCorrupt",
    "StateError",
    "StateStorageFull",
    "StateUnavailable",
    "StepTimeoutError",
    "TemplateResolutionError",
    "TypeMismatchError",
    "UsageLimitExceededError",
    "ValidationError",
    "ValueNotStorable",
]


class FlujoError(Exception):
    """The root of every error flujo raises on purpose.

    `message` says what is wrong in one line, `suggestion` what to do about it, `code` identifies the kind of
    error for ever. `cause` becomes `__cause__`.
    """

    default_code: ClassVar[str] = "FLUJO-000"

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
        if cause is not None:
            self.__cause__ = cause

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message,), {"suggestion": self.suggestion, "code": self.code})


class ConfigurationError(FlujoError):
    """Something about the installation or its settings is wrong."""

    default_code = "FLUJO-100"


class SettingsError(ConfigurationError):
    """A setting is unknown or has a bad value."""

    default_code = "FLUJO-101"


class PricingNotConfiguredError(ConfigurationError):
    """A budget in money needs a price that nobody gave."""

    default_code = "FLUJO-102"


class MissingAgentError(ConfigurationError):
    """A step names an agent or skill that does not exist."""

    default_code = "FLUJO-103"


class MissingPolicyError(ConfigurationError):
    """No installed policy runs this type of step."""

    default_code = "FLUJO-104"


class PolicyConflictError(ConfigurationError):
    """Two plugins claim one key and nothing settles it."""

    default_code = "FLUJO-105"


class PluginError(ConfigurationError):
    """A plugin is broken, or a plugin that was named is absent."""

    default_code = "FLUJO-106"


class ExecutionError(FlujoError):
    """A step could not do its work."""

    default_code = "FLUJO-200"


class UsageLimitExceededError(ExecutionError):
    """A budget of money, tokens or calls is used up."""

    default_code = "FLUJO-201"


class AgentIOValidationError(ExecutionError):
    """An agent's output does not fit its declared type."""

    default_code = "FLUJO-202"


class OrchestratorRetryError(ExecutionError):
    """Every attempt of a step failed."""

    default_code = "FLUJO-203"


class StepTimeoutError(ExecutionError):
    """One attempt of a step took longer than its `timeout_s`."""

    default_code = "FLUJO-204"


class ReplayMismatchError(ExecutionError):
    """A recorded run does not fit the pipeline it is replayed with."""

    default_code = "FLUJO-205"


class BackgroundTaskError(ExecutionError):
    """A background step failed."""

    default_code = "FLUJO-206"


class ControlFlowError(FlujoError):
    """A signal, not a failure: never retried, never caught by a fallback."""

    default_code = "FLUJO-300"


class PausedException(ControlFlowError):
    """The run waits for a person."""

    default_code = "FLUJO-301"


class PipelineAbortSignal(ControlFlowError):
    """A step ends the run on purpose."""

    default_code = "FLUJO-302"


class InfiniteRedirectError(ControlFlowError):
    """Redirects form a cycle."""

    default_code = "FLUJO-303"


class InfiniteFallbackError(ControlFlowError):
    """Fallbacks form a cycle, or a chain of more than ten."""

    default_code = "FLUJO-304"


class ContextError(FlujoError):
    """Something about the shared context is wrong."""

    default_code = "FLUJO-400"


class ContextFieldError(ContextError):
    """A context has no such field, or the field can't be set to that."""

    default_code = "FLUJO-401"


class ContextInheritanceError(ContextError):
    """A child's context can't be made from its parent's."""

    default_code = "FLUJO-402"


class ContextIsolationError(ContextError):
    """A context can't be isolated."""

    default_code = "FLUJO-403"


class ContextMergeError(ContextError):
    """Two branches changed one field to different values."""

    default_code = "FLUJO-404"


class ContextMutationError(ContextError):
    """A child changed its parent's context behind its back."""

    default_code = "FLUJO-405"


class ValidationError(FlujoError):
    """A pipeline, a template or a value does not fit what was declared."""

    default_code = "FLUJO-500"


class TypeMismatchError(ValidationError):
    """A step's output does not fit the next step's input."""

    default_code = "FLUJO-501"


class TemplateResolutionError(ValidationError):
    """A template names something that isn't there, or says what templates may not say.

    `line` and `column` count from 1 in the template's own text; they are None where the place isn't known.
    """

    default_code = "FLUJO-502"

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        suggestion: str | None = None,
        code: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message, suggestion=suggestion, code=code, cause=cause)
        self.line = line
        self.column = column


class BlueprintError(ValidationError):
    """A pipeline is wrong; `findings` holds everything found at once, each with its place and advice.

    The findings are `flujo.domain.validation.Finding`s, ordered by file, line and column.
    """

    default_code = "FLUJO-503"

    def __init__(
        self,
        message: str,
        *,
        findings: tuple[Any, ...] = (),
        suggestion: str | None = None,
        code: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message, suggestion=suggestion, code=code, cause=cause)
        self.findings = findings


class StateError(FlujoError):
    """Something about the record of runs is wrong."""

    default_code = "FLUJO-600"


class RunNotFound(StateError):
    """The state holds no such run."""

    default_code = "FLUJO-601"


class RunOwnedElsewhere(StateError):
    """A living process owns the run, or has taken it over."""

    default_code = "FLUJO-602"


class RunNotPaused(StateError):
    """An answer was given to a run that does not wait for one."""

    default_code = "FLUJO-603"


class AnswerRejected(StateError):
    """An answer does not fit the question's schema."""

    default_code = "FLUJO-604"


class ValueNotStorable(StateError):
    """A value can't be written down so that exactly the same value is read back."""

    default_code = "FLUJO-605"


class PayloadTooLarge(StateError):
    """A value is over the size limit; nothing of it was written."""

    default_code = "FLUJO-606"


class StateStorageFull(StateError):
    """The disk or the database is full; what was recorded before is intact."""

    default_code = "FLUJO-607"


class StateBackendBusy(StateError):
    """Another process held the database's lock for longer than the deadline."""

    default_code = "FLUJO-608"


class StateCorrupt(StateError):
    """The state can't be read, or isn't a state of flujo's."""

    default_code = "FLUJO-609"


class StateUnavailable(StateError):
    """The state can't be opened or written: path, permission, plugin or process."""

    default_code = "FLUJO-610"


class DefinitionChanged(StateError):
    """The pipeline is no longer the one that the run began with."""

    default_code = "FLUJO-611"


_DEPRECATED = ("OrchestratorError", "FlujoFrameworkError")


def __getattr__(name: str) -> type[FlujoError]:
    """Resolve the two names that pipelines written for the older project import, with a warning."""
    if name in _DEPRECATED:
        warnings.warn(f"{name} is deprecated, use FlujoError", DeprecationWarning, stacklevel=2)
        return FlujoError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
