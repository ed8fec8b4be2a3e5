"""Random pipelines of all kinds against a plain interpreter: the same output, context and history."""

import asyncio
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flujo import Flujo, OpenContext, Pipeline, PipelineResult, StepResult
from flujo.infra.memory import InMemoryBackend

#: What is answered to every question.
ANSWER = 4

# The interpreter: what a program comes to on `data`. It changes `context`, and tells its line of the history,
# which is (path, output, lines of its parts).
PREFIX = {
    "seq": "sub:",
    "aside": "sub:",
    "if": "conditional:",
    "route": "router:",
    "machine": "state_machine:",
    "loop": "loop:",
    "map": "map:",
    "fan": "parallel:",
    "import": "import:",
    "plan": "agentic_loop:",
    "cache": "cache:",
}


def segment(program: Any, name: str = "s") -> str:
    return PREFIX.get(program[0], "") + name


def body(program: Any, data: int, context: Any, at: str) -> Any:
    """A program as the body of another: a pipeline is one itself, anything else its only step."""
    if program[0] in ("seq", "aside"):
        return interpret(program, data, context, at)
    data, line = interpret(program, data, context, f"{at}/{segment(program)}")
    return data, (at, data, [line])


def beside(work: list[Any], context: Any, strategy: str) -> Any:
    """Programs that each have a copy of the context; what they change flows back by `strategy`."""
    before, outputs, lines, changed = dict(context), [], [], set()
    for program, data, at in work:
        own = dict(before)
        output, line = body(program, data, own, at)
        outputs.append(output)
        lines.append(line)
        for key, value in own.items():
            if (
                value != before.get(key)
                and strategy != "no_merge"
                and not (strategy == "keep_first" and key in changed)
            ):
                context[key] = value
                changed.add(key)
    return outputs, lines


def interpret(program: Any, data: int, context: Any, at: str) -> Any:  # noqa: C901, PLR0912, PLR0915 - a case a kind
    kind, *parts = program
    if kind == "add":
        return data + parts[0], (at, data + parts[0], [])
    if kind == "note":
        context[parts[0]] = data
        return data, (at, data, [])
    if kind == "aside":
        return data, (at, data, [])
    if kind == "ask":
        return ANSWER, (at, ANSWER, [])
    lines: list[Any] = []
    if kind == "seq":
        for n, each in enumerate(parts[0]):
            data, line = interpret(each, data, context, f"{at}/{segment(each, f's{n}')}")
            lines.append(line)
    elif kind == "if":
        data, line = body(parts[0 if data > 2 else 1], data, context, f"{at}/{'true' if data > 2 else 'false'}")
        lines = [line]
    elif kind == "route":
        names = ["a", "b"] if data > 2 else ["b"]
        work = [(parts["ab".index(name)], data, f"{at}/{name}") for name in names]
        lines = [(f"{at}/router", names if data > 2 else "b", [])]
        outputs, more = beside(work, context, "overwrite")
        data, lines = outputs[-1], lines + more
    elif kind == "machine":
        context["current_state"] = "a"
        data, line = body(parts[0], data, context, f"{at}[0]")
        context["current_state"] = "b" if data > 1 else "end"
        last = body(parts[1], data, context, f"{at}[1]") if data > 1 else (data, (f"{at}[1]", data, []))
        data, lines = last[0], [line, last[1]]
    elif kind == "loop":
        for n in range(parts[0]):
            data, line = body(parts[1], data, context, f"{at}[{n}]")
            lines.append(line)
            if data > 5:
                break
    elif kind == "map":
        outputs, lines = beside([(parts[0], data + n, f"{at}[{n}]") for n in (0, 1)], context, parts[1])
        data = sum(outputs)
    elif kind == "fan":
        outputs, lines = beside([(each, data, f"{at}/b{n}") for n, each in enumerate(parts[0])], context, parts[1])
        data = sum(outputs)
    elif kind == "rescue":
        data, line = interpret(parts[0], data, context, f"{at}/fallback:f/{segment(parts[0])}")
        lines = [(f"{at}/fallback:f", data, [line])]
    elif kind == "plan":
        first = {"action": "run_agent", "agent": "a", "input": data}
        data, line = body(parts[0], data, context, f"{at}[0]/a")
        last = {"action": "finish", "output": data}
        lines = [(f"{at}[0]/planner", first, []), line, (f"{at}[1]/planner", last, [])]
    elif kind == "import":
        own = dict(context)
        data, line = interpret(parts[0], data, own, f"{at}/{segment(parts[0])}")
        context.update({key: own[key] for key in "pq"})
        lines = [line]
    else:  # whether it was kept before is no matter: its parts are not told
        data, _ = body(parts[0], data, context, f"{at}/body")
    return data, (at, data, lines)


def tells(result: StepResult[Any], line: Any) -> bool:
    """Whether a line of the history is the interpreter's. Of what is recalled or cached the parts are not told."""
    path, output, parts = line
    if (result.path, result.output) != (path, output):
        return False
    if result.kind == "cache" or (result.recalled and not result.children):
        return True
    return len(result.children) == len(parts) and all(map(tells, result.children, parts))


def extras(result: PipelineResult[Any, Any]) -> dict[str, Any]:
    return dict(result.final_pipeline_context.model_extra)


async def outcomes_of(
    pipeline: Pipeline[Any, Any], data: int, *, encodes: bool
) -> tuple[PipelineResult[Any, Any], ...]:
    """What the pipeline comes to, and what is handed out when it is asked for again."""
    settings = {"context_model": OpenContext, "initial_context_data": {"p": 0, "q": 0}}
    async with Flujo(pipeline, state_backend=InMemoryBackend(encodes=encodes), **settings) as flujo:
        result = await flujo.run(data, run_id="r")
        while result.pending:
            result = await flujo.resume(result, ANSWER, token=result.pending[0].token)
        return result, await flujo.run(data, run_id="r")


@pytest.mark.parametrize(("strict", "encodes"), [("0", False), ("1", True)])
@given(draw=st.data(), data=st.integers(-1, 4))
def test_a_pipeline_comes_to_what_a_plain_interpreter_says(programs, strict, encodes, draw, data):
    program = draw.draw(programs.programs())
    assume(not programs.reaches_out(program))
    context = {"p": 0, "q": 0}
    output, line = interpret(program, data, context, segment(program))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLUJO_STRICT_CONTEXT", strict)
        first, again = asyncio.run(outcomes_of(programs.pipeline(program), data, encodes=encodes))

    assert (first.error, first.output, extras(first)) == (None, output, context)
    (told,) = first.step_history
    assert tells(told, line), (told, line)
    assert (again.output, extras(again)) == (output, context)
