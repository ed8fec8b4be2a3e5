"""`flujo runs list`: the recorded runs, newest first."""

import asyncio
from functools import partial
from typing import Any

import click

from flujo.domain.interfaces import JournalRecord, RunRow, StateBackend
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import StateCorrupt
from flujo.runner.inbox import in_pages
from flujo_cli.exit_codes import ExitCode
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console, show_error
from flujo_cli.progress import elapsed
from flujo_cli.project import Project
from flujo_cli.questions import show_time
from flujo_cli.records import damage, describe_row, is_poisoned, read_state, took

__all__ = ["runs_list"]

Listed = tuple[RunRow, float]

#: As many runs are read at once.
_PAGE = 200


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to list.")
@click.option("--status", type=click.Choice([each.name.lower() for each in RunStatus]), help="Only those.")
@json_option
@state_option
@click.pass_obj
def runs_list(options: Options, limit: int, status: str | None, as_json: bool, state: str | None) -> ExitCode:
    """List recorded runs, newest first."""
    damaged: list[StateCorrupt] = []
    read = partial(_read, limit=limit, status=None if status is None else RunStatus[status.upper()], damaged=damaged)
    rows = asyncio.run(read_state(options, state, read))
    console = Console()
    if as_json:
        console.json({"schema": "flujo.runs/1", "runs": [describe_row(row) for row, _ in rows]})
    elif rows:
        console.table(("RUN", "STATUS", "STARTED", "TOOK", "STEPS", "PIPELINE"), [_cells(*each) for each in rows])
    elif not damaged:
        which = "" if status is None else f" {status}"
        console.note(f"no{which} runs are recorded in {Project.looked_at(stands=options.stands, state=state).state}")
    for error in damaged:
        show_error(console, error)
    return ExitCode.USAGE if damaged else ExitCode.OK


async def _read(
    backend: StateBackend, limit: int, status: RunStatus | None, damaged: list[StateCorrupt]
) -> list[Listed]:
    found: list[Listed] = []
    async for row in in_pages(backend.list, limit if status is None else _PAGE, damaged.append):
        if status in (None, row.status):
            damaged += filter(None, [damage(JournalRecord(f"run {row.run_id!r}", error=row.error))])
            try:
                found.append((row, await took(backend, row)))
            except StateCorrupt as error:
                damaged.append(_of(row, error))
        if len(found) == limit:
            break
    return found


def _of(row: RunRow, error: StateCorrupt) -> StateCorrupt:
    """The error about the run's record, as one about the run."""
    return StateCorrupt(f"run {row.run_id!r} can't be read: {error.message}", suggestion=error.suggestion)


def _cells(row: RunRow, worked: float) -> tuple[Any, ...]:
    status = f"{row.status}, poisoned" if is_poisoned(row) else str(row.status)
    return row.run_id, status, show_time(row.created_at), elapsed(worked), str(row.recorded), row.pipeline
