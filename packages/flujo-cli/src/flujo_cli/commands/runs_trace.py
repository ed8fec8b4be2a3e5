"""`flujo runs trace`: where a run's time and money went, as a tree, from its record."""

import asyncio
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import click

from flujo.domain.outcomes import RunStatus
from flujo.domain.usage import amount_text
from flujo.infra.codec import jsonable
from flujo.runner.trace import Span, Trace
from flujo_cli.exit_codes import ExitCode
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console, one_line
from flujo_cli.progress import brief, elapsed
from flujo_cli.project import Project
from flujo_cli.records import read_record, read_state, took_text, with_damage
from flujo_cli.references import REFERENCE_HELP
from flujo_cli.report import describe_usage, usage_text

__all__ = ["runs_trace"]

#: How many items or iterations of one step are shown, unless all are asked for.
_MOST = 10

Row = tuple[str, ...]


@click.command(
    help="Show where a run's time and money went: the tree of its steps, each with how long it and what is in it was "
    f"at work, how long it was by itself, its tokens and cost.\n\n{REFERENCE_HELP}"
)
@click.argument("reference", metavar="RUN")
@click.option("--all", "whole", is_flag=True, help=f"Show all items and iterations of a step, not {_MOST} of many.")
@json_option
@state_option
@click.pass_obj
def runs_trace(options: Options, reference: str, whole: bool, as_json: bool, state: str | None) -> ExitCode:
    """Read the run's row and journal, and write what they tell of its steps."""
    record, console = asyncio.run(read_state(options, state, partial(read_record, reference=reference))), Console()
    if as_json:
        console.json(_describe(record.trace))
    else:
        _show(console, record.trace, None if whole else _MOST)
    return with_damage(console, record, Project.looked_at(stands=options.stands, state=state))


def _describe(trace: Trace) -> dict[str, Any]:
    return {
        "schema": "flujo.trace/1",
        **trace._asdict(),
        "status": str(trace.status),
        "took_s": round(trace.took_s, 6),
        "waited_s": round(trace.waited_s, 6),
        "root": _described(trace.root),
    }


def _described(span: Span) -> dict[str, Any]:
    return {
        **span._asdict(),
        "status": span.status and str(span.status),
        "total_s": round(span.total_s, 6),
        "own_s": round(span.own_s, 6),
        "usage": describe_usage(span.usage),
        "own_usage": describe_usage(span.own_usage),
        "model": span.model or None,
        "error": jsonable(span.error),
        "answers": [each._asdict() for each in span.answers],
        "settled": [each._asdict() for each in span.settled],
        "children": [_described(child) for child in span.children],
    }


def _show(console: Console, trace: Trace, most: int | None) -> None:
    console.out(f"run       {trace.run_id}")
    console.out(f"status    {trace.status}")
    console.out(f"took      {took_text(trace)}")
    console.out(f"in none   {elapsed(trace.root.own_s)} of that was in no step")
    if used := usage_text(trace.root.usage):
        console.out(f"used      {used}")
    rows = list(_rows(trace.root.children, 0, most))
    if rows:
        console.out("")
        console.table(("STEP", "STATUS", "TOTAL", "OWN", "TOKENS", "USD", "NOTES"), rows)


def _rows(spans: tuple[Span, ...], depth: int, most: int | None) -> Iterator[Row]:
    shown = _chosen(spans, most)
    for span in spans:
        if span.path in shown:
            yield _row(span, depth)
            yield from _rows(span.children, depth + 1, most)
    if rest := [span for span in spans if span.path not in shown]:
        yield _folded(rest, spans, depth)


def _chosen(spans: tuple[Span, ...], most: int | None) -> set[str]:
    """The paths that are shown: of many items or iterations those that did not complete, then the first ones."""
    if most is None or not all(span.path.endswith("]") for span in spans):
        most = len(spans)
    by_need = sorted(spans, key=lambda span: span.status is RunStatus.COMPLETED)
    return {span.path for span in by_need[:most]}


def _row(span: Span, depth: int) -> Row:
    segment = span.path[span.path.rfind("[") :] if span.path.endswith("]") else span.path.rpartition("/")[2]
    times = (elapsed(span.total_s), elapsed(span.own_s))
    return ("  " * depth + segment, str(span.status or "-"), *times, *_spent([span]), ", ".join(_notes(span)))


def _notes(span: Span) -> Iterator[str]:
    if span.model:
        yield span.model
    if span.attempts > 1:
        yield f"{span.attempts} attempts"
    yield from span.marks
    for each in span.answers:
        yield f"{one_line(each.by) or 'somebody'} answered"
    for said in span.settled:
        yield f"{one_line(said.by) or 'somebody'} settled it, {'to run again' if said.again else 'with its output'}"
    if span.fallback:
        yield f"by fallback {span.fallback}"
    if span.children and all(child.path.endswith("]") for child in span.children):
        yield _ratio(span.children)
    if span.error is not None:
        yield brief(span.error, 100)


def _folded(rest: list[Span], spans: tuple[Span, ...], depth: int) -> Row:
    """The line of the items or iterations that are not shown; their times one after the other."""
    times = [elapsed(sum(span.total_s for span in rest)), elapsed(sum(span.own_s for span in rest))]
    return ("  " * depth + f"... {len(rest)} more", "", *times, *_spent(rest), _ratio(spans))


def _ratio(spans: Iterable[Span]) -> str:
    statuses = [span.status for span in spans]
    unknown = f", {statuses.count(None)} not known" if None in statuses else ""
    return f"{statuses.count(RunStatus.COMPLETED)}/{len(statuses)} completed{unknown}"


def _spent(spans: list[Span]) -> tuple[str, str]:
    tokens, cost = sum(span.usage.tokens for span in spans), sum(span.usage.cost_usd for span in spans)
    return (str(tokens) if tokens else "-", amount_text(cost) if cost else "-")
