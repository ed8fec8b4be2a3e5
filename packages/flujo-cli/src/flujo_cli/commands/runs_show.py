"""`flujo runs show`: what a run's steps did, from its record."""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from flujo.domain.interfaces import JournalRecord, RecordKind, RunRow
from flujo.domain.lives import gets_on, is_abort, poisoned
from flujo.domain.outcomes import PendingAnswer, RunStatus
from flujo_cli.exit_codes import ExitCode
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console, one_line
from flujo_cli.progress import brief, elapsed
from flujo_cli.project import Project
from flujo_cli.questions import answering_words, describe_pending, show_time
from flujo_cli.records import (
    Record,
    describe_record,
    describe_row,
    is_poisoned,
    read_record,
    read_state,
    seen,
    took_text,
    value_of,
    with_damage,
)
from flujo_cli.references import REFERENCE_HELP
from flujo_cli.report import usage_text

__all__ = ["runs_show"]

_SHORT = 70


@click.command(
    help="Show a run: where it stands, its input and output, and what each step did. Beside it: `flujo why STEP` says "
    "why a step ran, `flujo runs trace` where its time and money went, `flujo runs diff` how it differs from another."
    f"\n\n{REFERENCE_HELP}"
)
@click.argument("reference", metavar="RUN")
@json_option
@state_option
@click.pass_obj
def runs_show(options: Options, reference: str, as_json: bool, state: str | None) -> ExitCode:
    """Read the run's row and journal, and write them."""
    project, console = Project.looked_at(stands=options.stands, state=state), Console()
    record = asyncio.run(read_state(options, state, partial(read_record, reference=reference)))
    if as_json:
        console.json(_describe(record))
    else:
        _show(console, record, project)
    return with_damage(console, record, project)


def _describe(record: Record) -> dict[str, Any]:
    row = record.row
    return {
        "schema": "flujo.run-record/1",
        **describe_row(row),
        "input": seen(row.input),
        "output": None if row.output is None else seen(row.output),
        "pending": describe_pending(record.pending),
        "in_doubt": list(record.in_doubt),
        "records": [describe_record(each) for each in record.records if each.kind is not RecordKind.CALL],
    }


def _show(console: Console, record: Record, project: Project) -> None:
    row, pending = record.row, record.pending
    records = [each for each in record.records if each.kind is not RecordKind.CALL]
    _show_origin(console, row)
    if is_poisoned(row):
        error = poisoned(row.run_id, row.claims, next((each.path for each in reversed(records) if gets_on(each)), None))
        again = project.command("resume", row.run_id, "--force", *project.naming(row.source, None))
        console.out(f"poisoned  {error.message}: find out where it breaks off, then: {again}")
    console.out(f"started   {describe_row(row)['created_at']}")
    console.out(f"took      {took_text(record.trace)}")
    if used := usage_text(row.usage):
        console.out(f"used      {used}")
    console.out(f"input     {_short(seen(row.input))}")
    if row.output is not None:
        console.out(f"output    {_short(seen(row.output))}")
    _show_questions(console, row, pending, project)
    for path in record.in_doubt:
        settling = project.command("runs", "settle", row.run_id, path)
        console.out(f"in doubt  {path}: say what became of it, by --again or --output JSON: {settling}")
    if row.error is not None and not (pending and row.status is RunStatus.PAUSED):
        where = f"step {row.error.path!r}: " if row.error.path else ""
        by = f" (run by plugin {row.error.plugin})" if row.error.plugin else ""
        console.out(f"error     {where}{brief(row.error)}{by}")
    console.out("steps" if records else "steps     none recorded")
    for each in records:
        console.out(_line(each))


def _show_questions(console: Console, row: RunRow, pending: Sequence[PendingAnswer], project: Project) -> None:
    for asked in pending:
        console.out(f"waits     {asked.path} [{asked.token}]: {_short(asked.message)}")
        if asked.schema is not None:
            console.out(f"          answers: {one_line(json.dumps(asked.schema, ensure_ascii=False), 400)}")
        if asked.deadline is not None:
            console.out(f"          until {show_time(asked.deadline)}")
    if pending:
        words = (*answering_words(pending), *project.naming(row.source, None))
        console.out(f"answer    {project.command('resume', row.run_id, *words)}")


def _show_origin(console: Console, row: RunRow) -> None:
    console.out(f"run       {row.run_id}")
    console.out(f"status    {row.status}")
    console.out(f"pipeline  {row.pipeline}" + (f" ({row.source})" if row.source else ""))
    if "rerun_of" in row.tags:
        console.out(f"begun     at {row.tags['rerun_from']} of run {row.tags['rerun_of']}")


def _line(record: JournalRecord) -> str:  # noqa: PLR0911 - one for each kind of record
    """One record, indented by its depth: a result with its value, an attempt with what it failed with, or words."""
    indent = "  " * (record.path.count("/") + 1)
    took = elapsed(record.ended_at - record.started_at)
    if record.kind is RecordKind.WAIT:
        return f"{indent}{record.path.removesuffix('?')}  asks: {_short(value_of(record.out)['message'])}"
    if record.kind is RecordKind.ANSWER:
        said = value_of(record.out)
        return f"{indent}{record.path.rpartition('!')[0]}  {said['by'] or 'somebody'} answers: {_short(said['value'])}"
    if record.kind is RecordKind.INTENT:
        return f"{indent}{record.path.rpartition('^')[0]}  begins, at most once"
    if record.kind is RecordKind.SETTLED:
        said = value_of(record.out)
        what = "it may run again" if said["again"] else _short(said["output"])
        return f"{indent}{record.path.rpartition('^')[0]}  {said['by'] or 'somebody'} settles it: {what}"
    if record.kind is not RecordKind.RESULT:
        error = brief(record.error, 200) if record.error else "for no known reason"
        if record.attempt == 0 and record.error:
            ends = "asks for the run's end: " if is_abort(record) else ""
            return f"{indent}{record.path.rpartition('#')[0]}  {took}  {ends}{one_line(record.error.message)}"
        last = record.kind is RecordKind.FAILED
        then = "" if last else f", then fallback {record.fallback}" if record.fallback else ", tried again"
        return f"{indent}{record.path.rpartition('#')[0]}  {took}  failed{then}: {error}"
    by = f"  by fallback {record.fallback}" if record.fallback else "" if record.attempt else "  cached"
    return f"{indent}{record.path}  {took}{by}  {_short(seen(record.out))}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    first = text[:_SHORT].replace("\n", "\\n")
    return one_line(first) + (f"... ({len(text)} characters)" if len(text) > _SHORT else "")
