"""A run told from its record: what each step took and used, and what it came to, whatever became of the run."""

import asyncio
import json
from decimal import Decimal

import pytest

from flujo import (
    Flujo,
    HumanInTheLoopStep,
    Pipeline,
    Price,
    RunStatus,
    Step,
    StepConfig,
    Transition,
    agent,
    branch,
    cached,
    human,
    import_,
    loop,
    map_,
    parallel,
    scripted,
    state_machine,
)
from flujo.domain.interfaces import JournalRecord, RecordKind
from flujo.domain.kinds import ParallelStep
from flujo.domain.outcomes import ErrorInfo
from flujo.engine.policy import StepPolicy
from flujo.exceptions import RunNotFound, StateStorageFull
from flujo.infra.memory import InMemoryBackend
from flujo.plugins import create_default_registry, create_plugin_manager
from flujo.runner.trace import trace_of
from flujo.testing import FakeClock
from flujo_policies_builtin.branches import run_branches


class Watched:
    """Runs of one pipeline under a clock that its steps move on."""

    def __init__(self, pipeline, **options):
        self.clock, self.backend = FakeClock(), InMemoryBackend()
        self.flujo = Flujo(pipeline, state_backend=self.backend, clock=self.clock, **options)

    async def trace(self, run_id="r"):
        return await self.flujo.trace(run_id)


@pytest.fixture
def takes():
    """Makes a step that works for so many seconds."""
    bench = {}

    def make(name, seconds, then=None, **options):
        async def work(data):
            await bench["clock"].sleep(seconds)
            if isinstance(then, Exception):
                raise then
            return data

        return Step(name, work, **options)

    make.by = bench
    return make


@pytest.fixture
def watched(takes):
    def watch(pipeline, **options):
        made = Watched(pipeline, **options)
        takes.by["clock"] = made.clock
        return made

    return watch


def told(trace, *names):
    return {span.path: tuple(getattr(span, name) for name in names) for span in trace.root.walk()}


async def test_a_tree_by_path_tells_the_kind_of_every_step_and_how_long_it_was_at_work(takes, watched):
    work = watched(takes("a", 1) >> Pipeline([takes("b", 2), takes("c", 3)], name="two") >> takes("d", 4))
    await work.flujo.run("x", run_id="r")
    trace = await work.trace()

    assert told(trace, "kind", "total_s", "own_s") == {
        "": ("pipeline", 10, 0),
        "a": ("step", 1, 1),
        "sub:two": ("pipeline", 5, 0),
        "sub:two/b": ("step", 2, 2),
        "sub:two/c": ("step", 3, 3),
        "d": ("step", 4, 4),
    }
    assert (trace.run_id, trace.status, trace.took_s, trace.waited_s) == ("r", RunStatus.COMPLETED, 10, 0)


async def test_kinds_are_those_of_the_pipeline_however_deep(watched):
    asked = agent("w", scripted(["hi"]), model="openai:gpt-4o")
    both = parallel("both", {"legal": [asked], "other": Step("y")})
    chosen = branch("chosen", on="'yes'", branches={"yes": loop("again", both, max_loops=1)})
    work = watched(map_("each", chosen) >> cached("kept", Step("k")))
    result = await work.flujo.run([1], run_id="r")
    trace = await work.trace()

    assert result.success
    assert {path: kind for path, (kind,) in told(trace, "kind").items()} == {
        "": "pipeline",
        "map:each": "map",
        "map:each[0]": "item",
        "map:each[0]/conditional:chosen": "conditional",
        "map:each[0]/conditional:chosen/yes": "pipeline",
        "map:each[0]/conditional:chosen/yes/loop:again": "loop",
        "map:each[0]/conditional:chosen/yes/loop:again[0]": "iteration",
        "map:each[0]/conditional:chosen/yes/loop:again[0]/parallel:both": "parallel",
        "map:each[0]/conditional:chosen/yes/loop:again[0]/parallel:both/legal": "pipeline",
        "map:each[0]/conditional:chosen/yes/loop:again[0]/parallel:both/legal/w": "agent",
        "map:each[0]/conditional:chosen/yes/loop:again[0]/parallel:both/other": "pipeline",
        "map:each[0]/conditional:chosen/yes/loop:again[0]/parallel:both/other/y": "step",
        "cache:kept": "cache",
        "cache:kept/body": "pipeline",
        "cache:kept/body/k": "step",
    }
    assert [span.model for span in trace.root.walk() if span.model] == ["openai:gpt-4o"]


async def test_usage_counts_what_is_under_a_step_once(watched):
    answers = [{"answer": "a", "tokens_in": 10, "tokens_out": 5}] * 3
    asked = agent("ask", scripted(answers), model="m:x")
    work = watched(map_("each", asked), prices={"m:x": Price("1000000", "1000000")})
    await work.flujo.run(["a", "b", "c"], run_id="r")
    trace = await work.trace()

    root, each = trace.root, trace.root.children[0]
    assert (root.usage.tokens, root.usage.cost_usd, root.own_usage.tokens) == (45, Decimal(45), 0)
    assert [(item.usage.tokens, item.children[0].own_usage.tokens) for item in each.children] == [(15, 15)] * 3


async def test_a_step_made_of_others_is_at_work_from_its_first_part_to_the_end_of_its_last(takes, watched):
    def next_one(output, context, iteration):
        work.clock.advance(5)
        return output

    rounds = loop("again", [takes("x", 1), takes("y", 2)], max_loops=2, iteration_input_mapper=next_one)
    work = watched(rounds >> takes("z", 1))
    await work.flujo.run("x", run_id="r")
    trace = await work.trace()

    assert told(trace, "total_s", "own_s")["loop:again"] == (11, 5)
    assert told(trace, "total_s", "own_s")["loop:again[1]"] == (3, 0)
    assert (trace.root.total_s, trace.root.own_s) == (12, 0)


async def test_neither_waits_nor_pauses_between_attempts_are_work_of_what_is_around_them(takes, watched):
    failing = iter([OSError("no"), None])

    async def flaky(data):
        await work.clock.sleep(1)
        if error := next(failing):
            raise error

    again = StepConfig(max_retries=1, backoff={"initial_s": 10})
    asking = Pipeline([takes("a", 1), human("ask", "Ready?"), takes("b", 1)], name="asking")
    work = watched(asking >> Pipeline([takes("c", 1), Step("flaky", flaky)], name="trying", config=again))
    result = await work.flujo.run("x", run_id="r")
    await work.clock.sleep(100)
    result = await work.flujo.resume(result, "yes")
    rows = told(await work.trace(), "total_s", "own_s")

    assert (result.success, rows["sub:asking"], rows["sub:trying"]) == (True, (2, 0), (3, 0))


async def test_a_background_step_makes_nothing_longer_that_it_was_begun_in(watched):
    steps = [{"kind": "step", "name": "b", "execution_mode": "background"}, {"kind": "step", "name": "c"}]
    part = {"kind": "pipeline", "name": "all", "steps": steps}
    work = watched(Step("a"))
    await work.flujo.run("x", run_id="r")
    definition = json.dumps({"kind": "pipeline", "name": "p", "steps": [part]})
    row = (await work.backend.get("r"))._replace(created_at=0.0, ended_at=60.0, definition=definition)
    records = [
        JournalRecord("sub:all/c", out=b"1", started_at=1.0, ended_at=2.0),
        JournalRecord("sub:all/b", out=b"1", started_at=50.0, ended_at=52.0),
    ]
    trace = trace_of(row, records, 60.0)

    assert [span.path for span in trace.root.walk()] == ["", "sub:all", "sub:all/c", "sub:all/b"]
    assert (trace.root.children[0].total_s, trace.root.children[0].own_s, trace.root.own_s) == (3, 0, 57)


NONE = [map_(name, Step("up", str.upper), over=lambda data, context: []) for name in ("first", "middle", "last")]


async def test_a_step_that_came_to_its_end_without_a_record_is_shown_as_empty(takes, watched):
    first, middle, last = NONE
    part = import_("part", Pipeline([middle, takes("a", 1), last], name="of"))
    work = watched(Pipeline([first, map_("each", [first, takes("b", 1)]), part, last]))
    await work.flujo.run([], run_id="none")
    work = watched(Pipeline([first, loop("again", [first, takes("b", 1)], max_loops=1), part, last]))
    await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "kind", "status", "total_s", "marks")

    empty = ("map", RunStatus.COMPLETED, 0, ("empty",))
    assert {path: row for path, row in rows.items() if "empty" in row[3]} == dict.fromkeys(
        ["map:first", "loop:again[0]/map:first", "import:part/map:middle", "import:part/map:last", "map:last"], empty
    )
    assert list(rows)[:2] == ["", "map:first"]
    assert list(rows)[-1] == "map:last"


async def test_a_run_of_nothing_but_empty_steps_shows_them(watched):
    work = watched(Pipeline(NONE[:1]))
    await work.flujo.run("x", run_id="r")
    [span] = (await work.trace()).root.children

    assert (span.path, span.marks, span.started_at) == ("map:first", ("empty",), work.clock.now())


async def test_a_step_that_the_run_may_not_have_come_to_is_not_shown(takes, watched):
    first, middle, last = NONE
    side = parallel("p", {"a": [takes("x", 1), first], "b": takes("bad", 2, ValueError("no"))})
    spared = Pipeline([side], name="tried", fallback=takes("spare", 1))
    work = watched(Pipeline([spared, middle, last]))
    await work.flujo.run("x", run_id="r")
    paths = list(told(await work.trace(), "marks"))
    assert paths[1:] == [
        *("sub:tried", "sub:tried/parallel:p", "sub:tried/parallel:p/a", "sub:tried/parallel:p/a/x"),
        *("sub:tried/parallel:p/b", "sub:tried/parallel:p/b/bad", "sub:tried/fallback:spare", "map:middle", "map:last"),
    ]

    work = watched(Pipeline([first, human("ask", "?"), last]))
    await work.flujo.run("x", run_id="r")
    assert list(told(await work.trace(), "marks")) == ["", "map:first", "ask"]


async def test_what_was_cut_off_in_the_background_is_not_taken_for_empty(takes, watched):
    behind = Pipeline([takes("b", 1), NONE[0]], name="behind", config=StepConfig(execution_mode="background"))
    quick = Pipeline([map_("lost", Step("up"), config=StepConfig(execution_mode="background")), takes("a", 1)])
    work = watched(Pipeline([behind, *quick.steps]), on_background="cancel")
    await work.flujo.run(["x"], run_id="r")
    assert not [span.path for span in (await work.trace()).root.walk() if "empty" in span.marks]


def told_of(path):
    def over(data, context):
        return path  # no list of items

    return over


async def test_of_what_a_fallback_took_over_only_what_is_known_is_told(takes, watched):
    rounds = loop("l", takes("s", 1), until="False", max_loops=1)
    part = Pipeline([rounds, map_("never", Step("i"))], name="part", fallback=takes("fb", 1))
    broken = import_("i", Pipeline([map_("mm", Step("i"), over=told_of(5))], name="of"), on_failure="skip")
    side = parallel("p", {"a": takes("bad", 1, ValueError("no"))}, fallback=takes("other", 1))
    work = watched(Pipeline([part, broken, side, takes("n", 1)]))
    result = await work.flujo.run("x", run_id="r")
    rows = {path: status for path, (status,) in told(await work.trace(), "status").items()}

    assert result.success
    assert rows["sub:part"] == rows["import:i"] == rows["parallel:p"] == rows["n"] == RunStatus.COMPLETED
    assert rows["sub:part/loop:l[0]"] == RunStatus.COMPLETED
    assert rows["sub:part/loop:l"] == rows["import:i/map:mm"] == RunStatus.FAILED
    assert rows["parallel:p/a"] == RunStatus.FAILED
    assert "sub:part/map:never" not in rows


async def test_a_branch_has_failed_when_a_step_made_of_others_in_it_failed_by_itself(takes, watched):
    branches = {"a": [takes("x", 1), map_("m", Step("i"), over=told_of(5))], "b": [NONE[0], takes("y", 1)]}
    work = watched(parallel("p", branches, on_branch_failure="ignore"))
    result = await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "status", "marks")

    assert result.success
    assert rows["parallel:p/a"] == rows["parallel:p/a/map:m"] == (RunStatus.FAILED, ())
    assert rows["parallel:p/b"] == (RunStatus.COMPLETED, ())
    assert [path for path, (_, marks) in rows.items() if "empty" in marks] == ["parallel:p/b/map:first"]


@pytest.mark.parametrize(
    "broken", [map_("each", Step("i"), over=told_of(5)), branch("each", on="'z'", branches={"x": Step("i")})]
)
async def test_a_step_that_failed_before_anything_in_it_was_recorded_is_told(broken, takes, watched):
    work = watched(takes("a", 1) >> broken)
    await work.flujo.run("x", run_id="r")
    trace = await work.trace()
    failed = trace.root.children[-1]

    assert (failed.name, failed.status, failed.children) == ("each", RunStatus.FAILED, ())
    assert (failed.started_at, failed.ended_at) == (trace.root.ended_at, trace.root.ended_at)


async def test_a_state_that_failed_without_a_record_begins_when_the_machine_went_on(takes, watched):
    states = {"try": branch("pick", on="'z'", branches={"x": Step("i")}), "end": takes("b", 1)}
    on = [Transition("try", "failure", "end")]
    work = watched(takes("a", 1) >> state_machine("sm", states, start="try", end=["end"], transitions=on))
    await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "status", "started_at")

    began = rows[""][1]
    assert rows["state_machine:sm"] == (RunStatus.COMPLETED, began + 1)
    assert rows["state_machine:sm[0]"] == (RunStatus.FAILED, began + 1)


async def test_what_was_answered_and_done_waits_no_more_with_the_run(takes, watched):
    one = Pipeline([human("ask", "first?"), takes("s", 1)], name="one")
    work = watched(Pipeline([one, loop("l", takes("x", 1), max_loops=1), human("q", "second?")]))
    result = await work.flujo.run("x", run_id="r")
    await work.flujo.resume(result, "yes")
    rows = {path: str(status) for path, (status,) in told(await work.trace(), "status").items()}

    assert {path for path, status in rows.items() if status == "paused"} == {"", "q"}
    assert rows["sub:one"] == rows["loop:l"] == rows["loop:l[0]"] == "completed"


async def test_what_is_done_beside_a_question_is_complete(takes, watched):
    done = loop("l", takes("x", 1), until="True", max_loops=2)
    work = watched(parallel("p", {"a": human("ask", "?"), "b": done}))
    await work.flujo.run("x", run_id="r")
    rows = {path: str(status) for path, (status,) in told(await work.trace(), "status").items()}

    assert (rows["parallel:p"], rows["parallel:p/a"], rows["parallel:p/b"]) == ("paused", "paused", "completed")


AGAIN = StepConfig(max_retries=2, backoff={"initial_s": 10, "jitter": 0})


@pytest.mark.parametrize(
    ("make", "at"),
    [
        (lambda step: loop("l", step, max_loops=1, config=AGAIN), "loop:l"),
        (lambda step: parallel("l", {"a": step, "b": Step("quick")}, config=AGAIN), "parallel:l"),
        (lambda step: Pipeline([step], name="l", config=AGAIN), "sub:l"),
    ],
)
async def test_pauses_between_attempts_are_work_of_nothing_however_deep(make, at, watched):
    failing = iter([OSError("no"), OSError("no"), None])

    async def flaky(data):
        await work.clock.sleep(1)
        if error := next(failing):
            raise error

    work = watched(Pipeline([make(Step("flaky", flaky))]))
    result = await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "total_s", "own_s", "attempts")

    assert [line.attempts for line in result.step_history] == [3]
    assert rows.pop("")[1] > 20
    assert rows[at] == (3, 0, 3)
    assert all(own == 0 or path.endswith("flaky") for path, (_, own, _) in rows.items())


async def test_items_side_by_side_are_at_work_once(takes, watched):
    work = watched(parallel("p", {"a": takes("x", 2), "b": takes("y", 2)}))
    await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "total_s")

    assert rows["parallel:p"][0] <= rows["parallel:p/a"][0] + rows["parallel:p/b"][0]


async def test_items_stand_by_their_numbers(watched):
    work = watched(map_("each", Step("up", str.upper), concurrency=4))
    await work.flujo.run(list("abcdefghijkl"), run_id="r")
    [each] = (await work.trace()).root.children

    assert [item.name for item in each.children] == [f"[{number}]" for number in range(12)]


async def test_attempts_fallbacks_and_their_errors_are_told(takes, watched):
    spare = takes("spare", 2)
    tried = takes("try", 1, ValueError("no"), config=StepConfig(max_retries=1), fallback=spare)
    work = watched(tried)
    await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "status", "attempts", "fallback", "total_s", "own_s")

    assert rows["try"] == (RunStatus.COMPLETED, 2, "spare", 4, 2)
    assert rows["try/fallback:spare"] == (RunStatus.COMPLETED, 1, None, 2, 2)


async def test_a_failed_run_shows_where_it_failed(takes, watched):
    both = [takes("fine", 1), takes("bad", 1, ValueError("no"))]
    work = watched(takes("a", 1) >> map_("each", both))
    await work.flujo.run(["x"], run_id="r")
    trace = await work.trace()

    assert {path: str(status) for path, (status,) in told(trace, "status").items()} == {
        "": "failed",
        "a": "completed",
        "map:each": "failed",
        "map:each[0]": "failed",
        "map:each[0]/fine": "completed",
        "map:each[0]/bad": "failed",
    }
    assert trace.root.error.message == "no"
    assert [span.error.message for span in trace.root.walk() if span.error] == ["no", "no"]


async def test_a_branch_beside_one_that_failed_may_have_been_cancelled_when_all_in_it_was_through(takes, watched):
    branches = {"b": [takes("y", 1)], "a": [takes("w", 1), takes("x", 1, ValueError("no"))]}
    work = watched(parallel("p", branches))
    await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "status")

    assert rows["parallel:p/a"] == rows["parallel:p/a/x"] == (RunStatus.FAILED,)
    assert (rows["parallel:p/b"], rows["parallel:p/b/y"]) == ((None,), (RunStatus.COMPLETED,))


async def test_failures_that_were_gone_on_from_fail_no_more_than_they_did(takes, watched):
    states = {"draft": takes("bad", 1, ValueError("no")), "sent": []}
    on = [Transition("draft", "failure", "sent")]
    post = state_machine("post", states, start="draft", end=["sent"], transitions=on)
    kept = parallel("kept", {"a": takes("worse", 1, ValueError("no")), "b": takes("y", 1)}, on_branch_failure="ignore")
    work = watched(post >> kept)
    await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "status", "marks")

    assert rows["state_machine:post"] == (RunStatus.COMPLETED, ())
    assert rows["state_machine:post[0]"] == (RunStatus.FAILED, ("went on",))
    assert rows["state_machine:post[0]/bad"] == (RunStatus.FAILED, ())
    assert rows["parallel:kept"] == (RunStatus.COMPLETED, ())
    assert rows["parallel:kept/a"] == (RunStatus.FAILED, ())


async def test_a_paused_run_waits_where_it_asks_and_the_wait_is_no_work(takes, watched):
    ask = Pipeline([takes("b", 1), HumanInTheLoopStep("ask", message="Ready?")], name="asking")
    work = watched(takes("a", 1) >> ask >> takes("c", 1))
    result = await work.flujo.run("x", run_id="r")
    await work.clock.sleep(100)
    paused = await work.trace()
    await work.flujo.resume(result, "yes", by="Ann")
    ended = await work.trace()
    assert [each for span in ended.root.walk() for each in span.answers] == [
        ("Ann", ended.root.ended_at - 1, "1b2ed0bfdf20")
    ]

    assert told(paused, "status")["sub:asking/ask"] == told(paused, "status")["sub:asking"] == (RunStatus.PAUSED,)
    assert told(paused, "status")["a"] == (RunStatus.COMPLETED,)
    assert (paused.waited_s, paused.root.total_s) == (100, 2)
    assert (ended.status, ended.took_s, ended.waited_s, ended.root.total_s) == (RunStatus.COMPLETED, 3, 100, 3)
    assert ended.root.children[1].total_s == 1


async def test_a_run_that_was_let_go_of_shows_where_it_stood(takes, watched):
    class Filling(InMemoryBackend):
        async def append(self, claim, record, /):
            if record.path.endswith("y"):
                raise StateStorageFull("the disk is full")
            await super().append(claim, record)

    work = watched(takes("a", 1) >> loop("again", [takes("x", 1), takes("y", 1)], max_loops=2))
    work.backend = Filling()
    work.flujo = Flujo(work.flujo._session.pipeline, state_backend=work.backend, clock=work.clock)
    with pytest.raises(StateStorageFull):
        await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "status")

    assert rows == {
        "": (RunStatus.INTERRUPTED,),
        "a": (RunStatus.COMPLETED,),
        "loop:again": (RunStatus.INTERRUPTED,),
        "loop:again[0]": (RunStatus.INTERRUPTED,),
        "loop:again[0]/x": (RunStatus.COMPLETED,),
    }


async def test_background_and_cached_steps_are_marked(takes, watched):
    behind = takes("behind", 1, config=StepConfig(execution_mode="background"))
    work = watched(behind >> cached("kept", takes("k", 1)))
    await work.flujo.run("x", run_id="first")
    await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "marks")

    assert rows["behind"] == (("background",),)
    assert rows["cache:kept"] == (("cached",),)


async def test_what_is_copied_from_another_run_counts_no_time_and_no_cost(takes, watched):
    asked = agent("ask", scripted(["hello", "bye"]))
    work = watched(asked >> Pipeline([takes("a", 5)], name="part") >> takes("b", 1))
    first = await work.flujo.run("x", run_id="first")
    await work.clock.sleep(1000)
    await work.flujo.rerun_from(first, "b", run_id="r")
    trace = await work.trace()

    assert [span.marks for span in trace.root.walk()] == [(), ("copied",), (), ("copied",), ()]
    assert trace.root.children[1].started_at == trace.root.children[1].children[0].started_at > 0
    assert (trace.took_s, trace.root.total_s, trace.root.usage.calls) == (1, 1, 0)


async def test_a_run_begun_again_has_not_waited_for_the_answers_that_it_copies(takes, watched):
    work = watched(human("ask", "go on?") >> takes("work", 2))
    first = await work.flujo.run("x", run_id="first")
    work.clock.advance(60)
    await work.flujo.resume(first, "yes")
    await work.flujo.rerun_from("first", "work", run_id="r")

    first, again = await work.trace("first"), await work.trace("r")
    assert (first.took_s, first.waited_s) == (2, 60)
    assert (again.took_s, again.waited_s) == (2, 0)


async def test_a_step_that_began_and_did_not_end_is_in_doubt(takes, watched):
    async def pay(data):
        raise KeyboardInterrupt

    work = watched(Step("pay", pay, effects="at-most-once"))
    with pytest.raises(KeyboardInterrupt):
        await work.flujo.run("x", run_id="r")
    [span] = (await work.trace()).root.children

    assert (span.status, span.marks) == (RunStatus.INTERRUPTED, ("in doubt",))


async def test_a_run_of_which_nothing_is_recorded_is_a_root_alone(watched):
    work = watched(Step("a"))
    await work.flujo.run("x", run_id="r")
    row = (await work.backend.get("r"))._replace(status=RunStatus.RUNNING, ended_at=None)
    trace = trace_of(row, [], 0.0)

    assert trace.status is RunStatus.RUNNING
    assert (trace.root.children, trace.root.total_s, trace.root.usage.calls) == ((), 0, 0)


class Race(ParallelStep):
    """A kind of a plugin."""

    kind = prefix = "race"


class RacePolicy(StepPolicy):
    handles_type = Race

    async def execute(self, core, frame):
        return await run_branches(core, frame, frame.step, frame.step.branches)


async def test_a_plugins_kind_is_told_as_its_class_says(takes, watched):
    registry = create_default_registry(create_plugin_manager())
    registry.register(RacePolicy())
    branches = {"a": takes("fine", 1), "b": [takes("b", 5), takes("bad", 5, ValueError("no"))]}
    race = Race("r", branches=branches, on_branch_failure="ignore")
    work = watched(race >> takes("after", 1), registry=registry)
    result = await work.flujo.run("x", run_id="r")
    trace = await work.trace()
    row, records = await work.backend.get("r"), await work.backend.load("r")

    assert result.success
    assert told(trace, "kind", "status")["race:r"] == ("race", RunStatus.COMPLETED)
    assert told(trace, "status")["race:r/b"] == (RunStatus.FAILED,)
    assert trace.root.status is trace_of(row, records, 0.0).root.status is RunStatus.COMPLETED


async def test_what_came_before_the_step_at_work_has_ended(takes, watched):
    before = loop("before", takes("x", 1), max_loops=1)
    sides = parallel("sides", {"a": [takes("y", 1), Step("slow")], "b": [takes("z", 2), Step("slower")]})
    work = watched(before >> sides)
    await work.flujo.run("x", run_id="r")
    row = (await work.backend.get("r"))._replace(status=RunStatus.INTERRUPTED, ended_at=None)
    records = [each for each in await work.backend.load("r") if "slow" not in each.path]
    rows = told(trace_of(row, records, 0.0), "status")

    assert {path: str(status) for path, (status,) in rows.items()} == {
        "": "interrupted",
        "loop:before": "completed",
        "loop:before[0]": "completed",
        "loop:before[0]/x": "completed",
        "parallel:sides": "interrupted",
        "parallel:sides/a": "interrupted",
        "parallel:sides/a/y": "completed",
        "parallel:sides/b": "interrupted",
        "parallel:sides/b/z": "completed",
    }


async def test_the_items_of_a_background_step_are_not_in_the_background_themselves(watched):
    behind = StepConfig(execution_mode="background")
    work = watched(map_("each", Step("up", str.upper), over=lambda data, context: ["a"], config=behind))
    await work.flujo.run("x", run_id="r")
    rows = told(await work.trace(), "marks")

    assert rows == {"": ((),), "map:each": (("background",),), "map:each[0]": ((),), "map:each[0]/up": ((),)}


async def test_an_attempt_that_was_cancelled_after_it_had_a_price_is_cancelled(takes, watched):
    async def never(output):
        await asyncio.sleep(30)

    async def fail(data):
        await asyncio.sleep(0.01)
        raise ValueError("no")

    asked = agent("ask", scripted(["hi"]), validators=[never])
    work = watched(parallel("p", {"a": asked, "b": Step("bad", fail)}))
    await work.flujo.run("x", run_id="r")
    row = (await work.backend.get("r"))._replace(status=RunStatus.INTERRUPTED, error=None)
    rows = told(trace_of(row, await work.backend.load("r"), 0.0), "status")

    assert rows["parallel:p/a/ask"] == (RunStatus.CANCELLED,)
    assert rows["parallel:p"] == (RunStatus.INTERRUPTED,)


async def test_of_many_open_questions_each_waits_and_what_only_begins_like_one_does_not(watched):
    ask = branch("ask", on="item == '1' or item == '11'", branches={"true": human("h", "Ready?"), "false": Step("s")})
    work = watched(map_("each", ask, concurrency=4))
    await work.flujo.run([str(number) for number in range(12)], run_id="r")
    rows = told(await work.trace(), "status")
    waits = {path for path, (status,) in rows.items() if status is RunStatus.PAUSED}

    assert waits == {
        *("", "map:each"),
        *(f"map:each[{n}]{rest}" for n in (1, 11) for rest in ("", "/conditional:ask", "/conditional:ask/true")),
        *(f"map:each[{n}]/conditional:ask/true/h" for n in (1, 11)),
    }


async def test_there_is_no_trace_of_a_run_that_is_not_there(watched):
    with pytest.raises(RunNotFound):
        await watched(Step("a")).flujo.trace("none")


async def test_an_error_of_the_run_itself_is_told_with_it(watched):
    work = watched(Step("a", lambda data: data))
    row_error = ErrorInfo("ValueNotStorable", "can't be stored")
    await work.flujo.run("x", run_id="r")
    row = (await work.backend.get("r"))._replace(status=RunStatus.FAILED, error=row_error)
    trace = trace_of(row, await work.backend.load("r"), 0.0)

    assert (trace.root.error, trace.root.children[0].status) == (row_error, RunStatus.COMPLETED)


async def lived(watched, *records, epoch=2, **changes):
    """The trace at 500 of a run that two processes had, which wrote `records` from 0 on: each with its life."""
    work = watched(Step("a") >> Step("b"))
    await work.flujo.run("x", run_id="r")
    row = (await work.backend.get("r"))._replace(created_at=0.0, updated_at=0.0, epoch=epoch, **changes)
    return trace_of(row, [record for record, _ in records], 500.0, {record.path: life for record, life in records})


A = JournalRecord("a", out=b"1", started_at=1.0, ended_at=10.0)
GONE = JournalRecord("b#a1", RecordKind.FAILED, attempt=1, error=ErrorInfo("OSError", "no"), started_at=10, ended_at=12)
B = JournalRecord("b", out=b"1", started_at=100.0, ended_at=103.0)
IN = [
    JournalRecord(f"loop:l[0]/{each.path}", out=b"1", started_at=each.started_at, ended_at=each.ended_at)
    for each in (A, B)
]


async def test_the_time_between_two_processes_is_no_work(watched):
    trace = await lived(watched, (A, 1), (GONE, 1), (B, 2), ended_at=104.0)
    assert (trace.took_s, trace.waited_s, trace.root.total_s, trace.root.own_s) == (16, 0, 16, 2)

    loops = json.dumps({"kind": "pipeline", "name": "p", "steps": [{"kind": "loop", "name": "l"}]})
    inside = (await lived(watched, (IN[0], 1), (IN[1], 2), ended_at=104.0, definition=loops)).root.children[0]
    assert (inside.total_s, inside.own_s) == (12, 0)

    unrecorded = await lived(watched, (B, 2), ended_at=104.0)
    assert unrecorded.took_s == 4


async def test_of_a_process_that_has_recorded_nothing_no_work_is_known(watched):
    trace = await lived(watched, (A, 1), status=RunStatus.RUNNING, ended_at=None)
    assert (trace.took_s, trace.root.ended_at) == (10, 500)


async def test_what_is_at_work_counts_until_now(watched):
    running = {"epoch": 1, "status": RunStatus.RUNNING, "ended_at": None}
    trace = await lived(watched, (A, 1), **running)
    assert (trace.took_s, trace.root.total_s, trace.root.ended_at) == (500, 500, 500)

    begun = JournalRecord("b^1", RecordKind.INTENT, started_at=10.0, ended_at=10.0)
    step = (await lived(watched, (A, 1), (begun, 1), **running)).root.children[1]
    assert (step.status, step.total_s, step.ended_at) == (RunStatus.RUNNING, 490, 500)

    lost = JournalRecord("b#a1", RecordKind.ATTEMPT, 0, started_at=10.0, ended_at=10.0)
    called = JournalRecord("b^c2", RecordKind.CALL, 2, started_at=20.0, ended_at=20.0)
    step = (await lived(watched, (A, 1), (lost, 1), (called, 1), **running)).root.children[1]
    assert (step.status, step.total_s, step.ended_at) == (RunStatus.RUNNING, 480, 500)


async def test_a_run_that_broke_off_was_at_work_until_its_last_record(watched):
    trace = await lived(watched, (A, 1), epoch=1, status=RunStatus.INTERRUPTED, ended_at=None)
    assert (trace.took_s, trace.root.ended_at) == (10, 10)


async def test_a_run_that_was_cancelled_waits_no_more(watched):
    asked = JournalRecord("b?", RecordKind.WAIT, started_at=10.0, ended_at=10.0)
    trace = await lived(watched, (A, 1), (asked, 1), epoch=1, status=RunStatus.CANCELLED, ended_at=60.0)
    assert (trace.took_s, trace.waited_s) == (10, 50)


BEHIND = StepConfig(execution_mode="background")


@pytest.mark.parametrize(
    ("make", "at", "behind"),
    [
        (lambda quick, work: [quick, work], "work", "quick"),
        (lambda quick, work: [quick, loop("l", work, max_loops=2)], "loop:l[0]/work", "quick"),
        (lambda quick, work: [loop("l", [quick, work], max_loops=2)], "loop:l[0]/work", "loop:l[0]/quick"),
        (lambda quick, work: [quick, parallel("p", {"a": work, "b": Step("c")})], "parallel:p/a/work", "quick"),
    ],
)
@pytest.mark.parametrize("ends", [RunStatus.RUNNING, RunStatus.INTERRUPTED])
async def test_a_step_at_work_stays_so_when_a_background_step_ends_beside_it(make, at, behind, ends, watched):
    begun = asyncio.Event()

    async def fails_once(data, *, run):
        if run.attempt == 1:
            await asyncio.sleep(0)
            raise OSError("once")
        begun.set()
        await asyncio.sleep(30)

    work = watched(Pipeline(make(Step("quick", config=BEHIND), Step("work", fails_once, config=AGAIN))))
    run = asyncio.ensure_future(work.flujo.run("x", run_id="r"))
    async with asyncio.timeout(5):
        await begun.wait()
    row, records = await work.backend.get("r"), await work.backend.load("r")
    run.cancel()
    await asyncio.wait([run])
    records.sort(key=lambda record: record.path == behind)
    trace = trace_of(row._replace(status=ends), records, work.clock.now())
    rows = {path: status for path, (status,) in told(trace, "status").items()}

    assert (rows[at], rows[behind]) == (ends, RunStatus.COMPLETED)


async def test_a_background_step_is_at_work_until_its_record_says_otherwise(watched):
    tried = {"attempt": 1, "error": ErrorInfo("OSError", "no"), "started_at": 1.0, "ended_at": 2.0}
    defined = [
        {"kind": "step", "name": "retried", "execution_mode": "background"},
        {"kind": "pipeline", "name": "lost", "execution_mode": "background", "steps": [{"kind": "step", "name": "x"}]},
        {"kind": "pipeline", "name": "done", "execution_mode": "background", "steps": [{"kind": "step", "name": "y"}]},
        {"kind": "step", "name": "after"},
    ]
    records = [
        JournalRecord("retried#a1", RecordKind.ATTEMPT, **tried),
        JournalRecord("sub:lost/x", RecordKind.FAILED, **tried),
        JournalRecord("sub:lost", RecordKind.FAILED, **tried),
        JournalRecord("sub:done/y", out=b"1", started_at=1.0, ended_at=2.0),
        JournalRecord("after", out=b"1", started_at=2.0, ended_at=3.0),
    ]
    work = watched(Step("a"))
    await work.flujo.run("x", run_id="r")
    row = (await work.backend.get("r"))._replace(
        definition=json.dumps({"kind": "pipeline", "name": "p", "steps": defined}), status=RunStatus.RUNNING
    )
    rows = {path: str(status) for path, (status,) in told(trace_of(row, records, 9.0), "status").items()}

    assert rows == {
        "": "running",
        "retried": "running",
        "sub:lost": "failed",
        "sub:lost/x": "failed",
        "sub:done": "completed",
        "sub:done/y": "completed",
        "after": "completed",
    }
