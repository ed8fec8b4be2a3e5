"""The JSON Schema of pipeline files refuses nothing that the loader takes, and of the rest what a schema can say."""

import json
import os
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, WrapValidator, model_validator

from flujo.blueprint.builder import Sources, check_pipeline
from flujo.blueprint.json_schema import file_schema
from flujo.blueprint.kinds import KindSpec
from flujo.blueprint.loader import parse
from flujo.blueprint.schema import NestedStep, Spec, StepSpec
from flujo.domain.steps import Pipeline, Step
from flujo.exceptions import BlueprintError, PluginError
from flujo.infra.templates import Templates
from flujo.plugins import create_plugin_manager

CHECKOUT = Path(__file__).resolve().parents[2]
COMPAT = Path(os.environ.get("FLUJO_COMPAT_DIR") or CHECKOUT.parent / "shared" / "compat")
FOLDERS = (CHECKOUT / "docs", CHECKOUT / "examples", CHECKOUT / "packages", CHECKOUT / "tests", COMPAT)
BLOCK = re.compile(r"^( *)```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


#: What a value may be in the place of another, or be called by another's key.
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2.5, "", "text", "2h", "agents.one", "imports.one", "m:f", [], {}, ["text"], {"a": 1}),
    *({"name": "n"}, [{"name": "n"}], {"step": "n", "kind": "map"}, {"id": "m:f"}, {"steps": [{"name": "n"}]}),
)

#: What the loader finds that is a matter of the file's shape.
SHAPES = ("V-S01", "V-S02", "V-S03", "V-S04", "V-N01", "V-K01", "V-K02")


def texts() -> Iterator[str]:
    for folder in FOLDERS:
        for file in sorted(folder.rglob("*")):
            if file.suffix == ".yaml":
                yield file.read_text(encoding="utf-8")
            elif file.suffix in (".md", ".in"):
                for indent, block in BLOCK.findall(file.read_text(encoding="utf-8")):
                    yield re.sub(f"^{indent}", "", block, flags=re.MULTILINE)


@cache
def pipelines() -> tuple[dict[str, Any], ...]:
    """Every pipeline that stands in a file or in a page, whether it is right or shows a mistake."""
    found = []
    for text in texts():
        try:
            data = parse(text.encode(), "pipeline.yaml").data
        except BlueprintError:
            continue
        if isinstance(data, dict) and "steps" in data:
            found.append(data)
    return tuple(found)


@cache
def validator() -> Draft7Validator:
    made = file_schema(create_plugin_manager().contributions.kinds.values())
    Draft7Validator.check_schema(made)
    return Draft7Validator(made)


def accepts(data: Any) -> bool:
    return validator().is_valid(data)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The codes of what the loader finds wrong with the shape of a file, whose modules and files aren't there."""
    folder = tmp_path_factory.mktemp("project")
    made = create_plugin_manager().contributions
    sources = Sources(made.kinds, made.skills, Templates(), (), folder, made.agents)

    def codes(data: Any) -> list[str]:
        file = folder / "pipeline.yaml"
        file.write_text(json.dumps(data), encoding="utf-8")
        return [each.code for each in check_pipeline(file, sources) if each.code in SHAPES]

    return codes


def test_every_pipeline_that_is_shown_and_loads_is_accepted(found):
    refused = [data for data in pipelines() if not accepts(data) and not found(data)]
    assert refused == []
    assert sum(map(accepts, pipelines())) > 60


@given(data=st.data())
def test_what_the_loader_takes_is_never_refused(found, data):
    """Pipelines with a value here or there that is another one, gone, or called something else."""
    pipeline = deepcopy(data.draw(st.sampled_from(pipelines())))
    for _ in range(data.draw(st.integers(1, 2))):
        holder, key = data.draw(st.sampled_from([*places(pipeline)] or [({"x": 0}, "x")]))
        changed(holder, key, data)
    if not accepts(pipeline):
        assert found(pipeline), json.dumps(pipeline)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from places(inner)


def changed(holder: Any, key: Any, data: Any) -> None:
    how = data.draw(st.sampled_from(("other", "gone", "renamed")))
    if how == "other":
        holder[key] = deepcopy(data.draw(st.sampled_from(VALUES)))
    elif how == "renamed" and isinstance(holder, dict):
        names = st.sampled_from(("x-note", "step", "name", "timeout", "id", "path", "uses", "steps", "kind", "other"))
        holder[data.draw(names)] = holder.pop(key)
    else:
        del holder[key]


LOOP = {"kind": "loop", "name": "l"}
WRONG = {
    "no steps": {"name": "p"},
    "an empty list": {"steps": []},
    "an unknown key of the document": {"step": [], "steps": [{"name": "a"}]},
    "an unknown key of a step": {"steps": [{"name": "a", "agnet": "m:f"}]},
    "a step without a name": {"steps": [{"kind": "step"}]},
    "both names of a key": {"steps": [{"name": "a", "step": "b"}]},
    "a name that is none": {"steps": [{"name": "two words"}]},
    "an unknown kind": {"steps": [{"name": "a", "kind": "lop"}]},
    "a kind that is no text": {"steps": [{"name": "a", "kind": ["loop"]}]},
    "a step that is no mapping": {"steps": ["a"]},
    "text for a number": {"steps": [{"name": "a", "config": {"max_retries": "3"}}]},
    "an unknown key in a part": {"steps": [{"name": "a", "config": {"x-note": 1}}]},
    "a part that is missing": {"steps": [LOOP]},
    "a body that is missing": {"steps": [{**LOOP, "loop": {}}]},
    "a nested step without a name": {"steps": [{**LOOP, "loop": {"body": [{"agent": "m:f"}]}}]},
    "an unknown key deep inside": {
        "steps": [{**LOOP, "loop": {"body": {"name": "s", "steps": [{"name": "m", "kind": "map", "mop": {}}]}}}]
    },
    "a wrong fallback": {"steps": [{"name": "a", "fallback": {"name": "b", "retries": 1}}]},
    "a branch without steps": {"steps": [{"name": "p", "kind": "parallel", "branches": {"one": None}}]},
    "a key of another kind": {"steps": [{"name": "s", "steps": [{"name": "a"}], "uses": "m:f"}]},
    "an import with a key of a step": {"steps": [{"name": "i", "uses": "imports.x", "blocking": True}]},
    "no duration": {"steps": [{"name": "h", "kind": "hitl", "message": "?", "deadline": "soon"}]},
    "no agent": {"agents": {"one": {"system_prompt": "hi"}}, "steps": [{"name": "a"}]},
    "nothing to call": {"steps": [{"name": "a", "agent": {"name": "m:f"}}]},
    "a planner that is none": {
        "steps": [{"name": "a", "kind": "agentic_loop", "agentic_loop": {"planner": {"ID": "m:f"}, "agents": {}}}]
    },
    "a list": [{"name": "a"}],
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused_by_both(what, found):
    assert found(WRONG[what]) != []
    assert not accepts(WRONG[what])


RIGHT = {
    "the older names of keys": {"steps": [{"step": "a", "config": {"timeout": 2}, "agent": {"path": "m:f"}}]},
    "an agent in one word": {"steps": [{"name": "a", "agent": "flujo.builtins.stringify"}]},
    "keys of one's own": {"x-all": 1, "steps": [{"name": "a", "x-note": []}]},
    "steps without a kind": {"steps": [{"name": "s", "steps": [{"name": "a"}]}]},
    "durations": {"steps": [{"name": "h", "kind": "hitl", "message": "?", "deadline": "15m"}]},
    "states without steps": {
        "steps": [{"name": "m", "kind": "StateMachine", "states": {"a": None}, "start_state": "a", "end_states": ["a"]}]
    },
}


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_is_accepted_by_both(what, found):
    assert found(RIGHT[what]) in ([], ["V-K02"])  # the modules aren't there
    assert accepts(RIGHT[what])


def test_each_kind_says_what_it_is_and_whose():
    kinds = create_plugin_manager().contributions.kinds
    offered = {each["const"]: each for each in validator().schema["$defs"]["step"]["properties"]["kind"]["anyOf"]}
    assert offered.keys() == set(kinds)
    for name, kind in kinds.items():
        assert offered[name]["description"] == f"{kind.summary} ({kind.provider})"
        assert offered[name]["$comment"] == kind.provider


def test_of_nested_steps_the_place_of_a_mistake_is_told():
    wrong = WRONG["an unknown key deep inside"]
    (error,) = validator().iter_errors(wrong)
    deepest = max((list(each.absolute_path) for each in leaves(error)), key=len)
    assert deepest == ["steps", 0, "loop", "body", "steps", 0]


def leaves(error):
    yield error
    for each in error.context:
        yield from leaves(each)


def built(spec: Any, context: Any) -> Step[Any, Any]:
    return Pipeline([context.build(each) for each in spec.many.values()], **context.common(spec))


class Own(Spec):
    again: "Own | None" = None

    @model_validator(mode="before")
    @classmethod
    def _any(cls, value: Any) -> Any:
        return {} if isinstance(value, str) else value


class ManySpec(StepSpec):
    many: dict[str, NestedStep] = Field(validation_alias=AliasChoices("many", "lots", "several"))
    first: Annotated[int, BeforeValidator(len)] = 0
    around: Annotated[int, WrapValidator(lambda value, handler: handler(len(value)))] = 0
    told: Annotated[int, BeforeValidator(int, json_schema_input_type=str)] = 0
    wrapped: Annotated[int, WrapValidator(lambda value, handler: handler(int(value)), json_schema_input_type=str)] = 0
    own: Own | None = None
    size: Callable[[], int] | None = Field(default=None, validation_alias=AliasChoices("size"))


def third(model: type[StepSpec], name: str = "many") -> KindSpec:
    return KindSpec(name, model, built, "several", "acme-many 2.0")


@pytest.mark.parametrize(
    ("step", "is_right"),
    [
        ({"many": {"a": {"name": "b"}}}, True),
        ({"lots": {"a": {"name": "b"}}}, True),
        ({"several": {}}, True),
        ({}, False),
        ({"lots": {}, "several": {}}, False),
        ({"many": {"a": {"name": "b", "kind": "many"}}}, False),
        ({"many": {"a": {"name": "b", "other": 1}}}, False),
        ({"many": {}, "first": "four", "around": [1], "told": "4", "wrapped": "4", "own": "text"}, True),
        ({"many": {}, "told": 4}, False),
        ({"many": {}, "wrapped": 4}, False),
        ({"many": {}, "size": "whatever"}, True),
    ],
)
def test_a_plugins_model_is_never_told_narrower_than_it_is(step, is_right):
    kinds = [third(ManySpec), *create_plugin_manager().contributions.kinds.values()]
    schema = Draft7Validator(file_schema(kinds))
    assert schema.is_valid({"steps": [{"name": "m", "kind": "many", **step}]}) is is_right


def test_a_model_that_takes_any_key_takes_both_names_of_one():
    class Loose(ManySpec):
        model_config = ConfigDict(extra="allow")

    schema = Draft7Validator(file_schema([third(Loose)]))
    assert schema.is_valid({"steps": [{"name": "m", "kind": "many", "lots": {}, "several": {}, "more": 1}]})


def test_without_kinds_no_step_is_right():
    schema = file_schema([])
    Draft7Validator.check_schema(schema)
    assert not Draft7Validator(schema).is_valid({"steps": [{"name": "a"}]})


def test_a_model_without_a_schema_is_an_error_that_names_its_plugin():
    class Broken(StepSpec):
        part: Annotated[int, Field(json_schema_extra=lambda _: 1 / 0)] = 0

    message = "the schema of kind 'many' of plugin acme-many 2.0 can't be told as a JSON Schema: ZeroDivisionError"
    with pytest.raises(PluginError, match=message):
        file_schema([third(Broken)])
