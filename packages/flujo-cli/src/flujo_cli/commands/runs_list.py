"""`flujo runs list`: the recorded runs, newest first."""

import asyncio
from typing import Any

import click

from flujo.domain.interfaces import RunRow, StateBackend
from flujo.domain.outcomes import RunStatus
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console
from flujo_cli.progress import elapsed
from flujo_cli.project import Project
from flujo_cli.questions import show_time
from flujo_cli.records import describe_row, read_state, took

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
def runs_list(options: Options, limit: int, status: str | None, as_json: bool, state: str | None) -> None:
    """List recorded runs, newest first."""
    page_size = limit if status is None else _PAGE
    wanted = RunStatus if status is None else (RunStatus[status.upper()],)

    async def read(backend: StateBackend) -> list[Listed]:
        found: list[RunRow] = []
        offset = 0
        while len(found) < limit and (page := await backend.list(limit=page_size, offset=offset)):
            found += (row for row in page if row.status in wanted)
            offset += len(page)
        return [(row, await took(backend, row)) for row in found[:limit]]

    rows = asyncio.run(read_state(options, state, read))
    console = Console()
    if as_json:
        console.json({"schema": "flujo.runs/1", "runs": [describe_row(row) for row, _ in rows]})
    elif rows:
        console.table(("RUN", "STATUS", "STARTED", "TOOK", "STEPS", "PIPELINE"), [_cells(*each) for each in rows])
    else:
        which = "" if status is None else f" {status}"
        console.note(f"no{which} runs are recorded in {Project.here(stands=options.stands, state=state).state}")


def _cells(row: RunRow, worked: float) -> tuple[Any, ...]:
    return row.run_id, str(row.status), show_time(row.created_at), elapsed(worked), str(row.recorded), row.pipeline
