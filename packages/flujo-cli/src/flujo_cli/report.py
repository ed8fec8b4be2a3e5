"""What a command tells of runs and errors: as plain data for `--json`, as lines for people."""

from collections.abc import Iterable, Sequence
from typing import Any

from flujo.domain.masking import masked
from flujo.domain.outcomes import ErrorInfo, PipelineResult, RunStatus, StepResult
from flujo.domain.usage import NO_USAGE, Usage, amount_text
from flujo.exceptions import BlueprintError, FlujoError, UsageLimitExceededError
from flujo.infra.codec import jsonable
from flujo_cli.limits import in_options
from flujo_cli.output import Console, one_line
from flujo_cli.progress import brief, elapsed
from flujo_cli.questions import describe_pending

__all__ = [
    "ERROR_SCHEMA",
    "RUN_SCHEMA",
    "describe_problem",
    "describe_refusal",
    "describe_result",
    "describe_stop",
    "describe_usage",
    "show_background",
    "show_failure",
    "show_output",
    "show_summary",
    "usage_text",
]

#: The name and version of the object that `run --json` and `resume --json` write.
RUN_SCHEMA = "flujo.run/1"

#: The same of the object that any command writes when it was asked for JSON and there was an error instead of a result.
ERROR_SCHEMA = "flujo.error/1"

Result = PipelineResult[Any, Any]


def describe_result(result: Result) -> dict[str, Any]:
    """The object for a run that came to an end."""
    return _run(
        result.run_id,
        result.status,
        output=jsonable(result.output),
        error=jsonable(result.error),
        duration_s=round(result.duration_s, 6),
        usage=result.usage,
        steps=result.step_history,
        pending=describe_pending(result.pending),
        background=result.background,
    )


def describe_stop(
    run_id: str | None, finished: Sequence[StepResult[Any]], error: FlujoError | None = None
) -> dict[str, Any]:
    """The object for a run that was interrupted, by a signal or an `error` of its state.

    `finished` are the pipeline's steps that had ended.
    """
    usage = sum((step.usage for step in finished), NO_USAGE)
    return _run(run_id, RunStatus.INTERRUPTED, error=error and _error(error), usage=usage, steps=finished)


def describe_refusal(error: FlujoError, run_id: str | None) -> dict[str, Any]:
    """The object for a run that could not begin."""
    return _run(run_id, "error", error=_error(error))


def _run(
    run_id: str | None,
    status: str,
    *,
    output: Any = None,
    error: Any = None,
    duration_s: float | None = None,
    usage: Usage = NO_USAGE,
    steps: Iterable[StepResult[Any]] = (),
    pending: Sequence[dict[str, Any]] = (),
    background: Iterable[StepResult[Any]] = (),
) -> dict[str, Any]:
    return {
        "schema": RUN_SCHEMA,
        "run_id": run_id,
        "status": str(status),
        "success": status == RunStatus.COMPLETED,
        "output": output,
        "error": error,
        "duration_s": duration_s,
        "usage": describe_usage(usage),
        "pending": list(pending),
        "steps": [_step(step) for step in steps],
        "background": [_step(step) for step in background],
    }


def _step(step: StepResult[Any]) -> dict[str, Any]:
    return {
        "name": step.name,
        "path": step.path,
        "kind": step.kind,
        "success": step.success,
        "attempts": step.attempts,
        "duration_s": round(step.duration_s, 6),
        "recalled": step.recalled,
        "paused": step.paused,
        "cached": step.cached,
        "fallback": step.fallback,
        "error": jsonable(step.error),
        "usage": describe_usage(step.usage),
        "children": [_step(child) for child in step.children],
    }


def describe_usage(usage: Usage) -> dict[str, Any]:
    """Calls, tokens and money; the cost is text, because it is exact."""
    return {
        "calls": usage.calls,
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "cost_usd": amount_text(usage.cost_usd),
    }


def describe_problem(error: BaseException, message: str | None = None) -> dict[str, Any]:
    """The object for an error that ended a command; `message` says what is wrong where the error itself doesn't."""
    return {"schema": ERROR_SCHEMA, "error": _error(error, message)}


def _error(error: BaseException, message: str | None = None) -> dict[str, Any]:
    """An error as plain data, with every finding about a pipeline file."""
    ours = error if isinstance(error, FlujoError) else None
    findings = error.findings if isinstance(error, BlueprintError) else ()
    return {
        "type": type(error).__name__,
        "message": masked(str(error) if message is None else message),
        "code": ours.code if ours else None,
        "suggestion": masked(ours.suggestion) if ours and ours.suggestion else None,
        "findings": jsonable(findings),
    }


def show_output(console: Console, output: Any) -> None:
    """Write a run's output to stdout: text as it is, anything else as JSON."""
    if isinstance(output, str):
        console.out(output)
    elif output is not None:
        console.json(jsonable(output))


def show_failure(console: Console, error: ErrorInfo) -> None:
    """Say on stderr which step failed, with what, and where."""
    code = f"[{error.code}]" if error.code else ""
    where = f" step {error.path!r} failed:" if error.path else ""
    what = one_line(error.message) if error.code else brief(error)
    console.note(f"{console.paint(f'error{code}', 'red', bold=True)}{where} {what}")
    if error.location:
        console.note(f"  at {error.location}")
    if error.plugin:
        console.note(f"  in a step that plugin {error.plugin} runs")
    if error.suggestion:
        told = in_options(error.suggestion) if error.code == UsageLimitExceededError.default_code else error.suggestion
        console.note(f"  help: {told}")


def show_background(console: Console, results: Iterable[StepResult[Any]]) -> None:
    """Say on stderr which background steps have failed: that does not fail the run."""
    for result in results:
        if result.error is not None and not result.success:
            told = console.paint("warning", "yellow", bold=True)
            console.note(f"{told}: background step {result.path!r} failed: {brief(result.error)}")


def show_summary(console: Console, result: Result, following: str | None) -> None:
    """Say on stderr how a run ended, what it cost, and what to type next."""
    colour = "green" if result.success else "yellow" if result.status is RunStatus.PAUSED else "red"
    status = console.paint(str(result.status), colour, bold=True)
    used = usage_text(result.usage)
    console.note(f"{status} in {elapsed(result.duration_s)}{used and f', {used}'}, run {result.run_id}")
    if following:
        console.note(f"next: {following}")


def usage_text(usage: Usage) -> str:
    """Calls, tokens and money for people; nothing where nothing was called."""
    calls = "1 call" if usage.calls == 1 else f"{usage.calls} calls"
    tokens = f", {usage.tokens} tokens" if usage.tokens else ""
    cost = f", {amount_text(usage.cost_usd)} USD" if usage.cost_usd else ""
    return f"{calls}{tokens}{cost}" if usage != NO_USAGE else ""
