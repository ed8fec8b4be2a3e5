"""Pipelines imported by pipelines: what goes in, what comes back, and what a failure means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo import Flujo, OpenContext, Pipeline, PipelineContext, Step, StepConfig, human, import_, loop, map_, parallel
from flujo.domain.context import ConversationTurn
from flujo.exceptions import PausedException, PipelineAbortSignal
from flujo.infra.memory import InMemoryBackend
from flujo.testing import RecordingSink


class Named(PipelineContext):
    """Needs data."""

    who: str
    note: str = ""


def fails(data: Any) -> Any:
    raise ValueError(f"no {data}")


def sets(**fields: Any) -> Step[Any, Any]:
    """A step that sets fields of the context."""
    return Step("sets", lambda data: fields, updates_context=True)


def says(name: str, template: str, **options: Any) -> Step[Any, Any]:
    return Step(name, input=template, **options)


SEEN = says(
    "seen", "{{ previous_step }}|{{ input }}|{{ context.initial_prompt }}|{{ context.scratchpad.k | default('-') }}"
)


async def test_the_data_is_the_child_s_data_its_input_and_its_initial_prompt(run):
    pipeline = Pipeline([says("before", "pre-{{ input }}"), import_("i", SEEN), Step("after")])
    result = await run(pipeline)
    assert result.output == "pre-x|pre-x|pre-x|-"
    assert result.final_pipeline_context.initial_prompt == "x"


async def test_data_that_is_no_text_is_no_initial_prompt_as_for_a_run(run):
    result = await run(Pipeline([says("before", "{{ [1] }}"), import_("i", SEEN)]))
    assert result.output == "[1]|[1]||-"


@pytest.mark.parametrize(
    ("input_to", "data", "scratchpad"),
    [
        ("scratchpad", {"k": 1}, {"k": 1}),
        ("scratchpad.k", "x", {"k": "x"}),
        ("scratchpad.deep.k", [1], {"deep": {"k": [1]}}),
    ],
)
async def test_the_data_may_also_stand_elsewhere_in_the_child_s_context(run, input_to, data, scratchpad):
    child = says("c", "{{ [context.scratchpad, context.initial_prompt] }}")
    assert (await run(import_("i", child, input_to=input_to), data)).output == [scratchpad, ""]


async def test_data_in_an_inherited_scratchpad_leaves_what_else_is_there(run):
    child = says("c", "{{ context.scratchpad }}")
    step = import_("i", child, input_to="scratchpad", inherit_context=True)
    result = await run(step, {"k": 1}, initial_context_data={"scratchpad": {"k": 0, "l": 0}})
    assert result.output == {"k": 1, "l": 0}
    assert result.final_pipeline_context.scratchpad == {"k": 0, "l": 0}


async def test_data_of_which_a_scratchpad_cannot_be_made_is_an_error(run):
    result = await run(import_("i", SEEN, input_to="scratchpad"))
    assert result.error.message == "import 'i' puts 'str' into the scratchpad, expected a mapping"
    assert result.exception.suggestion == "name a place in it: input_to: scratchpad.input"


async def test_a_path_that_the_child_s_context_does_not_have_is_an_error(run):
    result = await run(import_("i", SEEN, input_to="nope"), context_model=PipelineContext)
    assert result.error.message == "PipelineContext has no field 'nope'"


async def test_the_child_sees_nothing_of_the_steps_around_it(run):
    child = says("c", "{{ steps.before.output }}")
    result = await run(Pipeline([Step("before"), import_("i", child)]))
    assert "'before'" in result.error.message
    looped = loop("l", import_("i", says("c", "{{ loop.index }}")), max_loops=1)
    assert "there is no 'loop' here" in (await run(looped)).error.message


async def test_the_steps_after_it_see_its_output_and_not_its_steps(run):
    after = says("after", "{{ steps.i.output }}")
    assert (await run(Pipeline([import_("i", Step("c")), after]))).output == "x"
    assert "'c'" in (await run(Pipeline([import_("i", Step("c")), says("after", "{{ steps.c }}")]))).error.message


async def test_the_child_begins_with_an_empty_context_or_a_copy_of_the_parent_s(run):
    child = Pipeline(
        [
            says("c", "{{ context.scratchpad.k | default('none') }}"),
            sets(scratchpad={"k": "child's"}),
            says("d", "{{ steps.c.output }}"),
        ]
    )
    data = {"initial_context_data": {"scratchpad": {"k": "mine"}}}
    for inherits, output in ((False, "none"), (True, "mine")):
        result = await run(import_("i", child, inherit_context=inherits), **data)
        assert result.output == output
        assert result.final_pipeline_context.scratchpad == {"k": "mine"}


async def test_a_context_that_needs_data_can_only_be_inherited(run):
    options = {"context_model": Named, "initial_context_data": {"who": "ann"}}
    child = says("c", "{{ context.who }}")
    result = await run(import_("i", child), **options)
    assert (result.error.type, result.error.message) == (
        "ContextInheritanceError",
        "the child of 'import:i' can't begin with a fresh Named: 'who': field required",
    )
    assert (await run(import_("i", child, inherit_context=True), **options)).output == "ann"


async def test_outputs_are_copied_to_where_they_belong_and_nothing_else_is(run):
    child = sets(scratchpad={"a": [1], "b": 2}, top=3)
    step = import_(
        "i", child, outputs=[("scratchpad.a", "import_artifacts.got.a"), ("top", "mine")], updates_context=True
    )
    context = (await run(step)).final_pipeline_context
    assert (context.import_artifacts, context.mine, context.scratchpad) == ({"got": {"a": [1]}}, 3, {})
    assert "top" not in context.model_extra


async def test_an_output_that_the_child_has_not_set_is_an_error_and_nothing_is_copied(run):
    step = import_(
        "i", sets(scratchpad={"answer": 1}), outputs=[("scratchpad.answer", "a"), ("scratchpad.anwser", "b")]
    )
    result = await run(step)
    assert (result.error.type, result.error.path) == ("ContextFieldError", "import:i")
    assert result.error.message == (
        "import 'i' hands back what its child has not set: nothing is at 'scratchpad.anwser' in the context: "
        "a mapping has no 'anwser'"
    )
    assert result.exception.suggestion == "did you mean 'answer'?"
    assert not result.final_pipeline_context.model_extra
    assert [child.path for child in result.step_history[0].children] == ["import:i/sets"]


async def test_an_output_into_a_field_that_is_not_there_is_an_error(run):
    step = import_("i", sets(scratchpad={"a": 1}), outputs=[("scratchpad.a", "nope")])
    result = await run(step, context_model=PipelineContext)
    assert result.error.message == "PipelineContext has no field 'nope'"


@pytest.mark.parametrize(("inherits", "changed"), [(False, {"b": 2}), (True, {"a": 1, "b": 2})])
async def test_without_outputs_everything_the_child_changed_flows_back_where_the_step_allows_it(run, inherits, changed):
    step = import_("i", sets(scratchpad=changed), updates_context=True, inherit_context=inherits)
    result = await run(step, initial_context_data={"scratchpad": {"a": 1}})
    assert result.final_pipeline_context.scratchpad == {"a": 1, "b": 2}
    assert result.output == {"scratchpad": changed}


async def test_the_output_goes_where_sink_to_says_and_is_never_merged(run):
    step = import_("i", says("c", "{{ {'n': 1} }}"), sink_to="scratchpad.out", updates_context=True)
    context = (await run(step)).final_pipeline_context
    assert (context.scratchpad, context.model_extra) == ({"out": {"n": 1}}, {})


async def test_the_child_s_turns_come_after_the_parent_s(run):
    def talk(data: Any, *, context: OpenContext) -> Any:
        context.conversation_history.append(ConversationTurn(role="user", content=data))
        return data + "+"

    step = import_("i", Step("talk", talk), updates_context=True)
    result = await run(Pipeline([Step("talk", talk), step]))
    assert [turn.content for turn in result.final_pipeline_context.conversation_history] == ["x", "x+"]


async def test_a_child_s_failure_is_the_step_s_and_nothing_flows_back(run):
    child = Pipeline([sets(scratchpad={"a": 1}), Step("boom", fails)])
    step = import_("i", child, outputs=[("scratchpad.a", "a")], updates_context=True)
    result = await run(step)
    assert (result.error.path, result.error.type) == ("import:i/boom", "ValueError")
    assert (
        result.final_pipeline_context.model_dump() == OpenContext(run_id=result.run_id, initial_prompt="x").model_dump()
    )


@pytest.mark.parametrize(("on_failure", "output"), [("skip", None), ("continue_with_default", {})])
async def test_a_failed_child_may_be_done_without(run, on_failure, output):
    child = Pipeline([sets(scratchpad={"a": 1}), Step("boom", fails)])
    step = import_("i", child, outputs=[("scratchpad.a", "a")], updates_context=True, on_failure=on_failure)
    result = await run(Pipeline([step, Step("after")]))
    assert (result.success, result.output) == (True, output)
    assert result.final_pipeline_context.scratchpad == {}
    assert not result.final_pipeline_context.model_extra
    assert result.step_history[0].error.type == "ValueError"


async def test_a_child_is_done_without_only_when_its_retries_are_used_up(run):
    calls: list[Any] = []

    def flaky(data: Any) -> Any:
        calls.append(data)
        if len(calls) < 3:
            raise ValueError("not yet")
        return "done"

    step = import_("i", Step("flaky", flaky), on_failure="skip", config=StepConfig(max_retries=2))
    assert (await run(step)).output == "done"


@pytest.mark.parametrize(
    ("signal", "status"), [(PausedException("wait"), "paused"), (PipelineAbortSignal("end"), "cancelled")]
)
async def test_pauses_and_aborts_are_no_failures(run, signal, status):
    def stops(data: Any) -> Any:
        raise signal

    result = await run(import_("i", Step("stops", stops), on_failure="skip"))
    assert result.status == status


async def test_history_and_events_show_the_child_s_steps_right_under_the_import(run):
    sink = RecordingSink()
    child = Pipeline([Step("c"), Step("d")], name="child")
    result = await run(Pipeline([import_("i", child)]), sinks=[sink])
    assert [step.path for step in result.step_history] == ["import:i"]
    assert [step.path for step in result.step_history[0].children] == ["import:i/c", "import:i/d"]
    ended = [event.path for event in sink.events if type(event).__name__ == "StepFinished"]
    assert ended == ["import:i/c", "import:i/d", "import:i", ""]


async def test_what_must_hold_around_an_import_is_not_asked_of_its_child(run):
    child = Pipeline([says("c", "{{ context.total | default('no total') }}"), Step("d")])
    pipeline = Pipeline([import_("i", child)], static_invariants=["context.total == 1"])
    assert (await run(pipeline, initial_context_data={"total": 1})).output == "no total"
    broken = await run(pipeline, initial_context_data={"total": 2})
    assert broken.error.path == "import:i"


async def test_what_must_hold_in_a_child_is_asked_of_its_steps(run):
    child = Pipeline([Step("c"), says("d", "bad")], name="child", static_invariants=["output != 'bad'"])
    result = await run(import_("i", child))
    assert result.error.path == "import:i/sub:child/d"


async def test_a_child_cannot_reach_its_parent_s_context_in_strict_mode(run, monkeypatch):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", "1")
    held: list[Any] = []

    def keep(data: Any, *, context: OpenContext) -> Any:
        held.append(context)
        return data

    def reach(data: Any) -> Any:
        held[0].scratchpad["k"] = 1
        return data

    for failing in (Step("ok"), Step("boom", fails)):
        held.clear()
        result = await run(Pipeline([Step("keep", keep), import_("i", Pipeline([Step("reach", reach), failing]))]))
        assert result.error.message == "the child of 'import:i' changed 'scratchpad.k' in its parent's context"


async def test_a_resumed_run_has_the_same_context_and_runs_nothing_again(resumed):
    child = Pipeline(
        [resumed.calls("c", sink_to="import_artifacts.answer"), resumed.calls("d", sink_to="top")], name="child"
    )
    steps = [
        import_("some", child, outputs=[("import_artifacts.answer", "import_artifacts.got")]),
        import_("all", child, updates_context=True),
        resumed.flaky("late"),
        says("shown", "{{ [context.import_artifacts, context.top] }}"),
    ]
    result = await resumed(Pipeline(steps))
    assert resumed.ran == ["c", "d", "c", "d", "late", "late"]
    assert result.output == [{"got": "x", "answer": "x"}, "x"]


async def test_a_child_that_was_interrupted_goes_on_where_it_was(resumed):
    child = Pipeline(
        [resumed.calls("c", sink_to="scratchpad.c"), resumed.flaky("d"), says("e", "{{ context.scratchpad.c }}")]
    )
    result = await resumed(import_("i", child, outputs=[("scratchpad.c", "scratchpad.got")]))
    assert resumed.ran == ["c", "d", "d"]
    assert (result.output, result.final_pipeline_context.scratchpad) == ("x", {"got": "x"})


async def test_a_child_that_was_done_without_is_not_tried_again_by_a_resume(resumed):
    child = resumed.flaky("child")
    result = await resumed(
        Pipeline([import_("i", child, on_failure="skip"), resumed.flaky("late"), says("end", "{{ steps.i.output }}")])
    )
    assert resumed.ran == ["child", "late", "late"]
    assert result.output is None


async def test_a_child_may_ask_and_goes_on_with_the_answer(run):
    child = Pipeline(
        [Step("c", sink_to="scratchpad.c"), human("ask", "{{ input }}?"), says("d", "{{ previous_step }}!")]
    )
    outputs = [("scratchpad.c", "c"), ("hitl_history", "asked")]
    step = import_("i", child, outputs=outputs, on_failure="skip")
    backend = InMemoryBackend()
    paused = await run(step, state_backend=backend)
    assert (paused.status, [question.message for question in paused.pending]) == ("paused", ["x?"])
    async with Flujo(step, state_backend=backend, context_model=OpenContext) as flujo:
        result = await flujo.resume(paused.run_id, "yes")
    context = result.final_pipeline_context
    assert (result.output, context.c, [turn.human_response for turn in context.asked]) == ("yes!", "x", ["yes"])
    assert context.hitl_history == []


async def test_an_import_stands_in_any_kind_and_any_kind_in_it(run):
    child = Pipeline(
        [
            map_(
                "m",
                says("c", "{{ item }}{{ input | length }}", sink_to="scratchpad.last"),
                over="items",
                merge_strategy="overwrite",
            )
        ]
    )
    one = import_("i", child, input_to="items", outputs=[("scratchpad.last", "scratchpad.last")])
    looped = loop("l", parallel("p", {"a": one}, reduce="first"), max_loops=2)
    result = await run(looped, ["q", "r"], initial_context_data={"items": []})
    assert (result.output, result.final_pipeline_context.scratchpad) == (["q22", "r22"], {"last": "r22"})


async def test_one_pipeline_may_be_imported_twice(run):
    child = Pipeline([says("c", "{{ previous_step }}!")], name="child")
    assert (await run(Pipeline([import_("i", child), import_("j", child)]))).output == "x!!"


async def test_imports_run_as_deep_as_they_may_stand(run):
    step: Any = Step("leaf")
    for number in range(64):
        step = import_(f"i{number}", Pipeline([step], name="child"))
    assert (await run(step)).output == "x"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES, VALUES, st.booleans())
async def test_what_comes_back_from_a_child_equals_what_it_set(value, prompt, inherits):
    child = Pipeline([Step("c", lambda data: value, sink_to="scratchpad.v"), Step("d", lambda data: prompt)])
    step = import_("i", child, outputs=[("scratchpad.v", "got")], inherit_context=inherits)
    async with Flujo(step, context_model=OpenContext, state_backend=InMemoryBackend()) as flujo:
        first = await flujo.run("x", run_id="r")
        again = await flujo.resume("r")
    assert first.output == again.output == prompt
    assert first.final_pipeline_context.got == again.final_pipeline_context.got == value


async def test_an_import_may_have_a_fallback_of_its_own(run):
    result = await run(import_("i", Step("boom", fails), fallback=says("instead", "{{ input }}!")))
    assert (result.output, result.step_history[0].fallback) == ("x!", "instead")


@pytest.mark.parametrize("inherits", [False, True])
@pytest.mark.parametrize(
    ("input_to", "data", "path", "after"),
    [
        ("initial_prompt", "data", "extra.b", {"extra": {"a": {"c": 1}, "b": "new"}}),
        ("initial_prompt", "data", "extra.a.b", {"extra": {"a": {"c": 1, "b": "new"}}}),
        ("extra.secret", "data", "extra.b", {"extra": {"a": {"c": 1}, "b": "new"}}),
        ("secret.input", "data", "extra.b", {"extra": {"a": {"c": 1}, "b": "new"}}),
        ("secret.input", "data", "secret.b", {"extra": {"a": {"c": 1}}, "secret": {"b": "new"}}),
        ("scratchpad", {"token": 1}, "extra.b", {"extra": {"a": {"c": 1}, "b": "new"}}),
    ],
)
async def test_what_a_child_was_given_stays_and_what_it_changed_goes_beside_the_parent_s(
    inherits, input_to, data, path, after
):
    child = Pipeline([Step("write", lambda data: "new", sink_to=path)], name="child")
    step = import_("i", child, input_to=input_to, inherit_context=inherits, updates_context=True)
    flujo = Flujo(step, context_model=OpenContext, initial_context_data={"extra": {"a": {"c": 1}}})

    context = (await flujo.run(data)).final_pipeline_context

    assert (context.model_extra, context.scratchpad) == (after, {})
