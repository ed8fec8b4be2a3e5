"""An input that the pipeline can't take is refused before anything is recorded."""

from typing import Any, Literal

import pytest

from flujo import Flujo, map_, parallel, step
from flujo.exceptions import ConfigurationError
from flujo.infra.memory import InMemoryBackend


@step
def double(number: int) -> int:
    return number * 2


@step
def halve(number: float) -> float:
    return number / 2


@step
def choose(way: Literal["a", "b"]) -> str:
    return way


@step
def anything(value: Any) -> str:
    return repr(value)


@pytest.mark.parametrize(
    ("pipeline", "input", "message"),
    [
        (double, "x", "the input is of type 'str', but step 'double' takes 'int'"),
        (double, None, "the input is of type 'None', but step 'double' takes 'int'"),
        (double >> halve, {"a": 1}, "the input is of type 'dict', but step 'double' takes 'int'"),
        (map_("all", double), "text", "the input is of type 'str', but step 'all' takes 'list'"),
    ],
)
async def test_an_input_of_another_class_is_refused_and_no_run_begins(pipeline, input, message):
    backend = InMemoryBackend()
    with pytest.raises(ConfigurationError) as caught:
        await Flujo(pipeline, state_backend=backend).run(input, run_id="r1")

    assert caught.value.message == message
    assert await backend.get("r1") is None


@pytest.mark.parametrize(
    ("pipeline", "input"),
    [(double, True), (halve, 3), (choose, "a"), (anything, None), (parallel("p", {"a": double, "b": halve}), 3)],
)
async def test_one_that_may_be_what_is_declared_is_taken(pipeline, input):
    assert (await Flujo(pipeline).run(input)).success


async def test_a_rerun_with_such_an_input_is_refused():
    async with Flujo(double >> halve, state_backend=InMemoryBackend()) as flujo:
        await flujo.run(1, run_id="r1")
        with pytest.raises(ConfigurationError, match="the input is of type 'str', but step 'double' takes 'int'"):
            await flujo.rerun_from("r1", "halve", input="x")
