"""Idempotency keys: one run of a key, however often it is started."""

import asyncio
from itertools import count
from typing import Annotated, Any

import pytest
from pydantic import Field

from flujo import ContextReference, Flujo, OpenContext, PipelineContext, Step, human
from flujo.exceptions import ConfigurationError, RunKeyTaken, RunOwnedElsewhere, StateError, ValueNotStorable
from flujo.infra.memory import InMemoryBackend
from flujo.testing import InMemoryStateProvider


def echo(data: Any) -> Any:
    return data


class Counted:
    """A pipeline that counts its runs."""

    def __init__(self) -> None:
        self.backend = InMemoryBackend()
        self.calls = 0

    def flujo(self, *more: Step[Any, Any]) -> Flujo[Any, Any, OpenContext]:
        def count(data: Any) -> Any:
            self.calls += 1
            return data

        step = Step("count", count)
        for each in more:
            step = step >> each
        return Flujo(step, state_backend=self.backend, context_model=OpenContext)


@pytest.fixture
def counted() -> Counted:
    return Counted()


async def test_the_second_call_hands_out_the_run_of_the_first(counted):
    first = await counted.flujo().run("x", idempotency_key="invoice 7")
    second = await counted.flujo().run("x", idempotency_key="invoice 7")
    other = await counted.flujo().run("x", idempotency_key="invoice 8")

    assert (second.run_id, second.output) == (first.run_id, "x")
    assert (counted.calls, other.run_id != first.run_id) == (2, True)
    assert (await counted.backend.get(first.run_id)).key == "invoice 7"


async def test_an_unfinished_run_goes_on_by_its_key(counted):
    ask = human("ask", "ok?")
    first = await counted.flujo(ask).run("x", idempotency_key="k")
    second = await counted.flujo(ask).run("x", idempotency_key="k")

    assert (second.run_id, second.pending, counted.calls) == (first.run_id, first.pending, 1)


@pytest.mark.parametrize("name", [{"idempotency_key": "k"}, {"run_id": "r", "idempotency_key": "k"}, {"run_id": "r"}])
async def test_who_starts_a_cancelled_run_again_gets_its_cancelled_result_and_a_resume_goes_on(counted, name):
    ask = human("ask", "ok?")
    await counted.flujo(ask).run("x", run_id="r", idempotency_key="k", initial_context_data={"a": 1})
    await counted.flujo(ask).cancel("r")

    again = await counted.flujo(ask).run("x", **name, initial_context_data={"a": 1})

    assert (again.run_id, again.status, again.final_pipeline_context.a) == ("r", "cancelled", 1)
    assert again.error.suggestion == "only to resume it by its id takes that back: flujo resume r"
    assert (await counted.backend.get("r")).status == "cancelled"
    with pytest.raises(StateError, match="was started with another input"):
        await counted.flujo(ask).run("y", **name)
    assert (await counted.flujo(ask).resume("r")).status == "paused"
    assert (await counted.flujo(ask).run("x", **name, initial_context_data={"a": 1})).status == "paused"


def test_code_that_is_not_async_has_keys_too(counted):
    first = counted.flujo().run_sync("x", idempotency_key="k")
    assert counted.flujo().run_sync("x", idempotency_key="k").run_id == first.run_id


async def test_a_key_stands_for_one_input(counted):
    first = await counted.flujo().run("x", idempotency_key="k")

    with pytest.raises(StateError, match=f"run '{first.run_id}' was started with another input"):
        await counted.flujo().run("y", idempotency_key="k")


@pytest.mark.parametrize("name", [{"idempotency_key": "k"}, {"run_id": "r"}])
@pytest.mark.parametrize("other", [{"who": "Bob"}, {}, {"who": "Ann", "scratchpad": {"a": 1}}])
async def test_a_key_and_an_id_stand_for_one_first_context(counted, tmp_path, name, other):
    async with Flujo(Step("s", echo), context_model=OpenContext, state_uri=f"sqlite:///{tmp_path}/runs.db") as on_disk:
        for flujo in (counted.flujo(), on_disk):
            first = await flujo.run("x", **name, initial_context_data={"who": "Ann"})
            field = "scratchpad" if "scratchpad" in other else "who"
            with pytest.raises(StateError) as caught:
                await flujo.run("x", **name, initial_context_data=other)
            assert caught.value.message == f"run {first.run_id!r} was started with another context: {field!r}"
            assert (await flujo.run("x", **name, initial_context_data={"who": "Ann"})).output == "x"


async def test_what_a_context_makes_anew_or_has_from_a_provider_is_no_other_context():
    class Context(PipelineContext):
        made: int = Field(default_factory=count().__next__)
        memory: Annotated[str, ContextReference("notes", key="memory")] = ""

    notes = InMemoryStateProvider({"memory": "first"})
    options = {"context_model": Context, "state_providers": {"notes": notes}, "state_backend": InMemoryBackend()}
    flujo = Flujo(Step("s", echo), **options)
    first = await flujo.run("x", run_id="r")
    await notes.save("memory", "second")

    assert (await flujo.run("x", run_id="r")).output == first.output
    with pytest.raises(StateError, match="another context: 'made'"):
        await flujo.run("x", run_id="r", initial_context_data={"made": 7})


async def test_of_calls_at_once_one_runs_and_the_others_are_told_which_run_it_is(counted):
    async def slow(data: Any) -> Any:
        await asyncio.sleep(0.01)
        return data

    slow_step = Step("slow", slow)
    calls = [counted.flujo(slow_step).run("x", idempotency_key="k") for _ in range(8)]
    results = await asyncio.gather(*calls, return_exceptions=True)

    run_id = (await counted.backend.list())[0].run_id
    refused = [each for each in results if isinstance(each, RunOwnedElsewhere)]
    assert (len(refused), counted.calls, len(await counted.backend.list())) == (7, 1, 1)
    assert all(repr(run_id) in str(error) for error in refused)


async def test_of_calls_at_once_with_one_id_one_runs_and_the_others_are_told_that_it_is_at_work(counted, tmp_path):
    released = asyncio.Event()

    async def wait(data: Any) -> Any:
        await released.wait()
        return data

    async with Flujo(Step("wait", wait), state_uri=f"sqlite:///{tmp_path}/runs.db") as on_disk:
        for flujo in (counted.flujo(Step("wait", wait)), on_disk):
            released.clear()
            calls = [asyncio.ensure_future(flujo.run("x", run_id="o")) for _ in range(4)]
            told = asyncio.as_completed(calls)
            for _ in range(3):  # any of them can be the one that runs
                with pytest.raises(RunOwnedElsewhere):
                    await next(told)
            with pytest.raises(StateError, match="run 'o' was started with another input"):
                await flujo.run("y", run_id="o")
            released.set()

            came_to = await asyncio.gather(*calls, return_exceptions=True)
            refused = [each for each in came_to if isinstance(each, RunOwnedElsewhere)]
            assert [each.run_id for each in refused] == ["o"] * 3
            assert "force" in str(refused[0].suggestion)
            assert [each.output for each in came_to if each not in refused] == ["x"]


async def test_an_input_that_can_not_be_stored_is_no_run_that_is_taken(counted):
    with pytest.raises(ValueNotStorable):
        await counted.flujo().run(object(), run_id="o")


async def test_an_id_and_a_key_name_the_same_run_or_none(counted):
    await counted.flujo().run("x", run_id="a", idempotency_key="k")
    await counted.flujo().run("x", run_id="b")

    assert (await counted.flujo().run("x", run_id="a", idempotency_key="k")).run_id == "a"
    with pytest.raises(StateError, match="run 'a' has the key 'k', not 'other'"):
        await counted.flujo().run("x", run_id="a", idempotency_key="other")
    with pytest.raises(StateError, match="run 'b' has no key"):
        await counted.flujo().run("x", run_id="b", idempotency_key="k")
    with pytest.raises(RunKeyTaken) as caught:
        await counted.flujo().run("x", run_id="c", idempotency_key="k")
    assert caught.value.run_id == "a"


@pytest.mark.parametrize("key", ["", " k", "k\n", "a\x00b", "\ud800", "k" * 201])
async def test_a_key_is_text_that_can_be_shown(counted, key):
    with pytest.raises(ConfigurationError, match="is not an idempotency key"):
        await counted.flujo().run("x", idempotency_key=key)
    assert counted.calls == 0
