"""A run that is gone on with has the context that it began with, whatever the model's validators do."""

import pytest
from pydantic import Field, PrivateAttr, field_validator, model_validator

from flujo import Flujo, OpenContext, Pipeline, PipelineContext, Step, human
from flujo.exceptions import ContextFieldError
from flujo.infra.memory import InMemoryBackend
from flujo.runner.contexts import first_context, recorded_context


class Bill(PipelineContext):
    """Every validator changes what it is given."""

    cents: int = 0
    total: int = Field(default=0, alias="totalAmount")
    made: list[str] = Field(default_factory=list)
    needed: str
    _lines: int = PrivateAttr(default=0)

    @field_validator("cents")
    @classmethod
    def from_dollars(cls, value: int) -> int:
        return value * 100

    @model_validator(mode="after")
    def note(self) -> "Bill":
        self.made.append("made")
        return self

    def model_post_init(self, _: object) -> None:
        self._lines = len(self.made)
        self.made.append("begun")


DATA = {"cents": 3, "totalAmount": 4, "needed": "yes"}
BEGAN = {"cents": 300, "total": 4, "needed": "yes", "made": ["begun", "made"]}


async def look(_: object, *, context: Bill) -> dict[str, object]:
    return {name: getattr(context, name) for name in BEGAN}


def flujo(backend, *steps, model=Bill):
    return Flujo(Pipeline([*steps], name="p"), context_model=model, state_backend=backend)


@pytest.mark.parametrize("encodes", [False, True])
async def test_a_run_has_the_same_context_in_every_life(encodes):
    backend = InMemoryBackend(encodes=encodes)
    async with flujo(backend, human("ask", "sure?"), Step("look", look)) as runner:
        paused = await runner.run("x", run_id="r", initial_context_data=DATA)
        assert (await runner.resume(paused, "yes")).output == BEGAN
        assert (await runner.replay("r")).output == BEGAN
        assert (await runner.rerun_from("r", "look")).output == BEGAN
        again = await runner.run("x", run_id="r", initial_context_data=DATA)
        context = again.final_pipeline_context
        assert (again.output, context.run_id, context.initial_prompt) == (BEGAN, "r", "x")


async def test_a_rerun_checks_what_it_is_given_and_nothing_else():
    backend = InMemoryBackend()
    async with flujo(backend, Step("look", look)) as runner:
        await runner.run("x", run_id="r", initial_context_data=DATA)
        for given, then in (
            ({"cents": 5}, {"cents": 500}),
            ({"total": 7}, {"total": 7}),
            ({"totalAmount": 7}, {"total": 7}),
        ):
            again = await runner.rerun_from("r", "look", initial_context_data=given)
            assert again.output == {**BEGAN, **then}
        with pytest.raises(ContextFieldError, match="context field 'cents': input should be a valid integer"):
            await runner.rerun_from("r", "look", initial_context_data={"cents": "many"})


def test_what_a_model_does_when_it_is_made_does_not_change_what_was_recorded():
    made = ["begun", "made"]
    context = recorded_context(Bill, "r", 1, {"cents": 300, "made": made, "needed": "yes"})
    assert (context.cents, context.total, context.made, context._lines) == (300, 0, made, 2)
    assert context.model_fields_set == {"cents", "made", "needed", "run_id", "initial_prompt"}
    context.cents = 2
    assert context.cents == 200


def test_further_fields_come_back_where_the_model_allows_them():
    context = recorded_context(OpenContext, "r", "in", {"scratchpad": {"a": 1}, "more": [1]}, {"more": 2})
    assert (context.scratchpad, context.model_extra, context.initial_prompt) == ({"a": 1}, {"more": 2}, "in")
    assert first_context(OpenContext, "r", "in", {"scratchpad": {"a": 1}, "more": 2}) == context


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"needed": "yes", "gone": 1}, "'gone': extra inputs are not permitted"), ({}, "'needed': field required")],
)
def test_a_model_that_the_record_does_not_fit_is_told(fields, said):
    with pytest.raises(ContextFieldError, match=said) as caught:
        recorded_context(Bill, "r", "x", fields)
    assert "Bill has cents, conversation_history" in caught.value.suggestion
