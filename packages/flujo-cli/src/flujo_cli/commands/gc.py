"""`flujo gc`: forget runs that ended long ago."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import click

from flujo.blueprint.durations import seconds
from flujo.domain.interfaces import RunRow, StateBackend
from flujo.infra.clock import SystemClock
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console
from flujo_cli.project import Project
from flujo_cli.records import read_state

__all__ = ["gc"]

#: As many runs are forgotten at once: others get their turn between.
_AT_ONCE = 200


def _seconds(_: click.Context, __: click.Parameter, value: str) -> float:
    try:
        return seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option(
    "--older-than",
    metavar="TIME",
    callback=_seconds,
    default="30d",
    show_default=True,
    help="How long ago they ended, like 12h or 7d.",
)
@click.option(
    "--trust-clock", is_flag=True, help="Believe this machine's clock although no run was begun in that time."
)
@json_option
@state_option
@click.pass_obj
def gc(options: Options, older_than: float, trust_clock: bool, as_json: bool, state: str | None) -> None:
    """Forget runs that completed, failed or were cancelled long ago; others stay, however old they are."""
    now = SystemClock().now()
    before = now - older_than

    async def forget(backend: StateBackend) -> tuple[int, Sequence[RunRow]]:
        number = 0
        while forgotten := await backend.gc(ended_before=before, limit=_AT_ONCE, trust_clock=trust_clock):
            number += forgotten
        return number, await backend.list(limit=1)

    number, newest = asyncio.run(read_state(options, state, forget))
    console = Console()
    if as_json:
        console.json({"schema": "flujo.gc/1", "forgotten": number})
    console.note("1 run is forgotten" if number == 1 else f"{number} runs are forgotten")
    if not number and not newest:
        console.note(f"no runs are recorded in {Project.looked_at(stands=options.stands, state=state).state}")
    elif not number and newest[0].created_at < before and not trust_clock:
        told = datetime.fromtimestamp(now).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        console.note(f"no run was begun in that time: if it is {told} now, as this machine says, add --trust-clock")
