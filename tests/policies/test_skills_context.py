"""Skills that read and write the context."""

from typing import Any

import pytest
from pydantic import BaseModel

from flujo import OpenContext, Pipeline, PipelineContext, Step
from flujo.exceptions import ConfigurationError, ContextFieldError
from flujo_policies_builtin.skills.context import context_get, context_merge, context_set


class Address(BaseModel):
    city: str = "Bonn"
    zip: int = 0


class Typed(PipelineContext):
    score: int = 0
    address: Address = Address()


def test_context_set_by_params_or_by_an_input_mapping():
    context = OpenContext()

    by_params = context_set("ignored", path="scratchpad.a.b", value=5, context=context)
    by_input = context_set({"path": "import_artifacts.n", "value": 7}, context=context)

    assert by_params == {"path": "scratchpad.a.b", "value": 5, "success": True}
    assert by_input == {"path": "import_artifacts.n", "value": 7, "success": True}
    assert context.scratchpad == {"a": {"b": 5}}
    assert context.import_artifacts == {"n": 7}


def test_context_set_puts_the_data_at_the_path_where_no_value_is_given():
    context = Typed()

    context_set(3, path="score", context=context)
    context_set("Ulm", path="address.city", context=context)

    assert (context.score, context.address.city) == (3, "Ulm")


def test_what_is_set_is_a_copy():
    context, value = OpenContext(), {"n": [1]}

    context_set(path="scratchpad.value", value=value, context=context)
    context.scratchpad["value"]["n"].append(2)

    assert value == {"n": [1]}


@pytest.mark.parametrize(
    ("path", "value", "message", "suggestion"),
    [
        ("scor", 1, "Typed has no field 'scor'", "did you mean 'score'?"),
        ("score", "many", "Typed.score refuses the value", "give it a value of the field's type"),
        ("address.cty", "Ulm", "Address has no field 'cty'", "did you mean 'city'?"),
        ("score.deep", 1, "'score.deep' leads into a int", "a path goes through mappings and models only"),
        ("run_id", "r", "Typed.run_id can't be set", "use a field of your own"),
    ],
)
def test_context_set_refuses_what_a_typed_context_does_not_have(path, value, message, suggestion):
    with pytest.raises(ContextFieldError) as caught:
        context_set(path=path, value=value, context=Typed())

    assert str(caught.value).startswith(message)
    assert caught.value.suggestion.startswith(suggestion)


@pytest.mark.parametrize(
    ("path", "found"),
    [("scratchpad", {"a": {"b": None}}), ("scratchpad.a.b", None), ("score", 0), ("address.city", "Bonn")],
)
def test_context_get_reads_mappings_and_models(path, found):
    context = Typed(scratchpad={"a": {"b": None}})

    assert context_get(path=path, default="no", context=context) == found
    assert context_get(path, context=context) == found
    assert context_get({"path": path}, context=context) == found


def test_what_is_read_is_a_copy():
    context = OpenContext(scratchpad={"n": [1]})

    context_get("scratchpad.n", context=context).append(2)

    assert context.scratchpad == {"n": [1]}


@pytest.mark.parametrize("path", ["nope", "scratchpad.nope", "score.deep", "address.nope"])
def test_context_get_gives_the_default_where_nothing_is(path):
    assert context_get({"path": path, "default": None}, context=Typed()) is None
    assert context_get(path, default=4, context=Typed()) == 4


@pytest.mark.parametrize(
    ("path", "message", "suggestion"),
    [
        ("scor", "nothing is at 'scor' in the context: Typed has no 'scor'", "did you mean 'score'?"),
        ("scratchpad.b", "nothing is at 'scratchpad.b' in the context: a mapping has no 'b'", "there is abcdef"),
        ("score.deep", "nothing is at 'score.deep' in the context: int has no 'deep'", None),
    ],
)
def test_context_get_without_a_default_says_what_is_missing(path, message, suggestion):
    with pytest.raises(ContextFieldError) as caught:
        context_get(path, context=Typed(scratchpad={"abcdef": 1}))

    assert str(caught.value) == message
    assert caught.value.suggestion == suggestion


def test_context_merge_adds_keys_to_a_mapping():
    context = OpenContext(scratchpad={"a": 1, "b": 1})

    answer = context_merge({"path": "scratchpad", "value": {"b": 2, "c": 3}}, context=context)

    assert answer == {"path": "scratchpad", "merged_keys": ["b", "c"], "success": True}
    assert context.scratchpad == {"a": 1, "b": 2, "c": 3}


def test_context_merge_makes_a_mapping_where_nothing_is():
    context = OpenContext()

    context_merge({"k.1": 1}, path="notes.deep", context=context)

    assert context.notes == {"deep": {"k.1": 1}}


def test_context_merge_sets_the_fields_of_a_model():
    context = Typed()

    context_merge(path="address", value={"city": "Ulm", "zip": 89073}, context=context)

    assert context.address == Address(city="Ulm", zip=89073)


@pytest.mark.parametrize(
    ("path", "value", "error", "message"),
    [
        ("scratchpad", [1], ConfigurationError, "skill 'context_merge' got 'list' as its value, expected a mapping"),
        ("score", {"a": 1}, ContextFieldError, "'score' is 'int', expected a mapping or a model to merge into"),
        ("address", {"cty": "Ulm"}, ContextFieldError, "Address has no field 'cty'"),
        ("nope", {"a": 1}, ContextFieldError, "Typed has no field 'nope'"),
    ],
)
def test_context_merge_refuses_what_can_not_be_merged(path, value, error, message):
    with pytest.raises(error) as caught:
        context_merge(path=path, value=value, context=Typed())

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("skill", "arguments", "message"),
    [
        (context_get, {"data": {"pathh": "a"}}, "skill 'context_get' has no argument 'pathh'"),
        (context_set, {"data": {"path": "a"}}, "skill 'context_set' needs 'value'"),
        (context_set, {"data": 1}, "skill 'context_set' needs 'path'"),
        (context_set, {"path": "a..b", "value": 1}, "skill 'context_set' got 'a..b' as its path"),
        (context_get, {"data": 7}, "skill 'context_get' got 7 as its path"),
    ],
)
def test_a_skill_says_which_argument_is_wrong(skill, arguments, message):
    with pytest.raises(ConfigurationError) as caught:
        skill(**arguments, context=OpenContext())

    assert str(caught.value) == message
    assert caught.value.suggestion


async def test_what_a_skill_changes_is_there_for_the_next_step(run, load):
    pipeline = load(
        """
  - { name: s, agent: { id: flujo.builtins.context_set, params: { path: scratchpad.n, value: 5 } } }
  - { name: g, agent: { id: flujo.builtins.context_get }, input: { path: scratchpad.n, default: 0 } }
  - { name: out, input: "{{ steps.g.output }}|{{ context.scratchpad.n }}|{{ steps.s.output.path }}" }
"""
    )

    assert (await run(pipeline)).output == "5|5|scratchpad.n"


async def test_params_are_the_same_in_every_run(run):
    def spoil(_, *, context: Any) -> list[int]:
        context.scratchpad["n"].append(2)
        return context.scratchpad["n"]

    given = [1]
    pipeline = Pipeline([Step("s", context_set, params={"path": "scratchpad.n", "value": given}), Step("t", spoil)])

    assert (await run(pipeline)).output == [1, 2]
    assert (await run(pipeline)).output == [1, 2]
    assert given == [1]
