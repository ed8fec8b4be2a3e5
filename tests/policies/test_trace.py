"""Random pipelines of all kinds, with all that can happen to them, traced live and from their records."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from flujo import (
    Flujo,
    OpenContext,
    Pipeline,
    RunStatus,
    Step,
    StepResult,
    Tracer,
    TracingManager,
    UsageLimits,
    loop,
)
from flujo.domain.interfaces import RecordKind
from flujo.exceptions import PipelineAbortSignal
from flujo.infra.memory import InMemoryBackend
from flujo.runner.trace_tree import MARKS

ANSWER = 4
#: The path of a step in one made of others in a state: in these programs all of those have one name, whatever they are.
AMBIGUOUS = re.compile(r"state_machine:s\[\d+\]/?.*:")
SETTINGS: Any = {"context_model": OpenContext, "initial_context_data": {"p": 0, "q": 0}}


class Nested(Tracer):
    """Holds that spans begin and end once, inside one another."""

    def __init__(self) -> None:
        self.open: list[Any] = []
        self.paths: list[str] = []

    def began(self, span: Any) -> None:
        assert span.parent is None or span.parent in self.open
        self.open.append(span)
        self.paths.append(span.path)

    def told(self, span: Any, event: Any) -> None:
        assert span in self.open

    def ended(self, span: Any) -> None:
        self.open.remove(span)


def walked(lines: tuple[StepResult[Any], ...]) -> Iterator[StepResult[Any]]:
    for each in lines:
        yield each
        yield from walked(each.children)


async def traced(pipeline: Any, data: int, limits: UsageLimits | None) -> None:
    backend, nested = InMemoryBackend(), Nested()
    sinks = [TracingManager(nested)]
    async with Flujo(pipeline, state_backend=backend, sinks=sinks, usage_limits=limits, **SETTINGS) as flujo:
        result = await flujo.run(data, run_id="r")
        while result.pending:
            result = await flujo.resume(result, ANSWER, token=result.pending[0].token)
        trace = await flujo.trace("r")
        journal = await backend.load("r")

    records = [record for record in journal if record.kind is RecordKind.RESULT]
    recorded = {record.path for record in records if "/on:" not in record.path}
    spans = {span.path: span for span in trace.root.walk()}
    lines = list(walked((*result.step_history, *result.background)))
    assert nested.open == []
    assert (trace.status, trace.root.usage) == (result.status, result.usage)
    assert all(0 <= span.own_s <= span.total_s + 1e-6 for span in spans.values())
    assert recorded <= set(spans)
    for line in lines:
        span = spans.get(line.path)
        if line.path in recorded:
            assert span.status is RunStatus.COMPLETED
            assert span.kind in (line.kind, "step")  # states may have steps of one name and other kinds
            assert (span.attempts, span.fallback) == (line.attempts, line.fallback)
            assert span.usage == line.usage
    assert len(spans) == len(list(trace.root.walk()))
    if result.status in (RunStatus.COMPLETED, RunStatus.FAILED):
        gave_up = {MARKS.sub("", each.path) for each in journal if each.kind is RecordKind.FAILED}
        agree(spans, lines, [MARKS.sub("", each.path) for each in journal], gave_up)


def agree(spans: dict[str, Any], lines: list[StepResult[Any]], recorded: list[str], gave_up: set[str]) -> None:
    """Hold that a trace says of no step anything else than the history, and knows no step from nowhere.

    A background step has two lines, one where it was begun and one of how it ended: the trace may side with either.
    It may be the whole of a state, which is over when it has begun.
    Lines tell of one life only how often a step that gave up was tried, and of a cancelled one not who stood in.
    """
    told: dict[str, list[Any]] = {line.path: [] for line in lines}
    for line in lines:
        told[line.path].append((line.success, line.attempts, line.fallback))
    for path in told.keys() & spans.keys():
        span = spans[path]
        if span.status is None or AMBIGUOUS.search(path):
            continue
        if path in gave_up or span.fallback or len(told[path]) > 1:
            assert (span.status is RunStatus.COMPLETED) in [success for success, _, _ in told[path]], path
        else:
            assert (span.status is RunStatus.COMPLETED, span.attempts, span.fallback) in told[path], path
    for path in spans.keys() - told.keys():
        if not AMBIGUOUS.search(path):
            assert any(f"{each}/".startswith((f"{path}/", f"{path}[")) for each in recorded) or not path, path


async def test_a_step_made_of_others_that_gave_up_and_went_on_in_a_later_life_is_told_as_completed(programs):
    asking = ("gather", [("add", 2), ("ask",)], "collect")
    await traced(programs.pipeline(("gather", [("again", ("flaky", 3)), asking], "ignore")), 4, None)


@given(draw=st.data(), data=st.integers(-1, 4), limits=st.sampled_from([None, UsageLimits(max_calls=10_000)]))
def test_a_trace_tells_what_the_run_came_to(programs, draw, data, limits):
    program = draw.draw(programs.rough_programs())
    assume(not programs.reaches_out(program))

    asyncio.run(traced(programs.pipeline(program), data, limits))


async def test_a_step_made_of_others_that_ended_the_run_by_itself_is_told_as_completed_once_it_is_through():
    ends = [True]

    def until(data, context):
        if ends.pop():
            raise PipelineAbortSignal("enough")
        return True

    async with Flujo(Pipeline([loop("l", Step("a", lambda data: data), until=until)])) as flujo:
        first = await flujo.run(1, run_id="r")
        (span,) = (await flujo.trace("r")).root.children
        assert (first.status, span.status, span.error.message) == ("cancelled", "cancelled", "enough")
        ends.append(False)
        assert (await flujo.resume("r")).success
        (span,) = (await flujo.trace("r")).root.children
        assert span.status == "completed"
