"""`Flujo`: run a pipeline, resume it, close it."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, cast

from typing_extensions import TypeVar

from flujo.domain.callables import reference
from flujo.domain.context import PipelineContext
from flujo.domain.interfaces import Clock, EventSink, RunRow, StateBackend, StateProvider
from flujo.domain.outcomes import PendingAnswer, PipelineResult, RunStatus
from flujo.domain.pricing import Price, PriceTable
from flujo.domain.quota import UsageLimits
from flujo.domain.steps import Pipeline, Step
from flujo.engine.background_task_manager import OnEnd
from flujo.engine.executor_core import ExecutorCore
from flujo.engine.hydration_manager import HydrationManager
from flujo.engine.journal import Settlement
from flujo.engine.policy_registry import PolicyRegistry
from flujo.exceptions import ConfigurationError, RunKeyTaken, RunOwnedElsewhere, StateError
from flujo.infra.clock import SystemClock
from flujo.infra.codec import JsonCodec
from flujo.infra.templates import Templates
from flujo.plugins import PluginManager, create_default_registry, create_plugin_manager
from flujo.runner.answers import NO_ANSWER, Questions, Reply
from flujo.runner.event_sinks import EventSinks, Sink
from flujo.runner.ids import check_key, check_run_id, new_run_id
from flujo.runner.inbox import OpenQuestion, read_inbox
from flujo.runner.rerun import SAME_INPUT, rerun
from flujo.runner.run_session import RunSession
from flujo.runner.state_backend_manager import StateBackendManager
from flujo.runner.state_providers import StateProviders

__all__ = ["Flujo"]

In = TypeVar("In")
Out = TypeVar("Out")
Ctx = TypeVar("Ctx", bound=PipelineContext, default=PipelineContext)


class Flujo(Generic[In, Out, Ctx]):
    """Runs one pipeline, as often as you like and at the same time.

    `context_model` is the class of the runs' contexts, `initial_context_data` what their fields start with;
    `resources` is handed to steps that have a parameter of that name. `state_uri` (or a `state_backend` of your own,
    which stays yours to close) keeps the runs' records; without either they live in memory for as long as this
    object. `plugins` is the plugin manager to take policies and backends from, by default one that finds everything
    installed; `registry` replaces its policies. `sinks` receive every event: objects with `handle`, which stay yours to
    close, or names of those that plugins have. `state_providers` keep fields of the context that live elsewhere, by the
    names in their `ContextReference`s, and stay yours to close. `source` is noted with each run, so that another
    process can find the pipeline, and so are `files`, the texts that it was loaded from, by their paths; `root` is the
    folder that relative paths start from.
    `on_background` says what the end of a run does with background steps that are still at work: "wait" for them, or
    "cancel" them. `usage_limits` is what a run may use, before and after it is resumed; `prices` are those of calls by
    the model's name or a pattern of names.

    Raises `MissingPolicyError` when no installed policy runs one of the pipeline's steps. Use it as an async context
    manager, or call `aclose`.
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
        state_providers: Mapping[str, StateProvider[Any]] | None = None,
        source: str = "",
        files: Mapping[str, str] | None = None,
        root: Path | None = None,
        clock: Clock | None = None,
        on_background: OnEnd = "wait",
        usage_limits: UsageLimits | None = None,
        prices: Mapping[str, Price] | None = None,
    ) -> None:
        whole = _as_pipeline(pipeline)
        manager = plugins
        if manager is None and registry is None:
            manager = create_plugin_manager()
        core = _prepared_core(whole, registry if registry is not None else create_default_registry(manager))
        self._state = StateBackendManager(backend=state_backend, uri=state_uri, manager=manager, root=root)
        self._clock = clock or SystemClock()
        self._data = dict(initial_context_data or {})
        self._sinks = EventSinks(sinks, manager, root)
        model = context_model or PipelineContext
        self._providers = StateProviders(state_providers or {}, manager, root)
        self._session = RunSession(
            pipeline=whole,
            core=core,
            backend=self._state.backend,
            codec=JsonCodec(_declared_types(whole, model)),
            clock=self._clock,
            events=self._sinks.stream,
            context_model=model,
            hydration=HydrationManager(self._providers),
            questions=Questions(whole),
            resources=resources,
            source=source,
            files=files or {},
            root=root,
            on_background=on_background,
            usage_limits=usage_limits,
            prices=PriceTable(prices),
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

        With the `run_id` of an earlier run of the same input, an unfinished run goes on and a completed one hands out
        what is recorded. So does the `idempotency_key` of one: a state has one run of a key, whoever starts it and
        however often. Raises `StateError` when the record can't be written, or when `run_id` or `idempotency_key`
        stands for a run of another input, and `RunOwnedElsewhere` while another process works on it.
        """
        data = {**self._data, **(initial_context_data or {})}
        if idempotency_key is not None:
            check_key(idempotency_key)
        if run_id is not None:
            check_run_id(run_id)
            row = await self._session.backend.get(run_id)
            if row is not None:
                return await self._go_on(row, input, idempotency_key)
        try:
            result = await self._session.start(run_id or new_run_id(self._clock.now()), input, data, idempotency_key)
        except RunKeyTaken as taken:
            if run_id is not None and run_id != taken.run_id:
                raise
            try:
                return await self._go_on(await self._session.find(taken.run_id), input, idempotency_key)
            except RunOwnedElsewhere as error:
                error.run_id = taken.run_id
                raise
        return cast("PipelineResult[Out, Ctx]", result)

    async def _go_on(self, row: RunRow, input: In, key: str | None) -> PipelineResult[Out, Ctx]:
        """Resume the run that a caller means by its id or its key."""
        if key is not None and row.key != key:
            raise StateError(
                f"run {row.run_id!r} has the key {row.key!r}, not {key!r}"
                if row.key
                else f"run {row.run_id!r} has no key",
                suggestion="name the run by its id or by its key, or start another run",
            )
        if not self._session.same_input(row, input):
            raise StateError(
                f"run {row.run_id!r} was started with another input",
                suggestion="give the same input to go on with it, or another run id or key to start anew",
            )
        return await self.resume(row.run_id)

    def run_sync(
        self,
        input: In,
        *,
        run_id: str | None = None,
        initial_context_data: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> PipelineResult[Out, Ctx]:
        """`run` for code that is not async. Raises `ConfigurationError` inside a running event loop."""
        if _in_loop():
            raise ConfigurationError(
                "run_sync was called inside a running event loop", suggestion="await run(...) there"
            )
        results: list[PipelineResult[Out, Ctx]] = []

        async def main() -> None:  # without a result: CPython writes out that of the main task, however large it is
            running = self.run(
                input, run_id=run_id, initial_context_data=initial_context_data, idempotency_key=idempotency_key
            )
            results.append(await running)

        asyncio.run(main())
        return results[0]

    async def resume(
        self,
        run: str | PipelineResult[Any, Any],
        answer: Any = NO_ANSWER,
        *,
        token: str | None = None,
        by: str = "",
        force: bool = False,
        allow_changed: bool = False,
        usage_limits: UsageLimits | None = None,
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
        run_id = _id_of(run)
        if token is not None and answer is NO_ANSWER:
            raise ConfigurationError(
                f"token {token!r} comes without an answer", suggestion="give both, or none of both"
            )
        reply = None if answer is NO_ANSWER else Reply(answer, token, by)
        session = self._session if usage_limits is None else replace(self._session, usage_limits=usage_limits)
        result = await session.resume(run_id, force=force, reply=reply, allow_changed=allow_changed)
        return cast("PipelineResult[Out, Ctx]", result)

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

        It has the other run's input and first context, but for an `input` of its own and the fields of
        `initial_context_data`. What was recorded before the step's first record is copied, without its cost: not what
        comes after the step in the pipeline. Raises `RunNotFound`, `ConfigurationError` for a path that isn't there,
        and `DefinitionChanged` when a result to be copied is not that of the pipeline's step.
        """
        if run_id is not None:
            check_run_id(run_id)
        result = await rerun(
            self._session,
            run if isinstance(run, str) else run.run_id,
            path,
            as_run=run_id or new_run_id(self._clock.now()),
            input=input,
            data=initial_context_data or {},
        )
        return cast("PipelineResult[Out, Ctx]", result)

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

        if (output is NO_ANSWER) is not again:
            raise ConfigurationError(
                f"step {path!r} is settled by its output or by again=True", suggestion="give one of both"
            )
        said = Settlement(None if again else output, again, by, self._clock.now())
        await settle(self._session, run if isinstance(run, str) else run.run_id, path, said)

    async def answer(
        self, run: str | PipelineResult[Any, Any], value: Any, *, token: str | None = None, by: str = ""
    ) -> PendingAnswer:
        """Record an answer as `resume` does, and leave it to others to go on with the run; the question it is for.

        The run may be at work in another process. Raises `RunNotFound`, `RunNotPaused` and `AnswerRejected`.
        """
        row = await self._session.find(_id_of(run))
        return await self._session.inbox.answer(row, Reply(value, token, by))

    async def answer_all(
        self, run: str | PipelineResult[Any, Any], answers: Mapping[str, Any], *, by: str = ""
    ) -> tuple[PendingAnswer, ...]:
        """Record many answers, all or none, and give the questions that they are for.

        Each question is named by its token, its path, or a whole word that only its path or its message has. Answers
        that are recorded already are passed over. Raises as `answer` does.
        """
        return await self._session.inbox.answer_all(await self._session.find(_id_of(run)), answers, by)

    async def inbox(self, run: str | PipelineResult[Any, Any] | None = None) -> tuple[OpenQuestion, ...]:
        """The open questions of one run or of all runs in this state, the oldest first."""
        return await read_inbox(self._session.backend, self._session.codec, None if run is None else _id_of(run))

    async def cancel(self, run: str | PipelineResult[Any, Any]) -> RunStatus:
        """Stop a run for good, wherever it is at work; the status that it has now.

        `RUNNING` says that its owner has been asked and stops within a second and what its steps need to stop; a run
        that has ended stays as it is. What is finished stays recorded. Raises `RunNotFound`.
        """
        return await self._session.backend.cancel(_id_of(run), at=self._clock.now())

    @property
    def broken_sinks(self) -> tuple[tuple[EventSink, Exception], ...]:
        """Sinks that raised and have been detached, each with what it raised."""
        return tuple(self._sinks.stream.broken)

    async def aclose(self) -> None:
        """Release what this object has opened. A second call does nothing."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._state.shutdown)
            stack.push_async_callback(self._sinks.aclose)
            await self._providers.aclose()

    async def __aenter__(self) -> "Flujo[In, Out, Ctx]":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _id_of(run: str | PipelineResult[Any, Any]) -> str:
    return run if isinstance(run, str) else run.run_id


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _as_pipeline(pipeline: Step[Any, Any]) -> Pipeline[Any, Any]:
    if not isinstance(pipeline, Step):
        raise ConfigurationError(
            f"{reference(pipeline)!r} is not a step or a pipeline",
            suggestion="decorate a function with @step, or wrap it: Step('name', function)",
        )
    return pipeline if isinstance(pipeline, Pipeline) else Pipeline([pipeline], name=pipeline.name)


def _prepared_core(pipeline: Pipeline[Any, Any], registry: PolicyRegistry) -> ExecutorCore:
    core = ExecutorCore(policy_registry=registry, templates=Templates())
    core.prepare(pipeline)
    return core


def _declared_types(pipeline: Pipeline[Any, Any], model: type[PipelineContext]) -> list[Any]:
    """Every annotation whose classes may have to be written down."""
    types: list[Any] = [model]
    for step in pipeline.walk():
        types += [step.input_type, step.output_type]
    return types
