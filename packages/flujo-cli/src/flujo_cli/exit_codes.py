"""The exit codes of `flujo`, and which error ends with which."""

from collections.abc import Iterable
from enum import IntEnum

from flujo.domain.validation import Finding
from flujo.exceptions import (
    AnswerRejected,
    BlueprintError,
    ConfigurationError,
    ContextError,
    DefinitionChanged,
    FlujoError,
    RunKeyTaken,
    RunNotFound,
    RunNotPaused,
    RunOwnedElsewhere,
    RunPoisoned,
    StateBackendBusy,
    StateCorrupt,
    StateError,
    StateStorageFull,
    StateUnavailable,
    ValidationError,
)
from flujo_cli.streams import OutputError

__all__ = ["EXIT_CODES", "EXIT_CODE_HELP", "ExitCode", "code_for", "code_of", "exit_code_help"]


class ExitCode(IntEnum):
    """What a command ended with."""

    OK = 0
    FAILED = 1
    USAGE = 2
    IMPORT = 3
    VALIDATION = 4
    BUDGET = 5
    WAITING = 6
    OWNED_ELSEWHERE = 75
    INTERRUPTED = 130
    TERMINATED = 143


#: What the codes mean.
EXIT_CODES = {
    ExitCode.OK: "ok",
    ExitCode.FAILED: "the run failed",
    ExitCode.USAGE: "wrong usage, configuration or state, or the state or stdout can't be written",
    ExitCode.IMPORT: "the project's code can't be imported",
    ExitCode.VALIDATION: "the pipeline is not valid",
    ExitCode.BUDGET: "the run reached a limit of its budget; it can be resumed with a higher one",
    ExitCode.WAITING: "the run waits for a person's answer",
    ExitCode.OWNED_ELSEWHERE: "the run belongs to another process",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C); the run can be resumed",
    ExitCode.TERMINATED: "terminated; the run can be resumed",
}


def exit_code_help(*codes: ExitCode) -> str:
    """The table of these codes for the end of a command's help."""
    return "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {EXIT_CODES[code]}" for code in codes)


#: The table of all of them, which a run can end with.
EXIT_CODE_HELP = exit_code_help(*ExitCode)

#: The first class that fits decides; anything else is a run that failed.
_BY_CLASS: tuple[tuple[type[FlujoError], ExitCode], ...] = (
    (RunOwnedElsewhere, ExitCode.OWNED_ELSEWHERE),
    (ValidationError, ExitCode.VALIDATION),
    (DefinitionChanged, ExitCode.VALIDATION),
    (ConfigurationError, ExitCode.USAGE),
    (ContextError, ExitCode.USAGE),
    (RunKeyTaken, ExitCode.USAGE),
    (RunNotFound, ExitCode.USAGE),
    (RunNotPaused, ExitCode.USAGE),
    (RunPoisoned, ExitCode.USAGE),
    (AnswerRejected, ExitCode.USAGE),
    (StateBackendBusy, ExitCode.USAGE),
    (StateCorrupt, ExitCode.USAGE),
    (StateStorageFull, ExitCode.USAGE),
    (StateUnavailable, ExitCode.USAGE),
    (OutputError, ExitCode.USAGE),
)

#: Findings about project code that a pipeline names: it isn't there, or fails while it is loaded.
_IMPORT_FINDINGS = {"V-A04", "V-A05"}


def code_of(findings: Iterable[Finding]) -> ExitCode:
    """The exit code for a pipeline with these findings."""
    codes = {finding.code for finding in findings if finding.severity == "error"}
    if not codes:
        return ExitCode.OK
    return ExitCode.IMPORT if codes <= _IMPORT_FINDINGS else ExitCode.VALIDATION


def code_for(error: FlujoError) -> ExitCode:
    """The exit code of a command that ended with `error`."""
    if isinstance(error, BlueprintError) and error.findings:
        return code_of(error.findings)
    if error.code in _IMPORT_FINDINGS:
        return ExitCode.IMPORT
    if type(error) is StateError:  # an id or a key that stands for another run; what befalls a run has its own class
        return ExitCode.USAGE
    return next((code for kind, code in _BY_CLASS if isinstance(error, kind)), ExitCode.FAILED)
