"""One state after another, up to an end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import (
    AgentResult,
    Flujo,
    OpenContext,
    PipelineContext,
    Step,
    StepConfig,
    Transition,
    Usage,
    UsageLimits,
    agent,
    branch,
    human,
    loop,
    parallel,
    state_machine,
)
from flujo.domain.interfaces import Claim, JournalRecord
from flujo.exceptions import (
    BlueprintError,
    InfiniteRedirectError,
    PayloadTooLarge,
    PipelineAbortSignal,
    TemplateResolutionError,
)
from flujo.infra.memory import InMemoryBackend

PLUS = Step("plus", lambda data: data + 1)


def boom(data: Any) -> Any:
    raise ValueError(f"no {data}")


def seen(result: Any) -> list[tuple[str, str]]:
    """The visits of a machine, in their order: their place and the state's name."""
    return [(child.path.partition("[")[2], child.name) for child in result.step_history[0].children]


async def test_the_output_of_a_state_is_the_next_one_s_data_and_the_last_one_s_the_machine_s(run):
    step = state_machine(
        "sm",
        {
            "draft": PLUS,
            "review": [PLUS, Step("more", lambda data: data * 10)],
            "done": Step("end", lambda data: f"{data}"),
        },
        start="draft",
        end=["done"],
        transitions=[Transition("draft", "success", "review"), Transition("review", "success", "done")],
    )
    result = await run(step, 1)

    assert (result.output, result.final_pipeline_context.current_state) == ("30", "done")
    paths = [child.path for child in result.step_history[0].children]
    assert paths == ["state_machine:sm[0]", "state_machine:sm[1]", "state_machine:sm[2]"]
    assert [child.path for child in result.step_history[0].children[1].children] == [
        "state_machine:sm[1]/plus",
        "state_machine:sm[1]/more",
    ]


async def test_states_without_steps_hand_on_their_data(run):
    to = [Transition("a", "success", "b"), Transition("b", "success", "c")]
    step = state_machine("sm", {"a": [], "b": [], "c": []}, start="a", end=["c"], transitions=to)

    assert (await run(step)).output == "x"


async def test_a_machine_that_starts_at_its_end_runs_that_state_alone(run):
    result = await run(state_machine("sm", {"a": PLUS}, start="a", end=["a"]), 1)

    assert (result.output, seen(result)) == (2, [("0]", "a")])


async def test_the_first_transition_that_fits_counts_and_sees_output_context_and_steps(run):
    step = state_machine(
        "sm",
        {"a": Step("plus", lambda data: data + 1, sink_to="n"), "b": [], "c": []},
        start="a",
        end=["b", "c"],
        transitions=[
            Transition("a", "failure", "b"),
            Transition("a", "success", "b", "steps.before.output == 9"),
            Transition("a", "success", "c", "output == 3 and previous_step == 3 and context.n == 3 and input == 0"),
            Transition("*", "success", "a"),
        ],
    )
    result = await run(Step("before", lambda data: data) >> step, 0)

    assert result.output == 3
    assert [child.name for child in result.step_history[1].children] == ["a", "a", "a", "c"]


@pytest.mark.parametrize("on", ["output", "context", "both"])
async def test_without_a_transition_the_output_s_or_the_context_s_next_state_counts(run, on):
    def go(data: Any, *, context: OpenContext) -> Any:
        if on != "output":
            context.next_state = "b" if on == "context" else "never"
        return {"next_state": "b"} if on != "context" else data

    def stay(data: Any, *, context: OpenContext) -> Any:
        return {"next_state": None, "left": hasattr(context, "next_state")}

    states = {"a": Step("go", go), "b": Step("stay", stay), "never": []}
    to = [Transition("b", "success", "never", "output.left")]
    result = await run(state_machine("sm", {**states, "end": []}, start="a", end=["end"], transitions=to))

    assert seen(result) == [("0]", "a"), ("1]", "b")]
    assert result.error.message == "state 'b' of 'sm' succeeded, but nothing says which state is next"
    assert result.error.suggestion == "its transitions are on success to 'never' when output.left"


async def test_a_transition_that_fits_counts_before_next_state_which_is_taken_away(run):
    go = Step("go", lambda data: {"next_state": "a"}, updates_context=True)
    to = [Transition("a", "success", "b")]
    result = await run(
        state_machine("sm", {"a": go, "b": Step("x", lambda data: 1), "c": []}, start="a", end=["c"], transitions=to)
    )

    assert seen(result) == [("0]", "a"), ("1]", "b")]
    assert result.error.suggestion == "add a transition from it, or give next_state"
    assert not hasattr(result.final_pipeline_context, "next_state")


class Typed(PipelineContext):
    """Has fields for the names that machines use."""

    current_state: str = ""
    next_state: str | None = None


class Narrow(PipelineContext):
    """Has a next_state that can't be taken away."""

    next_state: str = ""


@pytest.mark.parametrize(("model", "path"), [(Typed, "next_state"), (PipelineContext, "scratchpad.next_state")])
async def test_a_context_without_such_fields_has_them_in_its_scratchpad(run, model, path):
    step = state_machine("sm", {"a": Step("go", lambda data: "b", sink_to=path), "b": []}, start="a", end=["b"])
    context = (await run(step, context_model=model)).final_pipeline_context

    if model is Typed:
        assert (context.current_state, context.next_state, context.scratchpad) == ("b", None, {})
    else:
        assert context.scratchpad == {"current_state": "b"}


async def test_a_next_state_that_cannot_be_taken_away_fails_the_machine(run):
    step = state_machine("sm", {"a": Step("go", lambda data: "b", sink_to="next_state"), "b": []}, start="a", end=["b"])
    result = await run(step, context_model=Narrow)

    assert result.error.message == "Narrow.next_state refuses the value: input should be a valid string"


@pytest.mark.parametrize(
    ("name", "suggestion"), [("reviw", "did you mean 'review'?"), (3, "its states are draft, review")]
)
async def test_a_next_state_that_is_none_fails_the_machine(run, name, suggestion):
    states = {"draft": Step("go", lambda data: {"next_state": name}), "review": []}
    result = await run(state_machine("sm", states, start="draft", end=["review"]))

    assert result.error.message == f"after state 'draft' of 'sm' next_state is {name!r}, which is no state"
    assert (result.error.suggestion, result.error.path) == (suggestion, "state_machine:sm")


async def test_the_steps_of_a_state_see_its_name_and_the_outputs_of_their_own_state_alone(run):
    states = {
        "a": [Step("one", lambda data: 1), Step("two", input="{{ context.current_state }}{{ steps.one.output }}")],
        "b": Step("three", input="{{ previous_step }}{{ context.current_state }}{{ steps.one.output | default('-') }}"),
    }
    to = [Transition("a", "success", "b")]

    assert (await run(state_machine("sm", states, start="a", end=["b"], transitions=to))).output == "a1b-"


def failing(*to: Transition, **options: Any) -> Step[Any, Any]:
    """A machine whose state `a` changes the context and fails."""
    change = Step("change", lambda data: "changed", sink_to="left")
    states = {"a": [PLUS, change, Step("fail", boom)], "b": Step("ten", lambda data: data * 10), "c": []}
    return state_machine("sm", states, start="a", end=["b", "c"], transitions=to, **options)


async def test_a_state_that_fails_leaves_nothing_behind_and_the_next_gets_its_data(run):
    late = Transition("a", "failure", "b", "error == 'no changed' and output == 1")
    result = await run(failing(Transition("a", "failure", "c", "false"), late), 1)

    assert (result.status, result.output) == ("completed", 10)
    assert result.final_pipeline_context.model_extra == {"current_state": "b", "last_error": "no changed"}
    assert [(child.name, child.success) for child in result.step_history[0].children] == [
        ("a", False),
        ("failure", True),
        ("b", True),
    ]


async def test_a_state_that_fails_without_a_transition_fails_the_machine(run):
    result = await run(failing(Transition("*", "success", "b"), Transition("b", "failure", "c")), 1)

    assert (result.error.message, result.error.path) == ("no changed", "state_machine:sm[0]/fail")
    assert result.final_pipeline_context.model_extra == {"current_state": "a"}


async def test_any_state_does_not_stand_for_the_one_that_deals_with_failures(run):
    states = {"a": Step("fail", boom), "b": Step("fail", boom), "end": []}
    anywhere = Transition("*", "failure", "b")
    options = {"start": "a", "end": ["end"], "max_transitions": 2}

    once = await run(state_machine("sm", states, transitions=[anywhere], **options))
    assert (once.error.message, seen(once)) == ("no x", [("0]", "a"), ("0]/on:failure", "failure"), ("1]", "b")])
    assert once.error.path == "state_machine:sm[1]/fail"
    again = await run(state_machine("sm", states, transitions=[anywhere, Transition("b", "failure", "b")], **options))
    assert again.error.message == "state_machine 'sm' did not end within 2 transitions: its last states were a, b, b"


async def test_an_end_state_that_fails_may_lead_on(run):
    states = {"a": [], "done": Step("fail", boom), "failed": []}
    to = [Transition("*", "success", "done"), Transition("*", "failure", "failed")]
    result = await run(state_machine("sm", states, start="a", end=["done", "failed"], transitions=to))

    assert (result.output, result.final_pipeline_context.current_state) == ("x", "failed")


@pytest.mark.parametrize(
    ("signal", "status"), [(InfiniteRedirectError("round"), "failed"), (PipelineAbortSignal("enough"), "cancelled")]
)
async def test_a_signal_is_no_failure_that_a_transition_leads_on_from(run, signal, status):
    def stop(data: Any) -> Any:
        raise signal

    to = [Transition("*", "failure", "b")]
    result = await run(state_machine("sm", {"a": Step("stop", stop), "b": []}, start="a", end=["b"], transitions=to))

    assert (result.status, result.error.message) == (status, str(signal))


async def test_a_machine_that_never_ends_fails_and_names_its_last_states(run):
    to = [Transition("a", "success", "b"), Transition("b", "success", "a")]
    result = await run(state_machine("sm", {"a": [], "b": [], "c": []}, start="a", end=["c"], transitions=to))

    message = "state_machine 'sm' did not end within 100 transitions: its last states were b, a, b, a, b, a"
    assert (result.error.message, len(result.step_history[0].children)) == (message, 101)


ASK = state_machine(
    "sm",
    {"a": [Step("first", lambda data: data + 1, sink_to="n"), human("ask", "go on?")], "b": PLUS, "c": []},
    start="a",
    end=["b", "c"],
    transitions=[Transition("a", "pause", "c", "previous_step > 5"), Transition("a", "success", "b")],
)


async def test_a_state_that_pauses_pauses_the_machine_and_goes_on_with_the_answer():
    async with Flujo(ASK, context_model=OpenContext, state_backend=InMemoryBackend()) as flujo:
        paused = await flujo.run(1)
        assert (paused.status, paused.pending[0].path) == ("paused", "state_machine:sm[0]/ask")
        result = await flujo.resume(paused, answer=7)

    assert (result.output, result.final_pipeline_context.n) == (8, 2)


async def test_a_pause_may_lead_on_and_then_leaves_nothing_behind(run):
    result = await run(ASK, 6)

    assert (result.status, result.output) == ("completed", 6)
    assert result.final_pipeline_context.model_extra == {"current_state": "c"}


async def test_questions_that_the_machine_did_not_wait_for_are_no_longer_open():
    states = {"a": human("first", "one?"), "b": human("second", "two?"), "c": PLUS}
    to = [Transition("a", "pause", "b"), Transition("b", "success", "c")]
    machine = state_machine("sm", states, start="a", end=["c"], transitions=to)
    step = parallel("p", {"person": human("third", "three?"), "machine": machine})
    async with Flujo(step, context_model=OpenContext, state_backend=InMemoryBackend()) as flujo:
        paused = await flujo.run(1)
        assert [each.message for each in paused.pending] == ["three?", "two?"]
        paused = await flujo.resume(paused.run_id, answer=3, token=paused.pending[0].token)
        result = await flujo.resume(paused.run_id, answer=7)

    assert result.output == {"person": 3, "machine": 8}


class Small(InMemoryBackend):
    """A state that takes short texts only."""

    async def append(self, claim: Claim, record: JournalRecord) -> None:
        if len(str(record.out)) > 80:
            raise PayloadTooLarge("that is too long")
        await super().append(claim, record)


async def test_a_failure_that_cannot_be_written_down_fails_the_machine(run):
    step = failing(Transition("a", "failure", "b"))
    assert (await run(step, 1, state_backend=Small())).output == 10

    change = Step("change", lambda data: "long" * 9)
    states = {"a": [change, Step("double", lambda data: data * 2), Step("fail", boom)], "b": []}
    step = state_machine("sm", states, start="a", end=["b"], transitions=[Transition("a", "failure", "b")])
    error = (await run(step, state_backend=Small())).error
    assert (error.message, error.path) == ("that is too long", "state_machine:sm[0]/on:failure")


async def test_a_machine_stopped_by_its_budget_goes_on_from_the_failure_that_it_has_noted():
    def dear(data: Any) -> Any:
        calls.append(data)
        return AgentResult(data, Usage(tokens_in=10))

    calls: list[Any] = []
    states = {"a": [agent("ask", dear), Step("fail", boom)], "b": PLUS}
    step = state_machine("sm", states, start="a", end=["b"], transitions=[Transition("a", "failure", "b")])
    limits = UsageLimits(total_tokens_limit=5)
    async with Flujo(step, context_model=OpenContext, usage_limits=limits) as flujo:
        stopped = await flujo.run(1, run_id="r")
        result = await flujo.resume("r", usage_limits=UsageLimits(total_tokens_limit=20))

    assert (stopped.status, result.output, calls) == ("stopped: budget", 2, [1])


def recovering(resumed: Any) -> Step[Any, Any]:
    """A machine that goes on from a failure, and then fails for good at its first run."""
    failed: list[Any] = []

    def once(data: Any) -> Any:
        resumed.ran.append("once")
        if not failed:
            failed.append(data)
            raise ValueError("once")
        return "never handed on"

    states = {
        "a": [resumed.calls("before"), Step("once", once)],
        "b": resumed.calls("b", sink_to="b"),
        "c": resumed.flaky("c"),
        "end": Step("say", input="{{ previous_step }} {{ context.b }} {{ context.last_error }}"),
    }
    to = [Transition("a", "failure", "b"), Transition("a", "success", "end"), Transition("*", "success", "c", "false")]
    to += [Transition("b", "success", "c"), Transition("c", "success", "end")]
    return state_machine("sm", states, start="a", end=["end"], transitions=to)


async def test_states_that_are_recorded_do_not_run_again_nor_those_that_it_went_on_from(resumed):
    result = await resumed(recovering(resumed))

    assert result.output == "x x once"
    assert resumed.ran == ["before", "once", "b", "c", "c"]
    assert seen(result)[:2] == [("0]/on:failure", "failure"), ("1]", "b")]


async def test_a_completed_machine_is_handed_out_as_it_ended(resumed):
    step, backend = failing(Transition("a", "failure", "b")), InMemoryBackend()
    results = []
    for _ in range(2):
        async with Flujo(step, context_model=OpenContext, state_backend=backend) as flujo:
            results.append(await (flujo.resume("r") if results else flujo.run(1, run_id="r")))

    first, second = results
    assert first.output == second.output == 10
    assert first.final_pipeline_context == second.final_pipeline_context


async def test_a_machine_that_is_retried_repeats_the_state_that_failed(run, resumed):
    states = {"a": resumed.calls("a"), "b": [resumed.calls("c"), resumed.flaky("d")]}
    to = [Transition("a", "success", "b")]
    retried = StepConfig(max_retries=1)
    result = await run(state_machine("sm", states, start="a", end=["b"], transitions=to, config=retried))

    assert (result.output, resumed.ran) == ("x", ["a", "c", "d", "d"])


async def test_what_must_hold_is_not_asked_of_the_note_that_it_goes_on(run):
    result = await run(failing(Transition("a", "failure", "b"), static_invariants=["output != none"]), 1)
    assert (result.error, result.output) == (None, 10)

    wrong = await run(failing(Transition("a", "failure", "b"), static_invariants=["output != 10"]), 1)
    assert wrong.error.path == "state_machine:sm[1]/ten"


@pytest.mark.parametrize("strict", ["0", "1"])
async def test_machines_stand_in_loops_branches_and_machines(run, monkeypatch, strict):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", strict)
    inner = state_machine(
        "inner", {"a": PLUS, "b": []}, start="a", end=["b"], transitions=[Transition("a", "success", "b")]
    )
    step = state_machine(
        "sm",
        {"each": loop("l", branch("c", on="true", branches={True: inner}), max_loops=2), "same": inner, "end": []},
        start="each",
        end=["end"],
        transitions=[Transition("each", "success", "same"), Transition("same", "success", "end")],
    )
    result = await run(step, 0)

    assert (result.output, result.final_pipeline_context.current_state) == (3, "end")


async def test_in_strict_mode_a_state_that_changes_the_machine_s_context_fails_it(run, monkeypatch):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", "1")
    held: list[OpenContext] = []

    def hold(data: Any, *, context: OpenContext) -> Any:
        held.append(context)

    outside = Step("hold", hold)
    inside = state_machine("sm", {"a": Step("s", lambda data: held[0].items.append(1))}, start="a", end=["a"])
    result = await run(outside >> inside, initial_context_data={"items": []})

    assert result.error.message == "state 'a' of 'state_machine:sm' changed 'items' in its parent's context"


def test_a_condition_that_does_not_compile_is_found_before_anything_runs(prepare):
    with pytest.raises(TemplateResolutionError):
        prepare(failing(Transition("a", "failure", "b", "true"), Transition("a", "failure", "b", "a ==")))


MACHINE = """
  - name: sm
    kind: state_machine
    start_state: draft
    end_states: [done, failed]
    states:
      draft: [{ name: d, input: "{{ previous_step }}+" }]
      done: []
      failed:
    transitions:
      - { from: draft, on: success, to: done, when: "output | length > 3" }
      - { from: draft, on: success, to: draft }
      - { from: "*", on: failure, to: failed }
    max_transitions: 7
"""


@pytest.mark.parametrize("kind", ["state_machine", "StateMachine"])
async def test_a_file_and_python_say_the_same(run, load, kind):
    made = state_machine(
        "sm",
        {"draft": Step("d", input="{{ previous_step }}+"), "done": [], "failed": []},
        start="draft",
        end=["done", "failed"],
        transitions=[
            Transition("draft", "success", "done", "output | length > 3"),
            Transition("draft", "success", "draft"),
            Transition("*", "failure", "failed"),
        ],
        max_transitions=7,
    )
    loaded = load(MACHINE.replace("state_machine", kind))

    assert loaded.steps[0].definition() == made.definition()
    assert (await run(loaded, "x")).output == "x+++"


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("start_state: draft", "start_state: drift", "V-K02", "has start_state 'drift', which is no state"),
        ("from: draft, ", "", "V-S01", "missing key 'from'"),
        ("on: failure", "on: fail", "V-S03", "'on' should be 'success', 'failure' or 'pause', not 'fail'"),
        ("to: failed", "too: failed", "V-S02", "unknown key 'too'"),
        ("length > 3", "nope(", "V-T02", ""),
        ('input: "{{ previous_step }}+"', 'input: "{{ steps.e.output }}"', "V-T03", "there is no step 'e' before"),
        ("end_states: [done, failed]", "end_states: []", "V-S03", "'end_states' should have at least 1 item"),
        ("max_transitions: 7", "max_transitions: 0", "V-S03", "'max_transitions' should be greater than or equal to 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(load, old, new, code, message):
    with pytest.raises(BlueprintError) as caught:
        load(MACHINE.replace(old, new, 1))
    assert (code, True) in [(each.code, message in each.message) for each in caught.value.findings]


# A machine of pure functions: by state what it adds, when it fails, and where it goes on success and on failure.
NAMES = "abcd"
RULES = st.tuples(
    st.integers(-2, 3),
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from(["success", "failure"]), st.sampled_from(NAMES), st.integers(1, 3)), max_size=4),
)


def adding(number: int, bad: int) -> Callable[[int], int]:
    def add(data: int) -> int:
        if data % 6 == bad:
            raise ValueError("bad")
        return data + number

    return add


def interpret(machine: dict[str, Any], data: int) -> tuple[list[str], int | None]:
    """The states that are visited, and the output; None when the machine fails."""
    visited = ["a"]
    while len(visited) <= 8:
        number, bad, rules = machine[visited[-1]]
        on, after = ("failure", data) if data % 6 == bad else ("success", data + number)
        if on == "success" and visited[-1] == "d":
            return visited, after
        led = [to for when, to, divisor in rules if when == on and after % divisor == 0]
        if not led:
            return visited, None
        data, visited = after, [*visited, led[0]]
    return visited[:-1], None


@given(machine=st.fixed_dictionaries(dict.fromkeys(NAMES, RULES)), data=st.integers(-3, 6))
def test_machines_visit_the_states_that_a_plain_interpreter_visits(machine, data):
    to = [
        Transition(name, on, goal, f"output % {divisor} == 0")
        for name, (_, _, rules) in machine.items()
        for on, goal, divisor in rules
        if (name, on) != ("d", "success")
    ]
    states = {name: Step("add", adding(number, bad)) for name, (number, bad, _) in machine.items()}
    step = state_machine("sm", states, start="a", end=["d"], transitions=to, max_transitions=7)
    result = asyncio.run(Flujo(step, context_model=OpenContext).run(data))

    visited = [child.name for child in result.step_history[0].children if child.kind == "pipeline"]
    assert (visited, result.output) == interpret(machine, data)
