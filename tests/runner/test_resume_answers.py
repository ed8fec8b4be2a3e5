"""Answers from elsewhere: another `Flujo` object, another process, one that comes too late, any JSON value."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from flujo import Flujo, OpenContext, Pipeline, Step, human, parallel
from flujo.domain.events import RunFinished, RunStarted
from flujo.domain.outcomes import PendingAnswer, RunStatus
from flujo.exceptions import AnswerRejected, ConfigurationError, RunNotPaused, RunOwnedElsewhere, ValueNotStorable
from flujo.infra.memory import InMemoryBackend
from flujo.runner.answers import meant
from flujo.testing import FakeClock, RecordingSink

VERDICT = {
    "type": "object",
    "properties": {"decision": {"enum": ["approve", "reject"]}, "refund": {"type": "number"}},
    "required": ["decision"],
}


class Verdict(BaseModel):
    decision: str
    refund: float = 0.0


def flujo(step: Step[Any, Any], backend: InMemoryBackend, **options: Any) -> Flujo[Any, Any, OpenContext]:
    return Flujo(step, state_backend=backend, context_model=OpenContext, clock=FakeClock(), **options)


ONE = human("ask", "ok?", schema=VERDICT)
TWO = parallel("both", {"a": human("ask", "a?"), "b": human("ask", "b?")})


async def started(step: Step[Any, Any]) -> tuple[InMemoryBackend, Any]:
    backend = InMemoryBackend()
    return backend, await flujo(step, backend).run("x", run_id="r")


async def refused(step: Step[Any, Any], backend: InMemoryBackend, *answer: Any, **options: Any) -> Any:
    """The error of an answer that another object refuses, when nothing has changed by it."""
    before = (await backend.get("r"), await backend.load("r"))
    with pytest.raises((AnswerRejected, RunNotPaused)) as caught:
        await flujo(step, backend).resume("r", *answer, **options)
    assert (await backend.get("r"), await backend.load("r")) == before
    return caught.value


async def test_the_paused_result_stands_for_its_run():
    backend, paused = await started(ONE)

    result = await flujo(ONE, backend).resume(paused, {"decision": "approve"})

    assert (result.run_id, result.output) == ("r", {"decision": "approve"})


async def test_none_is_an_answer():
    step = human("ask", "ok?")
    backend, paused = await started(step)

    result = await flujo(step, backend).resume(paused, None, token=paused.pending[0].token)

    assert (result.status, result.output) == ("completed", None)


async def test_an_answer_becomes_what_its_model_makes_of_it():
    step = human("ask", "ok?", schema=Verdict)
    backend, paused = await started(step)

    result = await flujo(step, backend).resume(paused, '{"decision": "approve", "refund": 5}')

    assert result.output == Verdict(decision="approve", refund=5.0)


async def test_what_a_run_of_the_same_id_asks_is_still_open():
    backend, paused = await started(ONE)

    again = await flujo(ONE, backend).run("x", run_id="r")

    assert (again.status, again.pending) == ("paused", paused.pending)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"decision": "approve", "refund": "lots"}, "$.refund: 'lots' is not of type 'number'"),
        ({}, "$: 'decision' is a required property"),
        ("approve", "$: 'approve' is not of type 'object'"),
    ],
)
async def test_an_answer_that_does_not_fit_is_refused_and_the_run_still_waits(answer, problem):
    backend, _ = await started(ONE)

    error = await refused(ONE, backend, answer)

    assert str(error) == f"the answer to 'ask' does not fit its schema: {problem}"
    assert error.suggestion == "nothing was recorded and the run still waits: answer again as the schema says"
    assert (await flujo(ONE, backend).resume("r", {"decision": "reject"})).success


async def test_an_answer_that_can_not_be_written_down_is_refused():
    step = human("ask", "ok?")
    backend, _ = await started(step)

    with pytest.raises(ValueNotStorable, match="the answer to 'ask' can't be stored"):
        await flujo(step, backend).resume("r", {"x": math.nan})
    assert (await backend.get("r")).status == "paused"


async def test_several_open_questions_need_a_token():
    backend, paused = await started(TWO)
    a, b = paused.pending

    error = await refused(TWO, backend, "yes")
    assert isinstance(error, AnswerRejected)
    assert str(error) == "run 'r' waits for 2 answers, and no token says which this is"
    assert error.suggestion == (
        "name it by its token, the beginning of that, or its path; "
        f"open are {a.token} (parallel:both/a/ask: {a.message!r}), {b.token} (parallel:both/b/ask: {b.message!r})"
    )

    await flujo(TWO, backend).resume("r", "A", token=a.token)
    assert (await flujo(TWO, backend).resume("r", "B")).output == {"a": "A", "b": "B"}


async def test_a_question_is_named_by_the_beginning_of_its_token_or_by_its_path():
    backend, paused = await started(TWO)
    a, b = paused.pending
    for name in ("", "-", a.path[:-1]):
        assert str(await refused(TWO, backend, "x", token=name)) == f"run 'r' has no question {name!r}"

    await flujo(TWO, backend).answer("r", "A", token=a.token[:8])
    assert (await flujo(TWO, backend).resume("r", "B", token=b.path)).output == {"a": "A", "b": "B"}


def test_a_beginning_that_two_tokens_have_names_none_and_a_path_the_question_asked_last():
    asked = [PendingAnswer(path, token, "?", None, 0.0) for path, token in [("p", "ab1"), ("q", "ab2"), ("p", "c")]]
    assert [meant(asked, name) for name in ("ab", "ab2", "c", "p")] == [None, asked[1], asked[2], asked[2]]


async def test_of_very_many_open_questions_only_some_are_listed():
    step = parallel("all", {f"b{number}": human("ask", "?") for number in range(20)})
    backend, _ = await started(step)

    error = await refused(step, backend, "yes", token="nope")

    assert str(error) == "run 'r' has no question 'nope'"
    assert error.suggestion.count("(parallel:all/") == 12
    assert error.suggestion.endswith(", ...")


async def test_a_second_answer_is_told_who_was_faster_and_when():
    backend, paused = await started(TWO)
    a, b = paused.pending
    await flujo(TWO, backend).resume("r", "A", token=a.token, by="ann")

    error = await refused(TWO, backend, "other", token=a.token)
    assert isinstance(error, AnswerRejected)
    when = "2023-11-14 22:13:20+00:00"
    assert str(error) == f"the answer comes too late: 'parallel:both/a/ask' was answered by ann at {when}"

    await flujo(TWO, backend).resume("r", "B", token=b.token)
    done = await refused(TWO, backend, "other")
    assert isinstance(done, RunNotPaused)
    assert str(done) == (
        f"run 'r' is completed and waits for no answer; 'parallel:both/b/ask' was answered by somebody at {when}"
    )
    late = await refused(TWO, backend, "other", token=b.token)
    assert late.suggestion == "it waits for no answer"


async def test_a_run_that_asks_nothing_takes_no_answer():
    step = Step("a", lambda data: data)
    backend, _ = await started(step)

    error = await refused(step, backend, "yes")

    assert str(error) == "run 'r' is completed and waits for no answer"


async def test_a_question_that_a_fallback_has_settled_no_longer_waits():
    clock = FakeClock()
    backend = InMemoryBackend()
    step = human("ask", "ok?", deadline_s=1, fallback=Step("default", lambda _: "no"))
    runner = Flujo(step, state_backend=backend, clock=clock)
    paused = await runner.run("x", run_id="r")
    clock.advance(2)
    await runner.resume("r")

    error = await refused(step, backend, "yes", token=paused.pending[0].token)

    assert str(error) == "the answer comes too late: 'ask' no longer waits"


async def test_a_token_without_an_answer_is_a_mistake():
    backend, paused = await started(ONE)

    with pytest.raises(ConfigurationError, match="comes without an answer"):
        await flujo(ONE, backend).resume(paused, token=paused.pending[0].token)


async def test_events_tell_what_is_asked():
    sink = RecordingSink()
    backend = InMemoryBackend()
    runner = flujo(ONE, backend, sinks=[sink])
    paused = await runner.run("x", run_id="r")
    await runner.resume("r", {"decision": "approve"})

    ended = [event.result for event in sink.events if isinstance(event, RunFinished)]
    assert [(result.status, result.pending) for result in ended] == [("paused", paused.pending), ("completed", ())]
    assert [event.resumed for event in sink.events if isinstance(event, RunStarted)] == [False, True]


class Raced(InMemoryBackend):
    """Lets somebody else be faster, once, after an answer was found to be good and before it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.faster: Any = None

    async def answer(self, run_id: str, record: Any, /) -> bool:
        faster, self.faster = self.faster, None
        if faster is not None:
            await faster()
        return await super().answer(run_id, record)


async def test_an_answer_that_is_overtaken_changes_nothing():
    backend = Raced()
    step = ONE >> human("more", "more?")
    await flujo(step, backend).run("x", run_id="r")

    async def faster() -> None:
        await flujo(step, backend).resume("r", {"decision": "approve"}, by="ann")
        await flujo(step, backend).resume("r", "enough", by="bob")

    backend.faster = faster
    with pytest.raises(AnswerRejected, match="the answer comes too late: 'ask' was answered by ann at 2023"):
        await flujo(step, backend).resume("r", {"decision": "reject"})

    assert (await flujo(step, backend).resume("r")).output == "enough"


async def test_an_answer_that_is_overtaken_by_one_that_its_step_fails_with_is_refused_too():
    backend = Raced()
    step = human("ask", "how much?", schema=int, validators=[lambda answer: answer < 100])
    paused = await flujo(step, backend).run("x", run_id="r")

    async def faster() -> None:
        await flujo(step, backend).resume("r", 500)

    backend.faster = faster
    with pytest.raises(AnswerRejected, match="'ask' was answered meanwhile, and asks again"):
        await flujo(step, backend).resume("r", 50)

    assert (await flujo(step, backend).resume(paused, 50)).output == 50


async def test_a_run_at_work_takes_an_answer_that_its_owner_then_finds():
    backend, paused = await started(TWO)
    claim = await backend.claim("r")

    with pytest.raises(RunOwnedElsewhere) as caught:
        await flujo(TWO, backend).resume(paused, "A", token=paused.pending[0].token)
    assert caught.value.suggestion == (
        "the answer is recorded, and that process goes on with it before it lets go of the run"
    )

    await backend.finish(claim, RunStatus.INTERRUPTED, at=0)
    again = await flujo(TWO, backend).resume("r")
    assert [asked.path for asked in again.pending] == ["parallel:both/b/ask"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
TYPES = {"string": str, "integer": int, "number": int | float, "boolean": bool, "array": list, "object": dict}


def fits(value: Any, kind: str) -> bool:
    if kind == "null":
        return value is None
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


@given(value=JSON)
async def test_any_json_value_that_fits_is_handed_on_equal(value):
    kinds = [kind for kind in [*TYPES, "null"] if fits(value, kind)]
    for schema in [None, *({"type": kind} for kind in kinds)]:
        step = human("ask", "ok?", schema=schema, sink_to="kept")
        backend, _ = await started(step)

        result = await flujo(step, backend).resume("r", value)
        again = await flujo(step, backend).resume("r")

        for each in (result, again):
            assert json.dumps(each.output) == json.dumps(value)
            assert json.dumps(each.final_pipeline_context.kept) == json.dumps(value)


PROGRAM = """
import asyncio, os, signal, sys
from flujo import Flujo, OpenContext, Step, human
from flujo_state_sqlite.backend import SqliteBackend, open_sqlite
from pathlib import Path

class Dying(SqliteBackend):
    async def finish(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

def note(data):
    with open("ledger.txt", "a") as ledger:
        ledger.write(f"{data}\\n")
    return data

pipeline = Step("before", note) >> human("ask", "ok {{ previous_step }}?") >> Step("after", note)

async def main():
    backend = (Dying if sys.argv[1] == "die" else SqliteBackend)(Path("state.db").absolute())
    async with Flujo(pipeline, state_backend=backend, context_model=OpenContext) as flujo:
        if sys.argv[1] == "answer":
            result = await flujo.resume("r", sys.argv[2], by="ann")
        else:
            result = await flujo.run("poem", run_id="r")
        print(result.status, result.output, *(asked.token for asked in result.pending))
        await backend.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("death", [True, False], ids=["kill -9", "pause"])
def test_another_process_answers_and_nothing_is_done_twice(tmp_path, death):
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    first = run("die" if death else "run")
    assert first.returncode == (-signal.SIGKILL if death else 0), first.stderr
    again = run("run")
    assert again.stdout.startswith("paused None ")
    assert death or first.stdout == again.stdout

    assert run("answer", "yes").stdout == "completed yes\n"
    assert run("run").stdout == "completed yes\n"
    assert (Path(tmp_path) / "ledger.txt").read_text() == "poem\nyes\n"


async def test_a_question_inside_a_pipeline_of_its_own_is_answered_by_the_same_path():
    step = Pipeline([Pipeline([ONE], name="inner")], name="outer")
    backend, paused = await started(step)
    assert paused.pending[0].path == "sub:inner/ask"

    assert (await flujo(step, backend).resume("r", {"decision": "reject"})).output == {"decision": "reject"}
