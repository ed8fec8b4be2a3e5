"""The JSON Schema of pipeline files, made from the models of the kinds of step: for editors."""

import re
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, cast

from pydantic import AliasChoices, BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from flujo.blueprint.imports import IMPORTED
from flujo.blueprint.kinds import KindSpec
from flujo.blueprint.schema import NESTED, DocumentSpec, StepSpec
from flujo.blueprint.specs import FREE
from flujo.domain.foreign import attempt
from flujo.exceptions import PluginError

__all__ = ["file_schema"]

_STEP = "#/$defs/step"


def file_schema(kinds: Iterable[KindSpec]) -> dict[str, Any]:
    """The JSON Schema, of draft 7, of pipeline files with steps of these `kinds`.

    It refuses nothing that the loader takes. What such a schema can't say it takes: names that stand twice, templates
    that can't be read, references to what isn't there. Raises `PluginError` for a kind whose model has no schema.
    """
    known = {kind.name: kind for kind in kinds}
    models = {f"kind-{name}": _of_kind(kind) for name, kind in known.items()}
    document = _keys(DocumentSpec, "#/$defs/{model}")
    linked = _linked({**document, "$defs": {**document["$defs"], "step": _any_step(known), **models}})
    return {"$schema": "http://json-schema.org/draft-07/schema#", **linked, "title": "flujo pipeline"}


def _of_kind(kind: KindSpec) -> dict[str, Any]:
    return attempt(
        lambda: {**_keys(kind.model, f"#/$defs/kind-{kind.name}/$defs/{{model}}"), "$comment": kind.provider},
        lambda said, error: PluginError(
            f"the schema of kind {kind.name!r} of plugin {kind.provider} can't be told as a JSON Schema: {said}",
            cause=error,
        ),
    )


def _keys(model: type[BaseModel], template: str) -> dict[str, Any]:
    return model.model_json_schema(ref_template=template, schema_generator=_Generator)


def _any_step(kinds: Mapping[str, KindSpec]) -> dict[str, Any]:
    """A step of whatever kind; as in a file, one that doesn't say is a `step`, a `pipeline` or an `import`."""
    models: dict[str, Any] = {name: {"$ref": f"#/$defs/kind-{name}"} for name in kinds}
    named = [
        {"const": name, "description": f"{kind.summary} ({kind.provider})", "$comment": kind.provider}
        for name, kind in kinds.items()
    ]
    imports = {"required": ["uses"], "properties": {"uses": {"type": "string", "pattern": f"^{re.escape(IMPORTED)}"}}}
    called = {"if": imports, "then": models.get("import", False), "else": models.get("step", False)}
    bare = {"required": ["steps"], "not": {"required": ["kind"]}}
    others = [
        {"if": {"required": ["kind"], "properties": {"kind": {"const": name}}}, "then": model}
        for name, model in models.items()
        if name != "step"
    ]
    unsaid = {"if": bare, "then": models.get("pipeline", False), "else": called}
    return {
        "type": "object",
        "properties": {"kind": {"anyOf": named or [False]}},
        "allOf": [{"if": {"properties": {"kind": {"const": "step"}}}, "then": unsaid}, *others],
    }


def _linked(value: Any) -> Any:
    """`value` with a reference to any step wherever one is nested."""
    if isinstance(value, list):
        return [_linked(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: _linked(each) for key, each in value.items()}
    if made.items() >= NESTED.items():
        return {key: each for key, each in made.items() if key not in NESTED} | {"$ref": _STEP}
    return made


class _Generator(GenerateJsonSchema):
    """Says what files may say: never less than a model takes.

    Where code of a model's own looks at a value first, that may be anything, unless it says what it takes.
    """

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False

    def handle_invalid_for_json_schema(self, _schema: Any, _error_info: str) -> JsonSchemaValue:
        return {}

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        taken = schema.get("json_schema_input_schema")
        return self.generate_inner(taken) if taken else {}

    function_wrap_schema = function_before_schema

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().model_schema(schema)
        model = cast("type[BaseModel]", schema["cls"])
        if "properties" not in made:
            made.pop("additionalProperties", None)  # its own code looks at it first
            return made
        for field in model.model_fields.values():
            if isinstance(field.validation_alias, AliasChoices):
                _add_names(made, [str(each) for each in field.validation_alias.choices])
        if issubclass(model, DocumentSpec | StepSpec):
            made["patternProperties"] = {f"^{FREE}": {}}
        return made


def _add_names(made: JsonSchemaValue, names: list[str]) -> None:
    """Let the key that is called by the first of `names` be called by any one of them."""
    made["properties"] |= dict.fromkeys(names, made["properties"][names[0]])
    rules: list[JsonSchemaValue] = []
    if names[0] in made.get("required", ()):
        made["required"] = [name for name in made["required"] if name != names[0]]
        rules.append({"anyOf": [{"required": [name]} for name in names]})
    if made.get("additionalProperties") is False:
        rules += [{"not": {"required": list(pair)}} for pair in combinations(names, 2)]
    if rules:
        made["allOf"] = [*made.get("allOf", ()), *rules]
