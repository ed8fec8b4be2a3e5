"""`flujo run`: give a pipeline file its input, run it, write its output."""

import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from flujo.blueprint.texts import Texts
from flujo.domain.interfaces import StateBackend
from flujo.domain.steps import Pipeline
from flujo.exceptions import ConfigurationError, RunOwnedElsewhere
from flujo.runner.ids import check_run_id
from flujo.runner.pipeline_resolver import PipelineResolver
from flujo_cli.exit_codes import EXIT_CODE_HELP, ExitCode
from flujo_cli.input import read_context, read_stdin, resolve_input
from flujo_cli.installed import load_plugins
from flujo_cli.limits import run_options, tightened
from flujo_cli.options import Options
from flujo_cli.output import Console
from flujo_cli.plan import describe_plan, show_plan
from flujo_cli.project import Project
from flujo_cli.reporter import Reporter
from flujo_cli.session import Result, Runner, Session
from flujo_cli.streams import CommandError
from flujo_cli.typed import Given

__all__ = ["run"]


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be run, with what."""

    pipeline: Pipeline[Any, Any]
    source: str
    given: Given
    context: dict[str, Any]
    run_id: str | None
    key: str | None
    texts: Texts


@click.command(epilog=EXIT_CODE_HELP)
@click.argument("file", default="pipeline.yaml", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "input_flag",
    metavar="VALUE",
    help="The run's input: a text, - for standard input, @FILE for a file's text, @@TEXT for text that begins with @. "
    "[default: FLUJO_INPUT, else what is piped in, else empty]",
)
@click.option(
    "--input-json",
    metavar="JSON",
    help="The input as a JSON value. A text too is read as JSON where the first step declares another type than text.",
)
@click.option("--no-stdin", is_flag=True, help="Do not read standard input.")
@click.option("--context-file", type=click.Path(path_type=Path), help="A JSON object: fields of the first context.")
@click.option("--context-data", metavar="JSON", help="Such an object itself; its fields win over the file's.")
@click.option("--context", metavar="KEY=VALUE", multiple=True, help="One field, JSON or else text; wins over both.")
@click.option(
    "--run-id",
    metavar="ID",
    help="The run's id. An unfinished run of that id and the same input goes on, unless it was cancelled.",
)
@click.option(
    "--key", metavar="KEY", help="Your own name for this work: however often it is run, there is one run of it."
)
@click.option("--dry-run", is_flag=True, help="Check the pipeline and show its steps; run and record nothing.")
@run_options
@click.pass_obj
def run(
    options: Options,
    file: Path,
    input_flag: str | None,
    input_json: str | None,
    no_stdin: bool,
    context_file: Path | None,
    context_data: str | None,
    context: tuple[str, ...],
    run_id: str | None,
    key: str | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    state: str | None,
) -> ExitCode:
    """Run the pipeline in FILE (default: pipeline.yaml), or the one called module:name that is made in Python.

    The output goes to stdout, text as it is and anything else as JSON; everything else goes to stderr. A step's
    result is recorded before the next step begins.
    """
    reporter = Reporter(options, quiet=quiet)
    with reporter.telling():
        project = Project.around(file, stands=options.stands, state=state)
        reporter.run_id = _checked_id(run_id)
        fields = read_context(context_file, context_data, context)
        given = Given("") if dry_run else _given(input_flag, input_json, no_stdin, reporter.console)
        session = Session(project, load_plugins(options, project.root), reporter)
        reporter.begin(session.project.settings)
        texts = Texts(project.root)
        pipeline = PipelineResolver(session.manager, project.settings).resolve(file, texts)
        job = _Job(pipeline, project.source(file), given, fields, run_id, key, texts)
        return _plan(session, job, as_json) if dry_run else session.drive(partial(_run, session, job))


def _checked_id(run_id: str | None) -> str | None:
    try:
        if run_id is not None:
            check_run_id(run_id)
    except ConfigurationError as error:
        raise CommandError(error.message, suggestion=error.suggestion) from error
    return run_id


def _given(flag: str | None, json_text: str | None, no_stdin: bool, console: Console) -> Given:
    if json_text is None:
        return Given(_input(flag, no_stdin, console))
    if flag is not None:
        raise click.UsageError("give one input: --input or --input-json")
    return Given(json_text, is_json=True, origin="--input-json")


def _input(flag: str | None, no_stdin: bool, console: Console) -> str:
    """The run's input, read before anything else can get at standard input."""
    explicit = flag == "-"
    advice = "" if explicit else "; --no-stdin leaves it"
    if no_stdin and explicit:
        raise ConfigurationError("--input - reads standard input, and --no-stdin forbids it")
    stream = None if no_stdin else sys.stdin
    waiting = partial(console.note, f"reading the input from standard input{advice}")
    stdin = partial(read_stdin, stream, explicit=explicit, waiting=waiting)
    return resolve_input(flag, os.environ.get("FLUJO_INPUT"), stdin)


async def _run(session: Session, job: _Job, backend: StateBackend) -> tuple[Runner, Result]:
    limits = tightened(session.project.settings.limits_for(job.pipeline.name), session.reporter.options)
    value = job.given.fitting(job.pipeline)
    flujo = session.flujo(job.pipeline, backend, job.source, job.context, limits, job.texts)
    try:
        work = flujo.run(value, run_id=job.run_id, idempotency_key=job.key)
        return flujo, await session.going_on(backend, work)
    except RunOwnedElsewhere as error:
        session.reporter.run_id = error.run_id or session.reporter.run_id
        raise


def _plan(session: Session, job: _Job, as_json: bool) -> ExitCode:
    session.flujo(job.pipeline, None, job.source, job.context)  # raises for a step that no policy runs
    console = session.reporter.console
    if as_json:
        console.json(describe_plan(job.pipeline, job.source))
    else:
        show_plan(console, job.pipeline, job.source)
    return ExitCode.OK
