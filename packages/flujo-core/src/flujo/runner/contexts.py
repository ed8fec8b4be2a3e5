"""A run's first context: made of what its user gives, and made again of what was recorded of it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError as PydanticError

from flujo.domain.context import PipelineContext
from flujo.domain.scope import NOTHING
from flujo.engine.changes import fields_of, unshared
from flujo.exceptions import ContextFieldError

__all__ = ["first_context", "recorded_context"]


def first_context(model: type[PipelineContext], run_id: str, input: Any, data: Mapping[str, Any]) -> PipelineContext:
    """The context that a run begins with. Raises `ContextFieldError` for data that does not fit."""
    if taken := sorted(model.engine_fields.intersection(data)):
        raise ContextFieldError(
            f"context field {taken[0]!r} is the engine's own", suggestion="use a field of another name"
        )
    try:
        return model(**{**data, **_own(run_id, input)})
    except PydanticError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _wrong(model, field, first["msg"].lower(), error) from error


def recorded_context(
    model: type[PipelineContext], run_id: str, input: Any, fields: Mapping[str, Any], given: Mapping[str, Any] = NOTHING
) -> PipelineContext:
    """The context that a run began with, its recorded `fields` by their names; what is `given` takes their places.

    They are as they were: a validator would see them a second time, and may make something else of what it has made.
    Raises `ContextFieldError` for a field that the model has no more, for a new one that has no default, and for what
    is `given` and does not fit.
    """
    if given:
        fields = {**fields, **_checked(model, fields, given)}
    known = model.model_fields
    for name in fields.keys() - known.keys() if model.model_config.get("extra") != "allow" else ():
        raise _wrong(model, name, "extra inputs are not permitted")
    for name, field in known.items():
        if field.is_required() and name not in fields:
            raise _wrong(model, name, "field required")
    values = {**fields, **_own(run_id, input)}
    # What the model does after its making may need the values, and works on copies.
    made = model.model_construct(**{name: unshared(value) for name, value in values.items()})
    extra = {name: value for name, value in fields.items() if name not in known}
    object.__setattr__(made, "__dict__", {**made.__dict__, **{name: values[name] for name in known if name in values}})
    object.__setattr__(made, "__pydantic_extra__", extra if made.__pydantic_extra__ is not None else None)
    object.__setattr__(made, "__pydantic_fields_set__", {*values})
    return made


def _checked(model: type[PipelineContext], fields: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the model makes of what is `given`, by the names of its fields, beside the others."""
    aliases = {name: field.alias or name for name, field in model.model_fields.items()}
    names = {alias: name for name, alias in aliases.items()}
    data = {aliases.get(name, name): value for name, value in {**fields, **given}.items()}
    made = fields_of(first_context(model, "", None, data))
    return {name: made[name] for name in (names.get(key, key) for key in given)}


def _own(run_id: str, input: Any) -> dict[str, str]:
    return {"run_id": run_id, "initial_prompt": input if isinstance(input, str) else ""}


def _wrong(model: type[PipelineContext], field: str, what: str, cause: Exception | None = None) -> ContextFieldError:
    return ContextFieldError(
        f"context field {field!r}: {what}",
        suggestion=f"{model.__name__} has {', '.join(sorted(model.model_fields))}",
        cause=cause,
    )
