"""`Flujo`: run a pipeline, resume it, close it."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Literal, TypeAlias, cast

from typing_extensions import TypeVar

from flujo.domain.context import PipelineContext
from flujo.domain.events import Event
from flujo.domain.interfaces import Clock, EventSink, StateBackend, StateProvider
from flujo.domain.outcomes import PendingAnswer, PipelineResult, RunStatus
from flujo.domain.pricing import Price
from flujo.domain.quota import UsageLimits
from flujo.domain.steps import Step
from flujo.engine.background_task_manager import OnEnd
from flujo.engine.event_stream import EventStream
from flujo.engine.hydration_manager import HydrationManager
from flujo.engine.policy_registry import PolicyRegistry
from flujo.infra.codec import JsonCodec
from flujo.plugins import PluginManager, create_default_registry
from flujo.runner import arguments
from flujo.runner.answers import NO_ANSWER, Questions, Reply, reply_of
from flujo.runner.arguments import id_of, limits_of, mapping_of, model_of, pipeline_of, root_of, text_of
from flujo.runner.at_work import AtWork
from flujo.runner.event_sinks import EventSinks, Sink
from flujo.runner.inbox import OpenQuestion, read_inbox
from flujo.runner.listing import RunSummary, read_runs
from flujo.runner.local_tracer import traced
from flujo.runner.own_loop import in_loop_of_its_own
from flujo.runner.plugin_set import plugin_set, prepared_core
from flujo.runner.rerun import SAME_INPUT, Again, rerun
from flujo.runner.resume_orchestrator import ResumeOrchestrator
from flujo.runner.run_session import Begun, RunSession
from flujo.runner.starting import Wanted, start
from flujo.runner.state_backend_manager import StateBackendManager
from flujo.runner.state_providers import StateProviders
from flujo.runner.streaming import Outcome, RunHandle, every, outcome_of, streamed
from flujo.runner.trace import Trace, read_trace
from flujo.runner.tracing_manager import Tracer
from flujo.runner.watching import look_now

__all__ = ["Flujo"]

In = TypeVar("In")
Out = TypeVar("Out")
Ctx = TypeVar("Ctx", bound=PipelineContext, default=PipelineContext)
Item = TypeVar("Item")

#: How a run is begun, or claimed, given what runs need.
_Start: TypeAlias = Callable[[RunSession], Coroutine[Any, Any, Begun]]


class Flujo(Generic[In, Out, Ctx]):
    """Runs one pipeline, as often as you like and at the same time.

    `context_model` is the class of the runs' contexts, `initial_context_data` what their fields start with;
    `resources` is handed to steps that have a parameter of that name. `state_uri` (or a `state_backend` of your own,
    which stays yours to close) keeps the runs' records; without either they live in memory for as long as this
    object. `plugins` is the plugin manager to take policies and backends from, by default one that finds everything
    installed; `registry` replaces its policies. `sinks` receive every event: objects with `handle`, which stay yours to
    close, or names of those that plugins have; `local_tracer` is told of spans: "default" writes them to stderr, as a
    tree. `state_providers` keep fields of the context that live elsewhere, by the
    names in their `ContextReference`s, and stay yours to close. `source` is noted with each run, so that another
    process can find the pipeline, and so are `files`, the texts that it was loaded from, by their paths; `root` is the
    folder that relative paths start from.
    `on_background` says what the end of a run does with background steps that are still at work: "wait" for them, or
    "cancel" them. `usage_limits` is what a run may use, before and after it is resumed; `prices` are those of calls by
    the model's name or a pattern of names. With `delete_on_completion` the state forgets a run that has completed.

    Raises `ConfigurationError` for an argument that can't be so, `MissingPolicyError` when no installed policy runs one
    of the pipeline's steps. Use it as an async context manager, or call `aclose`; in one event loop at a time.
    """

    def __init__(
        self,
        pipeline: Step[In, Out],
        *,
        context_model: type[Ctx] | None = None,
        initial_context_data: Mapping[str, Any] | None = None,
        resources: Any = None,
        state_backend: StateBackend | None = None,
        state_uri: str | None = None,
        registry: PolicyRegistry | None = None,
        plugins: PluginManager | None = None,
        sinks: Iterable[Sink] = (),
        local_tracer: Literal["default"] | Tracer | None = None,
        state_providers: Mapping[str, StateProvider[Any]] | None = None,
        source: str = "",
        files: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        clock: Clock | None = None,
        on_background: OnEnd = "wait",
        usage_limits: UsageLimits | Mapping[str, Any] | None = None,
        prices: Mapping[str, Price] | None = None,
        delete_on_completion: bool = False,
    ) -> None:
        whole, model, root = pipeline_of(pipeline), model_of(context_model), root_of(root)
        manager = arguments.manager_of(state_uri, state_backend, registry, plugins)
        core = prepared_core(whole, registry if registry is not None else create_default_registry(manager))
        self._state = StateBackendManager(backend=state_backend, uri=state_uri, manager=manager, root=root)
        self._data, self._at_work = mapping_of(initial_context_data, "initial_context_data"), AtWork()
        self._forgets = arguments.of_type(delete_on_completion, "delete_on_completion", bool, "True or False")
        self._sinks = EventSinks([*arguments.sinks_of(sinks), *traced(local_tracer)], manager, root)
        self._providers = StateProviders(arguments.providers_of(state_providers), manager, root)
        self._own = RunSession(
            pipeline=whole,
            core=core,
            backend=self._state.backend,
            codec=JsonCodec(arguments.declared_types(whole, model)),
            clock=arguments.clock_of(clock),
            events=self._sinks.stream,
            context_model=model,
            hydration=HydrationManager(self._providers, self._providers.blame, self._providers.plugin_of),
            questions=Questions(whole),
            resources=resources,
            source=arguments.text_of(source, "source"),
            files=mapping_of(files, "files"),
            plugins=plugin_set(None if registry else manager, whole),
            root=root,
            on_background=on_background,
            usage_limits=limits_of(usage_limits),
            prices=arguments.prices_of(prices, manager),
        )

    async def run(
        self,
        input: In,
        *,
        run_id: str | None = None,
        initial_context_data: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> PipelineResult[Out, Ctx]:
        """Run the pipeline and return what it came to: a failed step is a result, not an exception.

        With the `run_id` of an earlier run of the same input and context, an unfinished run goes on, and a completed or
        cancelled one hands out what is recorded. So does its `idempotency_key`: a state has one run of a key, whoever
        starts it and however often. Raises `StateError` when the record can't be written, or for a `run_id` or key of
        a run with another input or first context, `RunOwnedElsewhere` while another process works on it.
        """
        return await self._result(self._wanted(input, run_id, initial_context_data, idempotency_key))

    def run_sync(
        self,
        input: In,
        *,
        run_id: str | None = None,
        initial_context_data: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> PipelineResult[Out, Ctx]:
        """`run` for code that is not async. Raises `ConfigurationError` inside a running event loop."""
        return in_loop_of_its_own(self._result, self._wanted(input, run_id, initial_context_data, idempotency_key))

    def run_outcomes(
        self,
        input: In,
        *,
        run_id: str | None = None,
        initial_context_data: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncGenerator[Outcome | PipelineResult[Out, Ctx], None]:
        """`run`, read while it is at work: what each step comes to, and parts of outputs (`Chunk`), as they happen.

        A step's outcome is `Success`, `Failure`, `Paused` or `Aborted`, and has its line of the history as its
        `step_result`; `BackgroundLaunched` says that one goes on in the background. The last item is the
        `PipelineResult`. The run begins with the first item and waits for its reader, when that is far behind. It is
        stopped where it can be resumed when the generator is closed, or forgotten, before its end.
        """
        return self._stream(self._wanted(input, run_id, initial_context_data, idempotency_key), outcome_of)

    run_stream = run_outcomes

    def run_with_events(
        self,
        input: In,
        *,
        run_id: str | None = None,
        initial_context_data: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncGenerator[Event | PipelineResult[Out, Ctx], None]:
        """As `run_outcomes`, with every event of this run instead, and of no other; the last item is the result."""
        return self._stream(self._wanted(input, run_id, initial_context_data, idempotency_key), every)

    def run_async(
        self,
        input: In,
        *,
        run_id: str | None = None,
        initial_context_data: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> RunHandle[Out, Ctx]:
        """One run to await, as `run`, or to iterate, as `run_outcomes`: it begins when either is done."""
        return RunHandle(self._stream(self._wanted(input, run_id, initial_context_data, idempotency_key), outcome_of))

    async def resume(
        self,
        run: str | PipelineResult[Any, Any],
        answer: Any = NO_ANSWER,
        *,
        token: str | None = None,
        by: str = "",
        force: bool = False,
        allow_changed: bool = False,
        usage_limits: UsageLimits | Mapping[str, Any] | None = None,
    ) -> PipelineResult[Out, Ctx]:
        """Go on with a run, given by its id or its result: recorded steps do not run again.

        A run that waits for a person takes an `answer`, whose it is by `by`; `token` says which question it answers,
        and can be left out when only one is open. An answer that won't do raises `AnswerRejected`, one that nobody
        waits for `RunNotPaused`, and nothing has changed then. One that will do is recorded before anything else, also
        when the run is at work elsewhere and `RunOwnedElsewhere` is raised. Without an answer such a run pauses again.

        A run of another pipeline raises `DefinitionChanged`, which says what differs. With `allow_changed` it goes on
        with this one, as long as every step that has a result is still there and is what it was.

        `force` takes a run over from a living owner; `usage_limits` hold in place of this object's, and count what the
        run has used before. Raises `RunNotFound`, `RunOwnedElsewhere` and `DefinitionChanged`.
        """
        reply = reply_of(answer, token, by)
        limits = limits_of(usage_limits) or self._session.usage_limits
        return await self._result(
            lambda session: ResumeOrchestrator(session.but(usage_limits=limits)).resume(
                id_of(run), force=force, reply=reply, allow_changed=allow_changed
            )
        )

    resume_async = resume

    async def rerun_from(
        self,
        run: str | PipelineResult[Any, Any],
        path: str,
        *,
        input: Any = SAME_INPUT,
        run_id: str | None = None,
        initial_context_data: Mapping[str, Any] | None = None,
    ) -> PipelineResult[Out, Ctx]:
        """Begin a new run at the step `path` of another, whose results before that step are taken as they are.

        It has the other run's input and first context, but for an `input` of its own and `initial_context_data`, by
        field or by dotted path. What was recorded before the step's first record is copied, without its cost: not what
        comes after the step in the pipeline. Raises `RunNotFound`, `ConfigurationError` for a path that isn't there,
        and `DefinitionChanged` when a result to be copied is not that of the pipeline's step.
        """
        data = mapping_of(initial_context_data, "initial_context_data")
        again = Again(id_of(run), text_of(path, "path"), run_id, input, data)
        return await self._result(partial(rerun, again))

    fork = rerun_from

    async def replay(self, run: str | PipelineResult[Any, Any]) -> PipelineResult[Out, Ctx]:
        """What a run came to, made again of its record alone: no step is executed, nothing written, no sink told.

        Conditions, mappers and templates are evaluated again. Raises `RunNotFound`, and `ReplayMismatchError` where
        this pipeline does not come to what is recorded.
        """
        from flujo.runner.replay_executor import replay  # noqa: PLC0415 - few runs are replayed

        with self._at_work.run():
            return cast("PipelineResult[Out, Ctx]", await replay(self._session, id_of(run)))

    async def settle(
        self,
        run: str | PipelineResult[Any, Any],
        path: str,
        output: Any = NO_ANSWER,
        *,
        again: bool = False,
        by: str = "",
    ) -> None:
        """Say what became of the step at `path`, which may run only once, began and did not end: see `EffectInDoubt`.

        Either it took effect, and `output` is what it gave; or it did not, and may run `again`. The run can be resumed
        then. Raises `AnswerRejected` for a step that is not in doubt and an output that does not fit, `RunNotFound`,
        and `RunOwnedElsewhere` while a living process is at work on the run.
        """

        from flujo.runner.settling import settle  # noqa: PLC0415 - it loads the schemas, and few runs need it

        await settle(self._session, id_of(run), text_of(path, "path"), output, again=again, by=by)

    async def answer(
        self, run: str | PipelineResult[Any, Any], value: Any, *, token: str | None = None, by: str = ""
    ) -> PendingAnswer:
        """Record an answer as `resume` does, and leave it to others to go on with the run; the question it is for.

        The run may be at work in another process. Raises `RunNotFound`, `RunNotPaused` and `AnswerRejected`.
        """
        row = await self._session.find(id_of(run))
        return await self._session.inbox.answer(row, Reply(value, token, by))

    async def answer_all(
        self, run: str | PipelineResult[Any, Any], answers: Mapping[str, Any], *, by: str = ""
    ) -> tuple[PendingAnswer, ...]:
        """Record many answers, and give the questions that they are for. All are checked before the first is recorded.

        When that is broken off in between, do it again: those that are there are passed over.

        Each question is named by its token, its path, or a whole word that only its path or its message has.
        Raises as `answer` does, and has recorded nothing then unless somebody else answers at the same time.
        """
        given = mapping_of(answers, "answers", may_be_none=False)
        return await self._session.inbox.answer_all(await self._session.find(id_of(run)), given, by)

    async def inbox(self, run: str | PipelineResult[Any, Any] | None = None) -> tuple[OpenQuestion, ...]:
        """The open questions of one run or of all runs in this state, the oldest first. Raises `RunNotFound`."""
        run_id = None if run is None else (await self._session.find(id_of(run))).run_id
        return await read_inbox(self._session.backend, self._session.codec, run_id)

    async def runs(
        self, *, status: RunStatus | str | None = None, prefix: str = "", limit: int = 50
    ) -> tuple[RunSummary, ...]:
        """The runs in this state, the newest first and at most `limit`: also those of other pipelines.

        `status` takes those that stand so now, "interrupted" for example, and `prefix` those whose id starts with it.
        Raises `ConfigurationError` for a status that there isn't.
        """
        return await read_runs(self._session.backend, *arguments.choice_of(status, prefix, limit))

    async def trace(self, run: str | PipelineResult[Any, Any]) -> Trace:
        """Where the run's time and money went, told from its record, wherever it is at work. Raises `RunNotFound`."""
        session = self._session
        row = await session.find(id_of(run))
        return await read_trace(session.backend, row, session.clock.now(), pipeline=session.pipeline)

    async def cancel(self, run: str | PipelineResult[Any, Any]) -> RunStatus:
        """Stop a run, wherever it is at work; the status that it has now. To resume it takes that back.

        `RUNNING` says that its owner has been asked. It stops at once in this event loop, elsewhere within a second,
        and what its steps need to stop. What is finished stays recorded. Raises `RunNotFound`.
        """
        status = await self._session.backend.cancel(id_of(run), at=self._session.clock.now())
        look_now(id_of(run))
        return status

    @property
    def broken_sinks(self) -> tuple[tuple[EventSink, BaseException], ...]:
        """Sinks that raised and have been detached, each with what it raised."""
        return tuple(self._sinks.stream.broken)

    async def aclose(self) -> None:
        """Stop what is at work where it can be resumed, then release what this object has opened.

        Whoever waits for such a run gets a `ConfigurationError`, and so does whoever uses this object afterwards. A
        second call does nothing, or waits for the first. Raises `ConfigurationError`, and does nothing, while runs are
        at work in another event loop.
        """
        await self._at_work.close()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._state.shutdown)
            stack.push_async_callback(self._sinks.aclose)
            await self._providers.aclose()

    async def __aenter__(self) -> "Flujo[In, Out, Ctx]":
        self._at_work.check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def _session(self) -> RunSession:
        """What runs need, as long as this is open."""
        self._at_work.check_open()
        return self._own

    def _wanted(self, input: In, run_id: str | None, data: Mapping[str, Any] | None, key: str | None) -> _Start:
        fields = {**self._data, **mapping_of(data, "initial_context_data")}
        return partial(start, Wanted(input, run_id, fields, key))

    async def _result(self, work: _Start, events: EventStream | None = None) -> PipelineResult[Out, Ctx]:
        """What `work` on a run comes to: the one way that every method which runs something goes."""
        session = self._session if events is None else self._session.but(events=events)
        with self._at_work.run():
            begun = await work(session)
            del work  # what was asked for: many runs may wait at the same time
            result = await begun
            if self._forgets and result.success:
                await session.backend.delete(result.run_id)
        return cast("PipelineResult[Out, Ctx]", result)

    def _stream(
        self, work: _Start, pick: Callable[[Event], Item | None]
    ) -> AsyncGenerator[Item | PipelineResult[Out, Ctx], None]:
        """The same, read while it is at work."""
        return streamed(self._session.events, partial(self._result, work), pick, self._at_work.stop)
