"""Who owns a run that can't be gone on with after all."""

import pytest

from flujo import Flujo, PipelineContext, Step
from flujo.exceptions import ContextFieldError, StateError
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
