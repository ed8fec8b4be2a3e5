"""One run, from the state it is kept in to what is said of its end; `run` and `resume` share it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flujo.blueprint.texts import Texts
from flujo.domain.context import OpenContext
from flujo.domain.interfaces import RunRow, StateBackend
from flujo.domain.outcomes import PipelineResult, RunStatus
from flujo.domain.quota import UsageLimits
from flujo.domain.scope import NOTHING
from flujo.domain.steps import Pipeline
from flujo.exceptions import (
    AnswerRejected,
    BlueprintError,
    ConfigurationError,
    DefinitionChanged,
    EffectInDoubt,
    FlujoError,
    RunNotFound,
    RunNotPaused,
    RunOwnedElsewhere,
    StateCorrupt,
    UsageLimitExceededError,
)
from flujo.infra.log_sink import LogSink
from flujo.plugins import PluginManager
from flujo.runner.event_sinks import NamedSink
from flujo.runner.flujo import Flujo
from flujo.runner.pipeline_resolver import PipelineResolver
from flujo.runner.plugin_set import missing_plugins
from flujo.runner.state_backend_manager import open_state
from flujo.runner.targets import names_object
from flujo_cli.changed import ways_on
from flujo_cli.exit_codes import ExitCode, code_for
from flujo_cli.interrupts import Interrupts
from flujo_cli.limits import limit_words, replaced
from flujo_cli.output import show_error
from flujo_cli.project import Project
from flujo_cli.questions import answering_words, ask, at_terminal
from flujo_cli.references import find_run
from flujo_cli.reporter import Reporter
from flujo_cli.step_logs import PlaceSink, step_logs
from flujo_cli.streams import OutputError

__all__ = ["Action", "Result", "Runner", "Session"]

Result = PipelineResult[Any, Any]
Runner = Flujo[Any, Any, OpenContext]
Action = Callable[[StateBackend], Awaitable[tuple[Runner, Result]]]

#: What a run that was stopped ends with; without a signal a step has cancelled it.
_STOPS: dict[int | None, ExitCode] = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}

#: What a run that came to an end ends with; any other has failed.
_ENDS = {RunStatus.COMPLETED: ExitCode.OK, RunStatus.STOPPED: ExitCode.BUDGET, RunStatus.PAUSED: ExitCode.WAITING}


@dataclass(frozen=True, slots=True)
class Session:
    """What a run needs of the command line: its project, the plugins, and who tells of it.

    `made` are the runners that were made for it, `pipelines` and `limits` theirs.
    """

    project: Project
    manager: PluginManager
    reporter: Reporter
    made: list[Runner] = field(default_factory=list)
    pipelines: list[Pipeline[Any, Any]] = field(default_factory=list)
    limits: list[UsageLimits | None] = field(default_factory=list)

    def flujo(
        self,
        pipeline: Pipeline[Any, Any],
        backend: StateBackend | None,
        source: str,
        data: dict[str, Any],
        limits: UsageLimits | None = None,
        texts: Texts | None = None,
    ) -> Runner:
        """The runner for a pipeline that was read from the file `source`, and `texts`. Raises `MissingPolicyError`."""
        flujo = Flujo(
            pipeline,
            context_model=OpenContext,
            initial_context_data=data,
            state_backend=backend,
            plugins=self.manager,
            sinks=[PlaceSink(log := self.reporter.log), self.reporter.progress, LogSink(log), *self._sinks()],
            source=source,
            files=texts.kept() if texts else None,
            root=self.project.root,
            usage_limits=limits,
            prices=self.project.settings.prices,
        )
        self.made.append(flujo)
        self.reporter.progress.once.update(each.name for each in pipeline.walk() if each.effects == "at-most-once")
        self.pipelines.append(pipeline)
        self.limits.append(limits)
        return flujo

    def _sinks(self) -> Iterator[NamedSink]:
        """Those of the settings, but for what a switch keeps out, and those that were asked for."""
        asked = dict.fromkeys(self.reporter.options.sinks, NOTHING)
        for name, settings in {**asked, **self.project.settings.sinks}.items():
            is_there = name in asked or name in self.manager.contributions.sinks
            if is_there or not self.manager.is_kept_out("sinks", name):
                yield NamedSink(name, settings)
            else:
                told = "an event sink of the settings is left out: its plugin is switched off"
                self.reporter.log.log("warning", told, sink=name)

    async def reopen(
        self, backend: StateBackend, reference: str, *, as_begun: bool = False, records: bool = False
    ) -> tuple[Runner, RunRow]:
        """The run that `reference` means, and the runner for it: its pipeline is read from the file it began with.

        `Options.pipeline` goes before that file. With `as_begun` the texts are those that the run has kept; with
        `records`, for what only writes into them, a run that nobody has named the pipeline of does with an empty one.
        Raises what `find_run` and `PipelineResolver` raise, and `ConfigurationError` when the file, or its text, isn't
        there.
        """
        try:
            row = await find_run(backend, reference)
        except RunNotFound as error:
            raise self.project.looked_in(error) from error
        self.reporter.run_id = row.run_id
        instead = self.reporter.options.pipeline
        try:
            texts, pipeline = self._pipeline_of(row, as_begun)
        except (BlueprintError, ConfigurationError) as error:
            if records and instead is None:
                return self.flujo(Pipeline([], name=row.pipeline), backend, row.source, {}), row
            own = "" if isinstance(error, BlueprintError) else error.suggestion  # findings say themselves what helps
            ways = [missing_plugins(row, self.manager) or own, self._way_without(row, kept=not (instead or as_begun))]
            error.suggestion = "\n  or ".join(filter(None, ways)) or error.suggestion
            raise
        limits = replaced(self.project.settings.limits_for(pipeline.name), self.reporter.options)
        source = row.source if instead is None or not names_object(instead) else str(instead)
        return self.flujo(pipeline, backend, source, {}, limits, texts), row

    def _pipeline_of(self, row: RunRow, as_begun: bool) -> tuple[Texts, Pipeline[Any, Any]]:
        """The run's pipeline, and what it was read from."""
        project, named = self.project, self.reporter.options.pipeline
        texts = Texts(project.root, _kept(row) if as_begun else NOTHING)
        begun = project.root / next(iter(row.files)) if as_begun else None
        file = begun or named or project.file_of(row.source, row.run_id)
        return texts, PipelineResolver(self.manager, project.settings).resolve(file, texts)

    def _way_without(self, row: RunRow, *, kept: bool) -> str:
        """What to do about a run whose pipeline can't be read: take the one that it has `kept`, where that one can."""
        if kept and self._can_be_read(row):
            command = self.project.command("resume", row.run_id, "--as-begun")
            return f"go on with the pipeline as it was when the run began: {command}"
        shown = self.project.command("runs", "show", row.run_id, "--json")
        return f"see what it came to: {shown}" if row.status is RunStatus.COMPLETED else ""

    def _can_be_read(self, row: RunRow) -> bool:
        """Whether the texts that the run has kept find today what they name."""
        try:
            self._pipeline_of(row, as_begun=True)
        except (BlueprintError, ConfigurationError):
            return False
        return True

    async def going_on(self, backend: StateBackend, work: Awaitable[Result], *, taken: Collection[str] = ()) -> Result:
        """What `work` on a recorded run comes to. Of a changed pipeline it says by which commands the run goes on.

        `taken` are the options by which this one tried to.
        """
        try:
            return await work
        except DefinitionChanged as error:
            self.reporter.run_id = error.run_id or self.reporter.run_id
            row = await backend.get(self.reporter.run_id or "")
            if row is not None:
                again = self.project.naming(row.source, self.reporter.options.pipeline)
                records = await backend.load(row.run_id)
                error.suggestion = ways_on(self.project, row, records, error, again, taken=taken) or error.suggestion
            raise

    def drive(self, action: Action) -> ExitCode:
        """Do `action` with the project's state, and tell what came of it. A signal stops it where it can go on.

        What the run asks is asked at the terminal, if there is one.
        """
        reporter = self.reporter
        interrupts = Interrupts(
            last_words=lambda: reporter.farewell(self._last_words()), waits_for=reporter.tell_of_steps
        )
        try:
            with interrupts.installed(), step_logs(lambda: self.reporter.log):
                result = asyncio.run(self._supervise(action, interrupts))
            if result is not None:
                return self._tell(result)
            code = _STOPS.get(interrupts.signum, ExitCode.FAILED)
        except KeyboardInterrupt:  # a step has raised it, or it comes while the result is written
            code = ExitCode.INTERRUPTED
        except FlujoError as error:
            if self.reporter.progress.run_id is None or isinstance(error, OutputError | RunOwnedElsewhere):
                raise
            self.reporter.broken_off(error, self._last_words(error))
            return code_for(error)
        self.reporter.stopped(self._last_words())
        return code

    def _tell(self, result: Result) -> ExitCode:
        try:
            self.reporter.ended(self._with_origin(result), self._following(result))
            if result.pending and not self.project.keeps_runs:
                self.reporter.console.note(
                    "its record was in memory only: nobody can answer any more. "
                    "To be answered later it needs a state that stays, as --state sqlite:///runs.db"
                )
        except OutputError as error:
            if not self.project.keeps_runs:
                raise
            shown = self.project.command("runs", "show", result.run_id)
            raise OutputError(f"{error}; it is recorded: {shown}") from error
        if self.reporter.options.strict_background and not all(step.success for step in result.background):
            return ExitCode.FAILED
        return _ENDS.get(result.status, ExitCode.FAILED)

    def _with_origin(self, result: Result) -> Result:
        """The result of a run that a limit of the project has stopped, with where that is written; and of one with a
        step in doubt, with the commands as they are to be typed here."""
        error, told = result.exception, result.error
        if told is not None and told.code == EffectInDoubt.default_code and told.suggestion:
            advice = self.project.typed(told.suggestion, "runs", "settle", result.run_id, told.path)
            return result._replace(error=told._replace(suggestion=advice))
        if not isinstance(error, UsageLimitExceededError) or told is None or not error.limit or not self.pipelines:
            return result
        name, held = self.pipelines[-1].name, self.limits[-1]
        origin = self.project.settings.limit_origins(name).get(error.limit)
        ours = self.project.settings.limits_for(name)
        if origin is None or getattr(held, error.limit) != getattr(ours, error.limit):
            return result  # it is one of the options
        return result._replace(error=told._replace(suggestion=f"{told.suggestion}; the limit is that of {origin}"))

    async def _supervise(self, action: Action, interrupts: Interrupts) -> Result | None:
        task = asyncio.create_task(self._with_state(action, interrupts))
        interrupts.watch(task)
        try:
            return await task
        except asyncio.CancelledError:
            self.reporter.tell_of_threads()
            return self.reporter.progress.result  # the run may have ended in spite of it

    async def _with_state(self, action: Action, interrupts: Interrupts) -> Result:
        backend = open_state(self.project.settings.state_uri, self.manager, self.project.root)
        try:
            flujo, result = await action(backend)
            if not self.reporter.options.no_input and at_terminal(self.reporter.console):
                result = await self._dialogue(flujo, result, interrupts)
            return result
        finally:
            try:
                for each in self.made:
                    await each.aclose()
            finally:
                await backend.close()

    async def _dialogue(self, flujo: Runner, result: Result, interrupts: Interrupts) -> Result:
        """Ask what the run asks, one question after the other, and go on with each answer that will do."""
        while result.pending:
            with interrupts.lifted():
                reply = ask(self.reporter.console, result.pending[0])
            if reply is None:
                break
            try:
                result = await flujo.resume(result, reply.value, token=reply.token, by=reply.by)
            except (AnswerRejected, RunNotPaused) as error:
                show_error(self.reporter.console, error)
                if reply.token not in [asked.question.token for asked in await flujo.inbox(result)]:
                    result = await flujo.resume(result)  # somebody else was faster
        return result

    def _following(self, result: Result) -> str | None:
        """What to type next, where anything is left of the run."""
        if not self.project.keeps_runs:
            return None
        if result.success:
            return self.project.command("runs", "show", result.run_id)
        error = result.error
        if error is not None and error.code == EffectInDoubt.default_code:  # to go on with it fails again
            words = ("runs", "settle", result.run_id, error.path or "", *self._again())
            return f"{self.project.command(*words)} --output JSON, or --again"
        words = answering_words(result.pending) if result.pending else ()
        return self._resume(result.run_id, *words, error=result.exception)

    def _resume(self, run_id: str, *words: str, error: BaseException | None = None) -> str:
        told = (*words, *self._again(), *limit_words(self.reporter.options, error))
        return self.project.command("resume", run_id, *told)

    def _again(self) -> tuple[str, ...]:
        """The option that names the run's pipeline again, where it was given."""
        pipeline = self.reporter.options.pipeline
        return () if pipeline is None else self.project.naming("", pipeline)

    def _last_words(self, error: FlujoError | None = None) -> str:
        run_id = self.reporter.progress.run_id
        result = self.reporter.progress.result
        if run_id is None:
            return "interrupted before the run had begun"
        if not self.project.keeps_runs:
            return f"interrupted, run {run_id}: its record was in memory only"
        if result is not None:
            return f"interrupted, but run {run_id} has ended: {result.status}\nnext: {self._following(result)}"
        if isinstance(error, StateCorrupt | RunNotFound) and not error.is_whole:  # nothing finds the run again there
            return f"interrupted, run {run_id}\nnext: {self.project.command('db', 'check')}"
        return f"interrupted, run {run_id}\nnext: {self._resume(run_id)}"


def _kept(row: RunRow) -> Mapping[str, str]:
    """The texts that a run has kept of its pipeline files. Raises `ConfigurationError` when there are none."""
    if not row.files:
        raise ConfigurationError(
            f"run {row.run_id!r} has kept no text of its pipeline",
            suggestion="it was begun from Python code, which is not recorded: put the code back as it was",
        )
    return row.files
