"""One branch or another."""

from enum import Enum
from typing import Any

import pytest

from flujo import Pipeline, Step, branch
from flujo.exceptions import BlueprintError, TemplateResolutionError


class Colour(Enum):
    """Names a branch by its value."""

    RED = "red"


def say(word: str) -> Step[Any, str]:
    return Step(word, lambda data: f"{data}-{word}")


@pytest.mark.parametrize(
    ("value", "taken"),
    [(True, "true"), (False, "false"), ("red", "red"), (Colour.RED, "red"), (3, "3"), (None, "None")],
)
async def test_the_conditions_value_names_the_branch(run, value, taken):
    branches = {key: say(key) if key[0].isalpha() else say("three") for key in ("true", "false", "red", "3", "None")}

    result = await run(branch("c", on=lambda data, context: value, branches=branches), "x")

    assert result.output == f"x-{'three' if taken == '3' else taken}"
    assert result.step_history[0].children[0].path == f"conditional:c/{taken}"


async def test_an_expression_sees_the_data_and_the_context_and_a_callable_may_be_async(run):
    async def is_long(data: str, context: Any) -> bool:
        return len(data) > context.limit

    for on in ("previous_step == 'long' and context.limit == 3", is_long):
        both = branch("c", on=on, branches={True: say("yes"), False: say("no")})
        assert (await run(both, "long", initial_context_data={"limit": 3})).output == "long-yes"


async def test_the_default_runs_when_no_branch_has_that_name(run):
    step = branch("c", on="previous_step", branches={"a": say("a")}, default=[say("b"), say("d")])

    result = await run(step, "x")

    assert result.output == "x-b-d"
    assert result.step_history[0].children[0].path == "conditional:c/default_branch"


@pytest.mark.parametrize(("data", "advice"), [("legl", "did you mean 'legal'?"), ("x", "its branches are cost, legal")])
async def test_without_a_branch_the_step_fails_and_says_which_there_are(run, data, advice):
    result = await run(branch("c", on="previous_step", branches={"legal": say("a"), "cost": say("b")}), data)

    assert (result.status, result.error.message) == ("failed", f"conditional 'c' has no branch {data!r}")
    assert advice in result.error.suggestion
    assert "default_branch" in result.error.suggestion


async def test_a_branch_shares_the_context_with_the_steps_around_it(run):
    note = Step("note", lambda data: "noted", sink_to="seen")
    result = await run(
        Pipeline([branch("c", on="true", branches={True: note}), Step("read", input="{{ context.seen }}")])
    )

    assert result.output == "noted"


async def test_a_failing_branch_fails_the_step_with_its_history(run):
    def fail(data: Any) -> None:
        raise ValueError("no")

    result = await run(branch("c", on="true", branches={True: [say("a"), Step("b", fail)]}))

    assert result.error.path == "conditional:c/true/b"
    branch_result = result.step_history[0].children[0]
    assert [child.path for child in branch_result.children] == ["conditional:c/true/a", "conditional:c/true/b"]


async def test_a_recorded_step_of_a_branch_does_not_run_again(resumed):
    calls, flaky = resumed.calls, resumed.flaky
    result = await resumed(branch("c", on="true", branches={True: [calls("a"), flaky("b"), calls("d")]}))

    assert result.output == "x"
    assert resumed.ran == ["a", "b", "b", "d"]


def test_a_condition_that_does_not_compile_is_found_before_anything_runs(prepare):
    with pytest.raises(TemplateResolutionError):
        prepare(branch("c", on="previous_step ==", branches={True: say("a")}))


CONDITIONAL = """
  - name: c
    kind: KIND
    condition_expression: "previous_step == 'x'"
    branches:
      true: [{ name: a, input: "{{ previous_step }}!" }]
      false: { name: b }
    default_branch: [{ name: d }]
"""


@pytest.mark.parametrize("kind", ["conditional", "switch"])
async def test_a_file_and_python_say_the_same(run, load, kind):
    loaded = load(CONDITIONAL.replace("KIND", kind))
    branches = {True: Step("a", input="{{ previous_step }}!"), False: Step("b")}
    made = branch("c", on="previous_step == 'x'", branches=branches, default=Step("d"))

    assert loaded.steps[0].definition() == made.definition()
    assert (await run(loaded, "x")).output == "x!"
    assert (await run(loaded, "y")).output == "y"


async def test_a_file_may_name_a_function_as_the_condition(run, load):
    loaded = load(
        "  - { name: c, kind: conditional, condition: 'helpers:pick', branches: { b: { name: s } } }\n",
        "def pick(data, context):\n    return 'b'\n",
    )

    assert (await run(loaded, "x")).output == "x"


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("branches: { a: { name: s } }", "needs one condition"),
        ("condition_expression: 'true', branches: {}", "has no branches"),
        ("condition_expression: 'true', branches: { a: [] }", "has nothing in its branch 'a'"),
        ("condition_expression: 'true'", "branches"),
        ("condition_expression: 'true', branches: { 'a b': { name: s } }", "has a branch 'a b'"),
    ],
)
def test_a_mistake_in_a_file_is_told(load, rest, message):
    with pytest.raises(BlueprintError, match=message):
        load(f"  - {{ name: c, kind: conditional, {rest} }}\n")
