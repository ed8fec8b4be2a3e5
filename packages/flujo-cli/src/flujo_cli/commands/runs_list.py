"""`flujo runs list`: the recorded runs, newest first."""

import asyncio
from datetime import datetime
from typing import Any

import click

from flujo.domain.interfaces import RunRow
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console
from flujo_cli.progress import elapsed
from flujo_cli.records import describe_row, read_state

__all__ = ["runs_list"]


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to list.")
@json_option
@state_option
@click.pass_obj
def runs_list(options: Options, limit: int, as_json: bool, state: str | None) -> None:
    """List recorded runs, newest first."""
    rows = asyncio.run(read_state(options, state, lambda backend: backend.list(limit=limit)))
    console = Console()
    if as_json:
        console.json({"schema": "flujo.runs/1", "runs": [describe_row(row) for row in rows]})
    elif rows:
        console.table(("RUN", "STATUS", "STARTED", "TOOK", "STEPS", "PIPELINE"), [_cells(row) for row in rows])
    else:
        console.note("no runs are recorded here")


def _cells(row: RunRow) -> tuple[Any, ...]:
    started = datetime.fromtimestamp(row.created_at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    took = elapsed(row.ended_at - row.created_at) if row.ended_at is not None else "-"
    return row.run_id, str(row.status), started, took, str(row.recorded), row.pipeline
