"""A pipeline as one step of another: what the step's fields make of it."""

from dataclasses import replace

import pytest

from flujo import ImportOutput, ImportStep, Pipeline, Step, StepConfig, import_
from flujo.domain.canonical import digest
from flujo.exceptions import ConfigurationError, TypeMismatchError


def count(text: str) -> int:
    return len(text)


def double(number: int) -> int:
    return 2 * number


CHILD = Pipeline([Step("c")], name="child")


def test_a_child_may_be_a_pipeline_a_step_or_a_list_of_steps():
    assert import_("i", CHILD).pipeline is CHILD
    assert [step.name for step in import_("i", Step("a")).children()] == ["a"]
    assert [step.name for step in import_("i", [Step("a"), Step("b")]).children()] == ["a", "b"]


def test_a_child_s_steps_stand_right_under_the_import():
    assert import_("i", CHILD).segment == "import:i"
    assert [step.name for step in import_("i", CHILD).walk()] == ["i", "c"]


@pytest.mark.parametrize(
    "child",
    [
        Pipeline([Step("c")], name="child", fallback=Step("f")),
        Pipeline([Step("c")], name="child", config=StepConfig(max_retries=1)),
        Pipeline([Step("c")], name="child", static_invariants=("output",)),
        Pipeline([Step("c")], name="child", sink_to="scratchpad.c"),
    ],
)
def test_a_child_with_options_of_its_own_keeps_them_and_stands_under_its_name(child):
    (only,) = import_("i", child).children()

    assert only is child


def test_outputs_are_pairs_of_paths():
    step = import_("i", CHILD, outputs=[("scratchpad.a", "scratchpad.b"), ImportOutput("x", "y")])

    assert step.outputs == (ImportOutput("scratchpad.a", "scratchpad.b"), ImportOutput(child="x", parent="y"))
    assert step.reads_context


def test_an_import_takes_and_gives_what_its_pipeline_does():
    child = Pipeline([Step("count", count)])

    assert (import_("i", child).input_type, import_("i", child).output_type) == (str, int)
    with pytest.raises(TypeMismatchError, match="step 'i' gives int, but step 'count' takes str"):
        Pipeline([import_("i", child), Step("count", count)])


def test_an_output_that_something_else_may_take_the_place_of_has_no_type():
    Pipeline([import_("i", Step("count", count), on_failure="skip"), Step("again", count)])


def test_what_takes_the_place_of_a_failed_child_is_its_fallback():
    assert import_("i", CHILD).fallback is None
    assert import_("i", CHILD, on_failure="skip").fallback.input is None
    assert import_("i", CHILD, on_failure="continue_with_default").fallback.input == {}


def test_a_step_can_be_made_from_another_with_another_on_failure():
    skipping = import_("i", CHILD, on_failure="skip")

    assert replace(skipping, name="j").fallback.input is None
    assert replace(skipping, on_failure="continue_with_default").fallback.input == {}
    assert replace(skipping, on_failure="abort").fallback is None


def test_what_the_child_is_and_what_flows_is_part_of_what_an_import_is():
    steps = [
        import_("i", CHILD),
        import_("i", Pipeline([Step("d")], name="child")),
        import_("i", CHILD, outputs=[("a", "b")]),
        import_("i", CHILD, input_to="scratchpad"),
        import_("i", CHILD, inherit_context=True),
        import_("i", CHILD, on_failure="skip"),
        import_("i", CHILD, updates_context=True),
    ]

    assert len({digest(step.definition()) for step in steps}) == len(steps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pipeline": None}, "import 'i' has nothing in its pipeline"),
        ({"pipeline": []}, "import 'i' has nothing in its pipeline"),
        ({"pipeline": count}, "'.*count' in pipeline 'pipeline' is not a step"),
        ({"run": count}, "import 'i' runs '.*count', but runs steps only"),
        ({"on_failure": "abrot"}, "import 'i' has on_failure 'abrot'"),
        ({"on_failure": "skip", "fallback": Step("f")}, "import 'i' has a fallback and on_failure 'skip'"),
        (
            {"outputs": [("a", "b")], "config": StepConfig(execution_mode="background")},
            "import 'i' runs in the background, but has outputs",
        ),
        ({"input_to": ""}, "import 'i' has input_to ''"),
        ({"input_to": "scratchpad..x"}, "import 'i' has input_to 'scratchpad..x'"),
        ({"outputs": ["ab"]}, "import 'i' has an output 'ab'"),
        ({"outputs": [("a", "b", "c")]}, r"import 'i' has an output \('a', 'b', 'c'\)"),
        ({"outputs": [("a", ".")]}, r"import 'i' has an output \('a', '\.'\)"),
        ({"outputs": [("a", "x"), ("b", "x")]}, "import 'i' hands two values back to 'x'"),
    ],
)
def test_an_import_that_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        ImportStep("i", **{"pipeline": CHILD, **options})


def nested(levels):
    step = Step("leaf")
    for number in range(levels):
        step = import_(f"i{number}", Pipeline([step], name="child"))
    return step


def test_imports_count_like_any_nesting():
    assert nested(64).depth == 64
    with pytest.raises(ConfigurationError, match="import 'i64' holds steps 65 deep"):
        nested(65)
