"""What `Flujo` is given, looked at before anything runs: a mistake is named by its argument."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from flujo.domain.callables import reference
from flujo.domain.context import PipelineContext
from flujo.domain.interfaces import Clock
from flujo.domain.outcomes import PipelineResult, RunStatus
from flujo.domain.pricing import Price, PriceTable
from flujo.domain.quota import UsageLimits
from flujo.domain.steps import Pipeline, Step
from flujo.domain.suggest import did_you_mean
from flujo.engine.policy_registry import PolicyRegistry
from flujo.exceptions import ConfigurationError
from flujo.infra.clock import SystemClock
from flujo.plugins import PluginManager, create_plugin_manager
from flujo.plugins.prices import plugin_price

__all__ = [
    "check_parts",
    "choice_of",
    "clock_of",
    "declared_types",
    "id_of",
    "limits_of",
    "manager_of",
    "mapping_of",
    "model_of",
    "of_type",
    "pipeline_of",
    "prices_of",
    "providers_of",
    "root_of",
    "sinks_of",
    "text_of",
]

T = TypeVar("T")


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


def mapping_of(data: object, argument: str, *, may_be_none: bool = True) -> dict[str, Any]:
    """The mapping that `argument` is, nothing for None if that may be. Raises `ConfigurationError`."""
    if data is None and may_be_none:
        return {}
    if isinstance(data, Mapping) and all(isinstance(key, str) for key in data):
        return dict(data)
    raise ConfigurationError(
        f"{argument} is {_told(data)}, expected a mapping by text", suggestion=f"write {argument}={{'name': value}}"
    )


def text_of(text: object, argument: str) -> str:
    """The text that `argument` has to be. Raises `ConfigurationError`."""
    return of_type(text, argument, str, "text")


def of_type(value: object, argument: str, wanted: type[T], words: str, advice: str | None = None) -> T:
    """The value that `argument` has to be, in `words` for people. Raises `ConfigurationError`."""
    if isinstance(value, wanted):
        return value
    raise ConfigurationError(f"{argument} is {_told(value)}, expected {words}", suggestion=advice)


def id_of(run: object) -> str:
    """The id of the run that is given by it or by its result. Raises `ConfigurationError`."""
    if isinstance(run, str | PipelineResult):
        return run if isinstance(run, str) else run.run_id
    raise ConfigurationError(f"run is {_told(run)}, expected a run's id or its result")


def check_parts(uri: object, backend: object, registry: object, plugins: object) -> None:
    """Raise `ConfigurationError` for what is no address, state backend, policy registry or plugin manager."""
    if uri is not None:
        of_type(uri, "state_uri", str, "text", "write state_uri='sqlite:///runs.db', or 'memory:'")
    if backend is not None:
        _check_methods(backend, "state_backend", "create_run", "claim", "append", "finish")
    for value, argument, wanted in ((registry, "registry", PolicyRegistry), (plugins, "plugins", PluginManager)):
        if value is not None:
            of_type(value, argument, wanted, wanted.__name__)


def manager_of(
    uri: object, backend: object, registry: PolicyRegistry | None, plugins: PluginManager | None
) -> PluginManager | None:
    """The plugins that were given, or everything installed where no registry was. Raises as `check_parts` does."""
    check_parts(uri, backend, registry, plugins)
    return create_plugin_manager() if plugins is None and registry is None else plugins


def _check_methods(value: object, argument: str, *methods: str) -> None:
    if isinstance(value, type) or not all(callable(getattr(value, each, None)) for each in methods):
        told = f"{argument} is {_told(value)}, expected an object with the methods {', '.join(methods)}"
        raise ConfigurationError(told)


def clock_of(clock: Clock | None) -> Clock:
    """The clock, the machine's for None. Raises `ConfigurationError`."""
    if clock is not None:
        _check_methods(clock, "clock", "now", "monotonic", "sleep")
    return clock or SystemClock()


def providers_of(providers: object) -> dict[str, Any]:
    """The state providers by name. Raises `ConfigurationError`."""
    found = mapping_of(providers, "state_providers")
    for name, provider in found.items():
        _check_methods(provider, f"state_providers[{name!r}]", "load", "save", "close")
    return found


def prices_of(prices: object, manager: PluginManager | None = None) -> PriceTable:
    """The prices by model; those of plugins come after them. Raises `ConfigurationError`."""
    found = mapping_of(prices, "prices")
    for model, price in found.items():
        of_type(price, f"prices[{model!r}]", Price, "Price", f"write prices={{{model!r}: Price(usd_per_call=...)}}")
    return PriceTable(found, partial(plugin_price, manager.contributions.pricing)) if manager else PriceTable(found)


def choice_of(status: object, prefix: object, limit: object) -> tuple[RunStatus | None, str, int]:
    """Which runs are meant: their status, what their ids start with, and how many. Raises `ConfigurationError`."""
    known = next((each for each in RunStatus if each == status), None)
    if known is None and status is not None:
        near = did_you_mean(str(status), tuple(RunStatus), what="statuses are")
        raise ConfigurationError(f"there is no status {status!r}", suggestion=near)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise ConfigurationError(f"limit is {limit!r}, expected a whole number from 0")
    return known, text_of(prefix, "prefix"), limit


def sinks_of(sinks: object) -> Iterable[Any]:
    """What is given as sinks. Raises `ConfigurationError` for what can't be several."""
    if isinstance(sinks, Iterable) and not isinstance(sinks, str | Mapping):
        return sinks
    given = repr(sinks) if isinstance(sinks, str) else "sink"
    raise ConfigurationError(f"sinks is {_told(sinks)}, expected a list of sinks", suggestion=f"write sinks=[{given}]")


def limits_of(limits: object) -> UsageLimits | None:
    """The limits, also from a mapping of their names. Raises `ConfigurationError`."""
    if limits is None or isinstance(limits, UsageLimits):
        return limits
    advice = "write usage_limits=UsageLimits(max_calls=10)"
    limits = of_type(limits, "usage_limits", Mapping, "UsageLimits or a mapping", advice)  # type: ignore[type-abstract]  # it is only asked
    known = [each.name for each in fields(UsageLimits)]
    for name in limits:
        if name not in known:
            near = did_you_mean(str(name), known, what="limits are")
            raise ConfigurationError(f"usage_limits has no limit {name!r}", suggestion=near)
    return UsageLimits(**limits)


def root_of(root: object) -> Path | None:
    """The folder that relative paths start from. Raises `ConfigurationError`."""
    if root is None or isinstance(root, Path) or (isinstance(root, str) and root):
        return None if root is None else Path(root)
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
