"""Runs as spans that begin and end: nested by path, of many runs at once, whatever the end is."""

import asyncio
import io

import pytest

from flujo import (
    Flujo,
    HumanInTheLoopStep,
    Price,
    Step,
    StepConfig,
    agent,
    cached,
    loop,
    map_,
    parallel,
    scripted,
)
from flujo.domain.events import RunFinished, RunInterrupted, RunStarted, StepFinished, StepRetried, StepStarted
from flujo.domain.outcomes import ErrorInfo
from flujo.exceptions import ConfigurationError, StateStorageFull
from flujo.infra.memory import InMemoryBackend
from flujo.runner.event_sinks import NamedSink
from flujo.runner.local_tracer import LocalTracer
from flujo.runner.tracing_manager import LiveSpan, Tracer, TracingManager
from flujo.testing import FakeClock


class Notes(Tracer):
    """Remembers what it is told, and which spans are open."""

    def __init__(self):
        self.lines, self.open, self.events, self.closed = [], [], [], 0

    def began(self, span):
        self.open.append(span)
        self.lines.append(("began", span.path, span.kind, span.parent.path if span.parent else None))

    def told(self, span, event):
        self.events.append((span.path, event))

    def ended(self, span):
        self.open.remove(span)
        self.lines.append(("ended", span.path, span.ended_at - span.started_at))

    def close(self):
        self.closed += 1


class Slowly(Notes):
    async def close(self):
        self.closed += 1


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def clock():
    return FakeClock()


def test_a_tracer_need_not_hear_anything():
    assert Tracer().began(None) is Tracer().told(None, None) is Tracer().ended(None) is Tracer().close() is None


async def test_spans_are_nested_by_path_and_take_their_time(notes, clock):
    async def work(data):
        await clock.sleep(2)
        return data

    manager = TracingManager(notes, clock=clock)
    pipeline = loop("again", [Step("a", work), Step("b", work)], max_loops=1)
    await Flujo(pipeline, sinks=[manager], clock=clock).run("x", run_id="r")

    assert notes.lines == [
        ("began", "", "pipeline", None),
        ("began", "loop:again", "loop", ""),
        ("began", "loop:again[0]", "pipeline", "loop:again"),
        ("began", "loop:again[0]/a", "step", "loop:again[0]"),
        ("ended", "loop:again[0]/a", 2),
        ("began", "loop:again[0]/b", "step", "loop:again[0]"),
        ("ended", "loop:again[0]/b", 2),
        ("ended", "loop:again[0]", 4),
        ("ended", "loop:again", 4),
        ("ended", "", 4),
    ]


async def test_runs_at_the_same_time_are_kept_apart(notes):
    flujo = Flujo(parallel("p", {"a": Step("x"), "b": Step("y")}), sinks=[TracingManager(notes)])
    await asyncio.gather(*(flujo.run("x", run_id=f"r{number}") for number in range(3)))

    assert notes.open == []
    assert len(notes.lines) == 3 * 2 * 6


async def test_every_event_is_told_with_the_span_of_its_step(notes):
    tried = []

    def bad(data):
        tried.append(data)
        if len(tried) < 2:
            raise ValueError("no")
        return data

    pipeline = Step("bad", bad, config=StepConfig(max_retries=1))
    await Flujo(pipeline, sinks=[TracingManager(notes)]).run("x", run_id="r")

    assert [path for path, event in notes.events if isinstance(event, StepRetried)] == ["bad"]
    assert [path for path, event in notes.events if isinstance(event, StepFinished)] == ["bad", ""]
    assert [path for path, event in notes.events if isinstance(event, RunFinished)] == [""]


async def test_a_recorded_step_has_no_span_and_is_told_in_the_one_around_it(notes):
    pipeline = map_("each", Step("up", str.upper)) >> HumanInTheLoopStep("ask", message="Ready?")
    backend = InMemoryBackend()
    paused = await Flujo(pipeline, state_backend=backend).run(["a"], run_id="r")
    await Flujo(pipeline, state_backend=backend, sinks=[TracingManager(notes)]).resume(paused, "yes")

    began = [path for what, path, *_ in notes.lines if what == "began"]
    assert began == ["", "map:each", "map:each[0]", "ask"]
    recalled = next((path, event.path) for path, event in notes.events if isinstance(event, StepFinished))
    assert recalled == ("map:each[0]", "map:each[0]/up")


async def test_a_background_step_ends_its_span_though_what_it_began_in_has_ended(notes):
    async def slow(data):
        await asyncio.sleep(0)
        return data

    behind = Step("slow", slow, config=StepConfig(execution_mode="background"))
    await Flujo(map_("each", [behind, Step("b")]), sinks=[TracingManager(notes)]).run(["x"], run_id="r")

    assert notes.open == []
    assert ("ended", "map:each[0]/slow") in [line[:2] for line in notes.lines]


async def test_spans_end_when_the_state_fails(notes):
    class Full(InMemoryBackend):
        async def append(self, claim, record, /):
            raise StateStorageFull("the disk is full")

    flujo = Flujo(map_("each", Step("a")), sinks=[TracingManager(notes)], state_backend=Full())
    with pytest.raises(StateStorageFull):
        await flujo.run(["x"], run_id="r")

    ended = [path for what, path, *_ in notes.lines if what == "ended"]
    assert (notes.open, ended[-1]) == ([], "")


def test_spans_that_nobody_ended_end_with_their_run_the_innermost_first(notes):
    manager = TracingManager(notes)
    steps = [StepStarted("r", path, "s", "step") for path in ("loop:a", "loop:a[0]/sub:b/c")]
    for event in (RunStarted("r", "p"), *steps, RunInterrupted("r", ErrorInfo("KeyboardInterrupt", "stopped"))):
        manager.handle(event)

    assert [(what, path) for what, path, *_ in notes.lines if what == "ended"] == [
        ("ended", "loop:a[0]/sub:b/c"),
        ("ended", "loop:a"),
        ("ended", ""),
    ]
    assert notes.lines[2] == ("began", "loop:a[0]/sub:b/c", "step", "loop:a")


async def test_what_was_not_heard_to_begin_is_passed_over(notes):
    backend = InMemoryBackend()
    await Flujo(Step("a"), state_backend=backend).run("x", run_id="r")
    result = await Flujo(Step("a"), state_backend=backend, sinks=[TracingManager(notes)]).resume("r")

    assert (result.output, notes.lines, notes.events) == ("x", [], [])


async def test_closing_closes_the_tracers():
    plain, slow = Notes(), Slowly()
    await TracingManager(plain, slow).close()

    assert (plain.closed, slow.closed) == (1, 1)


@pytest.fixture
def tree():
    """Runs a pipeline, and gives the lines of its tree."""

    async def run(pipeline, data="x", *, stream=None, **options):
        stream = stream or io.StringIO()
        manager = TracingManager(LocalTracer(stream), clock=FakeClock())
        return await Flujo(pipeline, sinks=[manager], **options).run(data, run_id="r"), stream

    return run


async def test_the_tree_has_a_line_for_each_beginning_and_each_end(tree):
    _, stream = await tree(map_("each", Step("up", str.upper)) >> Step("b"), ["a"])

    assert stream.getvalue().splitlines() == [
        "+ pipeline (run r)",
        "  + map:each",
        "    + [0]",
        "      + up",
        "      ok up: 0.000 s",
        "    ok [0]: 0.000 s",
        "  ok map:each: 0.000 s",
        "  + b",
        "  ok b: 0.000 s",
        "completed pipeline (run r): 0.000 s",
    ]


async def test_the_tree_tells_attempts_failures_and_who_stood_in(tree):
    def bad(data):
        raise ValueError("no\n\x1b[31m")

    _, stream = await tree(Step("bad", bad, config=StepConfig(max_retries=1), fallback=Step("spare", bad)))

    assert stream.getvalue().splitlines() == [
        "+ bad (run r)",
        "  + bad",
        "    attempt 1 failed: ValueError: no\\n\\x1b[31m",
        "    + fallback:spare",
        "    FAILED fallback:spare: 0.000 s, ValueError: no\\n\\x1b[31m",
        "  FAILED bad: 0.000 s, 2 attempts, ValueError: no\\n\\x1b[31m; then fallback 'spare': no\\n\\x1b[31m",
        "failed bad (run r): 0.000 s, ValueError: no\\n\\x1b[31m",
    ]


async def test_the_tree_of_a_pause_tells_the_question_and_what_is_recorded(tree):
    backend = InMemoryBackend()
    pipeline = Step("a") >> HumanInTheLoopStep("ask", message="Ready?")
    result, stream = await tree(pipeline, state_backend=backend)
    again = io.StringIO()
    await Flujo(pipeline, state_backend=backend, sinks=[TracingManager(LocalTracer(again))]).resume(result, "yes")

    assert "  paused ask: 0.000 s" in stream.getvalue().splitlines()
    assert stream.getvalue().splitlines()[-2:] == ["  ask asks: Ready?", "paused pipeline (run r): 0.000 s"]
    assert "  - a: recorded" in again.getvalue().splitlines()


async def test_the_tree_of_a_run_that_was_let_go_of_says_why(tree):
    class Full(InMemoryBackend):
        async def append(self, claim, record, /):
            raise StateStorageFull("the disk is full")

    stream = io.StringIO()
    with pytest.raises(StateStorageFull):
        await tree(Step("a"), stream=stream, state_backend=Full())

    assert stream.getvalue().splitlines()[-3:] == [
        "  interrupted a: 0.000 s",
        "  let go of: StateStorageFull: the disk is full",
        "interrupted a (run r): 0.000 s",
    ]


async def test_the_tree_tells_what_was_used_and_what_served():
    stream = io.StringIO()
    asked = agent("ask", scripted([{"answer": "hi", "tokens_in": 3, "tokens_out": 4}]), model="m")
    pipeline = cached("kept", asked) >> Step("bad", lambda data: 1 / 0, fallback=Step("spare"))
    manager = TracingManager(LocalTracer(stream), clock=FakeClock())
    flujo = Flujo(pipeline, sinks=[manager], prices={"m": Price(usd_per_call="0.5")})
    await flujo.run("x")
    await flujo.run("x")

    lines = stream.getvalue().splitlines()
    assert "      ok ask: 0.000 s, 7 tokens, 0.5 USD" in lines
    assert "  ok cache:kept: 0.000 s, cached" in lines
    assert "  ok bad: 0.000 s, by fallback spare, ZeroDivisionError: division by zero" in lines


def test_a_name_that_the_stream_cannot_encode_is_written_with_escapes():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    LocalTracer(stream).began(LiveSpan("r", "", "größer", "pipeline", None, 0.0))
    stream.seek(0)
    assert stream.read() == "+ gr\\xf6\\xdfer (run r)\n"


def test_a_line_of_the_tree_is_cut_where_it_is_too_long():
    stream = io.StringIO()
    LocalTracer(stream).began(LiveSpan("r", "", "a" * 500, "pipeline", None, 0.0))
    assert stream.getvalue() == f"+ {'a' * 198}\n"


async def test_a_tree_is_written_to_stderr_by_its_name(capsys):
    async with Flujo(Step("a"), sinks=["tree"]) as flujo:
        await flujo.run("x", run_id="r")

    assert capsys.readouterr().err.startswith("+ a (run r)\n  + a\n  ok a: ")


async def test_a_local_tracer_is_told_of_spans(notes, capsys):
    await Flujo(Step("a"), local_tracer=notes).run("x", run_id="r")
    assert [line[:2] for line in notes.lines] == [("began", ""), ("began", "a"), ("ended", "a"), ("ended", "")]

    await Flujo(Step("a"), local_tracer="default").run("x", run_id="r")
    assert capsys.readouterr().err.startswith("+ a (run r)\n  + a\n  ok a: ")


def test_what_is_no_tracer_is_refused():
    with pytest.raises(ConfigurationError, match="local_tracer can't be 'tree'") as caught:
        Flujo(Step("a"), local_tracer="tree")
    assert caught.value.suggestion == "expected 'default', or an object of a subclass of Tracer"


def test_the_tree_has_no_settings():
    with pytest.raises(ConfigurationError, match="the event sink 'tree' has no setting 'depth'"):
        Flujo(Step("a"), sinks=[NamedSink("tree", {"depth": 2})])
