"""`flujo inbox`: what all runs wait for people to say."""

import asyncio
from typing import Any

import click

from flujo.domain.interfaces import StateBackend
from flujo.exceptions import StateCorrupt
from flujo.infra.clock import SystemClock
from flujo.infra.codec import JsonCodec
from flujo.runner.inbox import OpenQuestion, read_inbox
from flujo_cli.exit_codes import ExitCode
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console, one_line, show_error
from flujo_cli.project import Project
from flujo_cli.questions import deciding_words, describe_pending, show_time
from flujo_cli.records import read_state
from flujo_cli.references import find_run

__all__ = ["inbox"]

_SHORT = 60

#: Said of a question that may still be answered, as nobody has resumed its run since.
_LATE = "(past its deadline)"


@click.command()
@click.option("--run", "reference", metavar="RUN", help="Only what this run waits for.")
@json_option
@state_option
@click.pass_obj
def inbox(options: Options, reference: str | None, as_json: bool, state: str | None) -> ExitCode:
    """List the open questions of all runs, the oldest first."""
    damaged: list[StateCorrupt] = []

    async def read(backend: StateBackend) -> tuple[OpenQuestion, ...]:
        run_id = None if reference is None else (await find_run(backend, reference)).run_id
        return await read_inbox(backend, JsonCodec(), run_id, damaged.append)

    project = Project.looked_at(stands=options.stands, state=state)
    console = Console()
    asked = asyncio.run(read_state(options, state, read))
    if as_json:
        console.json({"schema": "flujo.inbox/1", "questions": [_describe(each, project) for each in asked]})
    elif asked:
        console.table(("RUN", "PATH", "TOKEN", "SINCE", "UNTIL", "MESSAGE"), [_cells(each) for each in asked])
        lines = {_command(each, project, "RUN", "TOKEN") for each in asked}
        for line in lines if len(lines) == 1 else [_describe(each, project)["command"] for each in asked]:
            console.note(f"answer: {line}")
    elif not damaged:
        console.note("no run waits for an answer here")
    for error in damaged:
        show_error(console, error)
    return ExitCode.USAGE if damaged else ExitCode.OK


def _describe(each: OpenQuestion, project: Project) -> dict[str, Any]:
    (asked,) = describe_pending([each.question])
    command = _command(each, project, each.run_id, each.question.token)
    late = each.question.is_over(SystemClock().now())
    told = {"run_id": each.run_id, "pipeline": each.pipeline, "status": each.status, **asked}
    return {**told, "past_deadline": late, "command": command}


def _command(each: OpenQuestion, project: Project, run_id: str, token: str) -> str:
    return project.command(*deciding_words(run_id, each.question, token))


def _cells(each: OpenQuestion) -> tuple[str, ...]:
    asked = each.question
    first = asked.message.strip().partition("\n")[0]
    short = one_line(first[:_SHORT]) + ("..." if len(asked.message.strip()) > len(first[:_SHORT]) else "")
    late = f" {_LATE}" if asked.is_over(SystemClock().now()) else ""
    until = (show_time(asked.deadline) or "-") + late
    return each.run_id, asked.path, asked.token, show_time(asked.since) or "", until, short
