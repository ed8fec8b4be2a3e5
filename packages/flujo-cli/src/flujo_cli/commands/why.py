"""`flujo why`: why a step ran, or why it did not."""

import asyncio
from typing import Any, NamedTuple

import click

from flujo.domain.interfaces import StateBackend
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError
from flujo.runner.definitions import bare_path, names_in
from flujo_cli.exit_codes import ExitCode
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console
from flujo_cli.reasons import Reason, matching, reasons_of, unrecorded, wholes, without_settling
from flujo_cli.records import Record, read_record, read_state, with_damage
from flujo_cli.references import REFERENCE_HELP

__all__ = ["why"]

#: As many steps of one name are told of.
_MOST = 20


class _Found(NamedTuple):
    """A run, and why its steps of one name or path ran, by their paths."""

    record: Record
    steps: dict[str, list[Reason]]


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

    async def read(backend: StateBackend) -> _Found:
        record = await read_record(backend, reference)
        row, records, lives, trace, *_ = record
        at, lived = without_settling(row, records, lives)
        found = {
            path: reasons_of(at, of, lived, in_doubt=path in record.in_doubt)
            for path, of in matching(records, step).items()
        }
        found = {**wholes(row, trace, step), **found}
        if not found and (reason := unrecorded(row, records, step)) is not None:
            found = {step: [reason]}
        if not found:
            near = did_you_mean(step, {*names_in(row.definition), *map(bare_path, records)}, what="its steps are")
            raise ConfigurationError(f"run {row.run_id!r} has no step {step!r}", suggestion=near)
        return _Found(record, found)

    found, console = asyncio.run(read_state(options, state, read)), Console()
    if as_json:
        console.json(_described(found))
    else:
        _show(console, found)
    return with_damage(console, found.record, options, state)


def _show(console: Console, found: _Found) -> None:
    console.out(f"run {found.record.row.run_id}, {found.record.row.status}")
    for path, reasons in list(found.steps.items())[:_MOST]:
        console.out(path)
        for reason in reasons:
            console.out(f"  {reason.words}")
    if len(found.steps) > _MOST:
        console.note(f"and {len(found.steps) - _MOST} more of that name: give a path, or --json for all of them")


def _described(found: _Found) -> dict[str, Any]:
    steps = [
        {"path": path, "reasons": [reason._asdict() for reason in reasons]} for path, reasons in found.steps.items()
    ]
    row = found.record.row
    return {"schema": "flujo.why/1", "run_id": row.run_id, "status": str(row.status), "steps": steps}
