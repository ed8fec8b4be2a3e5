"""The same steps again and again."""

import pytest

from flujo import OpenContext, Step, loop
from flujo.exceptions import BlueprintError, ConfigurationError, TemplateResolutionError

PLUS = Step("plus", lambda data: data + 1)


async def test_the_output_of_an_iteration_is_the_next_one_s_input_until_the_test_holds(run):
    result = await run(loop("l", PLUS, until="previous_step >= 3", max_loops=9), 0)

    assert result.output == 3
    assert [child.path for child in result.step_history[0].children] == ["loop:l[0]", "loop:l[1]", "loop:l[2]"]


async def test_the_exit_test_may_be_a_callable_of_output_and_context(run):
    async def enough(output: int, context: OpenContext) -> bool:
        return output == context.goal

    assert (await run(loop("l", PLUS, until=enough), 0, initial_context_data={"goal": 2})).output == 2


async def test_without_an_exit_test_it_is_a_counted_loop(run):
    assert (await run(loop("l", PLUS, max_loops=4), 0)).output == 4


async def test_a_loop_that_never_ends_fails_and_keeps_what_it_did(run):
    result = await run(loop("l", PLUS, until="false", max_loops=3), 0)

    assert (result.error.message, result.error.path) == ("loop 'l' did not end within 3 iterations", "loop:l")
    assert [child.output for child in result.step_history[0].children] == [1, 2, 3]


async def test_a_loop_may_take_the_last_output_instead(run):
    assert (await run(loop("l", PLUS, until="false", max_loops=3, on_max="take_last"), 0)).output == 3


async def test_the_mappers_make_the_first_the_next_and_the_last_value(run):
    step = loop(
        "l",
        PLUS,
        max_loops=3,
        initial_input_mapper=lambda data, context: data * 10,
        iteration_input_mapper=lambda output, context, done: output + 100 * done,
        loop_output_mapper=lambda output, context: f"={output}",
    )
    assert (await run(step, 1)).output == f"={10 + 1 + 100 + 1 + 200 + 1}"


@pytest.mark.parametrize(
    ("propagation", "output"),
    [("{{ output * 2 }}", 7), ("context", "OpenContext"), (None, 3)],
)
async def test_propagation_says_what_the_next_iteration_gets(run, propagation, output):
    body = Step("s", lambda data: data + 1 if isinstance(data, int) else type(data).__name__)

    assert (await run(loop("l", body, max_loops=3, propagation=propagation), 0)).output == output


async def test_init_and_state_work_on_the_context(run):
    step = loop(
        "l",
        PLUS,
        max_loops=2,
        init={"log": [], "context.total": "{{ previous_step }}", "scratchpad.seen": {}},
        state=[
            {"set": [{"target": "total", "value": "{{ context.total + output }}"}]},
            {"append": {"target": "log", "value": "{{ loop.index }}"}},
            {"append": [{"target": "fresh", "value": "{{ loop.index0 }}"}]},
            {"merge": [{"target": "scratchpad.seen", "value": '{"last": {{ output }}}'}]},
        ],
    )
    context = (await run(step, 5)).final_pipeline_context

    assert (context.total, context.log, context.fresh) == (5 + 6 + 7, [1, 2], [0, 1])
    assert context.scratchpad == {"seen": {"last": 7}}


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"append": {"target": "n", "value": 1}}, "context field 'n' holds 'int', expected 'list'"),
        ({"merge": {"target": "d", "value": "[1]"}}, "what is merged into context field 'd' is 'list'"),
        ({"merge": {"target": "d", "value": "no json"}}, "what is merged into context field 'd' is 'str'"),
        ({"n.deep": 1}, "'n.deep' leads into a int"),
    ],
)
async def test_an_operation_that_does_not_fit_fails_the_step_and_keeps_its_history(run, operation, message):
    result = await run(loop("l", PLUS, state=operation), 0, initial_context_data={"n": 1, "d": {}})

    assert message in result.error.message
    assert len(result.step_history[0].children) == 1


async def test_an_iteration_that_fails_leaves_the_context_as_the_one_before_left_it(run):
    def count(data: int, *, context: OpenContext) -> int:
        context.log.append(data)
        if data == 2:
            raise ValueError("two")
        return data + 1

    result = await run(loop("l", Step("s", count)), 0, initial_context_data={"log": []})

    assert (result.error.path, result.final_pipeline_context.log) == ("loop:l[2]/s", [0, 1])


async def test_iterations_that_are_recorded_do_not_run_again(resumed):
    body = [resumed.calls("a", "{name}{data}"), resumed.flaky("b", "{name}{data}", on=1), PLUS]
    result = await resumed(
        loop("l", body, max_loops=3, state={"append": {"target": "log", "value": "{{ output }}"}}), 0
    )

    assert (result.output, result.final_pipeline_context.log) == (3, [1, 2, 3])
    assert resumed.ran == ["a0", "b0", "a1", "b1", "b1", "a2", "b2"]


async def test_in_strict_mode_an_iteration_that_changes_its_parent_s_context_fails_the_step(run, monkeypatch):
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", "1")
    held: list[OpenContext] = []
    step = loop(
        "l",
        Step("s", lambda data: held[0].items.append(1)),
        initial_input_mapper=lambda data, context: held.append(context),
    )
    result = await run(step, initial_context_data={"items": []})

    assert result.error.message == "iteration 0 of 'loop:l' changed 'items' in its parent's context"


@pytest.mark.parametrize(
    "options",
    [
        {"until": "previous_step >"},
        {"init": {"n": "{{ a + }}"}},
        {"state": {"n": "{{ a | nope }}"}},
        {"propagation": "{{"},
    ],
)
def test_text_that_does_not_compile_is_found_before_anything_runs(prepare, options):
    with pytest.raises(TemplateResolutionError):
        prepare(loop("l", PLUS, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_loops": 0}, "has max_loops 0"),
        ({"on_max": "stop"}, "has on_max 'stop'"),
        ({"state": {"append": [{"target": "n"}]}}, "has an operation that is not one"),
        ({"init": {"merge": ["n"]}}, "has an operation that is not one"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        loop("l", PLUS, **options)


LOOP = """
  - name: l
    kind: loop
    loop:
      body: [{ name: s, input: "{{ previous_step }}{{ loop.index }}" }]
      max_loops: 3
      exit_expression: "context.n >= 2"
      init: { n: 0 }
      state: { set: [{ target: n, value: "{{ context.n + 1 }}" }] }
      propagation: { next_input: "{{ output }}-" }
"""


async def test_a_file_and_python_say_the_same(run, load):
    made = loop(
        "l",
        Step("s", input="{{ previous_step }}{{ loop.index }}"),
        max_loops=3,
        until="context.n >= 2",
        init={"n": 0},
        state={"set": [{"target": "n", "value": "{{ context.n + 1 }}"}]},
        propagation="{{ output }}-",
    )
    loaded = load(LOOP)

    assert loaded.steps[0].definition() == made.definition()
    assert (await run(loaded, "x")).output == "x1-2"


HELPERS = """
def enough(output, context):
    return len(output) > 2

def grow(output, context, done):
    return output * 2
"""


async def test_a_file_may_name_functions(run, load):
    part = "exit_condition: 'helpers:enough', iteration_input_mapper: 'helpers:grow'"
    loaded = load(f"  - {{ name: l, kind: loop, loop: {{ body: {{ name: s }}, {part} }} }}\n", HELPERS)

    assert (await run(loaded, "x")).output == "xxxx"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("body: []", "has nothing in its body"),
        ("body: { name: s }, max_loops: 0", "max_loops"),
        ("body: { name: s }, max_lops: 3", "max_lops"),
        ("max_loops: 3", "body"),
        ("body: { name: s }, state: { append: [{ target: n }] }", "has an operation that is not one"),
    ],
)
def test_a_mistake_in_a_file_is_told(load, part, message):
    with pytest.raises(BlueprintError, match=message):
        load(f"  - {{ name: l, kind: loop, loop: {{ {part} }} }}\n")
