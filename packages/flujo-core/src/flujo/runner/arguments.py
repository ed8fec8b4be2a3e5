"""What `Flujo` is given, looked at before anything runs: a mistake is named by its argument."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flujo.domain.callables import reference
from flujo.domain.context import PipelineContext
from flujo.domain.quota import UsageLimits
from flujo.domain.steps import Pipeline, Step
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError

__all__ = ["declared_types", "limits_of", "mapping_of", "model_of", "pipeline_of", "root_of"]

_LIMITS = ("total_cost_usd_limit", "total_tokens_limit", "max_calls", "unpriced")


def pipeline_of(pipeline: object) -> Pipeline[Any, Any]:
    """The pipeline, or one that has just the step. Raises `ConfigurationError`."""
    if not isinstance(pipeline, Step):
        raise ConfigurationError(
            f"{reference(pipeline)!r} is not a step or a pipeline",
            suggestion="decorate a function with @step, or wrap it: Step('name', function)",
        )
    return pipeline if isinstance(pipeline, Pipeline) else Pipeline([pipeline], name=pipeline.name)


def model_of(model: object) -> type[PipelineContext]:
    """The class of the runs' contexts. Raises `ConfigurationError`."""
    if model is None:
        return PipelineContext
    if isinstance(model, type) and issubclass(model, PipelineContext):
        return model
    raise ConfigurationError(
        f"context_model is {_told(model)}, expected a subclass of PipelineContext",
        suggestion="write class Mine(PipelineContext) with the fields, or give OpenContext, which takes any field",
    )


def mapping_of(data: object, argument: str) -> dict[str, Any]:
    """The mapping that `argument` is, nothing for None. Raises `ConfigurationError`."""
    if data is None:
        return {}
    if isinstance(data, Mapping) and all(isinstance(key, str) for key in data):
        return dict(data)
    raise ConfigurationError(
        f"{argument} is {_told(data)}, expected a mapping by text", suggestion=f"write {argument}={{'name': value}}"
    )


def limits_of(limits: object) -> UsageLimits | None:
    """The limits, also from a mapping of their names. Raises `ConfigurationError`."""
    if limits is None or isinstance(limits, UsageLimits):
        return limits
    if not isinstance(limits, Mapping):
        raise ConfigurationError(
            f"usage_limits is {_told(limits)}, expected UsageLimits or a mapping",
            suggestion="write usage_limits=UsageLimits(max_calls=10)",
        )
    for name in limits:
        if name not in _LIMITS:
            near = did_you_mean(str(name), _LIMITS, what="limits are")
            raise ConfigurationError(f"usage_limits has no limit {name!r}", suggestion=near)
    return UsageLimits(**limits)


def root_of(root: object) -> Path | None:
    """The folder that relative paths start from. Raises `ConfigurationError`."""
    if root is None or isinstance(root, Path):
        return root
    if isinstance(root, str) and root:
        return Path(root)
    raise ConfigurationError(f"root is {_told(root)}, expected a path", suggestion="write root='.', or a Path")


def _told(value: object) -> str:
    """`value` as it is named in a message: text and classes by themselves, anything else by its class."""
    if isinstance(value, str | type):
        return repr(value) if isinstance(value, str) else repr(reference(value).removeprefix("builtins:"))
    return f"of type {type(value).__qualname__!r}"


def declared_types(pipeline: Pipeline[Any, Any], model: type[PipelineContext]) -> list[Any]:
    """Every annotation whose classes may have to be written down."""
    types: list[Any] = [model]
    for step in pipeline.walk():
        types += [step.input_type, step.output_type]
    return types
