"""`@step`: make a step of a function."""

import inspect
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Concatenate, Literal, Protocol, TypedDict, TypeVar, Unpack, overload

from flujo.domain.config import Backoff, StepConfig
from flujo.domain.steps import Effects, Step
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError

__all__ = ["StepOptions", "step"]

In = TypeVar("In")
Out = TypeVar("Out")


class StepOptions(TypedDict, total=False):
    """What `@step` takes beside `config`: fields of `Step`, then fields of `StepConfig` as overrides.

    Of those `execution_mode` stands by itself: the type of a step depends on it.
    """

    name: str
    params: Mapping[str, Any]
    input: Any
    sink_to: str | None
    updates_context: bool
    fallback: Step[Any, Any] | None
    static_invariants: Sequence[str]
    validators: Sequence[Callable[..., Any]]
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
_SETTINGS = _STEP_FIELDS | frozenset(StepConfig.model_fields)


class _Decorator:
    """What `@step(...)` returns.

    The overloads say that an async function's result is what it resolves to, that text given in parts is joined and
    other parts are listed, and that a function without data of its own takes any.
    """

    def __init__(self, config: StepConfig, options: Mapping[str, Any]) -> None:
        self._config = config
        self._options = options

    @overload
    def __call__(  # type: ignore[overload-overlap]  # the first that fits is meant: text is joined
        self, function: Callable[Concatenate[In, ...], AsyncIterator[str]], /
    ) -> Step[In, str]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[In, ...], AsyncIterator[Out]], /) -> Step[In, list[Out]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[In, ...], Awaitable[Out]], /) -> Step[In, Out]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[In, ...], Out], /) -> Step[In, Out]: ...
    @overload
    def __call__(self, function: Callable[..., Awaitable[Out]], /) -> Step[Any, Out]: ...
    @overload
    def __call__(self, function: Callable[..., Out], /) -> Step[Any, Out]: ...
    def __call__(self, function: Callable[..., Any], /) -> Step[Any, Any]:
        rest = dict(self._options)
        name = rest.pop("name") if "name" in rest else _name_of(function)
        return Step(name, function, config=self._config, **rest)


class _BackgroundDecorator(Protocol):
    """The same to a type checker for a background step, which hands on what it gets."""

    @overload
    def __call__(self, function: Callable[Concatenate[In, ...], Any], /) -> Step[In, In]: ...
    @overload
    def __call__(self, function: Callable[..., Any], /) -> Step[Any, Any]: ...


def _name_of(function: object) -> str:
    if inspect.isroutine(function) or inspect.isclass(function):
        return function.__name__
    raise ConfigurationError(
        f"@step got {function!r}, which has no name of its own",
        suggestion=f"write @step(name={function!r})" if isinstance(function, str) else "write step(name=...)(it)",
    )


@overload
def step(  # type: ignore[overload-overlap]  # the first that fits is meant: text is joined
    function: Callable[Concatenate[In, ...], AsyncIterator[str]], /
) -> Step[In, str]: ...
@overload
def step(function: Callable[Concatenate[In, ...], AsyncIterator[Out]], /) -> Step[In, list[Out]]: ...
@overload
def step(function: Callable[Concatenate[In, ...], Awaitable[Out]], /) -> Step[In, Out]: ...
@overload
def step(function: Callable[Concatenate[In, ...], Out], /) -> Step[In, Out]: ...
@overload
def step(function: Callable[..., Awaitable[Out]], /) -> Step[Any, Out]: ...
@overload
def step(function: Callable[..., Out], /) -> Step[Any, Out]: ...
@overload
def step(
    *,
    config: StepConfig | None = None,
    execution_mode: Literal["foreground"] = "foreground",
    **options: Unpack[StepOptions],
) -> _Decorator: ...
@overload
def step(
    *, config: StepConfig | None = None, execution_mode: Literal["background"], **options: Unpack[StepOptions]
) -> _BackgroundDecorator: ...
def step(
    function: Callable[..., Any] | None = None, /, *, config: StepConfig | None = None, **options: Any
) -> Step[Any, Any] | _Decorator | _BackgroundDecorator:
    """Make a step of a function: `@step`, or `@step(config=StepConfig(...), max_retries=2, sink_to="answer")`.

    Input and output types are read from the annotations; parameters named `context`, `resources` and `run` are
    filled by the engine. Overrides beside `config` are validated and win, with one warning. A type checker knows a
    background step by `execution_mode="background"` here, not by that of a `config`. Raises `ConfigurationError` for a
    name that neither `Step` nor `StepConfig` has, or a bad value.
    """
    for key in options:
        if key not in _SETTINGS:
            raise ConfigurationError(
                f"@step has no setting {key!r}", suggestion=did_you_mean(key, _SETTINGS, what="settings are")
            )
    fields = {key: value for key, value in options.items() if key in _STEP_FIELDS}
    overrides = {key: value for key, value in options.items() if key not in _STEP_FIELDS}
    decorator = _Decorator(_merged(config, overrides), fields)
    return decorator if function is None else decorator(function)


def _merged(config: StepConfig | None, overrides: dict[str, Any]) -> StepConfig:
    if not isinstance(config, StepConfig | None):
        raise ConfigurationError(
            f"@step: config is of type {type(config).__qualname__!r}", suggestion="pass config=StepConfig(...)"
        )
    if config is not None and overrides:
        names = ", ".join(sorted(overrides))
        wins = "wins" if len(overrides) == 1 else "win"
        warnings.warn(f"@step got both config and {names}; {names} {wins}", UserWarning, stacklevel=3)
    given = {name: getattr(config, name) for name in config.model_fields_set} if config is not None else {}
    try:
        return StepConfig(**{**given, **overrides})
    except ConfigurationError as error:
        told = error.message.replace(StepConfig.__name__, "@step", 1)
        raise ConfigurationError(told, cause=error.__cause__) from error.__cause__
