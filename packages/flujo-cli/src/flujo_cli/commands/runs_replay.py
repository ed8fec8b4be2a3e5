"""`flujo runs replay`: what a run came to, made again of its record alone."""

import asyncio
from typing import Any

import click

from flujo.domain.outcomes import StepResult
from flujo.exceptions import ConfigurationError, ReplayMismatchError
from flujo.runner.state_backend_manager import open_state
from flujo_cli.exit_codes import ExitCode
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options, json_option, pipeline_argument, state_option
from flujo_cli.output import show_error
from flujo_cli.project import Project
from flujo_cli.references import REFERENCE_HELP, find_run
from flujo_cli.report import describe_problem, describe_result, show_output
from flujo_cli.reporter import Reporter
from flujo_cli.session import Result, Session

__all__ = ["runs_replay"]


@click.command(
    help="Make what RUN came to again of its record alone, and compare: no step is executed, nothing is written. The "
    "pipeline is the one whose files RUN has kept, or the one in FILE, or module:name. Ends with 1 when it does not "
    f"come to the same.\n\n{REFERENCE_HELP}"
)
@click.argument("reference", metavar="RUN")
@pipeline_argument
@json_option
@state_option
@click.pass_obj
def runs_replay(options: Options, reference: str, as_json: bool, state: str | None) -> ExitCode:
    """Replay the run, and say whether it came to the same."""
    reporter = Reporter(options)
    with reporter.telling():
        session = Session(Project.here(stands=options.stands, state=state), load_plugins(options), reporter)
        reporter.begin(session.project.settings)
        try:
            result = asyncio.run(_replay(session, reference))
        except ReplayMismatchError as error:
            return _differs(reporter, error, as_json)
    _same(reporter, result, as_json)
    return ExitCode.OK


async def _replay(session: Session, reference: str) -> Result:
    project = session.project
    backend = open_state(project.settings.state_uri, session.manager, project.root)
    try:
        row = await find_run(backend, reference)
        file = session.reporter.options.pipeline
        if file is None and not row.files and not row.source:
            way = project.command("runs", "replay", row.run_id, "MODULE:NAME")
            raise ConfigurationError(
                f"run {row.run_id!r} has kept no pipeline: a program began it", suggestion=f"name the pipeline: {way}"
            )
        flujo, row = await session.reopen(backend, reference, as_begun=file is None and bool(row.files))
        return await flujo.replay(row.run_id)
    finally:
        await backend.close()


def _same(reporter: Reporter, result: Result, as_json: bool) -> None:
    reporter.options.owes_json = False
    if as_json:
        reporter.console.json({**describe_result(result), "schema": "flujo.replay/1", "same": True, "difference": None})
    else:
        show_output(reporter.console, result.output)
    told = sum(map(_recalled, (*result.step_history, *result.background)))
    steps = "1 step" if told == 1 else f"{told} steps"
    reporter.console.note(
        f"the same: run {result.run_id} {result.status}, {steps} taken from its record, none executed"
    )


def _recalled(step: StepResult[Any]) -> int:
    return step.recalled + sum(map(_recalled, step.children))


def _differs(reporter: Reporter, error: ReplayMismatchError, as_json: bool) -> ExitCode:
    options, console = reporter.options, reporter.console
    options.owes_json = False
    if as_json:
        told = {**describe_problem(error)["error"], "path": error.path or None}
        console.json({"schema": "flujo.replay/1", "run_id": reporter.run_id, "same": False, "difference": told})
    show_error(console, error, trace=options.debug)
    return ExitCode.FAILED
