"""Random pipelines of all kinds, with all that can happen to them, replayed from their records."""

import asyncio
from decimal import Decimal
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flujo import Flujo, OpenContext, PipelineResult, Price, Step, StepConfig, StepResult, Usage, UsageLimits, human
from flujo.domain.lives import is_abort
from flujo.engine.frame import Pulse
from flujo.exceptions import PipelineAbortSignal, StateUnavailable
from flujo.infra.memory import InMemoryBackend
from flujo.testing import DyingBackend
from flujo_state_sqlite.backend import SqliteBackend

ANSWER = 4
CANCELLED = "cancelled because"
#: The kinds whose parts run side by side: the maps of these programs take two items at a time.
SIDE_BY_SIDE = ("parallel", "dynamic_router", "switch", "map")
#: A token costs a dollar.
PRICES = {"*": Price(1_000_000, 1_000_000)}
#: Soon used up: by the number of calls, of tokens, and of dollars.
LIMITS = [
    *(UsageLimits(max_calls=number) for number in (1, 2, 4)),
    *(UsageLimits(total_tokens_limit=number) for number in (1, 5, 9, 14)),
    *(UsageLimits(total_cost_usd_limit=Decimal(number)) for number in (1, 5, 14)),
]
SETTINGS: Any = {"context_model": OpenContext, "initial_context_data": {"p": 0, "q": 0}}


def told(result: PipelineResult[Any, Any]) -> PipelineResult[Any, Any]:
    """The result without how long it took, and what was recalled.

    Where a branch can have been cancelled it is without usage too, and where a fallback took over from what can have
    had one: no record says how much a branch did before it heard of it.
    """
    compared = {name: tuple(map(line, getattr(result, name))) for name in ("step_history", "background")}
    compared["background"] = tuple(sorted(compared["background"], key=attrgetter("path")))  # they begin when they can
    asked = tuple(sorted(result.pending, key=attrgetter("path")))  # side by side, in any order
    result = result._replace(duration_s=0.0, exception=None, pending=asked, **compared)
    return unpriced(result) if any(map(may_have_cancelled, lines(result))) else result


def unpriced(result: PipelineResult[Any, Any]) -> PipelineResult[Any, Any]:
    """The result without usage."""
    history, background = (tuple(map(without_usage, each)) for each in (result.step_history, result.background))
    return result._replace(usage=Usage(), step_history=history, background=background)


def alike(*results: PipelineResult[Any, Any]) -> Any:
    """The results, all without usage where one is: of a run that went on, a replay tells also what was before."""
    return (
        map(unpriced, results) if any(may_have_cancelled(each) for one in results for each in lines(one)) else results
    )


def may_have_cancelled(result: StepResult[Any]) -> bool:
    """Whether branches can have been cancelled in the step, or the step as one of them."""
    error = result.error
    return bool(result.fallback or (error and (result.kind in SIDE_BY_SIDE or error.message.startswith(CANCELLED))))


def without_usage(result: StepResult[Any]) -> StepResult[Any]:
    """The line, and those under it, without what they have used."""
    return result._replace(usage=Usage(), children=tuple(map(without_usage, result.children)))


def line(result: StepResult[Any]) -> StepResult[Any]:
    """A line to be compared. Of branches side by side no record says how far a failure let the others come."""
    children = () if result.kind in SIDE_BY_SIDE and not result.success else tuple(map(line, result.children))
    if result.error is not None and result.error.message.startswith(CANCELLED):
        done = tuple(each for each in children if each.success)
        return StepResult("", False, path=result.path, children=done)
    return result._replace(duration_s=0.0, recalled=False, children=children)


def lines(result: PipelineResult[Any, Any]) -> list[StepResult[Any]]:
    """Every line by itself, which shows where two results differ."""
    todo, found = [*result.step_history, *result.background], []
    while todo:
        each = todo.pop(0)
        found.append(each._replace(children=()))
        todo = [*each.children, *todo]
    return found


def is_told(mine: StepResult[Any], others: tuple[StepResult[Any], ...]) -> bool:
    """Whether a line of a resumed run is one of the replay's, which also tells of what was before.

    A branch that was cancelled when the run went on can have been through before.
    """
    if not mine.name:
        return True
    other = next((each for each in others if each.path == mine.path), None)
    if other is None or mine._replace(children=()) != other._replace(children=()):
        return False
    return all(is_told(each, other.children) for each in mine.children)


async def steps(backend: Any) -> list[Any]:
    return [await backend.get("r"), await backend.load("r")]


async def replayed(flujo: Flujo[Any, Any, Any], backend: Any) -> PipelineResult[Any, Any]:
    """The replay of the run, which writes nothing."""
    before = await steps(backend)
    result = await flujo.replay("r")
    assert await steps(backend) == before
    return told(result)


async def lives(
    pipeline: Any, data: int, *, encodes: bool = False, limits: UsageLimits | None, backend: Any = None
) -> None:
    """Run the pipeline, answer what it asks, and replay it every time it has come to a stop."""
    backend = backend or InMemoryBackend(encodes=encodes)
    async with Flujo(pipeline, state_backend=backend, usage_limits=limits, prices=PRICES, **SETTINGS) as flujo:
        result = await flujo.run(data, run_id="r")
        again = await replayed(flujo, backend)
        assert lines(again) == lines(told(result))
        assert again == told(result)
        while result.pending:
            result = await flujo.resume(result, ANSWER, token=result.pending[0].token)
            again, mine = alike(await replayed(flujo, backend), told(result))
            kept = {"step_history": (), "background": ()}
            assert again._replace(**kept) == mine._replace(**kept)
            assert all(is_told(each, again.step_history) for each in mine.step_history), (mine, again)
            assert all(is_told(each, again.background) for each in mine.background), (mine, again)


@pytest.mark.parametrize(
    ("strict", "encodes", "limits"), [("0", False, None), ("1", True, UsageLimits(max_calls=10_000))]
)
@given(draw=st.data(), data=st.integers(-1, 4))
def test_a_replay_comes_to_what_the_run_came_to(programs, strict, encodes, limits, draw, data):
    program = draw.draw(programs.rough_programs())
    assume(not programs.reaches_out(program))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLUJO_STRICT_CONTEXT", strict)
        patch.setattr(Pulse, "interval_s", 1e9)  # the order of things must not depend on how busy the machine is
        asyncio.run(lives(programs.pipeline(program), data, encodes=encodes, limits=limits))


@settings(max_examples=10)
@given(draw=st.data(), data=st.integers(-1, 4))
def test_a_replay_of_a_state_file_comes_to_what_the_run_came_to(programs, tmp_path_factory, draw, data):
    program = draw.draw(programs.rough_programs())
    # How far a cancelled branch comes depends on how long a file takes; background steps that it began may be left out.
    assume(not programs.reaches_out(program) and "'aside'" not in repr(program))

    async def on_file() -> None:
        backend = SqliteBackend(tmp_path_factory.mktemp("state") / "state.db")
        try:
            await lives(programs.pipeline(program), data, limits=None, backend=backend)
        finally:
            await backend.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pulse, "interval_s", 1e9)
        asyncio.run(on_file())


@pytest.mark.parametrize(
    "program",
    [
        ("again", ("heal", ("ask",))),
        ("again", ("heal", ("seq", [("agent", 1), ("fail", 1)]))),
        ("again", ("again", ("heal", ("fail", 1)))),
        ("again", ("plan", ("fail", 1))),
        ("again", ("safe", ("fail", 2))),
        ("again", ("safe", ("seq", [("agent", 1), ("fail", 1)]))),
        ("again", ("seq", [("safe", ("seq", [("heal", ("fail", 1)), ("fail", 1)]))])),
        ("heal", ("again", ("heal", ("agent", 1)))),
    ],
    ids=repr,
)
async def test_a_replay_has_no_line_of_what_a_new_attempt_of_the_whole_went_on_from(programs, program):
    await lives(programs.pipeline(program), 1, limits=None)


@pytest.mark.parametrize("limits", [None, UsageLimits(max_calls=10_000)], ids=["free", "limited"])
@pytest.mark.parametrize(
    "beside",
    [
        ("gather", [("ask",), ("again", ("add", 0))], "ignore"),
        ("gather", [("ask",), ("seq", [("add", 1), ("agent", 1), ("agent", 2)])], "ignore"),
        ("seq", [("add", 1), ("add", 1), ("agent", 1)]),
    ],
)
@pytest.mark.parametrize("failing", [("fail", 1), ("loop", 1, ("fail", 1))])
async def test_what_a_branch_did_before_it_heard_that_it_was_cancelled_may_be_left_out(
    programs, beside, failing, limits
):
    program = ("fan", [beside, failing], "overwrite")

    await lives(programs.pipeline(program), 0, encodes=False, limits=limits)


async def test_a_branch_that_was_cancelled_when_its_fallback_was_through_is_cancelled_again(programs):
    failing = ("rescue", ("fan", [("fail", 1), ("add", 0)], "overwrite"))
    program = ("fan", [failing, ("rescue", ("route", ("add", 0), ("add", 0)))], "overwrite")

    await lives(programs.pipeline(program), 0, limits=None)


NO_LISTS = [("no-list",), ("no-list",), ("ask",)]


@pytest.mark.parametrize(
    ("program", "data"),
    [
        # A step ended the run beside one that failed, and nothing went on from that failure.
        (("heal", ("fan", [("stop", 1), ("no-branch",), ("ask",)], "keep_first")), 0),
        (("safe", ("fan", [("stop", 1), ("no-branch",), ("ask",)], "keep_first")), 0),
        (
            (
                "race",
                [("fan", [("stop", 1), ("stop", 1)], "keep_first"), ("map", ("loop", 2, ("no-branch",)), "no_merge")],
            ),
            1,
        ),
        # The failure came first at which the run failed, whatever else was under way.
        (
            (
                "race",
                [
                    ("fan", [("slow", 3), ("add", 3), ("stop", 2)], "keep_first"),
                    ("map", ("loop", 2, ("no-branch",)), "no_merge"),
                ],
            ),
            1,
        ),
        (
            (
                "route",
                ("map", ("race", [("flaky", 2), ("no-list",)]), "keep_first"),
                ("fan", [("agent", 2), ("slow", 3), ("no-names",)], "keep_first"),
            ),
            4,
        ),
        # The step ended the run in a fallback, which what it took over from is not around.
        (("rescue", ("fan", [("stop", 2), ("fail", 3)], "overwrite")), 1),
        (("skip", ("rescue", ("race", [("slow", 2), ("stop", 2), ("flaky", 3)]))), 2),
        (("import", ("heal", ("rescue", ("loop", 3, ("fan", [("stop", 2), ("no-branch",)], "overwrite"))))), 3),
        # Others had begun, or ended, between the step that ended the run and the run's end.
        (("skip", ("route", ("flaky", 3), ("stop", 3))), 4),
        (("skip", ("import", ("rescue", ("again", ("map", ("if", ("stop", 1), ("add", -2)), "overwrite"))))), 1),
        # What stands in a background step is not tried again with what is around that.
        (("again", ("skip", ("plan", ("aside", ("aside", ("heal", ("plan", ("no-list",)))))))), 2),
        # The same branch failed in each of the run's lives, and the one beside it never came to that.
        (("fan", [("loop", 1, ("race", NO_LISTS)), ("map", ("skip", ("ask",)), "keep_first")], "overwrite"), 0),
    ],
    ids=repr,
)
async def test_what_came_first_of_two_side_by_side_shows_by_what_became_of_the_run(programs, program, data):
    await lives(programs.pipeline(program), data, limits=None)


@pytest.mark.parametrize("around", ["cache", "rescue"])
async def test_what_a_recorded_step_has_put_into_the_background_counts_once(programs, around):
    work = ("aside", ("seq", [("agent", 1), (around, ("agent", 2))]))
    program = ("seq", [(around, work), ("ask",)])

    await lives(programs.pipeline(program), 1, limits=None)


async def test_a_step_made_of_others_that_was_cancelled_between_two_attempts_is_cancelled_again(programs):
    noted = ("map", ("note", "q"), "overwrite")
    branches = [
        ("map", ("race", [("no-list",), ("note", "q")]), "keep_first"),
        ("again", noted),
        ("fan", [noted], "overwrite"),
    ]

    await lives(programs.pipeline(("race", branches)), 1, limits=None)


@pytest.mark.parametrize("after", [("agent", 1), ("add", 1), ("fan", [("agent", 1), ("add", 1)], "overwrite")])
@pytest.mark.parametrize("limits", LIMITS, ids=str)
async def test_a_replay_has_no_line_of_a_step_that_the_budget_did_not_let_begin(programs, limits, after):
    program = ("seq", [("agent", 1), ("agent", 2), after])

    await lives(programs.pipeline(program), 1, encodes=False, limits=limits)


@given(draw=st.data(), data=st.integers(-1, 4), limits=st.sampled_from(LIMITS))
def test_a_replay_stops_where_the_budget_stopped_the_run(programs, draw, data, limits):
    program = draw.draw(programs.spending_programs())
    assume(not programs.reaches_out(program))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pulse, "interval_s", 1e9)
        asyncio.run(lives(programs.pipeline(program), data, encodes=True, limits=limits))


async def broken_off(pipeline: Any, data: int, records: int) -> tuple[Any, Any, Any]:
    """What the undisturbed run comes to, the replay of one that died after so many records, and of it resumed."""
    async with Flujo(pipeline, **SETTINGS) as flujo:
        undisturbed = await flujo.run(data, run_id="r")
    backend = InMemoryBackend()
    dying = DyingBackend(backend, die_after=records, die=lambda: None)
    try:
        async with Flujo(pipeline, state_backend=dying, **SETTINGS) as flujo:
            await flujo.run(data, run_id="r")
    except StateUnavailable:
        pass
    async with Flujo(pipeline, state_backend=backend, **SETTINGS) as flujo:
        half = await flujo.replay("r")
        resumed, row = await flujo.resume("r", force=True), await backend.get("r")
        assert row is not None
        assert resumed.usage == row.usage
        return told(undisturbed), half, await replayed(flujo, backend)


@pytest.mark.parametrize(
    "program",
    [
        ("heal", ("seq", [("agent", 1), ("fail", 1)])),
        ("heal", ("gather", [("agent", 1), ("fail", 1)], "ignore")),
        ("safe", ("seq", [("agent", 1), ("fail", 1)])),
        ("again", ("seq", [("agent", 1), ("safe", ("fail", 2))])),
        ("seq", [("plan", ("seq", [("agent", 1), ("fail", 1)])), ("agent", 1)]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("records", range(1, 9))
async def test_a_resumed_run_tells_all_that_it_has_used_whatever_it_went_on_from(programs, program, records):
    """The result of a run that died after so many records has the usage of one that nothing happened to."""
    undisturbed, _, again = await broken_off(programs.pipeline(program), 1, records)

    assert again.usage == undisturbed.usage


@given(draw=st.data(), data=st.integers(-1, 4), records=st.integers(1, 6))
def test_a_run_that_died_and_was_resumed_replays_as_one_that_nothing_happened_to(programs, draw, data, records):
    program = draw.draw(programs.programs())
    assume(not programs.reaches_out(program) and "ask" not in repr(program))
    assume("cache" not in repr(program))  # what a crash came between is not kept, so more of it runs later

    undisturbed, half, again = asyncio.run(broken_off(programs.pipeline(program), data, records))

    assert str(half.status) in ("running", "completed")
    assert again == undisturbed


async def test_a_run_is_replayed_where_a_background_step_gave_up_while_it_waits_and_once_it_went_on():
    def give_up(_: Any) -> None:
        raise PipelineAbortSignal("enough")

    aside = Step("aside", give_up, config=StepConfig(execution_mode="background"))
    async with Flujo(aside >> human("ask", "go on?")) as flujo:
        paused = await flujo.run("x", run_id="r")
        assert told(await flujo.replay("r")) == told(paused)
        ended = await flujo.resume(paused, "yes")
        assert told(await flujo.replay("r")) == told(ended)


async def test_a_run_of_before_aborts_had_records_is_replayed_too(programs):
    class Older(InMemoryBackend):
        async def append(self, claim: Any, record: Any) -> None:
            if not is_abort(record):
                await super().append(claim, record)

    for program in [
        ("fan", [("stop", 1), ("no-branch",), ("slow", 3)], "keep_first"),
        ("seq", [("add", 1), ("stop", 1)]),
    ]:
        await lives(programs.pipeline(program), 1, limits=None, backend=Older())
