"""Skills that read and write the context by dotted paths."""

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from flujo.domain.context import PipelineContext
from flujo.domain.suggest import did_you_mean
from flujo.engine.changes import sink
from flujo.exceptions import ConfigurationError, ContextFieldError
from flujo_policies_builtin.skills.arguments import MISSING, gather, required

__all__ = ["context_get", "context_merge", "context_set", "read_path"]


def context_get(data: Any = None, *, path: Any = MISSING, default: Any = MISSING, context: PipelineContext) -> Any:
    """Give a copy of what is at `path`, or `default` where there is nothing.

    Raises `ContextFieldError` where there is nothing and no default either.
    """
    given = gather("context_get", data, "path", path=path, default=default)
    try:
        return copy.deepcopy(read_path(context, _path("context_get", given)))
    except ContextFieldError:
        if "default" not in given:
            raise
        return copy.deepcopy(given["default"])


def context_set(
    data: Any = None, *, path: Any = MISSING, value: Any = MISSING, context: PipelineContext
) -> dict[str, Any]:
    """Set `path` to `value`, and give `{path, value, success}`.

    Mappings on the way are made as needed. Raises `ContextFieldError` for a field that the context does not have, or
    a value that the field's type refuses.
    """
    given = gather("context_set", data, "value", path=path, value=value)
    where, what = _path("context_set", given), required("context_set", given, "value")
    sink(context, where, copy.deepcopy(what))
    return {"path": where, "value": what, "success": True}


def context_merge(
    data: Any = None, *, path: Any = MISSING, value: Any = MISSING, context: PipelineContext
) -> dict[str, Any]:
    """Merge the mapping `value` into the mapping or model at `path`, and give `{path, merged_keys, success}`."""
    given = gather("context_merge", data, "value", path=path, value=value)
    where, what = _path("context_merge", given), required("context_merge", given, "value")
    if not isinstance(what, Mapping):
        raise ConfigurationError(
            f"skill 'context_merge' got {type(what).__name__!r} as its value, expected a mapping",
            suggestion="context_set puts any value at a path",
        )
    holder = read_path(context, where, default={})
    if isinstance(holder, BaseModel):
        for key, item in what.items():
            sink(context, f"{where}.{key}", copy.deepcopy(item))
    elif isinstance(holder, Mapping):
        sink(context, where, {**holder, **copy.deepcopy(dict(what))})
    else:
        raise ContextFieldError(f"{where!r} is {type(holder).__name__!r}, expected a mapping or a model to merge into")
    return {"path": where, "merged_keys": [str(key) for key in what], "success": True}


def _path(skill: str, given: Mapping[str, Any]) -> str:
    path = required(skill, given, "path")
    if not isinstance(path, str) or not all(path.split(".")):
        raise ConfigurationError(
            f"skill {skill!r} got {path!r} as its path",
            suggestion="expected names joined by dots, such as 'scratchpad.n'",
        )
    return path


def read_path(context: PipelineContext, path: str, default: Any = MISSING) -> Any:
    """What is at `path`; `default` where it could be and is not."""
    holder: Any = context
    for key in path.split("."):
        names = _names(holder)
        if key not in names:
            if default is not MISSING:
                return default
            shown = "a mapping" if isinstance(holder, Mapping) else type(holder).__name__
            raise ContextFieldError(
                f"nothing is at {path!r} in the context: {shown} has no {key!r}",
                suggestion=did_you_mean(key, names, what="there is") if names else None,
            )
        holder = getattr(holder, key) if isinstance(holder, BaseModel) else holder[key]
    return holder


def _names(holder: Any) -> list[str]:
    if isinstance(holder, BaseModel):
        return [*type(holder).model_fields, *(holder.model_extra or {})]
    return [key for key in holder if isinstance(key, str)] if isinstance(holder, Mapping) else []
