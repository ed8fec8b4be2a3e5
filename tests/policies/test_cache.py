"""Results of before, handed out again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import (
    AgentResult,
    Flujo,
    OpenContext,
    Pipeline,
    PipelineContext,
    PipelineResult,
    Step,
    StepConfig,
    Usage,
    agent,
    cached,
    loop,
    map_,
)
from flujo.domain.events import CacheMissed
from flujo.domain.interfaces import NewRun
from flujo.exceptions import BlueprintError, StateUnavailable
from flujo.infra.memory import InMemoryBackend
from flujo.testing import DyingBackend, FakeClock, RecordingSink


class Runs:
    """Runs steps on one state, each time as a new process would; `ran` are the calls, `missed` why they were made."""

    def __init__(self) -> None:
        self.backend = InMemoryBackend()
        self.clock = FakeClock()
        self.ran: list[Any] = []
        self.missed: list[tuple[str, ...]] = []

    def call(self, name: str = "work", *, give: Any = lambda data: data, **options: Any) -> Step[Any, Any]:
        def work(data: Any) -> Any:
            self.ran.append(data)
            return give(data)

        return Step(name, work, **options)

    async def __call__(self, step: Step[Any, Any], data: Any = "x", **options: Any) -> PipelineResult[Any, Any]:
        sink = RecordingSink()
        settings = {"state_backend": self.backend, "context_model": OpenContext, "clock": self.clock, "sinks": [sink]}
        async with Flujo(step, **{**settings, **options}) as flujo:
            result = await flujo.run(data)
        self.missed += [event.changed for event in sink.events if isinstance(event, CacheMissed)]
        return result


@pytest.fixture
def runs() -> Runs:
    return Runs()


async def test_a_second_run_gets_what_the_first_came_to_and_says_so(runs):
    step = cached("c", [runs.call("a"), Step("b", lambda data: f"{data}!")])

    first, second = await runs(step), await runs(step)

    assert [result.output for result in (first, second)] == ["x!", "x!"]
    assert runs.ran == ["x"]
    assert [result.step_history[0].cached for result in (first, second)] == [False, True]
    (hit,) = second.step_history
    assert (hit.path, hit.attempts, hit.children, hit.recalled) == ("cache:c", 0, (), False)
    body = first.step_history[0].children[0]
    assert [child.path for child in body.children] == ["cache:c/body/a", "cache:c/body/b"]


async def test_steps_are_not_remembered_unless_they_ask_for_it(runs):
    for _ in range(2):
        await runs(runs.call())

    assert runs.ran == ["x", "x"]


def triple(data: Any) -> Any:
    return data * 3


async def test_each_change_is_named_when_the_body_runs_again(runs):
    def step(factor: int = 2, name: str = "s", **options: Any) -> Step[Any, Any]:
        return cached(
            "c", Step(name, lambda data: data * factor, input="{{ [previous_step, lang] | first }}"), **options
        )

    async def run(step: Step[Any, Any], data: int = 1, **context: Any) -> Any:
        return (await runs(step, data, initial_context_data={"lang": "de", "tone": "kind", **context})).output

    assert await run(step()) == 2
    assert await run(step(), 2) == 4
    assert await run(step(), 2, lang="en") == 4
    assert await run(step(), 2, lang="en", tone="harsh") == 4
    assert await run(step(3), 2, lang="en") == 6
    assert await run(step(3, "t"), 2, lang="en") == 6
    assert await run(step(3, "t", context_keys=["tone"]), 2, lang="en") == 6
    assert await run(step(3, "t", context_keys=["tone"]), 2, lang="en", tone="harsh") == 6
    assert await run(cached("c", Step("t", triple)), 2) == 6
    assert runs.missed == [
        (),
        ("input",),
        ("lang",),
        ("code",),
        ("definition",),
        ("context.tone",),
        ("context.tone",),
        ("definition", "code", "context.tone", "lang"),
    ]


async def test_a_result_serves_for_its_time(runs):
    step = cached("c", runs.call(), ttl_s=60)
    for seconds in (0, 59, 1, 59):
        runs.clock.advance(seconds)
        await runs(step)

    assert runs.missed == [(), ("ttl",)]
    assert len(runs.ran) == 2


async def test_what_the_body_reads_from_outside_is_part_of_the_key(runs):
    body = Step(
        "s", input="{{ steps.before.output.word }} {{ input.n }} {{ context.deep['my key'] }} {{ previous_step }}"
    )
    step = Pipeline(
        [
            Step("before", lambda data: {"word": data["word"], "other": data["other"]}),
            cached("c", body, input="same"),
        ]
    )

    async def run(word: str, n: int, other: int, key: str) -> str:
        data = {"word": word, "n": n, "other": other}
        return (await runs(step, data, initial_context_data={"deep": {"my key": key}})).output

    assert await run("a", 1, 0, "k") == "a 1 k same"
    assert await run("a", 1, 9, "k") == "a 1 k same"
    assert await run("b", 1, 0, "k") == "b 1 k same"
    assert await run("b", 2, 0, "k") == "b 2 k same"
    assert await run("b", 2, 0, "q") == "b 2 q same"
    assert runs.missed == [(), ("steps.before.output.word",), ("run input.n",), ("context.deep.my key",)]


async def test_a_whole_context_and_all_outputs_can_be_read(runs):
    step = Pipeline([Step("a", input="1"), cached("c", Step("s", input="{{ steps | length }} {{ context.x }}"))])
    whole = cached("c", Step("s", input="{{ context is defined }}"))

    assert (await runs(step, initial_context_data={"x": 5})).output == "1 5"
    assert (await runs(whole)).output is True
    assert (await runs(whole)).step_history[0].cached


async def test_what_the_body_changed_in_the_context_is_changed_again(runs):
    async def note(data: str, *, context: Any) -> str:
        context.log.append(data)
        context.scratchpad["last"] = data
        runs.ran.append(data)
        return data.upper()

    step = cached("c", Step("s", note, sink_to="shouted"), sink_to="answer")

    for _ in range(2):
        result = await runs(step, initial_context_data={"log": ["before"]})
        context = result.final_pipeline_context
        assert (context.log, context.scratchpad, context.shouted) == (["before", "x"], {"last": "x"}, "X")
        assert context.answer == "X"
    assert (runs.ran, result.step_history[0].cached) == (["x"], True)


async def test_a_change_that_does_not_fit_the_context_is_no_hit(runs):
    async def note(data: str, *, context: Any) -> str:
        context.notes.setdefault("inner", {})["x"] = data
        return data

    step = cached("c", Step("s", note))

    await runs(step, initial_context_data={"notes": {"inner": {}}})
    result = await runs(step, initial_context_data={"notes": {}})

    assert result.final_pipeline_context.notes == {"inner": {"x": "x"}}
    assert runs.missed == [(), ("context",)]


async def test_failures_are_not_kept(runs):
    failures = iter([True, False])

    def flaky(data: Any) -> Any:
        runs.ran.append(data)
        if next(failures):
            raise ValueError("not yet")
        return data

    step = cached("c", Step("s", flaky))

    assert [(await runs(step)).status for _ in range(3)] == ["failed", "completed", "completed"]
    assert runs.ran == ["x", "x"]


async def test_a_retried_cache_step_keeps_its_last_attempt(runs):
    failures = iter([True, False])

    def flaky(data: Any) -> Any:
        runs.ran.append(data)
        if next(failures):
            raise ValueError("not yet")
        return data

    step = cached("c", Step("s", flaky), config=StepConfig(max_retries=1))

    assert [(await runs(step)).step_history[0].attempts for _ in range(2)] == [2, 0]
    assert len(runs.ran) == 2


async def test_many_items_at_once_wait_for_the_one_that_is_the_same(runs):
    async def slow(data: int) -> int:
        runs.ran.append(data)
        await asyncio.sleep(0.001)
        return data * 2

    step = map_("m", cached("c", Step("s", slow)), concurrency=6)

    assert (await runs(step, [1, 2, 1, 1, 2, 3])).output == [2, 4, 2, 2, 4, 6]
    assert sorted(runs.ran) == [1, 2, 3]


async def test_iterations_of_a_loop_share_results(runs):
    step = loop("l", [cached("c", runs.call(give=lambda data: 1 - data))], max_loops=6)

    assert (await runs(step, 0)).output == 0
    assert runs.ran == [0, 1]


async def test_cached_steps_stand_in_cached_steps(runs):
    work = runs.call()
    other = cached("other", work)
    step = cached("outer", [cached("inner", work), Step("b", lambda data: f"{data}!")])
    for data in ("x", "y", "x"):
        assert (await runs(step, data)).output == f"{data}!"

    assert runs.ran == ["x", "y"]
    assert (await runs(other, "x")).step_history[0].cached


@pytest.mark.parametrize("model", [OpenContext, PipelineContext])
async def test_an_input_that_can_not_be_written_down_fails_the_step_and_names_it(runs, model):
    made = Step("made", lambda data: object())
    result = await runs(Pipeline([made, cached("c", runs.call())]), state_backend=None, context_model=model)

    assert (result.status, result.error.path, result.error.type) == ("failed", "cache:c", "ValueNotStorable")
    assert result.error.message.startswith("input of cache 'c' can't be stored")
    assert runs.ran == []


async def test_a_state_without_a_cache_has_one_in_memory(runs):
    class Plain:
        """A state that keeps runs and nothing else."""

        encodes = True

        def __init__(self) -> None:
            inner = InMemoryBackend()
            self.create_run, self.append, self.finish = inner.create_run, inner.append, inner.finish
            self.get, self.load, self.claim = inner.get, inner.load, inner.claim

    async with Flujo(cached("c", runs.call()), state_backend=Plain()) as flujo:
        assert [(await flujo.run("x")).output for _ in range(2)] == ["x", "x"]
    assert runs.ran == ["x"]


async def test_a_step_without_any_cache_says_what_is_missing(bare):
    outcome = await bare(cached("c", Step("s")))

    assert str(outcome.error) == "cache 'c' has no cache to look in"


@pytest.fixture
def bare() -> Callable[..., Awaitable[Any]]:
    """Execute a step as an engine does that was given no cache."""
    from flujo.engine.background_task_manager import BackgroundTaskManager
    from flujo.engine.call_tally import CallTally
    from flujo.engine.context_manager import ContextManager
    from flujo.engine.event_stream import EventStream
    from flujo.engine.executor_core import ExecutorCore
    from flujo.engine.frame import ExecutionFrame, Pulse, RunScope
    from flujo.engine.journal import Journal
    from flujo.infra.codec import JsonCodec
    from flujo.infra.templates import Templates
    from flujo.plugins import create_default_registry

    async def execute(step: Step[Any, Any]) -> Any:
        backend, codec = InMemoryBackend(), JsonCodec()
        claim = await backend.create_run(NewRun("r", "p", "", "{}", b"", None, None, 0.0))
        run = RunScope(
            "r",
            Journal(backend, claim, codec),
            EventStream(),
            FakeClock(),
            Pulse(),
            ContextManager(),
            BackgroundTaskManager(),
            CallTally(),
        )
        core = ExecutorCore(policy_registry=create_default_registry(), templates=Templates())
        return await core.execute(ExecutionFrame(step, "x", run, OpenContext(), "cache:c"))

    return execute


async def test_a_recorded_hit_is_recalled_as_one(runs):
    step = Pipeline([cached("c", runs.call()), (later := runs.call("later", give=lambda data: 1 / 0))])
    await runs(step)
    sink = RecordingSink()
    async with Flujo(step, state_backend=runs.backend, context_model=OpenContext, sinks=[sink]) as flujo:
        await flujo.run("x", run_id="r")
        result = await flujo.resume("r")

    recalled = result.step_history[0]
    assert (recalled.recalled, recalled.cached, recalled.output) == (True, True, "x")
    assert runs.ran == ["x"] * 4
    assert later.name == "later"


@pytest.mark.parametrize("around", ["first", "fallback"])
async def test_a_body_that_a_dead_process_has_begun_is_gone_on_with_whatever_is_kept(runs, around):
    async def costly(data):
        return AgentResult(data, Usage(calls=1, tokens_in=3))

    def fail(data):
        raise ValueError("no")

    part = cached("c", Pipeline([agent("a", costly), agent("b", costly)], name="body"))
    step = part if around == "first" else Step("first", fail, fallback=part)
    before = 0 if around == "first" else 1
    dying = DyingBackend(runs.backend, die_after=before + 3, at="before", die=lambda: None)
    async with Flujo(step, state_backend=dying) as flujo:
        with pytest.raises(StateUnavailable):
            await flujo.run("x", run_id="r")  # it is kept, and not recorded

    async with Flujo(step, state_backend=runs.backend) as flujo:
        result = await flujo.resume("r", force=True)
        again = await flujo.replay("r")

    assert (result.output, result.usage) == ("x", Usage(2, 6))
    assert (again.output, again.usage) == ("x", Usage(2, 6))
    assert (await runs(step)).usage == Usage()  # of another run


async def test_a_crash_between_the_body_and_the_result_repeats_nothing_and_keeps_nothing_wrong(runs, monkeypatch):
    step = cached("c", runs.call(give=lambda data: data + "!"))
    put = runs.backend.cache.put

    async def crash(entry: Any) -> None:
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    monkeypatch.setattr(runs.backend.cache, "put", crash)
    with pytest.raises(asyncio.CancelledError):
        async with Flujo(step, state_backend=runs.backend) as flujo:
            await flujo.run("x", run_id="r")
    monkeypatch.setattr(runs.backend.cache, "put", put)
    async with Flujo(step, state_backend=runs.backend) as flujo:
        result = await flujo.resume("r")

    assert (result.status, result.output, runs.ran) == ("completed", "x!", ["x"])
    assert (await runs(step)).output == "x!"
    assert (await runs(step)).step_history[0].cached


PURE = st.sampled_from(
    [
        lambda data: data,
        lambda data: [data, data],
        lambda data: f"{data!s:>3}",
        lambda data: {"k": data},
        lambda data: len(str(data)),
        lambda data: (data, None, True),
    ]
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3) | st.tuples(inner),
    max_leaves=5,
)


@given(st.lists(PURE, min_size=1, max_size=3), st.lists(DATA, min_size=1, max_size=4))
def test_a_cached_pipeline_gives_the_outputs_of_the_plain_one(functions, inputs):
    body = [Step(f"s{n}", function) for n, function in enumerate(functions)]

    async def outputs(step: Step[Any, Any]) -> list[Any]:
        async with Flujo(step) as flujo:
            return [(await flujo.run(data)).output for data in (*inputs, *inputs)]

    plain, kept = (asyncio.run(outputs(step)) for step in (Pipeline(body), cached("c", body)))
    assert list(map(repr, kept)) == list(map(repr, plain))


FILE = """
  - name: c
    kind: cache
    cache:
      body: [{ name: up, input: "{{ previous_step | upper }} {{ context.tone }}" }]
      ttl: 7d
      context_keys: [lang]
"""


async def test_a_file_and_python_say_the_same(run, load):
    loaded = load(FILE)
    body = Step("up", input="{{ previous_step | upper }} {{ context.tone }}")
    made = cached("c", body, ttl_s=7 * 86400, context_keys=["lang"])

    assert loaded.steps[0].definition() == made.definition()
    assert (await run(loaded, "x", initial_context_data={"tone": "!"})).output == "X !"


def test_older_files_name_the_body_otherwise(load):
    loaded = load("  - { name: c, kind: cache, wrapped_step: { name: s, input: '1' } }\n").steps[0]

    assert loaded.definition() == cached("c", Step("s", input="1")).definition()


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "cache 'c' needs one body"),
        ("cache: { body: { name: s } }, wrapped_step: { name: s }", "cache 'c' needs one body"),
        ("cache: { body: [] }", "has nothing in its body"),
        ("cache: { ttl: 7d }", "body"),
        ("cache: { body: { name: s }, ttl: soon }", "'soon' is no duration"),
        ("cache: { body: { name: s }, ttl: 0 }", "0 is no duration"),
        ("cache: { body: { name: s }, ttl: -5 }", "-5 is no duration"),
        ("cache: { body: { name: s }, context_keys: ['a b'] }", "has a context key 'a b'"),
        ("cache: { body: { name: s }, context_keys: lang }", "context_keys"),
        ("cache: { body: { name: s }, tll: 5 }", "tll"),
    ],
)
def test_a_mistake_in_a_file_is_told(load, rest, message):
    with pytest.raises(BlueprintError, match=message):
        load(f"  - {{ name: c, kind: cache, {rest} }}\n")
