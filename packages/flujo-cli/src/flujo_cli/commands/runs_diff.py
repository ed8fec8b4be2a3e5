"""`flujo runs diff`: two runs beside each other, step by step."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from flujo.domain.interfaces import JournalRecord, RunRow, StateBackend
from flujo.domain.outcomes import RunStatus
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError
from flujo_cli.differences import Decision, Pair, Step, decisions, pairs_of, row_values, text_diff
from flujo_cli.exit_codes import ExitCode
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console, one_line
from flujo_cli.progress import elapsed
from flujo_cli.records import describe_row, read_state
from flujo_cli.references import REFERENCE_HELP, find_run
from flujo_cli.report import describe_usage, usage_text

__all__ = ["runs_diff"]

#: So much of a value is shown in the table.
_SHORT = 32

#: What stands for the whole run's values with --path.
_WHOLE = ("input", "context", "output")


class _Runs(NamedTuple):
    """Both runs, their steps side by side, and where they went different ways."""

    a: RunRow
    b: RunRow
    pairs: list[Pair]
    decisions: list[Decision]

    @property
    def whole(self) -> list[str]:
        """What of the runs as a whole differs: status, input, first context, output."""
        a, b = ({"status": row.status, **row_values(row)} for row in (self.a, self.b))
        return [name for name in a if a[name] != b[name]]

    @property
    def same(self) -> bool:
        """Whether nothing differs but times."""
        return not (self.whole or self.decisions or any(pair.differs for pair in self.pairs))


@click.command(
    help="Compare run A with run B, step by step: what each came to, what it cost, and where they went different ways. "
    "Steps are the same by their paths; times are shown, and never count as a difference. Ends with 1 when anything "
    "else differs. What a step was given is not recorded, and not compared."
    f"\n\n{REFERENCE_HELP.replace('RUN is', 'A and B are each')}",
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--path", metavar="PATH", help="Show how one step's output differs, line by line; or: input, output.")
@click.option("--all", "whole", is_flag=True, help="Show the steps that are the same, too.")
@json_option
@state_option
@click.pass_obj
def runs_diff(
    options: Options, first: str, second: str, path: str | None, whole: bool, as_json: bool, state: str | None
) -> ExitCode:
    """Read both records, and write what differs."""

    async def one(backend: StateBackend, reference: str) -> tuple[RunRow, Sequence[JournalRecord]]:
        row = await find_run(backend, reference)
        return row, await backend.load(row.run_id)

    async def read(backend: StateBackend) -> _Runs:
        (a, mine), (b, others) = await one(backend, first), await one(backend, second)
        pairs = pairs_of(mine, others)
        ended = (a.status is RunStatus.COMPLETED, b.status is RunStatus.COMPLETED)
        return _Runs(a, b, pairs, list(decisions(pairs, ended)))

    runs, console = asyncio.run(read_state(options, state, read)), Console()
    if path is not None:
        return _show_one(console, runs, path, as_json)
    if as_json:
        console.json(_described(runs))
    else:
        _show(console, runs, whole)
    return ExitCode.OK if runs.same else ExitCode.FAILED


def _show_one(console: Console, runs: _Runs, path: str, as_json: bool) -> ExitCode:
    """How one value differs in full."""
    if path in _WHOLE:
        a, b = (row_values(row)[path] for row in (runs.a, runs.b))
    else:
        pair = next((each for each in runs.pairs if each.path == path), None)
        if pair is None:
            near = did_you_mean(path, [each.path for each in runs.pairs], what="their steps are")
            raise ConfigurationError(f"neither run has a step {path!r}", suggestion=near)
        a, b = (_whole(step) for step in (pair.a, pair.b))
    told = text_diff(a, b, (f"{runs.a.run_id} {path}", f"{runs.b.run_id} {path}"))
    if as_json:
        console.json({"schema": "flujo.diff-value/1", "path": path, "same": a == b, "a": a, "b": b})
        return ExitCode.OK if a == b else ExitCode.FAILED
    if told:
        console.out(told)
    same = "they are the same" if path in _WHOLE else "they are the same; what a step was given is not recorded"
    console.note("they differ" if told else same)
    return ExitCode.FAILED if told else ExitCode.OK


def _whole(step: Step | None) -> Any:
    """What of a step is compared in full: its output, or what it failed with; with what it changed in the context."""
    if step is None:
        return None
    value = step.error if step.error is not None else step.output
    return value if step.changes is None else {"output": value, "changes": step.changes}


def _show(console: Console, runs: _Runs, whole: bool) -> None:
    both = {"a": runs.a, "b": runs.b}
    wide, status = (max(len(str(getattr(row, of))) for row in both.values()) for of in ("run_id", "status"))
    for name, row in both.items():
        used = usage_text(row.usage)
        told = f"{name}         {row.run_id:<{wide}}  {row.status!s:<{status}}  {row.pipeline}"
        console.out(told + (f"  {used}" if used else ""))
    for name in runs.whole:
        console.out(f"differs   {name}")
    for each in runs.decisions:
        console.out(f"decision  {each.path}: {_shown(each.a)} | {_shown(each.b)}")
    rows = [_cells(pair) for pair in runs.pairs if whole or pair.differs]
    if rows:
        console.table(("STEP", "A", "B", "TIME", "DIFFERS"), rows)
    count = sum(bool(pair.differs) for pair in runs.pairs)
    told = "nothing differs but times" if runs.same else f"{count} of {len(runs.pairs)} steps differ"
    console.note(told)


def _shown(following: tuple[str, ...]) -> str:
    """What was chosen; of iterations and items how many there were."""
    if not following:
        return "nothing"
    if all(each.startswith("[") for each in following):
        return "1 time" if len(following) == 1 else f"{len(following)} times"
    return ", ".join(following)


def _cells(pair: Pair) -> tuple[str, ...]:
    times = " | ".join("-" if step is None else elapsed(step.duration_s) for step in (pair.a, pair.b))
    costs = [_cost(pair.a), _cost(pair.b)]
    differs = [f"usage: {costs[0]} | {costs[1]}" if name == "usage" else name for name in pair.differs]
    return pair.path, _brief(pair.a), _brief(pair.b), times, ", ".join(differs) or "-"


def _cost(step: Step | None) -> str:
    return (usage_text(step.usage) if step else "") or "nothing"


def _brief(step: Step | None) -> str:
    """One cell: what the step gave, or how else it ended."""
    if step is None:
        return "-"
    if step.status not in ("ok", "cached"):
        return one_line(f"{step.status}: {step.error}" if step.error else step.status, _SHORT).partition("\n")[0]
    value = step.output
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    first = one_line(text[:_SHORT].replace("\n", "\\n")) + ("..." if len(text) > _SHORT else "")
    return f"{first} (cached)" if step.status == "cached" else first


def _described(runs: _Runs) -> dict[str, Any]:
    return {
        "schema": "flujo.diff/1",
        "same": runs.same,
        "a": describe_row(runs.a),
        "b": describe_row(runs.b),
        "differs": runs.whole,
        "decisions": [each._asdict() for each in runs.decisions],
        "steps": [
            {"path": pair.path, "differs": list(pair.differs), "a": _step(pair.a), "b": _step(pair.b)}
            for pair in runs.pairs
        ],
    }


def _step(step: Step | None) -> dict[str, Any] | None:
    return None if step is None else {**step._asdict(), "usage": describe_usage(step.usage)}
