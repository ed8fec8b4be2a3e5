"""Recorded runs, read for people and programs; nothing of the project's code is needed for it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from flujo.domain.interfaces import CACHE_MISSED, MAX_CLAIMS, JournalRecord, RecordKind, RunRow, StateBackend
from flujo.domain.lives import LivesBackend
from flujo.domain.outcomes import UNREADABLE, PendingAnswer, RunStatus
from flujo.engine.journal import Journal
from flujo.engine.recorded import CHANGE, words
from flujo.exceptions import RunNotFound, StateCorrupt
from flujo.infra.clock import SystemClock
from flujo.infra.codec import JsonCodec, jsonable, readable
from flujo.runner.answers import waiting
from flujo.runner.state_backend_manager import open_state
from flujo.runner.trace import Trace, read_trace, trace_of
from flujo_cli.exit_codes import ExitCode
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options
from flujo_cli.output import Console, show_error
from flujo_cli.progress import elapsed
from flujo_cli.project import Project
from flujo_cli.references import find_run
from flujo_cli.report import describe_usage

__all__ = [
    "Record",
    "damage",
    "describe_record",
    "describe_row",
    "is_poisoned",
    "read_record",
    "read_state",
    "seen",
    "took",
    "took_text",
    "value_of",
    "with_damage",
]

T = TypeVar("T")

#: Nobody waits for a person and is over in less.
_QUICK_S = 5.0


async def read_state(options: Options, state: str | None, read: Callable[[StateBackend], Awaitable[T]]) -> T:
    """What `read` finds in the state of the project the user stands in."""
    project = Project.looked_at(stands=options.stands, state=state)
    backend = open_state(project.settings.state_uri, load_plugins(options), project.root)
    try:
        return await read(backend)
    except RunNotFound as error:
        raise project.looked_in(error) from error
    finally:
        await backend.close()


#: What flujo's own words say, and what stands there where those of a record can't be read.
_SAY = {RecordKind.WAIT: ["message"], RecordKind.ANSWER: ["value", "by"], RecordKind.SETTLED: ["output", "again", "by"]}
_UNREAD = "(can't be read)"


class Record(NamedTuple):
    """What can be read of a run, which of its lives wrote each record, and why the rest can't be read.

    Where flujo's own words in a record can't, others stand there that say so. `pending` are the open questions,
    `in_doubt` the paths of steps that may run only once, began and did not end; none while it is at work.
    """

    row: RunRow
    records: Sequence[JournalRecord]
    lives: Mapping[str, int]
    trace: Trace
    pending: Sequence[PendingAnswer]
    in_doubt: Sequence[str]
    damaged: Sequence[StateCorrupt]


async def read_record(backend: StateBackend, reference: str) -> Record:
    """The record of the run that `reference` means."""
    row = await find_run(backend, reference)
    records = await backend.load(row.run_id)
    lives = await backend.lives(row.run_id) if isinstance(backend, LivesBackend) else {}
    ends = {"input": row.input, "first context": row.base, "output": row.output}
    parts = [*(JournalRecord(name, out=value) for name, value in ends.items()), JournalRecord("run", error=row.error)]
    wrong = {each.path: error for each in records if (error := damage(each)) is not None}
    asked = (each for each in records if each.kind is not RecordKind.WAIT or each.path not in wrong)
    journal = Journal(backend, None, JsonCodec(), asked)
    doubts = [] if row.status in (RunStatus.COMPLETED, RunStatus.RUNNING) else journal.doubts()
    told = [
        each._replace(out={"unreadable": wrong[each.path].message, **dict.fromkeys(_SAY[each.kind], _UNREAD)})
        if each.path in wrong and each.kind in _SAY
        else each
        for each in records
    ]
    trace = trace_of(row, told, SystemClock().now(), lives)
    return Record(
        row, told, lives, trace, waiting(row, journal), doubts, [*filter(None, map(damage, parts)), *wrong.values()]
    )


def damage(record: JournalRecord) -> StateCorrupt | None:
    """What is wrong with the value of a record, its change of the context, or its error."""
    try:
        words(record.kind, value_of(record.out, record.path), record.path)
        if record.delta is not None:
            words(CHANGE, value_of(record.delta, where := f"the context change of {record.path}"), where)
        if record.error is not None and record.error.type == UNREADABLE:
            raise StateCorrupt(f"the error of {record.path} can't be read: {record.error.message}")
    except StateCorrupt as error:
        return error
    return None


def with_damage(console: Console, record: Record, project: Project) -> ExitCode:
    """Tell what of a run can't be read, and in which state; how a command ends that has shown the rest."""
    for error in record.damaged:
        show_error(console, error)
    if record.damaged:
        console.note(f"that is in run {record.row.run_id}; the state is {project.state}")
    return ExitCode.USAGE if record.damaged else ExitCode.OK


async def took(backend: StateBackend, row: RunRow) -> float:
    """Seconds that a run was at work, as its trace has them, until now where it is.

    Of a run that one process began and ended in a few seconds the record is not read.
    """
    whole = _QUICK_S if row.ended_at is None or row.epoch > 1 else row.ended_at - row.created_at
    if whole < _QUICK_S:
        return max(whole, 0.0)  # the clock may have been set back meanwhile
    full = await backend.get(row.run_id) or row
    return (await read_trace(backend, full, SystemClock().now())).took_s


def took_text(trace: Trace) -> str:
    """How long a run was at work, and how long it waited for people, in words."""
    waited = f", and waited {elapsed(trace.waited_s)} for people" if trace.waited_s else ""
    so_far = " until now" if trace.status is RunStatus.RUNNING else ""
    return f"{elapsed(trace.took_s)}{so_far}{waited}"


def value_of(stored: Any, where: str = "a stored value") -> Any:
    """A stored value as plain JSON data. Raises `StateCorrupt`, which says `where`."""
    return readable(stored, where=where) if isinstance(stored, bytes) else jsonable(stored)


def seen(stored: Any) -> Any:
    """A stored value as plain JSON data, or in its place why it can't be read."""
    try:
        return value_of(stored)
    except StateCorrupt as error:
        return {"unreadable": error.message}


def describe_row(row: RunRow) -> dict[str, Any]:
    """A run as plain data, without its input and output."""
    return {
        "run_id": row.run_id,
        "status": str(row.status),
        "poisoned": is_poisoned(row),
        "pipeline": row.pipeline,
        "source": row.source,
        "key": row.key,
        "tags": dict(row.tags),
        "created_at": _time(row.created_at),
        "updated_at": _time(row.updated_at),
        "ended_at": None if row.ended_at is None else _time(row.ended_at),
        "recorded": row.recorded,
        "usage": describe_usage(row.usage),
        "error": jsonable(row.error),
    }


def is_poisoned(row: RunRow) -> bool:
    """Whether nobody goes on with the run but by force: its processes have died too often."""
    return row.status is RunStatus.INTERRUPTED and row.claims >= MAX_CLAIMS


def describe_record(record: JournalRecord) -> dict[str, Any]:
    """A line of a run's journal as plain data."""
    is_result = record.kind is RecordKind.RESULT
    has_value = record.out is not None and record.kind not in (RecordKind.ATTEMPT, RecordKind.FAILED)
    is_missed = record.error is not None and record.error.type == CACHE_MISSED
    return {
        "path": record.path,
        "kind": record.kind.name.lower(),
        "attempt": record.attempt,
        "cached": is_result and record.attempt == 0,
        "output": seen(record.out) if has_value else None,
        "fallback": record.fallback,
        "error": jsonable(None if is_missed else record.error),
        "missed": is_missed,
        "started_at": _time(record.started_at),
        "duration_s": round(record.ended_at - record.started_at, 6),
        "usage": describe_usage(record.usage),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
