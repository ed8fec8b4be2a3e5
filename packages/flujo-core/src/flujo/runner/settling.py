"""What a person says of a step that began, may run only once, and did not end."""

from datetime import UTC, datetime
from typing import Any

from flujo.domain.agent_step import AgentStep
from flujo.domain.interfaces import RunRow
from flujo.domain.outcomes import RunStatus
from flujo.domain.steps import Step
from flujo.domain.suggest import did_you_mean
from flujo.engine.journal import Journal, Settlement
from flujo.exceptions import AnswerRejected, ConfigurationError, SchemaMismatchError
from flujo.infra.schemas import OutputSchema
from flujo.runner.answers import NO_ANSWER
from flujo.runner.run_session import RunSession

__all__ = ["settle"]


async def settle(session: RunSession, run_id: str, path: str, output: Any, *, again: bool, by: str) -> None:
    """Write down what the step at `path` came to. The run is nobody's afterwards, with the status that it had.

    Raises `ConfigurationError` for both or neither of an output and `again`, `RunNotFound`, `AnswerRejected` for a step
    that is not in doubt and for an output of another type than it declares, `RunOwnedElsewhere` while a living process
    is at work on the run.
    """
    if (output is NO_ANSWER) is not again:
        raise ConfigurationError(
            f"step {path!r} is settled by its output or by again=True", suggestion="give one of both"
        )
    said = Settlement(None if again else output, again, by, session.clock.now())
    row = await session.find(run_id)
    seen = Journal(session.backend, None, session.codec, await session.backend.load(run_id))
    _check(row, seen, path)
    said = said if said.again else said._replace(output=_fitting(session, seen, path, said.output))
    claim = await session.backend.claim(run_id)
    status = RunStatus.INTERRUPTED if row.status is RunStatus.RUNNING else row.status
    try:
        journal = Journal(session.backend, claim, session.codec, await session.backend.load(run_id))
        _check(row, journal, path)  # somebody else may have been faster
        await journal.record_settlement(path, said)
    finally:
        await session.backend.finish(claim, status, error=row.error, at=session.clock.now())


def _check(row: RunRow, journal: Journal, path: str) -> None:
    """Raise `AnswerRejected` unless the step at `path` is in doubt."""
    doubts = [] if row.status is RunStatus.COMPLETED else journal.doubts()
    if path in doubts:
        return
    settled = journal.settlement(path) if journal.begun(path) else None
    if settled is not None:
        when = datetime.fromtimestamp(settled.at, UTC).isoformat(sep=" ", timespec="seconds")
        raise AnswerRejected(f"step {path!r} was settled by {settled.by or 'somebody'} at {when}")
    advice = did_you_mean(path, doubts, what="in doubt are") if doubts else "none of its steps is in doubt"
    raise AnswerRejected(f"step {path!r} of run {row.run_id!r} is not in doubt", suggestion=advice)


def _fitting(session: RunSession, journal: Journal, path: str, output: Any) -> Any:
    """The output as the step at `path` declares it, where the pipeline still has the step."""
    begun = journal.begun(path)
    step = None if begun is None else session.core.with_fingerprint(begun.fingerprint)
    declared = Any if step is None else _declared(step)
    if declared is Any:
        return output
    try:
        return OutputSchema.of(declared).check(output, what=f"the output of {path!r}")
    except SchemaMismatchError as error:
        raise AnswerRejected(error.message, suggestion="nothing was recorded: say it again as declared") from error


def _declared(step: Step[Any, Any]) -> Any:
    return step.output if isinstance(step, AgentStep) and step.output is not None else step.output_type
