"""`flujo budget show`: the limits that hold for a pipeline, and what is left of them in a run."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import click

from flujo.domain.interfaces import RunRow, StateBackend
from flujo.domain.usage import Usage, amount_text
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console
from flujo_cli.project import Project
from flujo_cli.records import read_state
from flujo_cli.references import find_run

__all__ = ["budget_show"]

#: What a usage has of each limit.
_USED: Mapping[str, Any] = {
    "total_cost_usd_limit": lambda usage: usage.cost_usd,
    "total_tokens_limit": lambda usage: usage.tokens,
    "max_calls": lambda usage: usage.calls,
}


@click.command()
@click.argument("pipeline", required=False)
@click.option("--run", "reference", metavar="RUN", help="What this run has used, and what is left for it.")
@json_option
@state_option
@click.pass_obj
def budget_show(
    options: Options, pipeline: str | None, reference: str | None, as_json: bool, state: str | None
) -> None:
    """Show the limits of the project's settings that hold for the pipeline of that name, and where they are written.

    Without PIPELINE it is that of RUN, or else those are shown that hold for all. The options of `flujo run` are not
    recorded: `flujo resume` takes its own.
    """
    if pipeline is not None and reference is not None:
        raise click.UsageError("give the name of a pipeline or --run, not both")
    project = Project.here(stands=options.stands, state=state)
    row = None if reference is None else asyncio.run(read_state(options, state, _finder(reference)))
    name = row.pipeline if row else pipeline or ""
    limits = [_limit(each, project, name, row and row.usage) for each in _USED]
    unpriced = _unpriced(project, name)
    console = Console()
    if as_json:
        run_id = row.run_id if row else None
        told = {"schema": "flujo.budget/1", "pipeline": name or None, "run_id": run_id, "limits": limits}
        console.json({**told, "unpriced": unpriced})
        return
    head = ("LIMIT", "ALLOWED", *(("USED", "LEFT") if row else ()), "ORIGIN")
    console.table(head, [_cells(each, used=row is not None) for each in (*limits, unpriced)])


def _finder(reference: str) -> Any:
    async def find(backend: StateBackend) -> RunRow:
        return await find_run(backend, reference)

    return find


def _limit(name: str, project: Project, pipeline: str, used: Usage | None) -> dict[str, Any]:
    """One limit as plain data; amounts are text, because those of money are exact."""
    held = project.settings.limits_for(pipeline)
    allowed: Decimal | int | None = getattr(held, name) if held else None
    spent = None if used is None else _USED[name](used)
    left = None if allowed is None or spent is None else max(allowed - spent, 0)
    origin = project.settings.limit_origins(pipeline).get(name)
    return {"limit": name, "allowed": _amount(allowed), "used": _amount(spent), "left": _amount(left), "origin": origin}


def _unpriced(project: Project, pipeline: str) -> dict[str, Any]:
    held = project.settings.limits_for(pipeline)
    origin = project.settings.limit_origins(pipeline).get("unpriced")
    said = held.unpriced if held else None
    return {"limit": "unpriced", "allowed": said or "deny", "used": None, "left": None, "origin": origin}


def _amount(amount: Decimal | int | None) -> str | None:
    return None if amount is None else amount_text(amount)


def _cells(each: Mapping[str, Any], *, used: bool) -> tuple[str, ...]:
    amounts = ("allowed", "used", "left") if used else ("allowed",)
    default = "default" if each["limit"] == "unpriced" else "-"
    cells = [each[name] or ("none" if name == "allowed" else "-") for name in amounts]
    return each["limit"], *cells, each["origin"] or default
