"""`flujo runs rerun`: a new run that begins at a step of another."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from flujo.domain.interfaces import StateBackend
from flujo.exceptions import ConfigurationError
from flujo.runner.rerun import SAME_INPUT
from flujo_cli.exit_codes import EXIT_CODE_HELP, ExitCode
from flujo_cli.input import read_pairs, read_stdin, resolve_input
from flujo_cli.installed import load_plugins
from flujo_cli.limits import run_options
from flujo_cli.options import Options, pipeline_option
from flujo_cli.project import Project
from flujo_cli.references import REFERENCE_HELP
from flujo_cli.reporter import Reporter
from flujo_cli.session import Result, Runner, Session
from flujo_cli.typed import Given

__all__ = ["runs_rerun"]

_CONTEXT = "context."


@click.command(
    help="Begin a new run at a step of RUN, whose results before that step are taken as they are. Its input and first "
    f"context are those of RUN, unless they are given.\n\n{REFERENCE_HELP}",
    epilog=EXIT_CODE_HELP,
)
@click.argument("reference", metavar="RUN")
@click.option(
    "--from", "path", metavar="PATH", required=True, help="The step's path, as `flujo runs show` tells it: loop:l[1]/a."
)
@click.option("--set", "pairs", metavar="context.PATH=VALUE", multiple=True, help="A value in the first context.")
@click.option("--input", "input_flag", metavar="VALUE", help="Another input: a text, - for standard input, or @FILE.")
@pipeline_option
@run_options
@click.pass_obj
def runs_rerun(
    options: Options,
    reference: str,
    path: str,
    pairs: tuple[str, ...],
    input_flag: str | None,
    quiet: bool,
    as_json: bool,
    state: str | None,
) -> ExitCode:
    """Find the run, load its pipeline as it is now, and begin."""
    reporter = Reporter(options, quiet=quiet)
    with reporter.telling():
        given = {"initial_context_data": _fields(pairs), "input": SAME_INPUT}
        if input_flag is not None:
            given["input"] = Given(resolve_input(input_flag, None, partial(read_stdin, sys.stdin, explicit=True)))
        session = Session(Project.here(stands=options.stands, state=state), load_plugins(options), reporter)
        reporter.begin(session.project.settings)
        return session.drive(partial(_rerun, session, reference, path, given))


def _fields(pairs: Sequence[str]) -> dict[str, Any]:
    """The fields of the context that are set, and paths in them. Raises `ConfigurationError` for what is none."""
    fields = read_pairs(pairs, "--set")
    for name in fields:
        if not name.startswith(_CONTEXT) or not all(name.split(".")):
            raise ConfigurationError(
                f"--set {name!r} is no field of the context", suggestion="write --set context.PATH=VALUE"
            )
    return {name.removeprefix(_CONTEXT): value for name, value in fields.items()}


async def _rerun(
    session: Session, reference: str, path: str, given: dict[str, Any], backend: StateBackend
) -> tuple[Runner, Result]:
    flujo, row = await session.reopen(backend, reference)
    if isinstance(given["input"], Given):
        given["input"] = given["input"].fitting(session.pipelines[-1])
    session.reporter.run_id = None  # the new run has an id of its own
    return flujo, await flujo.rerun_from(row.run_id, path, **given)
