"""`flujo why`: why a step ran, or why it did not."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import click

from flujo.domain.interfaces import RunRow
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError
from flujo.runner.definitions import bare_path, names_in
from flujo_cli.exit_codes import ExitCode
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console
from flujo_cli.project import Project
from flujo_cli.reasons import Reason, matching, reasons_of, unrecorded, wholes, without_settling
from flujo_cli.records import Record, read_record, read_state, with_damage
from flujo_cli.references import REFERENCE_HELP

__all__ = ["why"]

#: As many steps of one name are told of.
_MOST = 20


@click.command(
    help="Say why STEP ran in a run, or why it did not: it ran once, ran again, took the place of another, was copied, "
    "or a kept result served; and of a cache, which part of its key had changed. STEP is a path as `flujo runs show` "
    f"tells it, or the name of a step, which then stands for all of that name.\n\n{REFERENCE_HELP}"
)
@click.argument("step", metavar="STEP")
@click.option("--run", "reference", metavar="RUN", default="@last", show_default=True, help="Which run.")
@json_option
@state_option
@click.pass_obj
def why(options: Options, step: str, reference: str, as_json: bool, state: str | None) -> ExitCode:
    """Read the run's record, and write what it tells of the step."""
    project, console = Project.looked_at(stands=options.stands, state=state), Console()
    record = asyncio.run(read_state(options, state, partial(read_record, reference=reference)))
    steps = _reasons(record, step, project)
    if as_json:
        console.json(_described(record.row, steps))
    else:
        _show(console, record.row, steps)
    return with_damage(console, record, project)


def _reasons(record: Record, step: str, project: Project) -> dict[str, list[Reason]]:
    """Why the run's steps of that name or path ran, by their paths."""
    row, records, lives, trace, *_ = record
    at, lived = without_settling(row, records, lives)
    found = wholes(row, trace, step)
    for path, of in matching(records, step).items():
        reasons = reasons_of(at, of, lived, in_doubt=path in record.in_doubt)
        settling = ("runs", "settle", row.run_id, path)
        found[path] = [each._replace(words=project.typed(each.words, *settling)) for each in reasons]
    if not found and (reason := unrecorded(row, records, step)) is not None:
        found = {step: [reason]}
    if not found:
        near = did_you_mean(step, {*names_in(row.definition), *map(bare_path, records)}, what="its steps are")
        raise ConfigurationError(f"run {row.run_id!r} has no step {step!r}", suggestion=near)
    return found


def _show(console: Console, row: RunRow, steps: Mapping[str, Sequence[Reason]]) -> None:
    console.out(f"run {row.run_id}, {row.status}")
    for path, reasons in list(steps.items())[:_MOST]:
        console.out(path)
        for reason in reasons:
            console.out(f"  {reason.words}")
    if len(steps) > _MOST:
        console.note(f"and {len(steps) - _MOST} more of that name: give a path, or --json for all of them")


def _described(row: RunRow, steps: Mapping[str, Sequence[Reason]]) -> dict[str, Any]:
    told = [{"path": path, "reasons": [reason._asdict() for reason in reasons]} for path, reasons in steps.items()]
    return {"schema": "flujo.why/1", "run_id": row.run_id, "status": str(row.status), "steps": told}
