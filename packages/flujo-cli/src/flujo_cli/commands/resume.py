"""`flujo resume`: go on with a run where its record ends."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from flujo.domain.interfaces import StateBackend
from flujo.runner.answers import NO_ANSWER, Reply
from flujo_cli.exit_codes import EXIT_CODE_HELP, ExitCode
from flujo_cli.installed import load_plugins
from flujo_cli.limits import run_options
from flujo_cli.options import Options, pipeline_option, token_option
from flujo_cli.project import Project
from flujo_cli.questions import reply_of
from flujo_cli.references import REFERENCE_HELP
from flujo_cli.reporter import Reporter
from flujo_cli.session import Result, Runner, Session

__all__ = ["resume"]


class _How(NamedTuple):
    """In which way the run goes on."""

    force: bool
    allow_changed: bool
    as_begun: bool


@click.command(
    help="Go on with a run that was interrupted, failed, lost its process or waits for an answer: recorded steps do "
    f"not run again. Of a completed run the recorded result is handed out.\n\n{REFERENCE_HELP}",
    epilog=EXIT_CODE_HELP,
)
@click.argument("reference", metavar="RUN")
@click.option("--force", is_flag=True, help="Take the run over from a process that is still alive.")
@click.option(
    "--allow-changed",
    is_flag=True,
    help="Go on with the pipeline as it is now. Every step that has a result must still be what it was.",
)
@click.option(
    "--as-begun", is_flag=True, help="Go on with the pipeline as its files were when the run began, and today's code."
)
@click.option("--answer", metavar="TEXT", help="The answer that the run waits for; JSON where it asks for no text.")
@click.option("--answer-json", metavar="JSON", help="The same as a JSON value.")
@click.option("--answer-file", metavar="FILE", type=click.Path(path_type=Path), help="The same as a file's text.")
@token_option
@pipeline_option
@run_options
@click.pass_obj
def resume(
    options: Options,
    reference: str,
    force: bool,
    allow_changed: bool,
    as_begun: bool,
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
        if as_begun and options.pipeline is not None:
            raise click.UsageError("--as-begun takes the pipeline that the run has kept: leave --pipeline out")
        reply = reply_of(answer, answer_json, answer_file, token)
        session = Session(Project.here(stands=options.stands, state=state), load_plugins(options), reporter)
        reporter.begin(session.project.settings)
        how = _How(force, allow_changed, as_begun)
        return session.drive(partial(_resume, session, reference, reply, how))


async def _resume(
    session: Session, reference: str, reply: Reply | None, how: _How, backend: StateBackend
) -> tuple[Runner, Result]:
    flujo, row = await session.reopen(backend, reference, as_begun=how.as_begun)
    answer, token, by = Reply(NO_ANSWER) if reply is None else reply
    work = flujo.resume(row.run_id, answer, token=token, by=by, force=how.force, allow_changed=how.allow_changed)
    options = {"--allow-changed": how.allow_changed, "--as-begun": how.as_begun}
    return flujo, await session.going_on(backend, work, taken=[name for name, given in options.items() if given])
