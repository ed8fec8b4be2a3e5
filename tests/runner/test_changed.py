"""A pipeline that has changed while its run waited: what differs, when the run goes on, and when it is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from flujo import (
    Flujo,
    OpenContext,
    Pipeline,
    RunStatus,
    Step,
    StepConfig,
    agent,
    agentic_loop,
    branch,
    cached,
    human,
    import_,
    loop,
    map_,
    parallel,
    route,
    state_machine,
)
from flujo.domain.canonical import canonical
from flujo.domain.imports import ImportStep
from flujo.domain.interfaces import RecordKind
from flujo.domain.kinds import LoopStep
from flujo.exceptions import DefinitionChanged
from flujo.infra.memory import InMemoryBackend
from flujo.infra.scripted import scripted
from flujo.runner.definitions import Change, Key, bare_path, changes_between, describe_change, misfits
from flujo.testing import FakeClock

CALLS: list[str] = []


@pytest.fixture(autouse=True)
def calls() -> list[str]:
    CALLS.clear()
    return CALLS


def work(data: Any, *, run: Any, mark: str = "") -> str:
    CALLS.append(run.path)
    return f"{data}>{run.path}{mark}"


def other(data: Any, *, run: Any) -> str:
    return work(data, run=run)


def stop(data: Any) -> Any:
    raise RuntimeError("not now")


def step(name: str, run: Any = work, **options: Any) -> Step[Any, Any]:
    return Step(name, run, **options)


A, B, C, STOP = step("a"), step("b"), step("c"), step("stop", stop)


def between(before: Step[Any, Any], after: Step[Any, Any]) -> list[Change]:
    return changes_between(*(canonical(each.definition()) for each in (before, after)))


def told(before: Step[Any, Any], after: Step[Any, Any]) -> str:
    return describe_change(*(canonical(each.definition()) for each in (before, after)))


def flujo(pipeline: Step[Any, Any], backend: InMemoryBackend) -> Flujo[Any, Any, Any]:
    return Flujo(pipeline, state_backend=backend, clock=FakeClock(), context_model=OpenContext)


async def stopped(pipeline: Step[Any, Any]) -> InMemoryBackend:
    """A state with a run "r" that failed or paused."""
    backend = InMemoryBackend()
    result = await flujo(pipeline, backend).run("x", run_id="r")
    assert result.status in (RunStatus.FAILED, RunStatus.PAUSED), result
    CALLS.clear()
    return backend


async def gone_on(before: Step[Any, Any], after: Step[Any, Any]) -> Any:
    """What the run comes to when it goes on with `after`: it has `after`'s definition then."""
    backend = await stopped(before)
    with pytest.raises(DefinitionChanged):
        await flujo(after, backend).resume("r")
    assert CALLS == []
    result = await flujo(after, backend).resume("r", allow_changed=True)
    row = await backend.get("r")
    assert row.definition == canonical(flujo(after, backend)._session.pipeline.definition())
    assert (await flujo(after, backend).resume("r")).output == result.output
    return result


async def refused(before: Step[Any, Any], after: Step[Any, Any]) -> DefinitionChanged:
    """The error that the run is refused with, before anything is executed or changed."""
    backend = await stopped(before)
    row, records = await backend.get("r"), await backend.load("r")
    with pytest.raises(DefinitionChanged) as caught:
        await flujo(after, backend).resume("r", allow_changed=True)
    assert CALLS == []
    assert (await backend.get("r"), await backend.load("r")) == (row, records)
    return caught.value


# What differs


def test_steps_are_told_by_their_paths_with_what_has_changed_of_them():
    before = Pipeline([A, loop("l", [B, C]), parallel("p", {"x": A, "y": B}), step("last")], name="p")
    after = Pipeline(
        [
            step("a", other, input="{{ input }}"),
            loop("l", [step("b", params={"mark": "m" * 60})], max_loops=2),
            parallel("p", {"x": A, "z": [B, C]}),
            step("last"),
        ],
        name="q",
    )

    assert between(before, after) == [
        Change("removed", "l/body/c"),
        Change("removed", "p/y"),
        Change("added", "p/z"),
        Change("changed", "", (Key("name", '"p"', '"q"'),)),
        Change(
            "changed",
            "a",
            (
                Key("input", "nothing", '"{{ input }}"'),
                Key("run", f'"{__name__}:work"', f'"{__name__}:other"'),
            ),
        ),
        Change("changed", "l", (Key("max_loops", "5", "2"),)),
        Change("changed", "l/body/b", (Key("params", "nothing", '{"mark": "' + "m" * 35 + "..."),)),
    ]
    assert told(before, after).startswith("removed 'l/body/c'; removed 'p/y'; added 'p/z'; changed the pipeline (name:")


def test_a_step_that_only_has_another_place_has_moved():
    assert between(Pipeline([A, B, C]), Pipeline([B, C, A])) == [Change("moved", "a")]
    nested = [Pipeline([loop("l", steps)]) for steps in ([A, B, C], [A, C, STOP, B])]
    assert told(*nested) == "added 'l/body/stop'; moved 'l/body/c'"


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        (
            branch("k", on="1", branches={"yes": A}, default=B),
            branch("k", on="1", branches={"yes": A}, default=C),
            "k/default_branch/c",
        ),
        (import_("k", Pipeline([A])), import_("k", Pipeline([A, B])), "k/pipeline/b"),
        (cached("k", [A]), cached("k", [A, B]), "k/body/b"),
        (map_("k", [A]), map_("k", [A, B]), "k/body/b"),
        (route("k", A, {"x": B}), route("k", C, {"x": B}), "k/router"),
        (agentic_loop("k", A, {"x": B}), agentic_loop("k", C, {"x": B}), "k/planner"),
        (agentic_loop("k", A, {"x": B}), agentic_loop("k", A, {"x": [B, C]}), "k/x/c"),
        (
            state_machine("k", {"x": A}, start="x", end=["x"]),
            state_machine("k", {"x": [A, B]}, start="x", end=["x"]),
            "k/x/b",
        ),
        (step("k", fallback=A), step("k", fallback=B), "k/fallback"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_tells_what_changes_in_it(before, after, path):
    paths = [change.path for change in between(Pipeline([before]), Pipeline([after]))]
    assert path in paths


def test_many_changes_are_told_in_part():
    text = told(Pipeline([step(f"s{n}") for n in range(20)]), Pipeline([A]))
    assert text.count("removed") == 12
    assert text.endswith("; and 9 more")


def test_what_no_step_tells_is_said_so():
    assert told(Pipeline([A]), Pipeline([A])) == "nothing that its steps tell"


# When a run goes on


async def test_a_step_after_the_recorded_part_is_run_in_its_turn():
    result = await gone_on(Pipeline([A, STOP]), Pipeline([A, B, C]))

    assert (result.output, CALLS) == ("x>a>b>c", ["b", "c"])
    assert [each.recalled for each in result.step_history] == [True, False, False]


async def test_a_step_before_the_recorded_part_is_run_and_the_results_stay():
    result = await gone_on(Pipeline([A, STOP]), Pipeline([C, A, B]))

    assert (result.output, CALLS) == ("x>a>b", ["c", "b"])


async def test_steps_in_another_order_keep_their_results():
    result = await gone_on(Pipeline([A, B, STOP]), Pipeline([B, A, C]))

    assert (result.output, CALLS) == ("x>a>c", ["c"])
    assert [each.output for each in result.step_history] == ["x>a>b", "x>a", "x>a>c"]


async def test_a_step_that_was_removed_or_renamed_before_it_had_a_result_is_not_missed():
    assert (await gone_on(Pipeline([A, STOP, B]), Pipeline([A, C]))).output == "x>a>c"


async def test_a_step_that_failed_may_be_another_now():
    assert (await gone_on(Pipeline([A, STOP, B]), Pipeline([A, step("stop", other), B]))).output == "x>a>stop>b"


async def test_a_composite_around_recorded_steps_may_say_something_else():
    before = loop("l", [A, STOP], max_loops=3)
    result = await gone_on(before, loop("l", [A, step("stop", other)], max_loops=2))

    assert CALLS == ["loop:l[0]/stop", "loop:l[1]/a", "loop:l[1]/stop"]
    assert result.status == "completed"


@pytest.mark.parametrize(
    "soft",
    [
        lambda ask, retries: human("ask", ask, deadline_s=60, on_deadline={"answer": "late"}),
        lambda ask, retries: agent("ask", scripted(["yes"]), system_prompt=ask) >> human("wait", "?"),
        lambda ask, retries: step("ask", config=StepConfig(max_retries=retries)) >> human("wait", "?"),
    ],
    ids=["message and deadline", "prompt", "retries"],
)
async def test_prompts_messages_deadlines_and_retries_are_no_change(soft: Callable[[str, int], Step[Any, Any]]):
    backend = await stopped(soft("Who?", 0))

    result = await flujo(soft("Which?", 3), backend).resume("r", "me")

    assert result.output == "me"


# When it is refused


async def test_without_leave_the_error_says_what_differs_and_which_ways_are_left():
    backend = await stopped(Pipeline([A, STOP]))

    with pytest.raises(DefinitionChanged) as caught:
        await flujo(Pipeline([A, B]), backend).resume("r")

    assert caught.value.message == ("pipeline 'pipeline' is not the one that run 'r' has: removed 'stop'; added 'b'")
    assert caught.value.suggestion == (
        "go on with the pipeline as it is: resume(run_id, allow_changed=True); or put the pipeline back as it was; "
        "or begin a new run at one of its steps: rerun_from(run_id, path)"
    )


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (Pipeline([B, STOP]), "'a' is no step any more; removed 'a'; added 'b'"),
        (Pipeline([step("renamed"), STOP]), "'a' is no step any more; removed 'a'; added 'renamed'"),
        (Pipeline([step("a", other), STOP]), f"'a' is another step now; changed 'a' (run: \"{__name__}:work\" -> "),
        (Pipeline([step("a", input="y"), STOP]), "'a' is another step now; changed 'a' (input: nothing -> \"y\")"),
        (Pipeline([step("a", version="2"), STOP]), "'a' is another step now; changed 'a' (version: nothing -> \"2\")"),
        (Pipeline([loop("l", A), STOP]), "'a' is no step any more; removed 'a'; added 'l'"),
    ],
    ids=["removed", "renamed", "other code", "other input", "other version", "moved into a loop"],
)
async def test_a_recorded_step_that_is_gone_or_another_is_refused(after, why):
    error = await refused(Pipeline([A, STOP]), after)

    assert error.message.startswith(f"what run 'r' has recorded does not fit pipeline 'pipeline': {why}")
    assert "allow_changed" not in error.suggestion


async def test_a_question_whose_schema_changed_is_refused():
    class Verdict(BaseModel):
        ok: bool

    error = await refused(A >> human("ask", "?"), A >> human("ask", "?", schema=Verdict))

    assert "'ask' is another step now; changed 'ask' (input_schema: nothing -> " in error.message


async def test_a_schema_that_differs_in_one_place_is_told_by_it_and_what_is_soft_apart():
    def ask(message: str, *words: str) -> Step[Any, Any]:
        return human("ask", message, schema={"type": "object", "properties": {"decision": {"enum": [*words]}}})

    error = await refused(A >> ask("ok?", "approve"), A >> ask("well?", "approve", "reject"))

    assert error.message.endswith(
        "changed 'ask' (input_schema at $.properties.decision.enum: "
        '["approve"] -> ["approve", "reject"]; at liberty: message: "ok?" -> "well?")'
    )
    many = [A >> human("b", "?", schema={key: {"a": word} for key in "abcde"}) for word in "xy"]
    assert 'input_schema: {"a": {"a": "x"}, ' in told(*many)


async def test_a_type_of_answers_that_has_another_schema_now_needs_leave():
    def typed(**fields: Any) -> Step[Any, Any]:
        model = create_model("Verdict", **fields)
        model.__module__, model.__qualname__ = __name__, "Verdict"
        return A >> human("ask", "?", schema=model)

    backend = await stopped(typed(ok=(bool, ...)))
    after = flujo(typed(ok=(bool, ...), note=(str, "")), backend)

    for answer in ({}, {"answer": {"ok": True}}):
        with pytest.raises(DefinitionChanged) as caught:
            await after.resume("r", **answer)
        assert caught.value.message == (
            "question 'ask' of run 'r' was asked with another schema: it differs at $.properties.note"
        )
        assert "allow_changed=True" in caught.value.suggestion
    assert (await after.resume("r", {"ok": True, "note": "n"}, allow_changed=True)).output.note == "n"


async def test_steps_in_every_place_are_known_by_it():
    def nested(last: Any) -> Step[Any, Any]:
        return Pipeline(
            [
                parallel("p", {"x": [A, B], "y": loop("l", branch("k", on="true", branches={"true": A}), max_loops=2)}),
                map_("m", [A], over=lambda data, context: ["1", "2"]),
                cached("c", [A, B]),
                import_("i", Pipeline([A, step("f", stop, fallback=B)])),
                route("r", step("pick", lambda data: "z"), {"z": A}),
                state_machine(
                    "s",
                    {"one": STOP, "two": [A, B]},
                    start="one",
                    end=["two"],
                    transitions=[("one", "failure", "two")],
                ),
                agentic_loop("g", agent("plan", scripted(COMMANDS)), {"x": STOP, "z": A}),
                Pipeline([A], name="inner", fallback=C),
                branch("d", on="1", branches={"2": B}, default=A),
                step("last", last),
            ]
        )

    backend = await stopped(nested(stop))
    records = await backend.load("r")

    assert misfits(nested(stop), records) == {}
    assert {bare_path(each) for each in records if each.kind is RecordKind.RESULT} == set(
        misfits(Pipeline([step("none")]), records)
    )
    CALLS.clear()
    assert (await flujo(nested(other), backend).resume("r", allow_changed=True)).status == "completed"
    assert CALLS == ["last"]


COMMANDS = [
    {"action": "run_agent", "agent": "x", "input": "1"},
    {"action": "run_agent", "agent": "z", "input": "2"},
    {"action": "finish", "output": "3"},
]


async def test_results_that_a_changed_composite_no_longer_comes_by_end_the_run_as_it_was():
    before = Pipeline([LoopStep("l", body=A, max_loops=3), STOP])
    after = Pipeline([LoopStep("l", body=A, max_loops=2), C])
    backend = await stopped(before)

    with pytest.raises(DefinitionChanged, match=r"the result of 'loop:l\[2\]/a' would not be used any more") as caught:
        await flujo(after, backend).resume("r", allow_changed=True)
    assert caught.value.path == "loop:l[2]/a"

    row = await backend.get("r")
    assert (CALLS, row.status, row.definition) == ([], "interrupted", canonical(before.definition()))


async def test_a_branch_that_is_not_taken_any_more_is_missed_before_another_is():
    def pipeline(on: str, last: Step[Any, Any]) -> Step[Any, Any]:
        return Pipeline([Pipeline([branch("k", on=on, branches={"1": A, "2": B})], name="part"), last])

    backend = await stopped(pipeline("1", STOP))

    with pytest.raises(DefinitionChanged, match="'sub:part/conditional:k/1/a' would not be used"):
        await flujo(pipeline("2", C), backend).resume("r", allow_changed=True)
    assert CALLS == []


async def test_parts_that_failed_fell_back_or_are_in_the_background_owe_nothing():
    def pipeline(last: Step[Any, Any]) -> Step[Any, Any]:
        return Pipeline(
            [
                step("back", config=StepConfig(execution_mode="background")),
                Pipeline([A, STOP], name="part", fallback=B),
                ImportStep("i", pipeline=Pipeline([A, STOP]), on_failure="skip"),
                map_("m", [A, STOP], over=lambda data, context: ["1"], on_error="skip"),
                last,
            ]
        )

    result = await gone_on(pipeline(STOP), pipeline(C))

    assert result.status == "completed"
    assert CALLS == ["c"]


async def test_a_result_of_another_step_is_never_handed_out():
    backend = await stopped(Pipeline([A, STOP]))
    row = await backend.get("r")
    after = Pipeline([step("a", other), STOP])
    backend._runs["r"].new = backend._runs["r"].new._replace(digest=after.fingerprint)  # as if it had been allowed

    with pytest.raises(DefinitionChanged, match="'a' is another step now"):
        await flujo(after, backend).resume("r")
    assert (row.status, CALLS) == ("failed", [])


async def test_a_completed_run_has_nothing_to_go_on_with():
    backend = InMemoryBackend()
    await flujo(Pipeline([A]), backend).run("x", run_id="r")

    with pytest.raises(DefinitionChanged, match="it is completed, and there is nothing to go on with"):
        await flujo(Pipeline([A, B]), backend).resume("r", allow_changed=True)


async def test_an_unchanged_pipeline_needs_no_leave_and_takes_none_amiss():
    backend = await stopped(Pipeline([A, STOP]))

    assert (await flujo(Pipeline([A, STOP]), backend).resume("r", allow_changed=True)).status == "failed"


# Any edit

NAMES = st.sampled_from("abcdef")
LEAVES = st.builds(lambda name, mark: (name, mark), NAMES, st.sampled_from(["", "1", "2"]))
SEQUENCES = st.lists(LEAVES, min_size=1, max_size=5, unique_by=lambda leaf: leaf[0])


def built(leaves: list[tuple[str, str]], wrap: int, last: Step[Any, Any] | None) -> Step[Any, Any]:
    steps = [step(name, params={"mark": mark} if mark else {}) for name, mark in leaves]
    parts: list[Step[Any, Any]] = [*steps[wrap:], *([last] if last else [])]
    if steps[:wrap]:
        parts.insert(0, loop("wrapped", steps[:wrap], max_loops=2))
    return Pipeline(parts)


@given(SEQUENCES, SEQUENCES, st.integers(0, 3), st.integers(0, 3))
async def test_after_any_edit_a_run_has_the_results_it_had_or_is_refused(before, after, wrapped, rewrapped):
    old, new = built(before, wrapped, STOP), built(after, rewrapped, None)
    backend = await stopped(old)
    had = {record.path: record for record in await backend.load("r") if record.kind is RecordKind.RESULT}

    try:
        result = await flujo(new, backend).resume("r", allow_changed=True)
    except DefinitionChanged:
        assert CALLS == []
        assert misfits(new, had.values())
        return

    now = {record.path: record for record in await backend.load("r") if record.kind is RecordKind.RESULT}
    assert result.status == "completed"
    assert had.items() <= now.items()
    assert sorted(CALLS) == sorted(now.keys() - had.keys())
    assert misfits(new, now.values()) == {}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (loop("l", A, max_loops=5), loop("l", A, max_loops=2), "max_loops: 5 -> 2"),
        (map_("m", A), map_("m", A, concurrency=3), "concurrency: 1 -> 3"),
        (step("a"), step("a", effects="external"), 'effects: "none" -> "external"'),
        (step("a"), step("a", config=StepConfig(execution_mode="background")), 'execution_mode: "foreground" -> '),
        (step("a"), step("a", sink_to="scratchpad.a"), 'sink_to: nothing -> "scratchpad.a"'),
    ],
)
def test_a_default_that_was_not_said_is_told_as_what_it_is(before, after, told):
    texts = [canonical(Pipeline([each]).definition()) for each in (before, after)]
    assert told in describe_change(*texts)
