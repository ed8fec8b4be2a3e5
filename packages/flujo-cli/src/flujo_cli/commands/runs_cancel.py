"""`flujo runs cancel`: stop a run, wherever it is at work."""

import asyncio

import click

from flujo.domain.interfaces import RunRow, StateBackend
from flujo.domain.outcomes import RunStatus
from flujo.infra.clock import SystemClock
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console
from flujo_cli.records import read_state
from flujo_cli.references import REFERENCE_HELP, find_run

__all__ = ["runs_cancel"]


@click.command(
    help="Stop a run. A process that is at work on it stops within a second, and what its step needs to stop; "
    "what is finished stays recorded. Nothing goes on with it by itself; to resume it takes the cancellation back."
    f"\n\n{REFERENCE_HELP}"
)
@click.argument("reference", metavar="RUN")
@json_option
@state_option
@click.pass_obj
def runs_cancel(options: Options, reference: str, as_json: bool, state: str | None) -> None:
    """Cancel the run, or ask its owner to stop, and say which."""

    async def cancel(backend: StateBackend) -> tuple[RunRow, RunStatus]:
        row = await find_run(backend, reference)
        return row, await backend.cancel(row.run_id, at=SystemClock().now())

    row, status = asyncio.run(read_state(options, state, cancel))
    console = Console()
    if as_json:
        console.json(
            {"schema": "flujo.cancel/1", "run_id": row.run_id, "status": str(status), "before": str(row.status)}
        )
    console.note(_told(row, status))


def _told(row: RunRow, status: RunStatus) -> str:
    if status is RunStatus.RUNNING:
        return f"run {row.run_id} is at work: its process has been asked to stop"
    if status is RunStatus.CANCELLED and row.status is not RunStatus.CANCELLED:
        return f"run {row.run_id} is cancelled"
    return f"run {row.run_id} has ended before: {status}"
