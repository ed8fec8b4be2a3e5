"""Runs as OpenTelemetry spans. The only module that knows OpenTelemetry: it comes with `flujo-core[otel]`.

Agent steps follow the semantic conventions for generative AI. Inputs, prompts and outputs are never exported.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry import context as ambient
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode

from flujo.domain.events import (
    AgentAsked,
    BackgroundLaunched,
    BudgetOverdrawn,
    BudgetWarning,
    CacheMissed,
    Event,
    RunInterrupted,
    RunPaused,
    RunStarted,
    StepAbandoned,
    StepFinished,
    StepInDoubt,
    StepRetried,
    StepStarted,
)
from flujo.domain.outcomes import ErrorInfo, PipelineResult, StepResult
from flujo.domain.usage import NO_USAGE, Usage, amount_text
from flujo.exceptions import ConfigurationError
from flujo.runner.local_tracer import refuse_settings
from flujo.runner.tracing_manager import LiveSpan, Tracer, TracingManager
from flujo.version import __version__

__all__ = ["OtelTracer", "open_otel"]

_SETTINGS = ("endpoint", "error_messages", "service_name")

#: What the semantic conventions say of a provider that nobody names.
_OTHER = "_OTHER"


#: The key of the step whose span is current, in OpenTelemetry's context.
_STEP = ambient.create_key("flujo-step")


@dataclass(slots=True, eq=False)
class _Entered:
    """That a step's span became the current one, in place of what was `before`; `over` once the step has ended."""

    run_id: str
    path: str
    before: Context
    over: bool = False


#: What else happens in runs and steps: the name of the span event, and what it tells.
_NOTES: Mapping[type[Any], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    CacheMissed: ("flujo.cache.missed", lambda event: {"changed": list(event.changed)}),
    StepInDoubt: ("flujo.step.in_doubt", lambda event: {"since": event.since}),
    BackgroundLaunched: ("flujo.background.launched", lambda event: {"flujo.step.path": event.path}),
    BudgetWarning: ("flujo.budget.unpriced", lambda event: {"gen_ai.request.model": event.model}),
    BudgetOverdrawn: (
        "flujo.budget.overdrawn",
        lambda event: {"limit": event.limit, "spent": amount_text(event.spent), "allowed": amount_text(event.allowed)},
    ),
    RunPaused: ("flujo.run.paused", lambda event: {"flujo.step.paths": [asked.path for asked in event.pending]}),
}


class OtelTracer(Tracer):
    """Makes a span of each run and each of its steps, nested by path; a run's is a child of its caller's span.

    `provider` makes the spans and says where they go, by default that of the program. While a step is at work its span
    is the current one, so that what it calls is traced under it. Of errors the type and the code are exported, and the
    message only with `error_messages`, for it may hold what the step was given.
    """

    def __init__(self, provider: Callable[[], trace.TracerProvider] | None = None, *, error_messages: bool = False):
        self._provider = provider or trace.get_tracer_provider
        self._error_messages = error_messages
        self._spans: dict[LiveSpan, Span] = {}
        self._entered: dict[LiveSpan, _Entered] = {}
        self._recalled: dict[LiveSpan, Usage] = {}
        self._own: trace.Tracer | None = None

    @property
    def _tracer(self) -> trace.Tracer:
        if self._own is None:
            self._own = self._provider().get_tracer("flujo", __version__)
        return self._own

    def began(self, span: LiveSpan) -> None:
        """Start the span."""
        parent = None if span.parent is None else trace.set_span_in_context(self._spans[span.parent])
        name = f"run {span.name}" if span.parent is None else _name(span)
        given = {"flujo.run.id": span.run_id, "flujo.step.path": span.path, "flujo.step.kind": span.kind}
        if span.parent is None:
            given = {"flujo.run.id": span.run_id, "flujo.pipeline.name": span.name}
        self._spans[span] = self._tracer.start_span(name, parent, attributes=given)

    def told(self, span: LiveSpan, event: Event) -> None:
        """Add to the span what the event tells, and make it the current one while its step is at work."""
        own = self._spans[span]
        if isinstance(event, StepAbandoned | RunInterrupted):
            own.set_attribute("flujo.status", "interrupted")
            self._fail(own, event.error)
        if isinstance(event, StepStarted):
            self._enter(span)
        elif isinstance(event, StepFinished | StepAbandoned):
            self._leave(span, event)
        elif isinstance(event, RunStarted) and event.resumed:
            own.set_attributes({"flujo.run.resumed": True, "flujo.run.recorded": event.recorded})
        elif isinstance(event, AgentAsked):
            _note_agent(own, event)
        elif isinstance(event, StepRetried):
            own.add_event("flujo.step.retried", {"attempt": event.attempt, **self._error(event.error)})
        elif (note := _note(event)) is not None:
            own.add_event(*note)

    def ended(self, span: LiveSpan) -> None:
        """End the span, with what the step or the run came to."""
        own = self._spans.pop(span)
        self._entered.pop(span, None)
        recalled, result = self._recalled.pop(span, NO_USAGE), span.result
        if result is not None:
            own.set_attributes(_came_to(result, span.kind, result.usage - recalled))
            if result.error is not None and not result.success and not _waits(result):
                self._fail(own, result.error)
        own.end()

    def _enter(self, span: LiveSpan) -> None:
        entered = self._entered[span] = _Entered(span.run_id, span.path, ambient.get_current())
        ambient.attach(ambient.set_value(_STEP, entered, trace.set_span_in_context(self._spans[span])))

    def _leave(self, span: LiveSpan, event: StepFinished | StepAbandoned) -> None:
        """Make current what was before the step, once every tracer of its run has left it."""
        if event.path != span.path:
            self._recall(span, event)
            return
        if (own := self._entered.pop(span, None)) is None:
            return
        own.over = True
        now = before = ambient.get_current()
        while isinstance(top := ambient.get_value(_STEP, before), _Entered):
            if not top.over or (top.run_id, top.path) != (own.run_id, own.path):
                break
            before = top.before
        if before is not now:
            ambient.attach(before)

    def _recall(self, span: LiveSpan, event: StepFinished | StepAbandoned) -> None:
        """Remember what a recorded step has used, which is no part of what is used in the spans around it."""
        used = event.result.usage if isinstance(event, StepFinished) else NO_USAGE
        around: LiveSpan | None = span
        while around is not None and around in self._spans:
            self._recalled[around] = self._recalled.get(around, NO_USAGE) + used
            around = around.parent

    def _fail(self, own: Span, error: ErrorInfo) -> None:
        own.set_attributes(self._error(error))
        own.set_status(Status(StatusCode.ERROR, error.message if self._error_messages else error.type))

    def _error(self, error: ErrorInfo) -> dict[str, str]:
        told = {"error.type": error.type, "flujo.error.code": error.code}
        if self._error_messages:
            told["error.message"] = error.message
        return {name: value for name, value in told.items() if value}


class _Exporting(OtelTracer):
    """A tracer with a provider of its own, made for the first span."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(self._made, error_messages=settings.get("error_messages", False))
        self._settings = settings
        self._sdk: TracerProvider | None = None

    def _made(self) -> TracerProvider:
        name = self._settings.get("service_name")
        # without a name that of OTEL_SERVICE_NAME counts, else the project's own
        resource = Resource.create({SERVICE_NAME: name} if name else None)
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "flujo"}))
        self._sdk = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._sdk.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(self._settings.get("endpoint"))))
        return self._sdk

    def close(self) -> Awaitable[None] | None:
        """Send what is left, in a thread: nobody else waits for the collector."""
        sdk, self._sdk = self._sdk, None
        return None if sdk is None else asyncio.to_thread(sdk.shutdown)


def open_otel(settings: Mapping[str, Any], root: Path) -> TracingManager:
    """The sink "otel": spans by OTLP over HTTP, to where OpenTelemetry's own environment variables say.

    A program that has set a tracer provider of its own uses that. The settings are `endpoint` (a URL), `service_name`
    and `error_messages`. Raises `ConfigurationError` for others.
    """
    refuse_settings(settings, _SETTINGS, "otel")
    for name, kind in (("endpoint", str), ("service_name", str), ("error_messages", bool)):
        if name in settings and not isinstance(settings[name], kind):
            expected = "true or false" if kind is bool else "a text"
            raise ConfigurationError(
                f"{name} of the event sink 'otel' can't be {settings[name]!r}, expected {expected}"
            )
    if isinstance(trace.get_tracer_provider(), TracerProvider) and "endpoint" not in settings:
        return TracingManager(OtelTracer(error_messages=settings.get("error_messages", False)))
    return TracingManager(_Exporting(settings))


def _name(span: LiveSpan) -> str:
    """A name of few values: items and iterations of one step share theirs."""
    if span.path.endswith("]"):
        outer = span.path[: span.path.rfind("[")].rpartition("/")[2]
        return f"{outer}[]"
    return span.path.rpartition("/")[2]


def _note_agent(own: Span, event: AgentAsked) -> None:
    provider, _, model = event.model.rpartition(":")
    own.update_name(f"invoke_agent {event.agent}")
    own.set_attributes(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": event.agent,
            "gen_ai.provider.name": provider or _OTHER,
            "gen_ai.request.model": model,
        }
    )


def _note(event: Event) -> tuple[str, dict[str, Any]] | None:
    """The span event for what happens in a step or run, where it is one."""
    if type(event) not in _NOTES:
        return None
    name, told = _NOTES[type(event)]
    return name, told(event)


def _waits(result: StepResult[Any] | PipelineResult[Any, Any]) -> bool:
    return bool(result.pending) if isinstance(result, PipelineResult) else result.paused


def _came_to(result: StepResult[Any] | PipelineResult[Any, Any], kind: str, used: Usage) -> dict[str, Any]:
    """What came of a step or a run, as attributes: with what it and its parts have `used` under its span."""
    told: dict[str, Any] = {"flujo.usage.calls": used.calls, "flujo.usage.cost_usd": float(used.cost_usd)}
    names = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    if kind != "agent":
        names = ("flujo.usage.input_tokens", "flujo.usage.output_tokens")
    told.update(zip(names, (used.tokens_in, used.tokens_out), strict=True))
    if isinstance(result, PipelineResult):
        return {**told, "flujo.status": str(result.status)}
    status = "paused" if result.paused else "completed" if result.success else "failed"
    told |= {"flujo.status": status, "flujo.step.attempts": result.attempts, "flujo.step.cached": result.cached}
    return told | ({"flujo.step.fallback": result.fallback} if result.fallback else {})
