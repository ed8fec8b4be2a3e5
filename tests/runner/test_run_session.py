"""What a session does with one run: written down first, owned while it is worked on, and never left half-way."""

import asyncio
from typing import Annotated, Any

import pytest

from flujo import ContextReference, Flujo, OpenContext, Pipeline, PipelineContext, RunStatus, Step, human
from flujo.domain.events import RunInterrupted
from flujo.domain.interfaces import Claim
from flujo.domain.outcomes import PipelineResult
from flujo.exceptions import ConfigurationError, ContextFieldError, RunNotFound, StateError, StateStorageFull
from flujo.infra.memory import InMemoryBackend
from flujo.runner.run_session import RunSession
from flujo.testing import FakeClock, RecordingSink

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()


async def note(data: Any) -> Any:
    CALLS.append(data)
    return data


class Slow(InMemoryBackend):
    """A state that takes its time to begin a run."""

    def __init__(self) -> None:
        super().__init__()
        self.come, self.go_on = asyncio.Event(), asyncio.Event()

    async def create_run(self, new: Any, /) -> Claim:
        self.come.set()
        await self.go_on.wait()
        return await super().create_run(new)


class Full(InMemoryBackend):
    """A state with room for runs, and for nothing that they come to."""

    async def append(self, claim: Claim, record: Any, /) -> None:
        raise StateStorageFull("the disk is full")

    async def finish(self, claim: Claim, status: RunStatus, /, **more: Any) -> None:
        raise StateStorageFull("the disk is still full")


def session(step: Step[Any, Any] | None = None, backend: InMemoryBackend | None = None, **options: Any) -> RunSession:
    given = {"context_model": OpenContext, "clock": FakeClock(), **options}
    return Flujo(step or Step("note", note), state_backend=backend or InMemoryBackend(), **given)._session


async def test_a_run_is_written_down_and_owned_before_anything_of_it_is_done():
    made = session()
    begun = await made.start("r", "x", {"who": "ann"}, key="k")
    row = await made.find("r")

    assert (row.status, row.key, row.pipeline, row.epoch) == (RunStatus.RUNNING, "k", "note", 1)
    assert (row.definition, row.digest) == made.definition
    assert made.decoded(row.input, "input") == "x"
    assert made.decoded(row.base, "context")["who"] == "ann"
    assert CALLS == []

    result = await begun
    assert (result.status, result.output, CALLS) == (RunStatus.COMPLETED, "x", ["x"])
    assert (await made.find("r")).status is RunStatus.COMPLETED


async def test_a_context_that_does_not_fit_begins_no_run():
    made = session(context_model=PipelineContext)

    with pytest.raises(ContextFieldError, match="context field 'who': extra inputs are not permitted") as caught:
        await made.start("r", "x", {"who": "ann"})
    assert "PipelineContext has " in caught.value.suggestion
    with pytest.raises(ContextFieldError, match="context field 'run_id' is the engine's own"):
        made.context("r", "x", {"run_id": "s"})
    with pytest.raises(RunNotFound):
        await made.find("r")


@pytest.mark.parametrize(("input", "prompt"), [("hi", "hi"), (7, ""), (None, "")])
def test_the_first_context_has_the_runs_id_and_its_input_where_that_is_text(input, prompt):
    context = session().context("r", input, {})

    assert (context.run_id, context.initial_prompt) == ("r", prompt)


async def test_one_session_works_on_many_runs_which_have_nothing_in_common():
    made = session(Step("note", note, sink_to="seen"))
    begun = [await made.start(f"r{number}", number, {}) for number in range(3)]
    results = await asyncio.gather(*begun)

    assert [result.final_pipeline_context.seen for result in results] == [0, 1, 2]


async def test_a_session_with_other_parts_shares_what_is_worked_out_for_all_runs():
    made = session()
    other = made.but(source="elsewhere.yaml")
    begun = await other.start("r", "x", {})
    await begun

    assert other.definition is made.definition
    assert (made.source, (await made.find("r")).source) == ("", "elsewhere.yaml")


async def test_an_input_is_the_same_by_what_is_written_of_it():
    made = session()
    await (await made.start("r", {"a": (1, 2)}, {}))
    row = await made.find("r")

    assert (made.same_input(row, {"a": (1, 2)}), made.same_input(row, {"a": (1, 3)})) == (True, False)


async def test_who_is_cancelled_while_a_run_is_being_begun_owns_nothing_afterwards():
    backend, sink = Slow(), RecordingSink()
    made = session(backend=backend, sinks=[sink])
    starting = asyncio.ensure_future(made.start("r", "x", {}))
    await backend.come.wait()
    starting.cancel()
    await asyncio.sleep(0)
    backend.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert (await made.find("r")).status is RunStatus.INTERRUPTED
    assert CALLS == []


async def test_who_is_cancelled_while_a_run_can_not_be_begun_has_nothing_to_let_go_of():
    backend = Slow()
    made = session(backend=backend)
    backend.go_on.set()
    await (await made.start("r", "x", {}))
    backend.come.clear()
    backend.go_on.clear()
    starting = asyncio.ensure_future(made.start("r", "x", {}))
    await backend.come.wait()
    starting.cancel()
    await asyncio.sleep(0)
    backend.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert (await made.find("r")).status is RunStatus.COMPLETED


async def test_a_run_whose_state_is_full_says_so_and_that_it_could_not_be_let_go_of():
    made = session(backend=Full())
    with pytest.raises(StateStorageFull, match="the disk is full") as caught:
        await (await made.start("r", "x", {}))

    assert caught.value.__notes__ == ["the run could not be let go of: the disk is still full"]


async def test_a_run_that_is_let_go_of_can_be_gone_on_with_and_its_sinks_hear_why():
    sink = RecordingSink()
    made = session(sinks=[sink])
    (await made.start("r", "x", {})).close()
    claim = await made.owning(made.backend.claim("r", force=True))
    await made.let_go(claim, StateError("not now"))

    assert (await made.find("r")).status is RunStatus.INTERRUPTED
    assert "not now" in str(sink.one(RunInterrupted))


async def test_what_is_recorded_is_handed_out_and_the_journal_of_nobody_takes_nothing():
    made = session()
    await (await made.start("r", "x", {"who": "ann"}))
    journal, context, input = await made.opened(await made.find("r"), None)

    assert (journal.closed, len(journal), input) == (True, 1, "x")
    assert (context.run_id, context.who) == ("r", "ann")


async def test_a_run_that_waits_is_cancelled_if_somebody_asked_for_it_in_its_last_moments():
    class Late(InMemoryBackend):
        async def finish(self, claim: Claim, status: RunStatus, /, **more: Any) -> None:
            await super().finish(claim, status, **more)
            await super().cancel(claim.run_id, at=0.0)

    made = session(human("ask", "?"), Late())
    result: PipelineResult[Any, Any] = await (await made.start("r", "x", {}))

    assert (result.status, result.pending, result.error.message) == (RunStatus.CANCELLED, (), "the run was cancelled")


def test_what_can_not_be_is_refused_when_the_session_is_made():
    class Elsewhere(PipelineContext):
        notes: Annotated[str, ContextReference("nowhere", "n")] = ""

    with pytest.raises(ConfigurationError, match="nowhere"):
        session(context_model=Elsewhere)
    with pytest.raises(ConfigurationError, match="'later'"):
        session(Pipeline([Step("note", note)]), on_background="later")
