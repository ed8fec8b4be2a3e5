"""`flujo rehearse`: run a pipeline once undisturbed, and once with a kill after each record, and compare."""

import os
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from flujo.domain.outcomes import RunStatus
from flujo.domain.steps import Pipeline, Step
from flujo.exceptions import ConfigurationError, ExecutionError
from flujo.infra.config_manager import get_config_manager
from flujo.infra.scripted import ScriptedAgent
from flujo.runner.pipeline_resolver import PipelineResolver
from flujo_cli.exit_codes import EXIT_CODE_HELP, ExitCode
from flujo_cli.input import read_context, read_file, read_json, resolve_input
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options, json_option
from flujo_cli.output import Console, one_line
from flujo_cli.project import Project
from flujo_cli.questions import at_terminal
from flujo_cli.rehearsal import Job
from flujo_cli.reporter import Reporter
from flujo_cli.stage import Ending, Stage, differences
from flujo_cli.typed import Given

__all__ = ["rehearse"]


class _Boundary(NamedTuple):
    """What became of the run that was killed after record `number`, which is that of `path`."""

    number: int
    path: str
    in_doubt: list[str]
    differs: list[str]

    @property
    def verdict(self) -> str:
        """In doubt is how a step has to end that may run only once, and was killed in the middle."""
        return "differs" if self.differs else "in doubt" if self.in_doubt else "ok"


def _how_many(_: click.Context, __: click.Parameter, value: str) -> int | None:
    if value == "all":
        return None
    if not value.isdecimal() or not int(value):
        raise click.BadParameter(f"{value!r} is neither 'all' nor a number of 1 or more")
    return int(value)


@click.command(epilog=EXIT_CODE_HELP)
@click.argument("file", default="pipeline.yaml", type=click.Path(path_type=Path))
@click.option(
    "--input", "input_flag", metavar="VALUE", help="The run's input, as `flujo run` takes it; not from stdin."
)
@click.option("--context", metavar="KEY=VALUE", multiple=True, help="One field of the first context, JSON or text.")
@click.option("--boundaries", metavar="all|N", default="all", callback=_how_many, help="Kill after so many records.")
@click.option("--answers", metavar="FILE", type=click.Path(path_type=Path), help="A JSON object: answers to questions.")
@click.option("--yes", is_flag=True, help="Do not ask whether steps with effects outside may really run.")
@json_option
@click.pass_obj
def rehearse(
    options: Options,
    file: Path,
    input_flag: str | None,
    context: tuple[str, ...],
    boundaries: int | None,
    answers: Path | None,
    yes: bool,
    as_json: bool,
) -> ExitCode:
    """Find out if the pipeline in FILE (default: pipeline.yaml) survives the death of its process after any record.

    Runs it in a copy of the project's folder once undisturbed, and then once for each record: there its process is
    killed, and another one goes on. Output, context, files and executions must be the same each time; what differs is
    told, and the command then ends with 1. Only the folder is a copy: a step that reaches further really does so.

    A question is answered from --answers, by its path or a word in its message; one without an answer ends the run.
    """
    reporter = Reporter(options)
    with reporter.telling():
        project = _project(file, options)
        manager = load_plugins(options, project.root)
        reporter.begin(project.settings)
        pipeline = PipelineResolver(manager, project.settings).resolve(file)
        text = resolve_input(input_flag, os.environ.get("FLUJO_INPUT"), lambda: "")
        Given(text).fitting(pipeline)  # a mistake is told before anything is copied
        job = Job(
            file=project.source(file),
            state="",
            input=text,
            context=read_context(None, None, context),
            answers=_answers(answers),
            no_plugins=options.no_plugins,
            plugin_switches=options.plugin_switches,
        )
        _ask_leave(reporter.console, pipeline, yes=yes)
        with tempfile.TemporaryDirectory(prefix="flujo-rehearsal-") as folder:
            stage = Stage(Path(folder).resolve(), project.root, job)
            return _perform(stage, boundaries, reporter.console, pipeline, as_json=as_json)


def _project(file: Path, options: Options) -> Project:
    project = Project.around(file, stands=options.stands)
    if not get_config_manager(project.root).declared:
        raise ConfigurationError(
            f"{str(file)!r} is in no project, whose folder could be copied",
            suggestion="put a flujo.toml into the folder that the pipeline works in; it may be empty",
        )
    return project


def _answers(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    what = f"--answers {str(file)!r}"
    value = read_json(read_file(file, what), what)
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} is no JSON object", suggestion="write it like '{\"approve/ask\": true}'")
    return value


def _ask_leave(console: Console, pipeline: Pipeline[Any, Any], *, yes: bool) -> None:
    """Name the steps that reach further than the copied folder, and go on only if somebody agrees."""
    reaching = [f"{step.name} ({what})" for step in pipeline.walk() if (what := _reach(step))]
    if not reaching:
        return
    console.note(f"these steps really run, again and again: {', '.join(reaching)}")
    if yes or (at_terminal(console) and click.confirm("rehearse them?", err=True)):
        return
    raise ConfigurationError("nobody has agreed that they run", suggestion="pass --yes if they may")


def _reach(step: Step[Any, Any]) -> str:
    if step.effects in ("external", "at-most-once"):
        return step.effects
    return "asks an agent" if step.agent_key is not None and not isinstance(step.run, ScriptedAgent) else ""


def _perform(
    stage: Stage, boundaries: int | None, console: Console, pipeline: Pipeline[Any, Any], *, as_json: bool
) -> ExitCode:
    undisturbed = stage.play()
    report = undisturbed.report
    if report.status not in (RunStatus.COMPLETED, RunStatus.PAUSED):
        raise ExecutionError(
            f"undisturbed the run is {report.status}: {report.error}", suggestion="rehearse a run that works"
        )
    asks = "".join(f", and asks at {path}: {one_line(message)}" for path, message in report.pending)
    console.note(f"undisturbed: {report.status}, records: {report.records}{asks}")
    if report.unused:
        told = console.paint("warning", "yellow", bold=True)
        console.note(f"{told}: no question was asked for these answers: {', '.join(map(repr, report.unused))}")
    found = []
    for each in _killed(stage, undisturbed, boundaries):
        found.append(each)
        if not as_json:
            _tell(console, each, report.records)
    number = Counter(each.verdict for each in found)
    if as_json:
        console.json(_describe(pipeline, undisturbed, found))
    counted = f"as undisturbed: {number['ok']}, in doubt: {number['in doubt']}, differing: {number['differs']}"
    console.note(f"kills: {len(found)}, {counted}")
    return ExitCode.FAILED if number["differs"] else ExitCode.OK


def _killed(stage: Stage, undisturbed: Ending, boundaries: int | None) -> Iterator[_Boundary]:
    """Play the run with a kill after each record, or after some that are always the same ones."""
    numbers = range(1, undisturbed.report.records + 1)
    if boundaries is not None and boundaries < len(numbers):
        chosen = sorted(random.Random(0).sample(numbers, boundaries))  # noqa: S311 - a sample, and no secret
    else:
        chosen = list(numbers)
    for number in chosen:
        try:
            ending = stage.play(number)
        except ExecutionError as error:
            yield _Boundary(number, "", [], [error.message])
            continue
        path = ending.report.before[-1] if ending.report.before else ""
        yield _Boundary(number, path, list(ending.report.doubts), differences(undisturbed, ending))


def _tell(console: Console, each: _Boundary, records: int) -> None:
    place = f"killed after {each.path}" if each.path else "ended before that"
    console.out(f"{each.verdict:<8}  {each.number}/{records}  {place}")
    doubts = (f"step {path!r} began and may run only once: it is not repeated" for path in each.in_doubt)
    for text in (*each.differs, *doubts):
        console.out("    " + text.replace("\n", "\n      "))


def _describe(pipeline: Pipeline[Any, Any], undisturbed: Ending, found: list[_Boundary]) -> dict[str, Any]:
    report = undisturbed.report
    return {
        "schema": "flujo.rehearsal/1",
        "pipeline": pipeline.name,
        "status": report.status,
        "records": report.records,
        "boundaries": [{"verdict": each.verdict, **each._asdict()} for each in found],
    }
