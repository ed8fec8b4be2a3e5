"""A run that somebody asks for by its input: a new one, or the one that the id or the key stands for."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flujo.domain.interfaces import RunRow
from flujo.domain.outcomes import ErrorInfo, PipelineResult, RunStatus
from flujo.engine.changes import fields_of
from flujo.exceptions import DefinitionChanged, RunKeyTaken, RunOwnedElsewhere, StateError
from flujo.runner.ids import check_key, check_run_id, new_run_id
from flujo.runner.resume_orchestrator import ResumeOrchestrator
from flujo.runner.run_session import Begun, RunSession

__all__ = ["Wanted", "start"]


class Wanted(NamedTuple):
    """What is to be run: `data` are the first fields of the context, `key` is the caller's own name for the work."""

    input: Any
    run_id: str | None
    data: Mapping[str, Any]
    key: str | None


async def start(wanted: Wanted, session: RunSession) -> Begun:
    """Begin the run, or claim it to go on with it: see `Flujo.run`."""
    input, run_id, data, key = wanted
    if key is not None:
        check_key(key)
    if run_id is not None:
        check_run_id(run_id)
        row = await session.backend.get(run_id)
        if row is not None:
            return await _go_on(session, row, wanted)
    try:
        return await session.start(run_id or new_run_id(session.clock.now()), input, data, key)
    except StateError as error:  # somebody else may have begun the run at the same time
        taken = error.run_id if isinstance(error, RunKeyTaken) else run_id
        row = None if taken is None or run_id not in (None, taken) else await session.backend.get(taken)
        if row is None:
            if isinstance(error, RunKeyTaken):
                error.suggestion = f"leave the id {run_id!r} out to go on with that run, or take another key"
            raise
        return await _go_on(session, row, wanted)


async def _go_on(session: RunSession, row: RunRow, wanted: Wanted) -> Begun:
    """Resume the run that a caller means by its id or its key; a cancelled one stays so."""
    key = wanted.key
    if key is not None and row.key != key:
        raise StateError(
            f"run {row.run_id!r} has the key {row.key!r}, not {key!r}" if row.key else f"run {row.run_id!r} has no key",
            suggestion="name the run by its id or by its key, or start another run",
        )
    if not session.same_input(row, wanted.input):
        raise StateError(
            f"run {row.run_id!r} was started with another input",
            suggestion="give the same input to go on with it, or another run id or key to start anew",
        )
    if other := _other_fields(session, row, wanted):
        raise StateError(
            f"run {row.run_id!r} was started with another context: {', '.join(map(repr, other))}",
            suggestion="give the same context to go on with it, or another run id or key to start anew",
        )
    if row.status is RunStatus.CANCELLED:
        return _handed_out(session, row)
    try:
        return await ResumeOrchestrator(session).resume(row.run_id)
    except (DefinitionChanged, RunOwnedElsewhere) as error:
        error.run_id = row.run_id
        raise


def _other_fields(session: RunSession, row: RunRow, wanted: Wanted) -> list[str]:
    """The fields of the first context that are not what the run began with.

    What lives elsewhere is left out, and what is made anew for each context, as a time is.
    """
    base = session.recorded_context(row, wanted.input)
    now = session.context(row.run_id, wanted.input, wanted.data)
    fields = session.context_model.model_fields.items()
    made = {name for name, field in fields if field.default_factory not in (None, dict, list)} - wanted.data.keys()
    had, has = (
        {name: session.encoded({name: value}, "context") for name, value in fields_of(context).items()}
        for context in (base, now)
    )
    names = {*had, *has} - made - {place.field for place in session.hydration.hold(now).places}
    return sorted(name for name in names if had.get(name) != has.get(name))


async def _handed_out(session: RunSession, row: RunRow) -> PipelineResult[Any, Any]:
    """What a cancelled run came to: whoever starts it again, a supervisor for example, need not know that it is."""
    input = session.decoded(row.input, "input")
    advice = f"only to resume it by its id takes that back: flujo resume {row.run_id}"
    told = ErrorInfo("Aborted", "the run was cancelled", suggestion=advice)
    context = session.recorded_context(row, input)
    return PipelineResult(row.run_id, row.status, None, context, usage=row.usage, error=told)
