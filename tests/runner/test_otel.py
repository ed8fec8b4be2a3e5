"""Runs as OpenTelemetry spans: kept in memory, and sent to a collector over HTTP."""

import asyncio
import gzip
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from flujo import (
    AgentResult,
    Flujo,
    HumanInTheLoopStep,
    Price,
    Step,
    StepConfig,
    Usage,
    UsageLimits,
    agent,
    cached,
    loop,
    map_,
    parallel,
    scripted,
)
from flujo.exceptions import ConfigurationError, EffectInDoubt, PluginError, StateStorageFull
from flujo.infra.memory import InMemoryBackend
from flujo.runner.event_sinks import NamedSink
from flujo.runner.otel import OtelTracer, open_otel
from flujo.runner.tracing_manager import TracingManager

SECRET = "the eagle lands at noon"


class Spans:
    """A tracer provider that keeps its spans, by their paths."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def sink(self, **options):
        return TracingManager(OtelTracer(lambda: self.provider, **options))

    @property
    def all(self):
        return self.exporter.get_finished_spans()

    def by_path(self):
        return {span.attributes.get("flujo.step.path", ""): span for span in self.all}

    def parents(self):
        names = {span.context.span_id: span.name for span in self.all}
        return {span.name: names.get(span.parent.span_id) if span.parent else None for span in self.all}


@pytest.fixture
def spans():
    return Spans()


async def test_spans_are_nested_as_the_steps_are_in_one_trace(spans):
    pipeline = map_("each", Step("up", str.upper)) >> parallel("both", {"a": Step("x"), "b": Step("y")})
    await Flujo(pipeline, sinks=[spans.sink()]).run(["a"], run_id="r")

    assert spans.parents() == {
        "run pipeline": None,
        "map:each": "run pipeline",
        "map:each[]": "map:each",
        "up": "map:each[]",
        "parallel:both": "run pipeline",
        "a": "parallel:both",
        "b": "parallel:both",
        "x": "a",
        "y": "b",
    }
    assert len({span.context.trace_id for span in spans.all}) == 1
    assert spans.by_path()["map:each[0]/up"].attributes["flujo.run.id"] == "r"
    assert all(span.start_time <= span.end_time for span in spans.all)


async def test_a_run_is_a_child_of_its_callers_span_and_leaves_that_current(spans):
    tracer = spans.provider.get_tracer("test")
    flujo = Flujo(Step("a"), sinks=[spans.sink()])
    with tracer.start_as_current_span("caller") as caller:
        await flujo.run("x")
        assert trace.get_current_span() is caller

    assert spans.parents() == {"caller": None, "run a": "caller", "a": "run a"}


async def test_what_a_step_calls_is_traced_under_it_also_side_by_side_and_in_the_background(spans):
    tracer = spans.provider.get_tracer("test")

    def calls(name):
        async def call(data):
            await asyncio.sleep(0)
            with tracer.start_as_current_span(f"call of {name}"):
                await asyncio.sleep(0)
            return data

        return call

    behind = Step("z", calls("z"), config=StepConfig(execution_mode="background"))
    both = parallel("both", {"a": Step("x", calls("x")), "b": Step("y", calls("y"))})
    await Flujo(behind >> both, sinks=[spans.sink()]).run("x")

    assert {name: parent for name, parent in spans.parents().items() if name.startswith("call")} == {
        "call of x": "x",
        "call of y": "y",
        "call of z": "z",
    }
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_two_tracers_at_once_leave_the_callers_span_current():
    one, other = Spans(), Spans()
    tracer = one.provider.get_tracer("test")
    steps = parallel("both", {"a": Step("x"), "b": Step("y")}) >> Step("z")
    flujo = Flujo(steps, sinks=[one.sink(), other.sink()])
    with tracer.start_as_current_span("caller") as caller:
        await flujo.run("x")
        assert trace.get_current_span() is caller

    assert one.parents()["run pipeline"] == "caller"
    assert one.parents()["z"] == other.parents()["z"] == "run pipeline"


async def test_what_a_step_leaves_current_is_gone_with_its_span(spans):
    def careless(data):
        context.attach(baggage.set_baggage("who", "me"))
        return data

    await Flujo(Step("a", careless) >> Step("b"), sinks=[spans.sink(), Spans().sink()]).run("x")

    assert trace.get_current_span() is trace.INVALID_SPAN
    assert baggage.get_baggage("who") is None


async def test_an_agent_step_follows_the_conventions_for_generative_ai(spans):
    answers = [{"answer": "hi", "tokens_in": 3, "tokens_out": 4}]
    asked = agent("ask", scripted(answers), model="openai:gpt-4o", agent="writer")
    prices = {"openai:gpt-4o": Price(usd_per_call="0.5")}
    await Flujo(asked >> agent("plain", scripted(["x"], model="own")), sinks=[spans.sink()], prices=prices).run("x")

    span = spans.by_path()["ask"]
    assert span.name == "invoke_agent writer"
    assert {name: span.attributes[name] for name in span.attributes if not name.startswith("flujo.step")} == {
        "flujo.run.id": span.attributes["flujo.run.id"],
        "flujo.status": "completed",
        "flujo.usage.calls": 1,
        "flujo.usage.cost_usd": 0.5,
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "writer",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4,
    }
    plain = spans.by_path()["plain"].attributes
    assert (plain["gen_ai.agent.name"], plain["gen_ai.provider.name"]) == ("plain", "_OTHER")
    assert spans.by_path()[""].attributes["flujo.usage.input_tokens"] >= 3


async def test_attempts_are_events_and_a_failed_step_is_an_error(spans):
    def bad(data):
        raise ValueError(SECRET)

    pipeline = Step("bad", bad, config=StepConfig(max_retries=1), fallback=Step("spare"))
    await Flujo(pipeline, sinks=[spans.sink()]).run("x")
    await Flujo(Step("worse", bad), sinks=[spans.sink()]).run("x")

    tried, failed = spans.by_path()["bad"], spans.by_path()["worse"]
    assert [(event.name, dict(event.attributes)) for event in tried.events] == [
        ("flujo.step.retried", {"attempt": 1, "error.type": "ValueError"})
    ]
    assert (tried.status.status_code, tried.attributes["flujo.step.attempts"]) == (StatusCode.UNSET, 2)
    assert tried.attributes["flujo.step.fallback"] == "spare"
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "ValueError")
    assert failed.attributes["error.type"] == "ValueError"


async def test_nothing_that_steps_were_given_or_gave_is_exported(spans):
    def bad(data):
        raise ValueError(data)

    pipeline = agent("ask", scripted([SECRET])) >> HumanInTheLoopStep("check", message="{{ previous_step }}")
    flujo = Flujo(pipeline, sinks=[spans.sink()])
    await flujo.resume(await flujo.run(SECRET), SECRET)
    await Flujo(Step("bad", bad, config=StepConfig(max_retries=1)), sinks=[spans.sink()]).run(SECRET)

    assert len(spans.all) == 7
    assert SECRET not in "".join(span.to_json() for span in spans.all)


async def test_messages_of_errors_are_exported_where_that_is_asked_for(spans):
    def bad(data):
        raise ValueError("no such city")

    pipeline = Step("bad", bad, config=StepConfig(max_retries=1))
    await Flujo(pipeline, sinks=[spans.sink(error_messages=True)]).run("x")

    span = spans.by_path()["bad"]
    assert (span.attributes["error.message"], span.status.description) == ("no such city", "no such city")
    assert span.events[0].attributes["error.message"] == "no such city"


async def test_a_pause_is_no_error_and_its_resumption_a_span_of_its_own(spans):
    flujo = Flujo(Step("a") >> HumanInTheLoopStep("ask", message="Ready?"), sinks=[spans.sink()])
    await flujo.resume(await flujo.run("x", run_id="r"), "yes")

    first, second = [span for span in spans.all if span.parent is None]
    assert [(event.name, dict(event.attributes)) for event in first.events] == [
        ("flujo.run.paused", {"flujo.step.paths": ("ask",)})
    ]
    assert (first.status.status_code, first.attributes["flujo.status"]) == (StatusCode.UNSET, "paused")
    assert (second.attributes["flujo.run.resumed"], second.attributes["flujo.run.recorded"]) == (True, 1)
    assert [span.attributes.get("flujo.step.path") for span in spans.all].count("a") == 1


async def test_what_a_resumed_run_has_on_record_is_not_told_again_as_used(spans):
    def costly(data):
        return AgentResult("hi", Usage(1, 3, 4))

    ask = HumanInTheLoopStep("check", message="Ready?")
    inside = loop("l", [agent("in", costly), ask, agent("then", costly)], max_loops=1)
    behind = agent("behind", costly, config=StepConfig(execution_mode="background"))
    flujo = Flujo(behind >> agent("one", costly) >> inside >> agent("two", costly), sinks=[spans.sink()])
    paused = await flujo.run("x", run_id="r")
    before = len(spans.all)
    result = await flujo.resume(paused, "yes")

    def used(some):
        return {span.attributes.get("flujo.step.path", ""): span.attributes["flujo.usage.calls"] for span in some}

    assert used(spans.all[:before]) == {
        "behind": 1,
        "one": 1,
        "loop:l[0]/in": 1,
        "loop:l[0]/check": 0,
        "loop:l[0]": 1,
        "loop:l": 1,
        "": paused.usage.calls,
    }
    again = used(spans.all[before:])
    assert again == {"loop:l[0]/check": 0, "loop:l[0]/then": 1, "loop:l[0]": 1, "loop:l": 1, "two": 1, "": 2}
    assert result.usage.calls == paused.usage.calls + again[""]


async def test_a_run_that_was_let_go_of_is_an_error_of_its_type(spans):
    class Full(InMemoryBackend):
        async def append(self, claim, record, /):
            raise StateStorageFull("the disk is full")

    with pytest.raises(StateStorageFull):
        await Flujo(Step("a"), sinks=[spans.sink()], state_backend=Full()).run("x")

    root = spans.by_path()[""]
    assert (root.attributes["flujo.status"], root.attributes["error.type"]) == ("interrupted", "StateStorageFull")
    assert root.attributes["flujo.error.code"] == StateStorageFull.default_code
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_what_else_happens_in_a_run_is_an_event_of_its_span(spans):
    def costly(data):
        return AgentResult("hi", Usage(1, 3, 4))

    behind = Step("behind", config=StepConfig(execution_mode="background"))
    flujo = Flujo(behind >> cached("kept", Step("k")), sinks=[spans.sink()])
    await flujo.run("x")
    await flujo.run("y")
    dear = UsageLimits(total_cost_usd_limit=1, total_tokens_limit=5, unpriced="warn")
    await Flujo(agent("ask", costly, model="m"), sinks=[spans.sink()], usage_limits=dear).run("q")

    events = {event.name: dict(event.attributes) for span in spans.all for event in span.events}
    assert events == {
        "flujo.background.launched": {"flujo.step.path": "behind"},
        "flujo.budget.unpriced": {"gen_ai.request.model": "m"},
        "flujo.budget.overdrawn": {"limit": "total_tokens_limit", "spent": "7", "allowed": "5"},
        "flujo.cache.missed": {"changed": ("input",)},
    }


async def test_a_step_in_doubt_says_so(spans):
    async def pay(data):
        raise KeyboardInterrupt

    backend = InMemoryBackend()
    flujo = Flujo(Step("pay", pay, effects="at-most-once"), sinks=[spans.sink()], state_backend=backend)
    with pytest.raises(KeyboardInterrupt):
        await flujo.run("x", run_id="r")
    result = await flujo.resume("r")

    assert result.error.code == EffectInDoubt.default_code
    assert "flujo.step.in_doubt" in [event.name for span in spans.all for event in span.events]


class Collector(BaseHTTPRequestHandler):
    """Keeps what is sent to it."""

    received: list[ExportTraceServiceRequest]

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    """The URL of a collector on this machine, and what it has received."""
    received = []
    server = HTTPServer(("127.0.0.1", 0), type("Fresh", (Collector,), {"received": received}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", received
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_sink_by_name_sends_its_spans_to_a_collector_and_leaves_no_thread(collector):
    url, received = collector
    sink = NamedSink("otel", {"endpoint": url, "service_name": "orders"})
    async with Flujo(map_("each", Step("up", str.upper)), sinks=[sink]) as flujo:
        await flujo.run(["a", "b"], run_id="r")

    sent = [resource for request in received for resource in request.resource_spans]
    names = [span.name for resource in sent for scope in resource.scope_spans for span in scope.spans]
    assert sorted(names) == ["map:each", "map:each[]", "map:each[]", "run each", "up", "up"]
    attributes = {pair.key: pair.value.string_value for resource in sent for pair in resource.resource.attributes}
    assert attributes["service.name"] == "orders"
    assert [thread.name for thread in threading.enumerate() if "Otel" in thread.name] == []


@pytest.mark.parametrize(("variable", "service"), [(None, "flujo"), ("billing", "billing")])
async def test_the_environment_says_where_to_and_who(collector, monkeypatch, variable, service):
    url, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)
    if variable:
        monkeypatch.setenv("OTEL_SERVICE_NAME", variable)
    async with Flujo(Step("a"), sinks=["otel"]) as flujo:
        await flujo.run("x")

    [resource] = [resource for request in received for resource in request.resource_spans]
    assert service in [pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"]


def test_without_opentelemetry_the_sink_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "flujo.runner.otel", None)
    with pytest.raises(PluginError, match="which can't be loaded") as caught:
        Flujo(Step("a"), sinks=["otel"])
    assert caught.value.suggestion == "pip install 'flujo-core[otel]'"


async def test_a_sink_that_heard_nothing_has_nothing_to_close():
    await Flujo(Step("a"), sinks=["otel"]).aclose()


async def test_a_programs_own_provider_is_used(spans, monkeypatch):
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: spans.provider)
    async with Flujo(Step("a"), sinks=["otel"]) as flujo:
        await flujo.run("x")

    assert [span.name for span in spans.all] == ["a", "run a"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"endpont": "x"}, "the event sink 'otel' has no setting 'endpont'"),
        ({"endpoint": 4318}, "endpoint of the event sink 'otel' can't be 4318, expected a text"),
        ({"error_messages": "yes"}, "error_messages of the event sink 'otel' can't be 'yes', expected true or false"),
    ],
)
def test_settings_that_it_does_not_have_are_refused(tmp_path, settings, says):
    with pytest.raises(ConfigurationError) as caught:
        open_otel(settings, tmp_path)
    assert str(caught.value) == says
