"""`flujo runs diff`: two runs beside each other, step by step."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import click

from flujo.domain.interfaces import JournalRecord, RunRow, StateBackend
from flujo.domain.masking import masked
from flujo.domain.outcomes import RunStatus
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError, FlujoError
from flujo.runner.replay_inputs import inputs_of
from flujo_cli.differences import Decision, Inputs, Pair, Step, decisions, pairs_of, row_values, text_diff
from flujo_cli.exit_codes import ExitCode
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options, json_option, pipeline_argument, state_option
from flujo_cli.output import Console, one_line
from flujo_cli.progress import elapsed
from flujo_cli.project import Project
from flujo_cli.records import describe_row, read_state
from flujo_cli.references import REFERENCE_HELP, find_run
from flujo_cli.report import describe_usage, usage_text
from flujo_cli.reporter import Reporter
from flujo_cli.session import Session

__all__ = ["runs_diff"]

#: So much of a value is shown in the table.
_SHORT = 32

#: What stands for the whole run's values with --path.
_WHOLE = ("input", "context", "output")


class _Runs(NamedTuple):
    """Both runs, their steps side by side, where they went different ways, and why inputs are not known, by run."""

    a: RunRow
    b: RunRow
    pairs: list[Pair]
    decisions: list[Decision]
    unknown: Mapping[str, str]

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
    "else differs. What a step was given is not recorded: it is made again, as `flujo runs replay` does, with the "
    "pipeline that the run has kept, or its file, or the one in FILE, or module:name; where that fails, a line says "
    "why, and inputs are not compared."
    f"\n\n{REFERENCE_HELP.replace('RUN is', 'A and B are each')}"
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@pipeline_argument
@click.option(
    "--path", metavar="PATH", help="Show how one step's input and output differ, line by line; or: input, output."
)
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
        session = Session(
            Project.here(stands=options.stands, state=state), load_plugins(options, quiet=True), Reporter(options)
        )
        unknown: dict[str, str] = {}
        inputs = [{} if path in _WHOLE else await _inputs(session, backend, row, unknown) for row in (a, b)]
        pairs = pairs_of(mine, others, inputs)
        ended = (a.status is RunStatus.COMPLETED, b.status is RunStatus.COMPLETED)
        return _Runs(a, b, pairs, list(decisions(pairs, ended)), unknown)

    runs, console = asyncio.run(read_state(options, state, read)), Console()
    if path is not None:
        return _show_one(console, runs, path, as_json)
    if as_json:
        console.json(_described(runs))
    else:
        _show(console, runs, whole)
    return ExitCode.OK if runs.same else ExitCode.FAILED


async def _inputs(session: Session, backend: StateBackend, row: RunRow, unknown: dict[str, str]) -> Inputs:
    """What the run's steps were given; where it can't be made again, `unknown` says why. Its code writes to stderr."""
    if not row.files and not row.source and session.reporter.options.pipeline is None:
        unknown[row.run_id] = "it has kept no pipeline: a program began it; name it by --pipeline MODULE:NAME"
        return {}
    try:
        with redirect_stdout(session.reporter.console.stderr):
            flujo, _ = await session.reopen(backend, row.run_id, as_begun=bool(row.files))
            return await inputs_of(flujo, row.run_id)
    except FlujoError as error:
        unknown[row.run_id] = one_line(masked(str(error))).partition("\n")[0]
        return {}


def _note_unknown(console: Console, runs: _Runs) -> None:
    for run_id, why in runs.unknown.items():
        console.note(f"what steps of run {run_id} were given is not known, and not compared: {why}")


def _show_one(console: Console, runs: _Runs, path: str, as_json: bool) -> ExitCode:
    """How one value differs in full."""
    given: list[Any] = []
    if path in _WHOLE:
        a, b = (row_values(row)[path] for row in (runs.a, runs.b))
    else:
        pair = next((each for each in runs.pairs if each.path == path), None)
        if pair is None:
            near = did_you_mean(path, [each.path for each in runs.pairs], what="their steps are")
            raise ConfigurationError(f"neither run has a step {path!r}", suggestion=near)
        a, b = (_whole(step) for step in (pair.a, pair.b))
        inputs = [step.input for step in (pair.a, pair.b) if step]
        given = [value for (value,) in inputs] if len(inputs) == 2 and all(inputs) else []
    same = a == b and (not given or given[0] == given[1])
    if as_json:
        told = {"inputs": {"a": given[0], "b": given[1]}} if given else {}
        console.json({"schema": "flujo.diff-value/1", "path": path, "same": same, "a": a, "b": b, **told})
    else:
        _show_values(console, runs, f" {path} input", given or (None, None))
        _show_values(console, runs, f" {path}", (a, b))
        console.note("they are the same" if same else "they differ")
        _note_unknown(console, runs)
    return ExitCode.OK if same else ExitCode.FAILED


def _show_values(console: Console, runs: _Runs, what: str, values: Sequence[Any]) -> None:
    a, b = values
    told = text_diff(a, b, (runs.a.run_id + what, runs.b.run_id + what))
    if told:
        console.out(told)


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
    _note_unknown(console, runs)


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
        "inputs_unknown": dict(runs.unknown),
        "decisions": [each._asdict() for each in runs.decisions],
        "steps": [
            {"path": pair.path, "differs": list(pair.differs), "a": _step(pair.a), "b": _step(pair.b)}
            for pair in runs.pairs
        ],
    }


def _step(step: Step | None) -> dict[str, Any] | None:
    """A step as plain data; `input` is there where it is known."""
    if step is None:
        return None
    told = {**step._asdict(), "usage": describe_usage(step.usage)}
    del told["input"]
    return {**told, "input": step.input[0]} if step.input else told
