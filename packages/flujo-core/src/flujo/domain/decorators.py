"""`@step`: make a step of a function."""

import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, TypedDict, TypeVar, Unpack, overload

from pydantic import ValidationError as PydanticError

from flujo.domain.config import Backoff, StepConfig
from flujo.domain.steps import Effects, Step
from flujo.exceptions import ConfigurationError

__all__ = ["step"]

In = TypeVar("In")
Out = TypeVar("Out")


class StepOptions(TypedDict, total=False):
    """What `@step` takes beside `config`: fields of `Step`, then fields of `StepConfig` as overrides."""

    name: str
    params: Mapping[str, Any]
    input: Any
    sink_to: str | None
    updates_context: bool
    fallback: Step[Any, Any] | None
    effects: Effects
    blocking: bool
    version: str
    meta: Mapping[str, Any]
    max_retries: int
    timeout_s: float | None
    backoff: Backoff
    retry_on: tuple[type[BaseException], ...]
    no_retry_on: tuple[type[BaseException], ...]


_STEP_FIELDS = frozenset(StepOptions.__annotations__) - frozenset(StepConfig.model_fields)


class _Decorator:
    """What `@step(...)` returns: typed apart, so that an async function's result type is what it resolves to."""

    def __init__(self, config: StepConfig, options: Mapping[str, Any]) -> None:
        self._config = config
        self._options = options

    @overload
    def __call__(self, function: Callable[Concatenate[In, ...], Awaitable[Out]], /) -> Step[In, Out]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[In, ...], Out], /) -> Step[In, Out]: ...
    def __call__(self, function: Callable[..., Any], /) -> Step[Any, Any]:
        name = self._options.get("name", function.__name__)
        rest = {key: value for key, value in self._options.items() if key != "name"}
        return Step(name, function, config=self._config, **rest)


@overload
def step(function: Callable[Concatenate[In, ...], Awaitable[Out]], /) -> Step[In, Out]: ...
@overload
def step(function: Callable[Concatenate[In, ...], Out], /) -> Step[In, Out]: ...
@overload
def step(*, config: StepConfig | None = None, **options: Unpack[StepOptions]) -> _Decorator: ...
def step(
    function: Callable[..., Any] | None = None, /, *, config: StepConfig | None = None, **options: Any
) -> Step[Any, Any] | _Decorator:
    """Make a step of a function: `@step`, or `@step(config=StepConfig(...), max_retries=2, sink_to="answer")`.

    Input and output types are read from the annotations; parameters named `context`, `resources` and `run` are
    filled by the engine. Overrides beside `config` are validated and win, with one warning. Raises
    `ConfigurationError` for a name that neither `Step` nor `StepConfig` has, or a bad value.
    """
    fields = {key: value for key, value in options.items() if key in _STEP_FIELDS}
    overrides = {key: value for key, value in options.items() if key not in _STEP_FIELDS}
    decorator = _Decorator(_merged(config, overrides), fields)
    return decorator if function is None else decorator(function)


def _merged(config: StepConfig | None, overrides: dict[str, Any]) -> StepConfig:
    if config is not None and overrides:
        names = ", ".join(sorted(overrides))
        warnings.warn(f"@step got both config and {names}; {names} wins", UserWarning, stacklevel=3)
    given = {name: getattr(config, name) for name in config.model_fields_set} if config is not None else {}
    try:
        return StepConfig(**{**given, **overrides})
    except PydanticError as error:
        first = error.errors()[0]
        raise ConfigurationError(
            f"@step: {'.'.join(str(part) for part in first['loc'])}: {first['msg'].lower()}",
            suggestion=f"settings are {', '.join(sorted(_STEP_FIELDS | set(StepConfig.model_fields)))}",
            cause=error,
        ) from error
