"""`flujo resume`: go on with a run where its record ends."""

from functools import partial
from pathlib import Path

import click

from flujo.domain.interfaces import StateBackend
from flujo.plugins import create_plugin_manager
from flujo.runner.answers import Reply
from flujo_cli.exit_codes import EXIT_CODE_HELP, ExitCode
from flujo_cli.limits import limit_options
from flujo_cli.options import Options, json_option, no_input_option, state_option
from flujo_cli.project import Project
from flujo_cli.questions import reply_of
from flujo_cli.references import REFERENCE_HELP
from flujo_cli.reporter import Reporter
from flujo_cli.session import Result, Runner, Session

__all__ = ["resume"]


@click.command(
    help="Go on with a run that was interrupted, failed, lost its process or waits for an answer: recorded steps do "
    f"not run again. Of a completed run the recorded result is handed out.\n\n{REFERENCE_HELP}",
    epilog=EXIT_CODE_HELP,
)
@click.argument("reference", metavar="RUN")
@click.option("--force", is_flag=True, help="Take the run over from a process that is still alive.")
@click.option("--answer", metavar="TEXT", help="The answer that the run waits for; JSON where it asks for no text.")
@click.option("--answer-json", metavar="JSON", help="The same as a JSON value.")
@click.option("--answer-file", metavar="FILE", type=click.Path(path_type=Path), help="The same as a file's text.")
@click.option("--token", metavar="TOKEN", help="Which question is answered, where several are open.")
@limit_options
@no_input_option
@click.option("--quiet", "-q", is_flag=True, help="Write only warnings and errors to stderr.")
@json_option
@state_option
@click.pass_obj
def resume(
    options: Options,
    reference: str,
    force: bool,
    answer: str | None,
    answer_json: str | None,
    answer_file: Path | None,
    token: str | None,
    quiet: bool,
    as_json: bool,
    state: str | None,
) -> ExitCode:
    """Find the run, load the pipeline it began with, and go on."""
    reporter = Reporter(options, quiet=quiet)
    with reporter.telling():
        reply = reply_of(answer, answer_json, answer_file, token)
        session = Session(Project.here(stands=options.stands, state=state), create_plugin_manager(), reporter)
        reporter.warn_of_plugins(session.manager)
        return session.drive(partial(_resume, session, reference, force, reply))


async def _resume(
    session: Session, reference: str, force: bool, reply: Reply | None, backend: StateBackend
) -> tuple[Runner, Result]:
    flujo, row = await session.reopen(backend, reference)
    if reply is None:
        return flujo, await flujo.resume(row.run_id, force=force)
    answer, token, by = reply
    return flujo, await flujo.resume(row.run_id, answer, token=token, by=by, force=force)
