"""`flujo resume`: go on with a run where its record ends."""

from functools import partial
from typing import Any

import click

from flujo.domain.interfaces import StateBackend
from flujo.domain.outcomes import PipelineResult
from flujo.plugins import create_plugin_manager
from flujo.runner.pipeline_resolver import resolve_pipeline
from flujo_cli.exit_codes import EXIT_CODE_HELP, ExitCode
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.project import Project
from flujo_cli.references import REFERENCE_HELP, find_run
from flujo_cli.reporter import Reporter
from flujo_cli.session import Session

__all__ = ["resume"]


@click.command(
    help="Go on with a run that was interrupted, failed or lost its process: recorded steps do not run again. Of a "
    f"completed run the recorded result is handed out.\n\n{REFERENCE_HELP}",
    epilog=EXIT_CODE_HELP,
)
@click.argument("reference", metavar="RUN")
@click.option("--force", is_flag=True, help="Take the run over from a process that is still alive.")
@click.option("--quiet", "-q", is_flag=True, help="Write only warnings and errors to stderr.")
@json_option
@state_option
@click.pass_obj
def resume(options: Options, reference: str, force: bool, quiet: bool, as_json: bool, state: str | None) -> ExitCode:
    """Find the run, load the pipeline it began with, and go on."""
    reporter = Reporter(options, quiet=quiet)
    with reporter.telling():
        session = Session(Project.here(stands=options.stands, state=state), create_plugin_manager(), reporter)
        reporter.warn_of_plugins(session.manager)
        return session.drive(partial(_resume, session, reference, force))


async def _resume(session: Session, reference: str, force: bool, backend: StateBackend) -> PipelineResult[Any, Any]:
    row = await find_run(backend, reference)
    session.reporter.run_id = row.run_id
    file = session.project.file_of(row.source, row.run_id)
    pipeline = resolve_pipeline(file, manager=session.manager, settings=session.project.settings)
    flujo = session.flujo(pipeline, backend, row.source, {})
    result = await flujo.resume(row.run_id, force=force)
    session.reporter.warn_of_sinks(flujo)
    return result
