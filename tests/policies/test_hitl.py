"""Steps that ask a person: the question, the pause, the answer, the deadline; and the kind `hitl` in files."""

from typing import Any

import pytest
from pydantic import BaseModel

from flujo import Flujo, OpenContext, Pipeline, Step, branch, human, import_, loop, map_, parallel
from flujo.blueprint.builder import Sources, check_pipeline
from flujo.exceptions import BlueprintError, ConfigurationError, DefinitionChanged
from flujo.infra.memory import InMemoryBackend
from flujo.infra.templates import Templates
from flujo.plugins import create_plugin_manager
from flujo.testing import FakeClock


class Verdict(BaseModel):
    decision: str
    refund: float | None = None


class Asked:
    """A run of a step in memory, answered by fresh `Flujo` objects; `ran` names what was called."""

    def __init__(self) -> None:
        self.backend = InMemoryBackend()
        self.clock = FakeClock()
        self.ran: list[Any] = []

    def note(self, name: str, **options: Any) -> Step[Any, Any]:
        def note(data: Any) -> Any:
            self.ran.append((name, data))
            return data

        return Step(name, note, **options)

    def flujo(self, step: Step[Any, Any]) -> Flujo[Any, Any, OpenContext]:
        return Flujo(step, state_backend=self.backend, context_model=OpenContext, clock=self.clock)

    async def run(self, step: Step[Any, Any], data: Any = "x", **context: Any) -> Any:
        return await self.flujo(step).run(data, run_id="r", initial_context_data=context)

    async def resume(self, step: Step[Any, Any], *answer: Any, **options: Any) -> Any:
        return await self.flujo(step).resume("r", *answer, **options)


@pytest.fixture
def asked() -> Asked:
    return Asked()


async def test_a_question_pauses_the_run_with_its_rendered_message(asked):
    step = asked.note("a") >> human("ask", "ok {{ previous_step }}?") >> asked.note("b")

    result = await asked.run(step, "poem")

    assert (result.status, result.output, asked.ran) == ("paused", None, [("a", "poem")])
    (question,) = result.pending
    assert (question.path, question.message, question.schema, question.deadline) == ("ask", "ok poem?", None, None)
    assert [(each.path, each.success, each.paused) for each in result.step_history] == [
        ("a", True, False),
        ("ask", False, True),
    ]


async def test_the_answer_is_the_output_and_nothing_before_the_question_runs_again(asked):
    step = asked.note("a") >> human("ask", "ok?", sink_to="verdict") >> asked.note("b")
    await asked.run(step)

    result = await asked.resume(step, "yes")

    assert (result.status, result.output, result.pending) == ("completed", "yes", ())
    assert asked.ran == [("a", "x"), ("b", "yes")]
    assert result.final_pipeline_context.verdict == "yes"


async def test_a_run_that_is_resumed_without_an_answer_pauses_again_with_the_same_token(asked):
    step = asked.note("a") >> human("ask", "ok {{ context.n }}?")
    first = await asked.run(step, n=1)

    again = await asked.resume(step)

    assert again.status == "paused"
    assert again.pending == first.pending
    assert asked.ran == [("a", "x")]


async def test_the_context_remembers_what_was_asked_and_answered_and_so_does_a_resumed_one(asked):
    step = human("ask", "ok?", schema=Verdict) >> asked.note("b") >> human("more", "more?")
    await asked.run(step)
    asked.clock.advance(60)

    result = await asked.resume(step, {"decision": "edit"}, by="ann")
    again = await asked.resume(step)

    for context in (result.final_pipeline_context, again.final_pipeline_context):
        (said,) = context.hitl_history
        assert (said.message_to_human, said.human_response) == ("ok?", Verdict(decision="edit"))
        assert said.timestamp.timestamp() == asked.clock.now()
        assert [(turn.role, turn.content) for turn in context.conversation_history] == [
            ("assistant", "ok?"),
            ("user", '{"decision": "edit", "refund": null}'),
        ]


async def test_templates_see_the_last_answer_as_resume_input(asked):
    before = Step("before", input="{{ resume_input | default('nobody') }}")
    after = Step("after", input="{{ steps.before.output }}, then {{ resume_input }}")
    step = before >> human("ask", "ok?") >> Step("between", lambda _: None) >> after
    await asked.run(step)

    assert (await asked.resume(step, "yes")).output == "nobody, then yes"


async def test_resume_input_before_any_answer_is_an_error_that_says_so(asked):
    result = await asked.run(Step("a", input="{{ resume_input }}"))

    assert result.error.message.startswith(
        "there is no 'resume_input' here, as nobody has answered; there is 'context'"
    )


async def test_what_a_later_step_does_to_the_answer_does_not_reach_the_history(asked):
    step = human("ask", "ok?") >> Step("b", lambda answer: answer.clear())
    await asked.run(step)

    result = await asked.resume(step, {"n": 1})

    assert result.final_pipeline_context.hitl_history[0].human_response == {"n": 1}


async def test_a_message_that_is_no_text_is_shown_as_json(asked):
    result = await asked.run(human("ask", "{{ previous_step }}"), {"n": [1, None]})

    assert result.pending[0].message == '{"n": [1, null]}'


async def test_the_question_tells_the_json_schema_of_a_model(asked):
    result = await asked.run(human("ask", "ok?", schema=Verdict))

    assert result.pending[0].schema == Verdict.model_json_schema()


async def test_a_type_that_json_has_no_words_for_is_checked_all_the_same(asked):
    step = human("ask", "ok?", schema=type)
    assert (await asked.run(step)).pending[0].schema is None


async def test_a_deadline_fails_a_run_that_is_resumed_after_it(asked):
    step = human("ask", "ok?", deadline_s=60)
    first = await asked.run(step)
    assert first.pending[0].deadline == asked.clock.now() + 60
    asked.clock.advance(59)
    assert (await asked.resume(step)).status == "paused"
    asked.clock.advance(1)

    late = await asked.resume(step)

    assert (late.status, late.error.message) == ("failed", "nobody has answered step 'ask' within 60 s")
    assert late.error.suggestion.endswith(f"token {first.pending[0].token!r}")
    assert late.pending == first.pending


@pytest.mark.parametrize(("back", "status"), [(0, "paused"), (59, "paused"), (60, "paused"), (86400, "failed")])
async def test_a_clock_that_is_set_back_makes_no_question_wait_for_ever(asked, back, status):
    step = human("ask", "ok?", deadline_s=60)
    first = await asked.run(step)
    asked.clock.set_back(back)

    again = await asked.resume(step)

    assert (again.status, again.pending) == (status, first.pending)


async def test_a_clock_that_is_set_forward_ends_the_wait_once(asked):
    step = human("ask", "ok?", deadline_s=60, on_deadline={"answer": "no"})
    await asked.run(step)
    asked.clock.set_back(-86400)
    assert (await asked.resume(step)).output == "no"
    asked.clock.set_back(86400)

    assert (await asked.resume(step)).output == "no"
    assert [record.path for record in await asked.backend.load("r")] == ["ask?", "ask!1", "ask"]


async def test_an_answer_after_the_deadline_still_counts(asked):
    step = human("ask", "ok?", deadline_s=60)
    await asked.run(step)
    asked.clock.advance(61)
    assert (await asked.resume(step)).status == "failed"

    assert (await asked.resume(step, "yes")).output == "yes"


async def test_a_deadline_can_have_an_answer_of_its_own(asked):
    answer = {"decision": "reject"}
    step = human("ask", "ok?", schema=Verdict, deadline_s=60, on_deadline={"answer": answer}) >> asked.note("b")
    await asked.run(step)
    asked.clock.advance(61)

    result = await asked.resume(step)

    assert (result.status, result.output) == ("completed", Verdict(decision="reject"))
    records = {record.path: record for record in await asked.backend.load("r")}
    assert b'"by":"on_deadline"' in records["ask!1"].out


async def test_a_fallback_stands_in_for_nobody(asked):
    step = human("ask", "ok?", deadline_s=60, fallback=Step("default", lambda _: "no"))
    await asked.run(step)
    asked.clock.advance(61)

    result = await asked.resume(step)

    assert (result.output, result.pending) == ("no", ())


@pytest.mark.parametrize(
    "options", [{"validators": [lambda answer: answer < 100 or "too much"]}, {"static_invariants": ["output < 100"]}]
)
async def test_a_question_whose_answer_its_step_fails_with_is_asked_again(asked, options):
    step = human("ask", "how much?", schema=int, **options)
    first = await asked.run(step)

    failed = await asked.resume(step, 500)
    assert failed.status == "failed"
    assert failed.pending == first.pending
    assert (await asked.resume(step)).status == "paused"

    assert (await asked.resume(step, 50)).output == 50


async def test_an_answer_stays_when_it_can_not_be_put_where_it_belongs(asked):
    def pipeline(sink_to):
        ask = human("ask", "ok?", sink_to=sink_to)
        return Pipeline([Step("before", lambda _: "text", sink_to="scratchpad.v"), ask, asked.note("after")])

    await asked.run(pipeline("scratchpad.v.w"))

    failed = await asked.resume(pipeline("scratchpad.v.w"), {"so": [1]}, by="ann")
    assert (failed.status, failed.error.code, failed.pending) == ("failed", "FLUJO-401", ())
    assert await asked.flujo(pipeline("scratchpad.v.w")).inbox() == ()
    again = await asked.resume(pipeline("scratchpad.v.w"))
    assert (again.status, again.error.code, again.pending) == ("failed", "FLUJO-401", ())

    mended = await asked.resume(pipeline("scratchpad.said"))
    assert (mended.status, mended.output) == ("completed", {"so": [1]})
    assert mended.final_pipeline_context.scratchpad == {"v": "text", "said": {"so": [1]}}
    assert len(mended.final_pipeline_context.hitl_history) == 1


async def test_an_answer_that_its_place_refuses_is_asked_for_again(asked):
    class Counted(OpenContext):
        count: int = 0

    def flujo():
        step = human("ask", "how many?", sink_to="count")
        return Flujo(step, state_backend=asked.backend, context_model=Counted, clock=asked.clock)

    await flujo().run("x", run_id="r")
    assert (await flujo().resume("r", "many")).status == "failed"
    assert [each.question.path for each in await flujo().inbox()] == ["ask"]
    assert (await flujo().resume("r", 3)).final_pipeline_context.count == 3


async def test_a_recorded_answer_is_put_where_the_step_says_now(asked):
    def pipeline(sink_to):
        failing = [lambda _: sink_to != "scratchpad.old"]
        return human("ask", "ok?", sink_to=sink_to) >> Step("after", asked.note("after").run, validators=failing)

    await asked.run(pipeline("scratchpad.old"))
    assert (await asked.resume(pipeline("scratchpad.old"), "yes")).status == "failed"

    with pytest.raises(DefinitionChanged, match=r"the answer to 'ask' can't be put at 'scratchpad.old.x': 'scratchpad"):
        await asked.resume(pipeline("scratchpad.old.x"))
    mended = await asked.resume(pipeline("scratchpad.new"))
    assert (mended.status, mended.final_pipeline_context.scratchpad["new"]) == ("completed", "yes")


async def test_a_branch_can_ask(asked):
    step = branch("s", on="previous_step", branches={"x": human("ask", "ok?"), "y": asked.note("b")})
    first = await asked.run(step)
    assert first.pending[0].path == "conditional:s/x/ask"

    assert (await asked.resume(step, 1)).output == 1


async def test_an_imported_pipeline_can_ask(asked):
    child = Pipeline([asked.note("a"), human("ask", "ok {{ input }}?", sink_to="verdict")], name="child")
    step = import_("run_child", child, outputs=[("verdict", "verdict")]) >> asked.note("b")
    first = await asked.run(step)
    assert (first.pending[0].path, first.pending[0].message) == ("import:run_child/ask", "ok x?")

    result = await asked.resume(step, "yes")

    assert (result.output, result.final_pipeline_context.verdict) == ("yes", "yes")
    assert asked.ran == [("a", "x"), ("b", "yes")]


async def test_every_turn_of_a_loop_asks_anew(asked):
    step = loop("again", human("ask", "{{ previous_step }} more?"), until="previous_step == 'stop'")

    paths = [(await asked.run(step)).pending[0].path]
    paths += [(await asked.resume(step, answer)).pending[0].path for answer in ("a", "b")]
    result = await asked.resume(step, "stop")

    assert paths == [f"loop:again[{index}]/ask" for index in range(3)]
    assert result.output == "stop"
    assert [said.message_to_human for said in result.final_pipeline_context.hitl_history] == [
        "x more?",
        "a more?",
        "b more?",
    ]


@pytest.mark.parametrize(
    "step",
    [
        map_("each", human("ask", "{{ previous_step }}?"), concurrency=3),
        parallel("all", {"0": human("ask", "0?"), "1": human("ask", "1?"), "2": human("ask", "2?")}, reduce="values"),
    ],
    ids=["map", "parallel"],
)
async def test_what_goes_on_side_by_side_asks_side_by_side(asked, step):
    first = await asked.run(step, [0, 1, 2])
    by_message = {question.message: question.token for question in first.pending}
    assert set(by_message) == {"0?", "1?", "2?"}
    await asked.resume(step, "c", token=by_message["2?"])
    second = await asked.resume(step, "a", token=by_message["0?"])
    assert [question.message for question in second.pending] == ["1?"]

    result = await asked.resume(step, "b")

    assert result.output == ["a", "b", "c"]
    history = result.final_pipeline_context.hitl_history
    assert [said.human_response for said in history] == ["a", "b", "c"]


def write(tmp_path: Any, step: str) -> Any:
    (tmp_path / "helpers.py").write_text(
        "from pydantic import BaseModel\n\nclass Verdict(BaseModel):\n    decision: str\n\ndef check(data): ...\n"
    )
    path = tmp_path / "pipeline.yaml"
    path.write_text(f"steps:\n  - {{ kind: hitl, name: ask, {step} }}\n")
    return path


def sources(tmp_path: Any) -> Sources:
    there = create_plugin_manager().contributions
    return Sources(there.kinds, there.skills, Templates(), ["helpers"], tmp_path)


def test_a_file_says_the_same_as_python(load):
    made = load(
        "  - kind: hitl\n    name: ask\n    message: 'ok {{ previous_step }}?'\n"
        "    input_schema: { type: string, enum: [yes, no] }\n    deadline: 2h\n    on_deadline: { answer: 'no' }\n"
        "    sink_to: verdict\n"
    )
    written = human(
        "ask",
        "ok {{ previous_step }}?",
        schema={"type": "string", "enum": ["yes", "no"]},
        deadline_s=7200.0,
        on_deadline={"answer": "no"},
        sink_to="verdict",
    )

    assert made.steps[0].definition() == written.definition()
    assert made.steps[0].config.max_retries == 0


async def test_a_file_can_name_a_model(load, asked):
    helpers = "from pydantic import BaseModel\n\nclass Decision(BaseModel):\n    decision: str\n"
    made = load("  - { kind: hitl, name: ask, message: ok?, input_schema: 'helpers:Decision' }\n", helpers)

    first = await asked.run(made)
    result = await asked.resume(made, {"decision": "approve"})

    assert first.pending[0].schema["required"] == ["decision"]
    assert type(result.output).__name__ == "Decision"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("deadline: 1h", "missing key 'message'"),
        ("message: ''", "'message' should have at least 1 character"),
        ("message: '{{ nope'", "unexpected end of template"),
        ("message: ok?, deadline: soon", "'soon' is no duration, expected more than 0 seconds, or text like '90s'"),
        ("message: ok?, deadline: 0", "0 is no duration, expected more than 0 seconds"),
        ("message: ok?, deadline: 9, on_deadline: skip", "step 'ask' has on_deadline 'skip'"),
        ("message: ok?, on_deadline: {answer: 1}", "step 'ask' has on_deadline, but no deadline_s"),
        ("message: ok?, input_schema: {type: text}", "step 'ask': the JSON Schema is wrong at $.type"),
        (
            "message: ok?, input_schema: {$ref: 'https://example.org/s.json'}",
            "step 'ask': the JSON Schema refers to 'https://example.org/s.json', which is not in it",
        ),
        ("message: ok?, config: {timeout: 5}", "step 'ask' has timeout_s, but waits outside of any process"),
        (
            "message: ok?, input_schema: {type: string}, deadline: 9, on_deadline: {answer: 1}",
            "step 'ask': the answer of on_deadline does not fit its schema: $: 1 is not of type 'string'",
        ),
        ("message: ok?, input_schema: 'helpers:Nope'", "module 'helpers' has no 'Nope'"),
    ],
)
def test_what_is_wrong_in_a_file_is_found_without_running_it(tmp_path, step, message):
    findings = check_pipeline(write(tmp_path, step), sources(tmp_path))

    assert any(message in finding.message for finding in findings), findings


async def test_a_plain_type_is_a_schema_in_a_file(load):
    step = load("  - { kind: hitl, name: ask, message: how many?, input_schema: int }\n")
    async with Flujo(step) as flujo:
        paused = await flujo.run("x")
        assert paused.pending[0].schema == {"type": "integer"}
        assert (await flujo.resume(paused, 7)).output == 7


def test_a_model_that_is_not_imported_is_nothing_wrong(tmp_path):
    assert check_pipeline(write(tmp_path, "message: ok?, input_schema: 'helpers:Verdict'"), sources(tmp_path)) == ()


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (len, "step 'ask' has the function 'builtins:len' as its input_schema"),
        ({"type": "text"}, "step 'ask': the JSON Schema is wrong at"),
        (object(), "step 'ask': "),
    ],
)
def test_a_schema_that_is_none_is_refused_before_anything_runs(schema, message):
    with pytest.raises(ConfigurationError, match=message):
        Flujo(human("ask", "ok?", schema=schema))


def test_a_question_in_the_background_is_found_in_a_file(load):
    with pytest.raises(BlueprintError, match="step 'ask' runs in the background, but asks a person"):
        load("  - { kind: hitl, name: ask, message: ok?, config: { execution_mode: background } }\n")
