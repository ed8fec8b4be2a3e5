"""`flujo runs approve` and `flujo runs reject`: answer what a run waits for, and go on with it."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from flujo.domain.interfaces import RunRow, StateBackend
from flujo.domain.outcomes import PendingAnswer, RunStatus
from flujo.exceptions import AnswerRejected, BlueprintError, ConfigurationError, RunOwnedElsewhere, SchemaMismatchError
from flujo.runner.answers import meant
from flujo.runner.inbox import OpenQuestion
from flujo_cli.exit_codes import EXIT_CODE_HELP, ExitCode
from flujo_cli.input import read_file, read_json, read_object, read_pairs, read_text
from flujo_cli.installed import load_plugins
from flujo_cli.limits import run_options
from flujo_cli.options import Options, pipeline_option, token_option
from flujo_cli.project import Project
from flujo_cli.questions import describe_pending, user_name
from flujo_cli.records import read_state
from flujo_cli.references import REFERENCE_HELP
from flujo_cli.reporter import Reporter
from flujo_cli.session import Result, Runner, Session
from flujo_cli.verdicts import verdict

__all__ = ["runs_approve", "runs_reject"]

#: As many answered questions are named.
_SHOWN = 5


class _Said(NamedTuple):
    """What the command line answers, and to which question; `decisions` has many answers by their questions' names."""

    approved: bool
    token: str | None
    by: str
    fields: Mapping[str, Any]
    texts: Mapping[str, str]
    answer: tuple[Any, ...] = ()
    decisions: Mapping[str, Any] | None = None


def _command(approved: bool) -> click.Command:
    word = "Approve" if approved else "Reject"
    options = (
        click.argument("reference", metavar="RUN"),
        token_option,
        click.option("--set", "pairs", metavar="KEY=VALUE", multiple=True, help="A field of the answer, JSON or text."),
        click.option("--answer", metavar="TEXT", help="The whole answer; JSON where the question asks for no text."),
        click.option("--answer-json", metavar="JSON", help="The same as a JSON value."),
        click.option(
            "--from",
            "file",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="A JSON object with many answers, each by its question's token, path, or a word of its message.",
        ),
        click.option("--by", metavar="NAME", help="Who answers. [default: the login name]"),
        click.option(
            "--no-resume",
            is_flag=True,
            help="Record the answer, and leave it to others to go on, as the program that began the run.",
        ),
        pipeline_option,
        run_options,
        click.pass_obj,
    )
    function: Any = partial(_decide, approved)
    for option in reversed(options):
        function = option(function)
    text = f"{word} what a run waits for, and go on with it here: recorded steps do not run again.\n\n{REFERENCE_HELP}"
    return click.command(word.lower(), help=text, epilog=EXIT_CODE_HELP)(function)


def _decide(
    approved: bool,
    options: Options,
    reference: str,
    token: str | None,
    pairs: tuple[str, ...],
    answer: str | None,
    answer_json: str | None,
    file: Path | None,
    by: str | None,
    no_resume: bool,
    quiet: bool,
    as_json: bool,
    state: str | None,
) -> ExitCode:
    """Read the answer, write it into the record, and go on with the run."""
    given = [each for each in (pairs or None, answer, answer_json, file) if each is not None]
    if len(given) > 1:
        raise click.UsageError("give one answer: --set, --answer, --answer-json or --from")
    if file is not None and token is not None:
        raise click.UsageError("--from names its questions itself, and takes no --token")
    reporter = Reporter(options, quiet=quiet)
    with reporter.telling():
        fields, texts = read_pairs(pairs, "--set"), dict(pair.split("=", 1) for pair in pairs)
        said = _Said(approved, token, _who(by), fields, texts)
        if answer_json is not None:
            said = said._replace(answer=(read_json(answer_json, "--answer-json"),))
        elif answer is not None:
            said = said._replace(answer=(read_text(answer, "--answer"),))
        elif file is not None:
            what = f"--from {str(file)!r}"
            said = said._replace(decisions=read_object(read_file(file, what), what))
        session = Session(Project.here(stands=options.stands, state=state), load_plugins(options), reporter)
        reporter.begin(session.project.settings)
        if not no_resume:
            return session.drive(partial(_go_on, session, reference, said, quiet))
        row, answered, waits = asyncio.run(read_state(options, state, partial(_write, session, reference, said)))
    _tell(reporter, row, answered, waits, quiet=quiet)
    if not quiet and row.status is not RunStatus.RUNNING:  # whoever is at work on it finds the answer himself
        session.reporter.console.note(f"next: {_next(session.project, row, waits, options.pipeline)}")
    return ExitCode.OK


def _who(by: str | None) -> str:
    if by is not None and not by.strip():
        raise click.UsageError("--by is empty: say who answers, or leave it out")
    return by or user_name()


def _next(project: Project, row: RunRow, waits: tuple[OpenQuestion, ...], pipeline: Path | None) -> str:
    """The command that comes after an answer that was only recorded."""
    if waits:
        return project.command("inbox", "--run", row.run_id)
    return project.command("resume", row.run_id, *project.naming(row.source, pipeline))


async def _go_on(
    session: Session, reference: str, said: _Said, quiet: bool, backend: StateBackend
) -> tuple[Runner, Result]:
    try:
        flujo, row = await session.reopen(backend, reference)
    except (BlueprintError, ConfigurationError):
        flujo, row = await session.reopen(backend, reference, records=True)
        if row.source:  # what the record names can be put right later; where it names nothing --pipeline was forgotten
            session.reporter.console.note(_summary(row, await _answer(flujo, row, said)))
        raise
    answered = await _answer(flujo, row, said)
    if not quiet:
        session.reporter.console.note(_summary(row, answered))
    try:
        return flujo, await session.going_on(backend, flujo.resume(row.run_id))
    except RunOwnedElsewhere as error:
        error.suggestion = "the answer is recorded, and that process goes on with it before it lets go of the run"
        raise


async def _write(
    session: Session, reference: str, said: _Said, backend: StateBackend
) -> tuple[RunRow, tuple[PendingAnswer, ...], tuple[OpenQuestion, ...]]:
    flujo, row = await session.reopen(backend, reference, records=True)
    return row, await _answer(flujo, row, said), await flujo.inbox(row.run_id)


async def _answer(flujo: Runner, row: RunRow, said: _Said) -> tuple[PendingAnswer, ...]:
    if said.decisions is not None:
        return await flujo.answer_all(row.run_id, said.decisions, by=said.by)
    if said.answer:
        value = said.answer[0]
    else:
        waits = [each.question for each in await flujo.inbox(row.run_id)]
        asked = meant(waits, said.token) if said.token is not None else next(iter(waits), None)
        value = verdict(said.approved, asked and asked.schema, said.fields, said.texts)
    try:
        return (await flujo.answer(row.run_id, value, token=said.token, by=said.by),)
    except AnswerRejected as error:
        if not said.answer and isinstance(error.__cause__, SchemaMismatchError):
            error.suggestion = f"{error.suggestion}, by --answer TEXT or --answer-json JSON"
        raise


def _summary(row: RunRow, answered: tuple[PendingAnswer, ...]) -> str:
    if not answered:
        return f"run {row.run_id} has these answers already"
    paths = ", ".join(asked.path for asked in answered[:_SHOWN])
    number = "the answer to" if len(answered) == 1 else f"{len(answered)} answers to"
    return f"recorded {number} {paths}{', ...' if len(answered) > _SHOWN else ''}"


def _tell(
    reporter: Reporter,
    row: RunRow,
    answered: tuple[PendingAnswer, ...],
    waits: tuple[OpenQuestion, ...],
    *,
    quiet: bool,
) -> None:
    if reporter.options.owes_json:
        reporter.options.owes_json = False
        given = [{"path": asked.path, "token": asked.token} for asked in answered]
        pending = describe_pending([each.question for each in waits])
        reporter.console.json(
            {"schema": "flujo.answers/1", "run_id": row.run_id, "answered": given, "pending": pending}
        )
    if not quiet:
        reporter.console.note(_summary(row, answered))


runs_approve = _command(approved=True)
runs_reject = _command(approved=False)
