"""`flujo gc`: forget runs that ended long ago."""

import asyncio

import click

from flujo.blueprint.durations import seconds
from flujo.domain.interfaces import StateBackend
from flujo.infra.clock import SystemClock
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console
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
@json_option
@state_option
@click.pass_obj
def gc(options: Options, older_than: float, as_json: bool, state: str | None) -> None:
    """Forget runs that completed, failed or were cancelled long ago; others stay, however old they are."""

    async def forget(backend: StateBackend) -> int:
        before = SystemClock().now() - older_than
        number = 0
        while forgotten := await backend.gc(ended_before=before, limit=_AT_ONCE):
            number += forgotten
        return number

    number = asyncio.run(read_state(options, state, forget))
    console = Console()
    if as_json:
        console.json({"schema": "flujo.gc/1", "forgotten": number})
    console.note("1 run is forgotten" if number == 1 else f"{number} runs are forgotten")
