"""Whether a run may be gone on with, with which answer, and who owns it when it can't be after all."""

import pytest

from flujo import Flujo, PipelineContext, RunStatus, Step, human
from flujo.exceptions import (
    AnswerRejected,
    ContextFieldError,
    DefinitionChanged,
    RunNotFound,
    RunNotPaused,
    RunOwnedElsewhere,
    StateError,
)
from flujo.infra.memory import InMemoryBackend


class Narrow(PipelineContext):
    """Does not have the field that the run began with."""


class Wide(PipelineContext):
    wide: int = 1


class Full(InMemoryBackend):
    """Has no room for another pipeline."""

    async def redefine(self, *_: object) -> None:
        raise StateError("the disk is full")


def failing(_: str) -> str:
    raise ValueError("not yet")


async def test_a_run_that_can_not_be_opened_is_let_go_of(runs):
    async with runs(Narrow) as flujo:
        with pytest.raises(ContextFieldError, match="wide"):
            await flujo.resume("r")
    assert (await runs.backend.get("r")).status == "interrupted"
    async with runs(Wide) as flujo:
        assert (await flujo.resume("r")).status == "failed"


async def test_a_run_whose_new_pipeline_can_not_be_written_down_is_let_go_of(runs):
    async with runs(Wide, Step("more")) as flujo:
        with pytest.raises(StateError, match="the disk is full"):
            await flujo.resume("r", allow_changed=True)
    assert (await runs.backend.get("r")).status == "interrupted"


@pytest.fixture
async def runs():
    """Runners on one state, with a run "r" that has failed; called with the model of their contexts, and more steps."""

    class Runs:
        backend = Full()

        def __call__(self, model, *more):
            steps = Step("fails", failing)
            for step in more:
                steps = steps >> step
            return Flujo(steps, context_model=model, state_backend=self.backend)

    made = Runs()
    async with made(Wide) as flujo:
        await flujo.run("x", run_id="r")
    return made


class Counted(InMemoryBackend):
    """Knows how often a run was claimed."""

    claims = 0

    async def claim(self, *arguments, **options):
        self.claims += 1
        return await super().claim(*arguments, **options)


@pytest.fixture
def backend():
    return Counted()


@pytest.fixture
def asking(backend):
    """A pipeline that asks between two steps, and the data that its last step was called with."""

    class Asking:
        def __init__(self):
            self.called = []

        def flujo(self, *more):
            steps = Step("first", str.upper) >> human("ask", "sure?", schema=bool) >> Step("last", self.called.append)
            for step in more:
                steps = steps >> step
            return Flujo(steps, state_backend=backend)

    return Asking()


async def record(backend, run_id="r"):
    return await backend.get(run_id), await backend.load(run_id)


async def test_a_completed_run_is_handed_out_and_not_claimed(backend):
    called = []
    flujo = Flujo(Step("only", lambda data: called.append(data) or len(called)), state_backend=backend)
    await flujo.run("x", run_id="r")
    before, claims = await record(backend), backend.claims

    again = await flujo.resume("r")

    assert (again.output, again.step_history[0].recalled, called) == (1, True, ["x"])
    assert (await record(backend), backend.claims) == (before, claims)


async def test_a_run_that_there_is_not_is_told(backend, asking):
    with pytest.raises(RunNotFound, match="'r'"):
        await asking.flujo().resume("r")
    assert backend.claims == 0


async def test_without_an_answer_a_run_asks_the_same_again_and_belongs_to_nobody(backend, asking):
    flujo = asking.flujo()
    paused = await flujo.run("x", run_id="r")

    again = await flujo.resume("r")

    assert (again.status, again.pending, asking.called) == (RunStatus.PAUSED, paused.pending, [])
    assert [line.recalled for line in again.step_history] == [True, False]
    assert (await backend.get("r")).status is RunStatus.PAUSED


@pytest.mark.parametrize(
    ("answer", "token", "error"),
    [("perhaps", None, AnswerRejected), (True, "0" * 12, AnswerRejected), ("no question", None, RunNotPaused)],
)
async def test_an_answer_that_will_not_do_changes_nothing(backend, asking, answer, token, error):
    flujo = asking.flujo()
    await flujo.run("x", run_id="r")
    if error is RunNotPaused:
        await flujo.resume("r", True)
    before, claims = await record(backend), backend.claims

    with pytest.raises(error):
        await flujo.resume("r", answer, token=token)

    assert (await record(backend), backend.claims) == (before, claims)


async def test_an_answer_to_a_run_at_work_elsewhere_is_recorded_and_its_owner_goes_on_with_it(backend, asking):
    flujo = asking.flujo()
    await flujo.run("x", run_id="r")
    await backend.claim("r")

    with pytest.raises(RunOwnedElsewhere) as caught:
        await flujo.resume("r", True)

    assert caught.value.suggestion.startswith("the answer is recorded, and that process goes on with it")
    assert "ask" in {path.partition("!")[0].partition("?")[0] for path in paths(await backend.load("r"))}
    assert (await flujo.resume("r", force=True)).success
    assert asking.called == [True]


async def test_a_run_at_work_elsewhere_is_left_alone_unless_it_is_taken_over(backend, asking):
    flujo = asking.flujo()
    await flujo.run("x", run_id="r")
    claim = await backend.claim("r")

    with pytest.raises(RunOwnedElsewhere) as caught:
        await flujo.resume("r")

    assert "the answer is recorded" not in (caught.value.suggestion or "")
    assert (await backend.get("r")).epoch == claim.epoch
    assert (await flujo.resume("r", force=True)).status is RunStatus.PAUSED


async def test_a_changed_pipeline_is_refused_before_the_run_is_claimed_and_goes_on_where_it_may(backend, asking):
    await asking.flujo().run("x", run_id="r")
    claims, changed = backend.claims, asking.flujo(Step("more"))

    with pytest.raises(DefinitionChanged, match="added 'more'"):
        await changed.resume("r", True)
    assert backend.claims == claims
    assert not [path for path in paths(await backend.load("r")) if "!" in path]

    assert (await changed.resume("r", True, allow_changed=True)).success
    assert asking.called == [True]


def paths(records):
    return [each.path for each in records]
