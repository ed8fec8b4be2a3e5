"""Random pipelines of all kinds, with all that can happen to them, traced live and from their records."""

import asyncio
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from flujo import Flujo, OpenContext, RunStatus, StepResult, Tracer, TracingManager, UsageLimits
from flujo.domain.interfaces import RecordKind
from flujo.infra.memory import InMemoryBackend
from flujo.runner.trace_tree import MARKS

ANSWER = 4
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
        agree(spans, {line.path: line for line in lines}, [MARKS.sub("", each.path) for each in journal])


def agree(spans: dict[str, Any], lines: dict[str, StepResult[Any]], recorded: list[str]) -> None:
    """Hold that a trace says of no step anything else than the history, and knows no step from nowhere."""
    for path, line in lines.items():
        if path in spans and spans[path].status is not None:
            assert (spans[path].status is RunStatus.COMPLETED) == line.success, path
            assert (spans[path].attempts, spans[path].fallback) == (line.attempts, line.fallback), path
    for path in spans.keys() - lines.keys():
        assert any(f"{each}/".startswith((f"{path}/", f"{path}[")) for each in recorded) or not path, path


@given(draw=st.data(), data=st.integers(-1, 4), limits=st.sampled_from([None, UsageLimits(max_calls=10_000)]))
def test_a_trace_tells_what_the_run_came_to(programs, draw, data, limits):
    program = draw.draw(programs.rough_programs())
    assume(not programs.reaches_out(program))

    asyncio.run(traced(programs.pipeline(program), data, limits))
