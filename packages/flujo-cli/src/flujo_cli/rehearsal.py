"""One life of a rehearsed run, in a process of its own: `python -m flujo_cli.rehearsal JOB REPORT`, both JSON files.

A life goes on with the run where the one before has died, and may die itself after a record that is chosen.
"""

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flujo.domain.context import OpenContext
from flujo.domain.events import StepInDoubt, StepStarted
from flujo.domain.interfaces import JournalRecord, RecordKind, StateBackend
from flujo.domain.outcomes import PendingAnswer, PipelineResult
from flujo.domain.steps import Pipeline
from flujo.engine.changes import fields_of
from flujo.exceptions import ConfigurationError, FlujoError
from flujo.infra.clock import SystemClock
from flujo.infra.codec import JsonCodec
from flujo.plugins import create_plugin_manager, plugin_options
from flujo.runner.flujo import Flujo
from flujo.runner.pipeline_resolver import PipelineResolver
from flujo.runner.state_backend_manager import open_state
from flujo.testing import DyingBackend, RecordingSink
from flujo_cli.project import Project
from flujo_cli.typed import Given

__all__ = ["RUN_ID", "Job", "Report", "live", "main"]

#: Every rehearsed run has the same id, in a state of its own: keys and paths that are made of it stay equal.
RUN_ID = "rehearsal"


class Job(NamedTuple):
    """What is rehearsed: the pipeline `file` of the project in the working directory, recorded in `state`.

    `answers` are given by a question's path, or a word of its message. The process dies after the record of number
    `die_after`, counted from 1; None is never. The
    options of plugins are those of the command line.
    """

    file: str
    state: str
    input: str
    context: Mapping[str, Any]
    answers: Mapping[str, Any]
    die_after: int | None = None
    no_plugins: bool = False
    plugin_switches: Sequence[str] = ()


class Report(NamedTuple):
    """What a life came to, as plain data.

    `pending` are the questions that are open, path and message, and `steps` the paths of all results. `before` is what
    was recorded when this life began, oldest first, `again` the steps that it began although they had a result.
    `records` counts what was recorded by it, `doubts` are the steps that began and may not be repeated, and `unused`
    the keys of answers that nothing was asked for in this life.
    """

    status: str
    error: str | None
    output: Any
    context: Any
    pending: Sequence[Sequence[str]]
    steps: Sequence[str]
    before: Sequence[str]
    again: Sequence[str]
    records: int
    doubts: Sequence[str]
    unused: Sequence[str] = ()


async def live(job: Job) -> Report:
    """Begin the run, or go on with it, until it ends, asks something without an answer, or this process dies."""
    options = plugin_options(no_plugins=job.no_plugins, switches=job.plugin_switches)
    manager = create_plugin_manager(options=options)
    project = Project.around(Path(job.file), stands=Path.cwd(), state=job.state)
    pipeline = PipelineResolver(manager, project.settings).resolve(Path(job.file))
    state = open_state(job.state, manager, project.root)
    sink = RecordingSink()
    try:
        before = await _recorded(state)
        dying = DyingBackend(state, die_after=job.die_after)
        flujo = Flujo(
            pipeline,
            context_model=OpenContext,
            initial_context_data=job.context,
            state_backend=dying,
            clock=_Clock(before),
            plugins=manager,
            sinks=[sink],
            source=project.source(Path(job.file)),
            root=project.root,
            usage_limits=project.settings.limits_for(pipeline.name),
            prices=project.settings.prices,
        )
        result, used = await _to_the_end(flujo, job, Given(job.input).fitting(pipeline))
        await flujo.aclose()
        report = _report(pipeline, result, sink, before, await _recorded(state), dying.records)
        return report._replace(unused=sorted({*job.answers} - used))
    finally:
        await state.close()


async def _to_the_end(
    flujo: Flujo[Any, Any, OpenContext], job: Job, input: Any
) -> tuple[PipelineResult[Any, OpenContext], set[str]]:
    """What the run comes to, and the keys of the answers that it was given."""
    used = set()
    result = await flujo.run(input, run_id=RUN_ID)
    while (given := _answer(result.pending, job.answers)) is not None:
        asked, key = given
        used.add(key)
        result = await flujo.resume(RUN_ID, job.answers[key], token=asked.token, by=RUN_ID)
    return result, used


def _answer(pending: Sequence[PendingAnswer], answers: Mapping[str, Any]) -> tuple[PendingAnswer, str] | None:
    """The first open question that has an answer, with the answer's key. Raises `ConfigurationError` for several."""
    for asked in pending:
        words = [key for key in answers if re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", asked.message)]
        keys = [asked.path] if asked.path in answers else words
        if len(keys) > 1:
            raise ConfigurationError(
                f"the question {asked.message!r} of {asked.path!r} has {len(keys)} answers: {', '.join(keys)}",
                suggestion="give its answer by its path",
            )
        if keys:
            return asked, keys[0]
    return None


class _Clock(SystemClock):
    """Goes on where the record ends: no deadline passes in the time that a process takes to begin."""

    def __init__(self, recorded: Sequence[JournalRecord]) -> None:
        now = super().now()
        self._behind = now - max((record.ended_at for record in recorded), default=now)

    def now(self) -> float:
        """Seconds since the epoch, without those in which the run had no process."""
        return super().now() - self._behind


async def _recorded(state: StateBackend) -> Sequence[JournalRecord]:
    """What is recorded, oldest first."""
    return await state.load(RUN_ID) if await state.get(RUN_ID) else []


def _report(
    pipeline: Pipeline[Any, Any],
    result: PipelineResult[Any, OpenContext],
    sink: RecordingSink,
    before: Sequence[JournalRecord],
    after: Sequence[JournalRecord],
    records: int,
) -> Report:
    types = [each for step in pipeline.walk() for each in (step.input_type, step.output_type)]
    codec = JsonCodec([OpenContext, *types])
    fields = fields_of(result.final_pipeline_context)
    said = [[each.message_to_human, each.human_response] for each in fields.pop("hitl_history")]  # without its times
    started = {event.path for event in sink.of_type(StepStarted)}
    error = result.error
    return Report(
        status=str(result.status),
        error=f"{error.path}: {error.type}: {error.message}" if error else None,
        output=json.loads(codec.encode(result.output, where="output")),
        context=json.loads(codec.encode({**fields, "hitl_history": said}, where="context")),
        pending=sorted([asked.path, asked.message] for asked in result.pending),
        steps=_results(after),
        before=[record.path for record in before],
        again=sorted(started.intersection(_results(before))),
        records=records,
        doubts=[event.path for event in sink.of_type(StepInDoubt)],
    )


def _results(records: Sequence[JournalRecord]) -> list[str]:
    return sorted(record.path for record in records if record.kind is RecordKind.RESULT)


def main(job: str, report: str) -> int:
    """Live the life that the file `job` describes, and write what it came to into the file `report`."""
    try:
        told = asyncio.run(live(Job(**json.loads(Path(job).read_bytes()))))
    except FlujoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    Path(report).write_text(json.dumps(told._asdict()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
