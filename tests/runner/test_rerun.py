"""A new run that begins at a step of another: what it takes from there, and what it does itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import (
    Flujo,
    OpenContext,
    Pipeline,
    Step,
    StepConfig,
    UsageLimits,
    agent,
    branch,
    human,
    import_,
    loop,
    map_,
    parallel,
    state_machine,
)
from flujo.domain.interfaces import RecordKind
from flujo.domain.usage import NO_USAGE
from flujo.exceptions import ConfigurationError, ContextFieldError, DefinitionChanged, RunNotFound, StateError
from flujo.infra.memory import InMemoryBackend
from flujo.infra.scripted import scripted
from flujo.runner.definitions import bare_path
from flujo.runner.rerun import SAME_INPUT
from flujo.testing import FakeClock

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def calls() -> list[str]:
    CALLS.clear()
    return CALLS


def work(data: Any, *, run: Any) -> str:
    CALLS.append(run.path)
    return f"{data}>{run.path.rpartition('/')[2]}"


def stop(data: Any, *, run: Any) -> Any:
    CALLS.append(run.path)
    raise RuntimeError("not now")


def step(name: str, run: Any = work, **options: Any) -> Step[Any, Any]:
    return Step(name, run, **options)


A, B, C, D = (step(name) for name in "abcd")


def flujo(pipeline: Step[Any, Any], backend: InMemoryBackend) -> Flujo[Any, Any, Any]:
    return Flujo(pipeline, state_backend=backend, clock=FakeClock(), context_model=OpenContext)


async def rerun(pipeline: Step[Any, Any], path: str, input: Any = "x", **options: Any) -> tuple[Any, InMemoryBackend]:
    """The new run "s" that begins at `path` of a run "r", and what it called."""
    backend = InMemoryBackend()
    await flujo(pipeline, backend).run(input, run_id="r")
    CALLS.clear()
    return await flujo(pipeline, backend).rerun_from("r", path, run_id="s", **options), backend


async def copied(backend: InMemoryBackend, run_id: str = "s") -> list[str]:
    return [record.path for record in await backend.load(run_id)]


async def test_what_was_before_the_step_is_taken_and_the_rest_is_done_anew():
    result, backend = await rerun(Pipeline([A, B, C]), "b")

    assert (result.run_id, result.output, CALLS) == ("s", "x>a>b>c", ["b", "c"])
    assert [each.recalled for each in result.step_history] == [True, False, False]
    row = await backend.get("s")
    assert (row.tags["rerun_of"], row.tags["rerun_from"]) == ("r", "b")
    assert "rerun_of" not in (await backend.get("r")).tags
    assert (await flujo(Pipeline([A, B, C]), backend).resume("s")).output == result.output


async def test_a_run_can_begin_at_its_first_step_and_at_one_that_it_never_came_to():
    pipeline = Pipeline([A, step("b", stop), C, D])

    assert (await rerun(pipeline, "a"))[0].status == "failed"
    assert CALLS == ["a", "b"]
    assert (await rerun(pipeline, "d"))[0].status == "failed"
    assert CALLS == ["b"]


async def test_a_failed_step_begins_with_all_its_attempts():
    tried = step("b", stop, config=StepConfig(max_retries=1))

    _, backend = await rerun(Pipeline([A, tried]), "b")

    assert CALLS == ["b", "b"]
    assert await copied(backend) == ["a", "b#a1", "b#a2"]


async def test_the_input_and_the_first_context_are_the_other_runs_unless_they_are_given():
    pipeline = Pipeline(
        [step("a", sink_to="seen"), step("b", input="{{ input }} {{ context.who }} {{ context.seen }}")]
    )
    backend = InMemoryBackend()
    runner = flujo(pipeline, backend)
    await runner.run("x", run_id="r", initial_context_data={"who": "ann"})

    assert (await runner.rerun_from("r", "b")).output == "x ann x>a>b"
    assert (await runner.rerun_from("r", "b", input="y")).output == "y ann x>a>b"
    given = await runner.rerun_from("r", "b", initial_context_data={"who": "bob", "seen": "lost"})
    assert given.output == "x bob x>a>b"
    assert (await runner.rerun_from("r", "a", input=None)).step_history[0].output == "None>a"


async def test_a_dotted_name_sets_one_value_in_a_field_and_leaves_the_others():
    pipeline = Pipeline([A, step("b", input="{{ context.who.name }} {{ context.who.of.town }} {{ context.new.k }}")])
    runner = flujo(pipeline, InMemoryBackend())
    await runner.run("x", run_id="r", initial_context_data={"who": {"name": "ann", "of": {"town": "Ulm"}}, "new": {}})

    changed = {"who.of.town": "Bonn", "new.k": 1}
    assert (await runner.rerun_from("r", "b", initial_context_data=changed)).output == "ann Bonn 1>b"
    with pytest.raises(ContextFieldError, match=r"'who\.name\.first' leads into a str, which has no 'first' to set"):
        await runner.rerun_from("r", "b", run_id="s", initial_context_data={"who.name.first": "Ann"})


async def test_the_result_of_a_run_stands_for_it():
    backend = InMemoryBackend()
    runner = flujo(Pipeline([A, B]), backend)

    again = await runner.rerun_from(await runner.run("x"), "b")

    assert again.output == "x>a>b"
    assert repr(SAME_INPUT) == "SAME_INPUT"


async def test_what_is_copied_costs_nothing_again():
    pipeline = agent("ask", scripted(["yes"])) >> B
    backend = InMemoryBackend()
    first = await flujo(pipeline, backend).run("x", run_id="r")

    again = await flujo(pipeline, backend).rerun_from("r", "b", run_id="s")

    assert first.usage.calls == 1
    assert (again.usage, (await backend.get("s")).usage) == (NO_USAGE, NO_USAGE)


async def test_beginnings_of_calls_are_not_copied():
    backend = InMemoryBackend()
    pipeline = agent("first", scripted(["a"])) >> Step("last", str.upper)
    async with Flujo(pipeline, state_backend=backend, usage_limits=UsageLimits(max_calls=1)) as flujo:
        await flujo.run("x", run_id="r")
        again = await flujo.rerun_from("r", "last", run_id="s")
    assert (again.output, again.usage) == ("A", NO_USAGE)
    assert [record.path for record in await backend.load("s")] == ["first", "last"]


async def test_a_loop_begins_anew_at_one_of_its_iterations():
    pipeline = Pipeline([loop("l", [A, B], max_loops=3), C])

    result, _ = await rerun(pipeline, "loop:l[1]/b")

    assert CALLS == ["loop:l[1]/b", "loop:l[2]/a", "loop:l[2]/b", "c"]
    assert result.output == "x>a>b>a>b>a>b>c"
    assert (await rerun(pipeline, "loop:l[1]"))[0].output == result.output
    assert CALLS[0] == "loop:l[1]/a"


async def test_the_other_branches_keep_what_they_had_before_the_step():
    pipeline = Pipeline([parallel("p", {"x": [A, B], "y": [C, D]}, max_concurrency=1), step("last")])

    await rerun(pipeline, "parallel:p/y/d")

    assert CALLS == ["parallel:p/y/d", "last"]
    await rerun(pipeline, "parallel:p/x")
    assert [f"parallel:p/{path}" for path in ("x/a", "x/b", "y/c", "y/d")] + ["last"] == CALLS


async def test_items_that_were_done_before_the_step_stay_done():
    await rerun(map_("m", [A, B]), "map:m[1]/b", ["1", "2", "3"])

    assert CALLS == ["map:m[1]/b", "map:m[2]/a", "map:m[2]/b"]


async def test_other_items_are_refused_like_those_of_any_run():
    backend = InMemoryBackend()
    runner = flujo(map_("m", A) >> B, backend)
    await runner.run(["1", "2"], run_id="r")

    with pytest.raises(DefinitionChanged, match="item 0 of 'map:m' is not the one it was"):
        await runner.rerun_from("r", "b", input=["7", "2"])


async def test_a_state_machine_begins_anew_in_the_state_it_went_on_to():
    machine = state_machine(
        "s",
        {"one": step("one", stop), "two": [B, A], "three": [A, B]},
        start="one",
        end=["three"],
        transitions=[("one", "failure", "two"), ("two", "success", "three")],
    )

    result, _ = await rerun(machine, "state_machine:s[2]/a")

    assert (CALLS, result.status) == (["state_machine:s[2]/a", "state_machine:s[2]/b"], "completed")


async def test_a_fallback_begins_anew_without_its_primary():
    pipeline = Pipeline([Pipeline([A, step("b", stop)], name="part", fallback=C), D])

    await rerun(pipeline, "sub:part/fallback:c")

    assert CALLS == ["sub:part/fallback:c", "d"]


async def test_a_step_that_was_put_in_later_begins_without_what_comes_after_it():
    backend = InMemoryBackend()
    await flujo(Pipeline([A, C, step("d", stop)]), backend).run("x", run_id="r")
    inserted = Pipeline([A, import_("b", Pipeline([B, C])), C, D])
    await flujo(inserted, backend).resume("r", allow_changed=True)
    CALLS.clear()

    assert (await flujo(inserted, backend).rerun_from("r", "import:b", run_id="s")).output == "x>a>b>c>c>d"
    assert CALLS == ["import:b/b", "import:b/c", "c", "d"]


async def test_an_open_question_is_asked_anew_and_an_answer_is_kept():
    pipeline = Pipeline([human("who", "?"), parallel("p", {"x": human("ask", "?"), "y": B}, max_concurrency=1), C])
    backend = InMemoryBackend()
    runner = flujo(pipeline, backend)
    await runner.run("x", run_id="r")
    paused = await runner.resume("r", "me")

    again = await runner.rerun_from("r", "parallel:p/y", run_id="s")

    assert [asked.path for asked in again.pending] == ["parallel:p/x/ask"]
    assert again.pending[0].token != paused.pending[0].token
    kinds = [record.kind for record in await backend.load("s") if bare_path(record) == "who"]
    assert kinds == [RecordKind.WAIT, RecordKind.ANSWER, RecordKind.RESULT]
    assert (await runner.resume("s", "you")).output == "{'x': 'you', 'y': 'me>b'}>c"


async def test_the_rest_may_be_another_pipeline():
    backend = InMemoryBackend()
    await flujo(Pipeline([A, B]), backend).run("x", run_id="r")
    other = flujo(Pipeline([A, C, D]), backend)

    assert (await other.rerun_from("r", "b")).output == "x>a>c>d"


async def test_what_is_copied_must_be_the_pipelines():
    backend = InMemoryBackend()
    await flujo(Pipeline([A, B, C]), backend).run("x", run_id="r")

    with pytest.raises(DefinitionChanged) as caught:
        await flujo(Pipeline([step("a", version="2"), B, C]), backend).rerun_from("r", "c", run_id="s")

    assert caught.value.message == (
        "what run 'r' has recorded before 'c' does not fit pipeline 'pipeline': 'a' is another step now"
    )
    assert caught.value.suggestion == "begin at 'a', or put the pipeline back as it was"
    assert await backend.get("s") is None


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("lop:l[1]/a", "did you mean 'loop:l[1]/a'?"),
        ("loop:l[]/a", "did you mean 'loop:l"),
        ("", "its steps are b, loop:l, loop:l[0], loop:l[0]/a, loop:l[1], loop:l[1]/a"),
    ],
)
async def test_a_path_that_is_not_there_is_refused_with_the_nearest(path, advice):
    with pytest.raises(ConfigurationError, match="run 'r' has no step") as caught:
        await rerun(Pipeline([loop("l", A, max_loops=2), B]), path)

    assert caught.value.suggestion.startswith(advice)


async def test_what_is_wrong_is_told_before_anything_is_written():
    backend = InMemoryBackend()
    runner = flujo(Pipeline([A, B]), backend)
    await runner.run("x", run_id="r")

    with pytest.raises(RunNotFound, match="no run 'nope'"):
        await runner.rerun_from("nope", "a")
    with pytest.raises(ConfigurationError, match="run id"):
        await runner.rerun_from("r", "a", run_id="not an id")
    with pytest.raises(ContextFieldError, match="'run_id' is the engine's own"):
        await runner.rerun_from("r", "a", run_id="s", initial_context_data={"run_id": "t"})
    with pytest.raises(StateError, match="there is a run 'r' already"):
        await runner.rerun_from("r", "a", run_id="r")
    assert [row.run_id for row in await backend.list()] == ["r"]


@given(st.data())
async def test_wherever_it_begins_a_run_comes_to_what_the_other_came_to(data):
    inner = [A, B, branch("k", on="previous_step != ''", branches={"true": [C, D]})]
    pipeline = Pipeline(
        [A, loop("l", inner, max_loops=2), parallel("p", {"x": inner, "y": B}), import_("i", Pipeline(inner)), D]
    )
    backend = InMemoryBackend()
    first = await flujo(pipeline, backend).run("x", run_id="r")
    recorded = await copied(backend, "r")
    path = data.draw(st.sampled_from(recorded))
    CALLS.clear()

    again = await flujo(pipeline, backend).rerun_from("r", path, run_id="s")

    assert (again.output, await copied(backend)) == (first.output, recorded)
    assert CALLS[0] == path
    assert len(CALLS) == len(recorded) - recorded.index(path)
