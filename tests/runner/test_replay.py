"""Replays: what they call and write, runs in every state, and what is told when something does not fit."""

import asyncio
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flujo import (
    AgentResult,
    Flujo,
    OpenContext,
    Pipeline,
    PipelineResult,
    Step,
    StepConfig,
    StepResult,
    Usage,
    UsageLimits,
    agent,
    branch,
    cached,
    human,
    loop,
    map_,
    parallel,
    state_machine,
)
from flujo.domain.interfaces import JournalRecord, RecordKind
from flujo.engine.executor_core import ExecutorCore
from flujo.exceptions import PipelineAbortSignal, ReplayMismatchError, RunNotFound, StateUnavailable
from flujo.infra.memory import InMemoryBackend
from flujo.runner.replay_executor import ReplayExecutor
from flujo.testing import DyingBackend, RecordingSink
from flujo_state_sqlite.backend import SqliteBackend

CALLS: list[str] = []
UNWRITABLE = object()


@pytest.fixture(autouse=True)
def calls() -> list[str]:
    CALLS.clear()
    return CALLS


def work(data: Any, *, run: Any) -> str:
    CALLS.append(run.path)
    return f"{data}>{run.path.rpartition('/')[2]}"


def fail(data: Any, *, run: Any) -> Any:
    CALLS.append(run.path)
    raise ValueError("no")


async def wait(data: Any) -> Any:
    await asyncio.sleep(30)


def step(name: str, run: Any = work, **options: Any) -> Step[Any, Any]:
    return Step(name, run, **options)


def flujo(pipeline: Step[Any, Any], backend: Any, **options: Any) -> Flujo[Any, Any, Any]:
    return Flujo(pipeline, state_backend=backend, context_model=OpenContext, **options)


def told(result: PipelineResult[Any, Any]) -> PipelineResult[Any, Any]:
    lines = {name: tuple(map(line, getattr(result, name))) for name in ("step_history", "background")}
    return result._replace(duration_s=0.0, exception=None, **lines)


def line(result: StepResult[Any]) -> StepResult[Any]:
    return result._replace(duration_s=0.0, recalled=False, children=tuple(map(line, result.children)))


async def both(pipeline: Step[Any, Any], data: Any = "x", **options: Any) -> tuple[Any, Any]:
    """What a run comes to and what its replay comes to, which calls nothing."""
    backend = InMemoryBackend()
    async with flujo(pipeline, backend, **options) as runner:
        result = await runner.run(data, run_id="r")
        called = list(CALLS)
        again = await runner.replay(result)
    assert called == CALLS
    return told(result), told(again)


async def test_nothing_is_called_told_or_written_and_no_kept_result_looked_for(tmp_path: Path, calls):
    def valid(output: Any) -> bool:
        CALLS.append("validator")
        return True

    async def ask(data: Any) -> AgentResult[str]:
        CALLS.append("agent")
        return AgentResult(f"{data}!", Usage(calls=1, tokens_in=2))

    pipeline = Pipeline([step("a", validators=[valid]), agent("b", ask), cached("c", step("d", str.upper))])
    state = tmp_path / "runs.db"
    backend = SqliteBackend(state)
    sink = RecordingSink()
    result = await flujo(pipeline, backend).run("x", run_id="r")
    called = list(calls)
    await backend.close()
    before = state.read_bytes()

    async with Flujo(pipeline, state_uri=f"sqlite:///{state}", context_model=OpenContext, sinks=[sink]) as runner:
        again = await runner.replay("r")

    assert (called, calls, sink.events) == (["a", "validator", "agent"], called, [])
    assert state.read_bytes() == before
    assert told(again) == told(result)
    assert [each.recalled for each in again.step_history] == [True, True, True]


@pytest.mark.parametrize(
    "pipeline",
    [
        step("a") >> step("b", fail),
        Pipeline([step("b", fail, fallback=step("f"), config=StepConfig(max_retries=1))]),
        Pipeline([step("b", fail, fallback=step("f", fail))]),
        Pipeline([step("b", fail)], name="p", config=StepConfig(max_retries=2)),
        Pipeline([Pipeline([step("a"), step("b", fail)], name="p", fallback=step("f"))]),
        Pipeline([cached("c", [step("a"), step("b", fail)], fallback=step("f"))]),
        Pipeline([parallel("p", {"a": [step("s", fail)], "b": [step("t"), step("u", wait)]})]),
        Pipeline([map_("m", step("s", fail), over=lambda data, context: [1, 2], on_error="collect")]),
        Pipeline([Pipeline([step("a"), step("b", wait)], name="p", config=StepConfig(timeout_s=0.05))]),
        Pipeline([step("a"), human("h", "what?"), step("b")]),
        Pipeline([loop("l", step("a"), until="False", max_loops=2)]),
        Pipeline([step("a", input="{{ context.nothing }}", fallback=step("f"))]),
    ],
    ids=lambda pipeline: "-".join(each.name for each in pipeline.steps),
)
async def test_runs_that_fail_pause_and_take_another_way_are_replayed_as_they_went(pipeline):
    result, again = await both(pipeline)
    assert again == result


async def test_a_run_that_its_budget_stopped_and_one_that_a_step_has_ended(calls):
    def leave(data: Any) -> Any:
        raise PipelineAbortSignal("enough")

    async def ask(data: Any) -> AgentResult[str]:
        return AgentResult("y", Usage(calls=1))

    limits = UsageLimits(max_calls=1)
    result, again = await both(agent("a", ask) >> agent("b", ask), usage_limits=limits)
    assert again == result
    assert (again.status, again.error.type) == ("stopped: budget", "UsageLimitExceededError")

    race = parallel("p", {"a": step("s", leave), "b": step("t", fail)})
    for pipeline in (step("a") >> step("b", leave), Pipeline([race])):
        result, again = await both(pipeline)
        assert (again, again.status) == (result, "cancelled")


async def test_a_run_that_was_cancelled_while_it_was_at_work():
    begun = asyncio.Event()

    async def linger(data: Any) -> None:
        begun.set()
        await wait(data)

    async with flujo(step("a") >> step("b", linger), InMemoryBackend()) as runner:
        running = asyncio.ensure_future(runner.run("x", run_id="r"))
        await begun.wait()
        half = await runner.replay("r")
        await runner.cancel("r")
        result = await running
        assert told(await runner.replay("r")) == told(result)
    assert (half.status, half.output, [each.path for each in half.step_history]) == ("running", None, ["a", "b"])


async def test_a_run_that_was_cancelled_while_it_waited(calls):
    backend = InMemoryBackend()
    async with flujo(step("a") >> human("h", "what?"), backend) as runner:
        await runner.run("x", run_id="r")
        await runner.cancel("r")
        again = await runner.replay("r")
    assert (again.status, again.error.message, again.pending) == ("cancelled", "the run was cancelled", ())


async def test_a_run_whose_process_died_is_told_as_far_as_it_came():
    backend = InMemoryBackend()
    dying = DyingBackend(backend, die_after=1, die=lambda: None)
    with pytest.raises(StateUnavailable):
        await flujo(step("a") >> step("b"), dying).run("x", run_id="r")
    half = await flujo(step("a") >> step("b"), backend).replay("r")
    assert [(each.path, each.success) for each in half.step_history] == [("a", True), ("b", False)]
    assert half.step_history[1].error.message == "the run was cancelled"


async def test_an_answer_that_was_not_used_yet_leaves_the_run_waiting():
    async with flujo(human("h", "what?") >> step("b"), InMemoryBackend()) as runner:
        result = await runner.run("x", run_id="r")
        await runner.answer(result, "yes")
        again = await runner.replay("r")
    assert (again.status, again.step_history[0].paused) == ("paused", True)


async def test_an_output_that_could_not_be_written_has_failed_the_run_here_too():
    result, again = await both(Pipeline([map_("m", step("a"), over=lambda data, context: [1], finalize=None)]))
    assert (again, again.status) == (result, "completed")
    whole = Pipeline([loop("l", step("a"), max_loops=1, loop_output_mapper=lambda output, context: UNWRITABLE)])
    result, again = await both(whole)
    assert (again, again.status, again.error.type) == (result, "failed", "ValueNotStorable")


async def test_what_a_machine_went_on_from_is_told_again_and_its_question_not_answered():
    leads = [("a", "pause", "b"), ("b", "success", "end")]
    states = {"a": human("h", "what?"), "b": step("b"), "end": ()}
    machine = state_machine("m", states, start="a", end=["end"], transitions=leads)
    result, again = await both(Pipeline([machine]))
    assert (again, again.status) == (result, "completed")


async def test_background_steps_that_the_end_has_cancelled_are_cancelled_again():
    aside = Pipeline([step("a"), step("b", wait)], name="aside", config=StepConfig(execution_mode="background"))
    result, again = await both(aside >> step("c"), on_background="cancel")
    assert (again, again.status) == (result, "completed")


async def replayed(before: Step[Any, Any], now: Step[Any, Any], data: Any = "x") -> ReplayMismatchError:
    """The error of a run with one pipeline that is replayed with another."""
    backend = InMemoryBackend()
    await flujo(before, backend).run(data, run_id="r")
    with pytest.raises(ReplayMismatchError) as caught:
        await flujo(now, backend).replay("r")
    return caught.value


A, B, C = (step(name) for name in "abc")


@pytest.mark.parametrize(
    ("before", "now", "path", "says"),
    [
        (A >> B, A >> C, "b", "'b' is no step any more; the pipeline has changed: removed 'b'; added 'c'"),
        (A >> B, A >> step("b", version="2"), "b", "'b' is another step now; the pipeline has changed: changed 'b'"),
        (A >> B, A >> B >> C, "c", "'c' has no result; the pipeline has changed: added 'c'"),
        (
            Pipeline([loop("l", A, max_loops=2)]),
            Pipeline([loop("l", A, max_loops=1)]),
            "loop:l[1]/a",
            "the result of 'loop:l[1]/a' is not used; the pipeline has changed: changed 'l' (max_loops: 2 -> 1)",
        ),
        (
            Pipeline([branch("c", on=lambda data, context: True, branches={True: A, False: B})]),
            Pipeline([branch("c", on=lambda data, context: False, branches={True: A, False: B})]),
            "conditional:c/false/b",
            "'conditional:c/false/b' has no result",
        ),
        (
            Pipeline([map_("m", A, over=lambda data, context: [1, 2])]),
            Pipeline([map_("m", A, over=lambda data, context: [1, 3])]),
            "",
            "item 1 of 'map:m' is not the one it was",
        ),
        (
            Pipeline([loop("l", A, max_loops=1, loop_output_mapper=lambda output, context: 1)]),
            Pipeline([loop("l", A, max_loops=1, loop_output_mapper=lambda output, context: 2)]),
            "",
            "its output is another than the run's",
        ),
        (
            Pipeline([loop("l", A, max_loops=1, loop_output_mapper=lambda output, context: 1)]),
            Pipeline([loop("l", A, max_loops=1, loop_output_mapper=lambda output, context: 1 // 0)]),
            "loop:l",
            "it comes to 'failed' (ZeroDivisionError at 'loop:l'",
        ),
    ],
    ids=["gone", "changed", "new", "shorter", "another way", "another item", "another output", "another end"],
)
async def test_what_does_not_fit_is_an_error_that_says_where(before, now, path, says):
    error = await replayed(before, now)
    assert error.path == path
    assert f"run 'r' can't be replayed: {says}" in str(error)
    assert error.suggestion.startswith("put the pipeline back")


async def test_a_run_that_isnt_there_can_not_be_replayed():
    with pytest.raises(RunNotFound):
        await flujo(A, InMemoryBackend()).replay("r")


async def test_a_replay_deletes_no_run_that_is_forgotten_on_completion():
    backend = InMemoryBackend()
    await flujo(A, backend).run("x", run_id="r")
    async with flujo(A, backend, delete_on_completion=True) as runner:
        assert (await runner.replay("r")).output == "x>a"
    assert await backend.get("r") is not None


async def test_a_run_that_began_at_a_step_of_another_replays_with_what_was_copied():
    backend = InMemoryBackend()
    async with flujo(A >> B, backend) as runner:
        await runner.run("x", run_id="r")
        result = await runner.rerun_from("r", "b", run_id="s")
        assert told(await runner.replay("s")) == told(result)


async def test_a_fallback_of_before_is_left_out_when_the_step_was_through_after_all():
    state = {"works": False}

    def flaky(data: Any) -> Any:
        if not state["works"]:
            raise ValueError("not yet")
        return data

    pipeline = Pipeline([step("s", flaky, fallback=Pipeline([A, step("f", fail)], name="p"))])
    backend = InMemoryBackend()
    async with flujo(pipeline, backend) as runner:
        assert (await runner.run("x", run_id="r")).status == "failed"
        state["works"] = True
        result = await runner.resume("r")
        again = await runner.replay("r")
    assert (told(again), again.status) == (told(result), "completed")


async def test_a_result_handed_out_again_has_the_parts_that_it_was_made_of(calls):
    pipeline = Pipeline([cached("c", step("d")), step("b", fail, fallback=step("f")), human("h", "what?")])
    async with flujo(pipeline, InMemoryBackend()) as runner:
        first = await runner.run("x", run_id="r")
        second = await runner.resume(first)
    assert [line(each) for each in second.step_history] == [line(each) for each in first.step_history]
    assert [each.children[0].recalled for each in second.step_history[1:2]] == [True]


async def test_parts_that_do_not_come_to_the_result_any_more_are_left_out():
    number = iter([1, 2])
    fallback = Pipeline([loop("l", A, max_loops=1, loop_output_mapper=lambda output, context: next(number))])
    pipeline = Pipeline([step("b", fail, fallback=fallback), human("h", "what?")])
    async with flujo(pipeline, InMemoryBackend()) as runner:
        second = await runner.resume(await runner.run("x"))
    assert (second.step_history[0].output, second.step_history[0].children) == (1, ())


async def test_the_calls_in_a_recalled_cache_count_when_a_run_goes_on():
    seen: list[int] = []

    async def ask(data: Any, *, run: Any) -> str:
        seen.append(run.calls)
        return data

    def one(name: str) -> Step[Any, Any]:
        return agent(name, ask, agent="it")

    pipeline = Pipeline([cached("c", one("a")), step("s", fail, fallback=one("f")), human("h", "?"), one("b")])
    async with flujo(pipeline, InMemoryBackend()) as runner:
        result = await runner.run("x")
        await runner.resume(result, "y")
    assert seen == [0, 1, 2]


async def test_the_attempts_of_a_step_made_of_others_are_counted_across_processes():
    pipeline = Pipeline([Pipeline([step("b", fail)], name="p", config=StepConfig(max_retries=2))])
    backend = InMemoryBackend()
    dying = DyingBackend(backend, die_after=2, die=lambda: None)
    with pytest.raises(StateUnavailable):
        await flujo(pipeline, dying).run("x", run_id="r")
    result = await flujo(pipeline, backend).resume("r", force=True)
    assert (result.step_history[0].attempts, CALLS) == (3, ["sub:p/b"] * 3)


async def test_a_cache_notes_why_no_kept_result_served():
    backend = InMemoryBackend()
    async with flujo(Pipeline([cached("c", step("d", str.upper))]), backend) as runner:
        for number, data in enumerate("xyx"):
            await runner.run(data, run_id=f"r{number}")
    records = [(await backend.load(f"r{number}"))[-1] for number in range(3)]
    assert [each.error and (each.error.type, each.error.message) for each in records] == [
        ("CacheMissed", ""),
        ("CacheMissed", "input"),
        None,
    ]


async def test_a_function_that_asks_twice_waits_with_its_last_question():
    def two(data: Any, *, run: Any) -> list[Any]:
        return [run.ask("first?"), run.ask("second?")]

    async with flujo(step("t", two), InMemoryBackend()) as runner:
        result = await runner.run("x", run_id="r")
        while result.pending:
            again = await runner.replay("r")
            assert (told(again), again.pending) == (told(result), result.pending)
            result = await runner.resume(result, "yes", token=result.pending[0].token)
        assert (await runner.replay("r")).output == ["yes", "yes"]


async def test_a_branch_that_had_just_ended_when_it_was_cancelled_has_its_line():
    backend = InMemoryBackend()
    race = Pipeline([parallel("p", {"a": step("s", fail), "b": step("t")})])
    result = await flujo(race, backend).run("x", run_id="r")
    late = (await flujo(Pipeline([parallel("p", {"b": step("t")})]), backend).run("x", run_id="s")).run_id
    claim = await backend.claim("r")
    await backend.append(claim, (await backend.load(late))[0])
    await backend.finish(claim, result.status, error=result.error, at=0.0)

    again = await flujo(race, backend).replay("r")

    assert [(each.path, each.success) for each in again.step_history[0].children[1].children] == [
        ("parallel:p/b/t", True)
    ]
    assert again.step_history[0].children[1].error.message == "cancelled because branch 'a' failed"


def branches(*, fails: str, aside: bool) -> dict[str, Any]:
    """A branch whose failing step keeps a record, and one of a step that fails by itself and keeps none."""
    note = step("note", config=StepConfig(execution_mode="background" if aside else "foreground"))
    no_list = map_("m", step("item"), over=lambda data, context: 5)
    alone = no_list if fails == "map" else branch("m", on="'other'", branches={"one": step("one")})
    return {"a": [note, step("t", fail)], "b": [alone]}


@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
@pytest.mark.parametrize("aside", [False, True], ids=["", "aside"])
@pytest.mark.parametrize("fails", ["map", "branch"])
@pytest.mark.parametrize("on_file", [False, True], ids=["memory", "file"])
async def test_of_two_branches_that_fail_the_one_that_ended_the_run_ends_the_replay(
    tmp_path, on_file, fails, aside, turned
):
    both = branches(fails=fails, aside=aside)
    named = dict(reversed(both.items())) if turned else both
    plain = {"a": [step("t", fail)], "b": both["b"]}
    for each in (named, plain):
        uri = f"sqlite:///{tmp_path}/{len(each['a'])}.db" if on_file else "memory:"
        async with Flujo(parallel("p", each), state_uri=uri, context_model=OpenContext) as engine:
            result = await engine.run("x", run_id="r")
            again = await engine.replay("r")
        assert (again.status, again.error) == (result.status, result.error)


async def test_a_failure_that_a_fallback_took_over_from_is_the_one_that_it_is_recorded_for(tmp_path):
    race = parallel("p", {"a": step("t", fail), "b": branches(fails="branch", aside=False)["b"]})
    safe = Pipeline([race], name="safe", fallback=step("f"))
    async with Flujo(safe, state_uri=f"sqlite:///{tmp_path}/state.db", context_model=OpenContext) as engine:
        result = await engine.run("x", run_id="r")
        assert told(await engine.replay("r")).output == result.output


def failed_with(path: str, lines: Sequence[StepResult[Any]]) -> str:
    """The message of the first line of a step at a path that ends so."""
    messages = [each.error.message for each in lines if each.error and each.path.endswith(path)]
    return messages[0] if messages else next(filter(None, (failed_with(path, each.children) for each in lines)), "")


def overtaken() -> dict[str, Any]:
    """Branches of which one fails first, and has not come to its end when the other fails."""
    begun, failed, never = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def sooner(data: Any) -> None:
        await begun.wait()
        raise ValueError("no")

    async def linger(data: Any) -> None:
        try:
            begun.set()
            await never.wait()
        finally:
            failed.set()
            await never.wait()

    async def overtake(data: Any) -> None:
        await failed.wait()

    def last(data: Any) -> None:
        raise ValueError("later")

    return {
        "a": parallel("q", {"s": step("s", sooner), "t": step("t", linger)}),
        "b": [step("u", overtake), *(parallel(f"n{at}", {"x": step("v")}) for at in range(9)), step("w", last)],
    }


@pytest.mark.parametrize("around", ["run", "root", "fallback", "machine"])
@pytest.mark.parametrize("on_file", [False, True], ids=["memory", "file"])
async def test_a_failure_that_was_overtaken_by_another_is_overtaken_again(tmp_path, on_file, around):
    race: Step[Any, Any] = parallel("p", overtaken())
    safe: Step[Any, Any] = Pipeline([race], name="safe", fallback=step("f"))
    leads = [("a", "failure", "b")]
    machine = state_machine("m", {"a": race, "b": step("f")}, start="a", end=["b"], transitions=leads)
    pipeline = {"run": race, "root": safe, "fallback": Pipeline([safe]), "machine": machine}[around]
    uri = f"sqlite:///{tmp_path}/state.db" if on_file else "memory:"
    async with Flujo(pipeline, state_uri=uri, context_model=OpenContext) as engine:
        result = await engine.run("x", run_id="r")
        again = await engine.replay("r")
    assert failed_with("parallel:p", result.step_history) == "later"
    assert failed_with("parallel:p", again.step_history) == "later"
    assert again._replace(step_history=(), duration_s=0.0, exception=None) == result._replace(
        step_history=(), duration_s=0.0, exception=None
    )


async def test_a_background_step_is_not_missed_whose_branch_was_cancelled_before_it():
    note = step("note", config=StepConfig(execution_mode="background"))
    failing = step("t", fail, fallback=step("f", fail))

    result, again = await both(parallel("p", {"a": failing, "c": [note, step("u")]}))

    assert (again.error, again.background) == (result.error, ())


def no_list(name: str = "m", **options: Any) -> Step[Any, Any]:
    return map_(name, A, over=lambda data, context: data, **options)


async def test_a_step_made_of_others_has_a_record_of_a_failure_of_its_own_only():
    backend = InMemoryBackend()
    async with flujo(Pipeline([Pipeline([no_list()], name="p")]), backend) as runner:
        assert (await runner.run("x", run_id="r")).status == "failed"
        assert (await runner.resume("r")).status == "failed"
    records = [(each.path, each.kind, each.attempt) for each in await backend.load("r")]

    assert records == [(f"sub:p/map:m#a{number}", RecordKind.FAILED, 1) for number in (1, 2)]


@pytest.mark.parametrize("own", [no_list(), no_list(fallback=no_list("f")), no_list(config=StepConfig(max_retries=1))])
@pytest.mark.parametrize("failing", [fail, None])
async def test_a_failure_of_a_step_made_of_others_comes_when_it_did(own, failing):
    result, again = await both(parallel("p", {"a": own, "b": [B, step("c", failing or work)]}))

    assert (again.status, again.error) == (result.status, result.error)
    assert again.step_history[0].children[0] == result.step_history[0].children[0]


async def test_a_failure_of_a_step_made_of_others_of_which_an_older_run_has_no_record_is_told_by_the_run_s():
    class Older(InMemoryBackend):
        async def load(self, run_id: str, /) -> Sequence[JournalRecord]:
            return [each for each in await super().load(run_id) if not each.path.endswith("/map:m#a1")]

    async with flujo(parallel("p", {"a": [A, no_list()], "b": [B, step("c", fail)]}), Older()) as runner:
        result = await runner.run("x", run_id="r")
        again = await runner.replay("r")

    assert (again.status, again.error) == (result.status, result.error)


async def test_a_step_made_of_others_whose_output_has_no_place_fails_again_when_it_did():
    nowhere = Pipeline([A], name="n", updates_context=True)
    result, again = await both(parallel("q", {"a": [nowhere], "b": B}, on_branch_failure="ignore"))

    assert again == result
    assert [each.success for each in result.step_history[0].children] == [False, True]


def test_a_replay_changes_the_executor_only_where_that_says_so():
    changed = {name for name in vars(ReplayExecutor) if name in vars(ExecutorCore) and not name.startswith("__")}
    assert changed == set(re.findall(r"`(_\w+)`", ExecutorCore.__doc__))


async def test_a_replay_can_be_cancelled_as_anything_else():
    async with flujo(step("a") >> step("b"), InMemoryBackend()) as runner:
        await runner.run("x", run_id="r")
        replaying = asyncio.ensure_future(runner.replay("r"))
        await asyncio.sleep(0)
        replaying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replaying


async def test_a_fallback_that_was_about_to_begin_has_no_end_yet():
    backend = InMemoryBackend()
    pipeline = Pipeline([Pipeline([step("b", fail)], name="p", fallback=step("f"))])
    dying = DyingBackend(backend, die_after=1, die=lambda: None)
    with pytest.raises(StateUnavailable):
        await flujo(pipeline, dying).run("x", run_id="r")
    half = await flujo(pipeline, backend).replay("r")
    assert (half.status, half.step_history[0].error.message) == ("running", "the run was cancelled")


async def test_conditions_mappers_items_and_validators_may_take_their_time(tmp_path: Path):
    async def slowly(output: Any, context: Any = None) -> Any:
        await asyncio.sleep(0.2)
        return output

    async def ends(output: Any, context: Any) -> bool:
        await asyncio.sleep(0.2)
        return True

    async def items(data: Any, context: Any) -> list[str]:
        await asyncio.sleep(0.2)
        return ["x", "y"]

    async def valid(output: Any) -> bool:
        await asyncio.sleep(0.2)
        return True

    ways: list[Step[Any, Any]] = [
        loop("l", A, until=ends),
        loop("l", A, max_loops=1, loop_output_mapper=slowly),
        map_("m", A, over=items),
        Pipeline([A], name="p", validators=[valid]),
    ]
    for way in ways:
        fails = parallel("both", {"a": [way, step("bad", fail)], "b": step("slow", wait)})
        goes_on = parallel("both", {"a": way, "b": [B, C]})
        for pipeline in (Pipeline([fails]), Pipeline([goes_on])):
            result, again = await both(pipeline)
            assert again == result


async def test_a_failure_deep_in_others_still_cancels_what_is_beside_it():
    deep: Step[Any, Any] = step("bad", fail)
    for number in range(60):
        deep = parallel(f"p{number}", {"a": deep, "b": step(f"slow{number}", wait)})
    result, again = await both(Pipeline([deep]))
    assert again == result


async def test_no_parts_are_told_where_the_context_can_not_be_copied_or_items_are_others():
    lists = iter([[1], [2]])
    over = map_("m", A, over=lambda data, context: next(lists))
    pipeline = Pipeline([step("b", fail, fallback=Pipeline([over], name="f")), human("h", "what?")])
    async with flujo(pipeline, InMemoryBackend()) as runner:
        second = await runner.resume(await runner.run("x"))
    assert (second.status, second.step_history[0].children) == ("paused", ())

    pipeline = Pipeline([step("b", fail, fallback=step("f")), step("c", fail)])
    locked = {"lock": threading.Lock()}
    async with flujo(pipeline, InMemoryBackend(encodes=False), initial_context_data=locked) as runner:
        second = await runner.resume(await runner.run("x"))
    assert (second.error.path, second.step_history[0].children) == ("c", ())
