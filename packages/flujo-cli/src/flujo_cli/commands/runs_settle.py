"""`flujo runs settle`: say what became of a step that may run only once, began and did not end."""

import asyncio
from typing import Any

import click

from flujo.domain.interfaces import RunRow
from flujo.runner.answers import NO_ANSWER
from flujo.runner.state_backend_manager import open_state
from flujo_cli.input import read_json
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options, json_option, pipeline_option, state_option
from flujo_cli.project import Project
from flujo_cli.questions import user_name
from flujo_cli.references import REFERENCE_HELP
from flujo_cli.reporter import Reporter
from flujo_cli.session import Session

__all__ = ["runs_settle"]


@click.command(
    help="Say what became of the step at PATH, which may run only once, began, and has no result: with what it gave as "
    "--output it is done, or it may run --again. `resume` then goes on. Of a run that a program began the output is "
    f"checked against what the step declares only where --pipeline names its pipeline.\n\n{REFERENCE_HELP}"
)
@click.argument("reference", metavar="RUN")
@click.argument("path", metavar="PATH")
@click.option("--output", metavar="JSON", help="It took effect: what the step gave, as a JSON value.")
@click.option("--again", is_flag=True, help="It took no effect: let the step run once more.")
@click.option("--by", metavar="NAME", help="Who says so. [default: the login name]")
@pipeline_option
@json_option
@state_option
@click.pass_obj
def runs_settle(
    options: Options,
    reference: str,
    path: str,
    output: str | None,
    again: bool,
    by: str | None,
    as_json: bool,
    state: str | None,
) -> None:
    """Write it into the run's record, and say what to type next."""
    if (output is None) is not again:
        raise click.UsageError("say what became of it: --output JSON, or --again")
    said = NO_ANSWER if output is None else read_json(output, "--output")
    who = user_name() if by is None else by
    reporter = Reporter(options)
    with reporter.telling():
        session = Session(Project.here(stands=options.stands, state=state), load_plugins(options), reporter)
        row = asyncio.run(_settle(session, reference, path, said, who))
    if as_json:
        told = {"run_id": row.run_id, "path": path, "again": again, "by": who}
        reporter.console.json({"schema": "flujo.settled/1", **told})
    reporter.console.note(f"{path} of run {row.run_id}: {'it may run again' if again else 'it is done'}")
    again_words = session.project.naming(row.source, options.pipeline)
    reporter.console.note(f"next: {session.project.command('resume', row.run_id, *again_words)}")


async def _settle(session: Session, reference: str, path: str, output: Any, by: str) -> RunRow:
    backend = open_state(session.project.settings.state_uri, session.manager, session.project.root)
    try:
        flujo, row = await session.reopen(backend, reference, records=True)
        await flujo.settle(row.run_id, path, output, again=output is NO_ANSWER, by=by)
        return row
    finally:
        await backend.close()
