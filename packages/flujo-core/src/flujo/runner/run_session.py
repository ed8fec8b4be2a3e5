"""One run from its start or its claim to its end: the record, the context, and what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

from flujo.domain.caching import CachingBackend
from flujo.domain.canonical import canonical
from flujo.domain.context import PipelineContext
from flujo.domain.events import (
    BudgetOverdrawn,
    BudgetWarning,
    PluginChanged,
    RunFinished,
    RunInterrupted,
    RunPaused,
    RunStarted,
)
from flujo.domain.interfaces import Claim, Clock, Codec, NewRun, RunRow, StateBackend
from flujo.domain.outcomes import ErrorInfo, Paused, PipelineResult, RunStatus, Success
from flujo.domain.pricing import PriceTable
from flujo.domain.quota import UsageLimits
from flujo.domain.steps import Pipeline
from flujo.engine.background_task_manager import OnEnd, check_on_end
from flujo.engine.cache_manager import CacheManager
from flujo.engine.call_tally import CallTally
from flujo.engine.cancelling import told_of
from flujo.engine.changes import as_fields, fields_of, unshared
from flujo.engine.context_manager import ContextManager
from flujo.engine.event_stream import EventStream
from flujo.engine.executor_core import ExecutorCore
from flujo.engine.frame import NOBODY, ExecutionFrame, Lookout, Pulse, RunScope
from flujo.engine.hydration_manager import Held, HydrationManager
from flujo.engine.journal import Journal
from flujo.engine.quota_manager import QuotaManager
from flujo.engine.shield import undisturbed, whole
from flujo.exceptions import (
    DefinitionChanged,
    PayloadTooLarge,
    RunOwnedElsewhere,
    StateError,
    StateProviderError,
    ValueNotStorable,
)
from flujo.infra.memory import InMemoryCache
from flujo.runner.answers import Questions
from flujo.runner.contexts import first_context, recorded_context
from flujo.runner.ending import Ending, Progress, cut_off, ended, taken_over, unsaved, with_questions
from flujo.runner.inbox import Inbox, find
from flujo.runner.plugin_set import PluginSet, tags_of
from flujo.runner.watching import Watch

__all__ = ["Begun", "RunSession"]

Result = PipelineResult[Any, Any]
Save: TypeAlias = Callable[[], Awaitable[None]]

#: The rest of the work on a run that is written down and owned: nothing is kept of how it was begun while it is done.
Begun: TypeAlias = Coroutine[Any, Any, Result]


@dataclass(frozen=True)
class RunSession:
    """What is needed to run one pipeline, once or again. Holds nothing of a run between calls.

    Raises `ConfigurationError` for a context model whose state providers are not there, and for an `on_background` that
    there is not.
    """

    pipeline: Pipeline[Any, Any]
    core: ExecutorCore
    backend: StateBackend
    codec: Codec
    clock: Clock
    events: EventStream
    context_model: type[PipelineContext]
    hydration: HydrationManager
    questions: Questions
    resources: Any = None
    source: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    plugins: PluginSet = field(default_factory=PluginSet)
    root: Path | None = None
    on_background: OnEnd = "wait"
    prices: PriceTable | None = None
    usage_limits: UsageLimits | None = None

    def __post_init__(self) -> None:
        self.hydration.check(self.context_model)
        check_on_end(self.on_background)

    @cached_property
    def definition(self) -> tuple[str, bytes]:
        """The pipeline's canonical text, and the hash of what a resumed run must find unchanged."""
        return canonical(self.pipeline.definition()), self.pipeline.fingerprint

    @cached_property
    def _caches(self) -> CacheManager:
        """What cache steps find and keep: in the state, or in memory for a state that keeps nothing of the kind."""
        home = self.backend.cache if isinstance(self.backend, CachingBackend) else InMemoryCache()
        return CacheManager(home, self.codec, self.clock, owner=self.pipeline.name)

    @cached_property
    def _unlimited(self) -> QuotaManager:
        """What prices the calls of runs without limits."""
        return QuotaManager(self.prices)

    @cached_property
    def inbox(self) -> Inbox:
        """What the runs wait for."""
        return Inbox(self.backend, self.codec, self.clock, self.questions)

    def but(self, **changes: Any) -> "RunSession":
        """This session with other parts, by their names; what it has worked out for all runs is shared."""
        shared = {"definition": self.definition, "_caches": self._caches}
        other = copy(self)
        vars(other).update(shared, **changes)
        return other

    async def start(self, run_id: str, input: Any, data: Mapping[str, Any], key: str | None = None) -> Begun:
        """Write a new run down. Raises `ContextFieldError` for context data that does not fit.

        What the context has from state providers is part of what is written down. Raises `StateProviderError`, and
        `RunKeyTaken` when there is a run of that `key`.
        """
        context = self.context(run_id, input, data)
        await self.hydration.hydrate(context)
        return await self.begin(run_id, input, context, key=key)

    async def begin(self, run_id: str, input: Any, context: PipelineContext, **more: Any) -> Begun:
        """Write a new run down with this context, and what `more` says of it as a `NewRun`."""
        definition, hashed = self.definition
        new = NewRun(
            run_id=run_id,
            pipeline=self.pipeline.name,
            version=self.pipeline.version,
            definition=definition,
            digest=hashed,
            input=self.encoded(input, "input"),
            base=self.encoded(fields_of(context), "context"),
            created_at=self.clock.now(),
            source=self.source,
            files=self.files,
            tags={**more.pop("tags", {}), **tags_of(self.plugins)},
            **more,
        )
        claim = await self.owning(self.backend.create_run(new))
        journal = Journal(self.backend, claim, self.codec, new.records)
        return self.work_on(claim, journal, context, input, resumed=bool(new.records))

    async def owning(self, claiming: Coroutine[Any, Any, Claim]) -> Claim:
        """What `claiming` gives; who is cancelled meanwhile owns nothing afterwards."""
        task = asyncio.ensure_future(claiming)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError as error:
            await undisturbed(self._disowned(task, error))
            raise

    async def _disowned(self, task: asyncio.Future[Claim], error: BaseException) -> None:
        [claim] = await asyncio.gather(task, return_exceptions=True)
        if not isinstance(claim, BaseException):
            await self.let_go(claim, error)

    async def opened(self, row: RunRow, claim: Claim | None) -> tuple[Journal, PipelineContext, Any]:
        """The run's journal, its context as it began, and its input."""
        since = row.created_at if "rerun_of" in row.tags else 0.0  # what is copied may stay unused
        tracks = None if claim is None else since
        journal = Journal(self.backend, claim, self.codec, await self.backend.load(row.run_id), tracks_since=tracks)
        input = self.decoded(row.input, "input")
        return journal, self.recorded_context(row, input), input

    async def find(self, run_id: str) -> RunRow:
        """The run's row. Raises `RunNotFound`."""
        return await find(self.backend, run_id)

    def same_input(self, row: RunRow, input: Any) -> bool:
        """Whether the run was started with this input."""
        return bool(self.encoded(input, "input") == row.input)

    async def work_on(
        self,
        claim: Claim,
        journal: Journal,
        context: PipelineContext,
        input: Any,
        *,
        resumed: bool,
        was: RunRow | None = None,
        notes: Sequence[PluginChanged] = (),
    ) -> Result:
        """Work on the run until it has ended, or waits: what is answered meanwhile is used at once.

        `was` is the row of a run that had another pipeline; `notes` are told when it has begun.
        """
        while (result := await self._pass(claim, journal, context, input, resumed, was, notes)) is None:
            try:
                row = await self.find(claim.run_id)
                journal, context, input = await self.opened(row, claim)
            except BaseException as error:
                await whole(self.let_go(claim, error))
                raise
            resumed, notes = True, ()
        return result

    async def _pass(
        self,
        claim: Claim,
        journal: Journal,
        context: PipelineContext,
        input: Any,
        resumed: bool,
        was: RunRow | None,
        notes: Sequence[PluginChanged],
    ) -> Result | None:
        """Execute what is not recorded, and write the end down; None when somebody has answered meanwhile."""
        began = self.clock.monotonic()
        held = self.hydration.hold(context)
        try:
            if self.events.active:
                self.events.emit(RunStarted(claim.run_id, self.pipeline.name, resumed, len(journal)))
                for note in notes:
                    self.events.emit(note)
            ending = await self._watched(claim, journal, context, input)
            if journal.failure is not None:  # whatever user code has made of it
                raise journal.failure
            if isinstance(ending.outcome, Paused) and await journal.catch_up():
                return None
        except BaseException as error:
            save = partial(self._save, context, held, journal, resumed)
            await whole(self.let_go(claim, error, save, was if error is journal.failure else None))
            raise
        result = ending.result(claim.run_id, context, self.clock.monotonic() - began)
        if result.status not in (RunStatus.COMPLETED, RunStatus.CANCELLED):
            result = with_questions(result, journal.waits())
        try:
            return await self._end(claim, result, partial(self._save, context, held, journal, resumed))
        except StateError as error:
            await whole(self.let_go(claim, error))
            raise

    async def _save(self, context: PipelineContext, held: Held, journal: Journal, resumed: bool) -> None:
        """Save what lives elsewhere and is not what it was, or was changed by a process before this one."""
        await self.hydration.persist(context, held, journal.changed_fields() if resumed and held.places else ())

    async def _watched(self, claim: Claim, journal: Journal, context: PipelineContext, input: Any) -> Ending:
        """Execute until somebody cancels the run. Raises `RunOwnedElsewhere` when somebody takes it over."""
        ending: Ending | None = None
        async with Watch(self.backend, claim, self.clock) as watch:
            progress = Progress.begin(watch.is_let_go)
            ending = await self.execute(journal, context, input, progress, watch)
        if watch.stopped:
            row = await self.find(claim.run_id)
            if row.epoch != claim.epoch:
                raise taken_over(row)
        if ending is None or (watch.stopped and not isinstance(ending.outcome, Success)):
            return Ending.cancelled(progress, journal.spent())
        return ending

    async def execute(
        self, journal: Journal, context: PipelineContext, input: Any, progress: Progress, watch: Lookout = NOBODY
    ) -> Ending:
        """Walk the pipeline from its start: what `journal` has recorded is handed out, the rest is executed.

        `progress` takes what each step comes to.
        """
        quotas = self._unlimited
        if not journal.closed:
            await journal.count_lost()
        if self.usage_limits is not None and not journal.closed:
            notice = partial(self._warn, context.run_id)
            quotas = QuotaManager(self.prices, self.usage_limits, journal.spent(), notice=notice)
        run = RunScope(
            run_id=context.run_id,
            journal=journal,
            events=self.events,
            clock=self.clock,
            pulse=Pulse.of_loop(),
            contexts=ContextManager(),
            background=progress.background,
            tally=CallTally(),
            quotas=quotas,
            caches=self._caches,
            input=unshared(input),
            resources=self.resources,
            root=self.root,
            watch=watch,
            is_let_go=progress.is_let_go,
        )
        frame = ExecutionFrame(self.pipeline, input, run, context, history=progress.history, quota=quotas.quota)
        try:
            outcome = await self.core.execute(frame)
            if self.on_background == "wait":
                ending = await ended(run, context, outcome)
            else:
                await cut_off(run)
                ending = Ending(outcome, progress.background.lines.results)
        finally:
            await cut_off(run)
        if quotas.quota is not None and self.events.active and isinstance(ending.outcome, Success):
            for over in quotas.quota.excess():
                self.events.emit(BudgetOverdrawn(context.run_id, *over))
        return ending

    def _warn(self, run_id: str, model: str) -> None:
        if self.events.active:
            self.events.emit(BudgetWarning(run_id, model))

    async def _end(self, claim: Claim, result: Result, save: Save) -> Result:
        """Save what lives elsewhere, write the end down and tell of it; who cancels meanwhile is heard after that."""
        return await whole(self._finish(claim, result, save))

    async def _finish(self, claim: Claim, result: Result, save: Save) -> Result:
        """A field that can't be saved, or an output that can't be written, makes it a failed run."""
        try:
            await save()
        except StateProviderError as error:
            result = unsaved(result, error)
        try:
            output = self.encoded(result.output, "output") if result.success else None
            await self.backend.finish(claim, result.status, output=output, error=result.error, at=self.clock.now())
        except (ValueNotStorable, PayloadTooLarge) as error:
            failed = ErrorInfo.of(error)
            result = result._replace(status=RunStatus.FAILED, output=None, error=failed, exception=error)
            await self.backend.finish(claim, result.status, error=result.error, at=self.clock.now())
        if result.status in (RunStatus.PAUSED, RunStatus.STOPPED):
            result = await self._unless_cancelled(result)
        if self.events.active:
            if result.status is RunStatus.PAUSED:
                self.events.emit(RunPaused(claim.run_id, result.pending))
            self.events.emit(RunFinished(claim.run_id, result))
        return result

    async def _unless_cancelled(self, result: Result) -> Result:
        """A run that could be gone on with is cancelled, if somebody asked for it in its last moments."""
        row = await self.find(result.run_id)
        if row.status is not RunStatus.CANCELLED:
            return result
        error = ErrorInfo("Aborted", "the run was cancelled")
        return result._replace(status=row.status, output=None, error=error, exception=None, pending=())

    async def let_go(
        self, claim: Claim, error: BaseException, save: Save | None = None, was: RunRow | None = None
    ) -> None:
        """Leave the run where it can be resumed: it was cancelled, or its state can't be written.

        A run that another process has taken over is that one's to save. One that does not fit its new pipeline after
        all keeps the one that it had, as `was` tells.
        """
        try:
            if save is not None and not isinstance(error, RunOwnedElsewhere):
                await save()
        except (StateProviderError, StateError) as other:
            error.add_note(str(other))
        try:
            if was is not None and isinstance(error, DefinitionChanged):
                await self.backend.redefine(claim, was.definition, was.digest, was.files)
            await self.backend.finish(claim, RunStatus.INTERRUPTED, at=self.clock.now())
        except StateError as other:
            error.add_note(f"the run could not be let go of: {other}")
        if self.events.active:
            self.events.emit(RunInterrupted(claim.run_id, told_of(error)))

    def context(self, run_id: str, input: Any, data: Mapping[str, Any]) -> PipelineContext:
        """A run's first context. Raises `ContextFieldError` for data that does not fit."""
        return first_context(self.context_model, run_id, input, data)

    def recorded_context(self, row: RunRow, input: Any) -> PipelineContext:
        """The first context of a run, as it was. Raises as the function."""
        return recorded_context(self.context_model, row.run_id, input, self.base(row))

    def base(self, row: RunRow) -> dict[str, Any]:
        """The fields of a run's first context. Raises `StateCorrupt`."""
        return as_fields(self.decoded(row.base, "context"))

    def encoded(self, value: Any, where: str) -> Any:
        """A value as the state stores it."""
        return self.codec.encode(value, where=where) if self.backend.encodes else unshared(value)

    def decoded(self, value: Any, where: str) -> Any:
        """A stored value as it was."""
        return self.codec.decode(value, where=where) if self.backend.encodes else unshared(value)
