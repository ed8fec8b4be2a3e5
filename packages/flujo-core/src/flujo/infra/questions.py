"""What a step that asks a person takes as an answer."""

import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import PydanticUserError, TypeAdapter

from flujo.domain.callables import reference
from flujo.domain.human import HumanInTheLoopStep
from flujo.domain.steps import Step
from flujo.exceptions import ConfigurationError, SchemaMismatchError
from flujo.infra.display import jsonable
from flujo.infra.schemas import OutputSchema

__all__ = ["as_text", "check_question", "fitting", "json_schema", "schemas_of"]


def fitting(schema: Any, value: Any, path: str) -> Any:
    """The answer to the question at `path` as `schema` (a JSON Schema or a type) has it; without one, as it is.

    Raises `SchemaMismatchError`.
    """
    return value if schema is None else OutputSchema.of(schema).check(value, what=f"the answer to {path!r}")


def json_schema(schema: Any) -> Mapping[str, Any] | None:
    """The JSON Schema of what `schema` takes; None where there is none to tell."""
    if schema is None or isinstance(schema, Mapping):
        return schema
    try:
        return TypeAdapter(schema).json_schema()
    except PydanticUserError:  # a type that JSON has no words for: it is checked all the same
        return None


def check_question(step: HumanInTheLoopStep[Any, Any]) -> None:
    """Raise `ConfigurationError` for an `input_schema` that is none, or an answer of `on_deadline` that doesn't fit."""
    if step.input_schema is None:
        return
    if inspect.isroutine(step.input_schema):
        raise ConfigurationError(
            f"step {step.name!r} has the function {reference(step.input_schema)!r} as its input_schema",
            suggestion="give a JSON Schema as a mapping, a pydantic model, or another type",
        )
    try:
        schema = OutputSchema.of(step.input_schema)
        if isinstance(step.on_deadline, Mapping):
            schema.check(step.on_deadline["answer"], what="the answer of on_deadline")
    except (ConfigurationError, SchemaMismatchError) as error:
        raise ConfigurationError(
            f"step {step.name!r}: {error.message}", suggestion=error.suggestion, cause=error
        ) from error


def schemas_of(steps: Iterable[Step[Any, Any]]) -> Mapping[bytes, Any]:
    """What the questions among `steps` take as answers, by the steps' fingerprints; see `check_question`."""
    asking = [step for step in steps if isinstance(step, HumanInTheLoopStep)]
    for step in asking:
        check_question(step)
    return {step.fingerprint: step.input_schema for step in asking}


def as_text(value: Any) -> str:
    """`value` as people read it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(jsonable(value), ensure_ascii=False)
