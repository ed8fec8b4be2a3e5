"""What a step calls: found out once, when the step is made."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flujo.exceptions import ConfigurationError

__all__ = ["INJECTED", "UNKNOWN", "Call", "inspect_call", "reference"]

#: Parameters that the engine fills by name; every other parameter is the step's data or one of its `params`.
INJECTED = frozenset({"context", "resources", "run"})

#: The type of a parameter or result that nobody declared.
UNKNOWN: Any = Any

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Call:
    """A callable and what it wants: how to call it is decided here, not at every call."""

    target: Callable[..., Any]
    is_async: bool
    takes_data: bool
    injected: tuple[str, ...]
    input_type: Any
    output_type: Any
    reference: str


def reference(target: object) -> str:
    """Name `target` as `module:qualname`; an instance is named by its class, a partial by what it wraps."""
    while isinstance(target, functools.partial):
        target = target.func
    named = target if inspect.isroutine(target) or inspect.isclass(target) else type(target)
    return f"{named.__module__}:{named.__qualname__}"


def inspect_call(target: object, params: Mapping[str, Any] | None = None) -> Call:
    """Find out how to call `target`: a function, an object with `run`, or a class with `run` (made once).

    With `params` that fill its whole signature the callable is a factory and is called now; other params are
    bound as keyword arguments. Raises `ConfigurationError` for what can't be called with one value of data.
    """
    name = reference(target)
    bound = dict(params or {})
    if inspect.isclass(target):
        target, bound = _make(target, bound, name), {}
    elif bound and callable(target) and _is_factory(target, bound):
        target, bound = target(**bound), {}
    function = _function(target, name)
    signature = inspect.signature(function)
    hints = _hints(function)
    _refuse_unknown_params(signature, bound, name)
    data = _data_parameter(signature, bound, name)
    if bound:
        function = functools.partial(function, **bound)
    return Call(
        target=function,
        is_async=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_call_of(function)),
        takes_data=data is not None,
        injected=tuple(n for n in signature.parameters if n in INJECTED and n not in bound),
        input_type=hints.get(data, UNKNOWN) if data else UNKNOWN,
        output_type=hints.get("return", UNKNOWN),
        reference=name,
    )


def _make(cls: type, params: dict[str, Any], name: str) -> object:
    if not callable(inspect.getattr_static(cls, "run", None)):
        raise ConfigurationError(
            f"class {name!r} has no method 'run'", suggestion="name a function, or a class with a method 'run'"
        )
    try:
        return cls(**params)
    except TypeError as error:
        raise ConfigurationError(
            f"class {name!r} can't be made with params {sorted(params)}: {error}",
            suggestion="give its constructor's arguments as 'params'",
            cause=error,
        ) from error


def _is_factory(target: Callable[..., Any], params: dict[str, Any]) -> bool:
    """Whether `params` fill the whole signature: nothing is left for the step's data."""
    if inspect.iscoroutinefunction(target):
        return False
    names = [n for n in inspect.signature(target).parameters if n not in INJECTED]
    return bool(names) and set(names) <= set(params)


def _function(target: object, name: str) -> Callable[..., Any]:
    run = getattr(target, "run", None)  # an agent is any object with `run`: a protocol, not a base class
    if callable(run):
        function: Callable[..., Any] = run
        return function
    if callable(target):
        return target
    raise ConfigurationError(
        f"{name!r} can't be called", suggestion="a step runs a function, or an object or a class with a method 'run'"
    )


def _call_of(function: Callable[..., Any]) -> object:
    return getattr(type(function), "__call__", None)  # noqa: B004 - asks whether it is a coroutine function


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    annotated = function if inspect.isroutine(function) else type(function).__call__
    try:
        return typing.get_type_hints(annotated, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}  # a forward reference that can't be resolved here declares nothing


def _refuse_unknown_params(signature: inspect.Signature, params: dict[str, Any], name: str) -> None:
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values()):
        return
    unknown = sorted(set(params) - set(signature.parameters))
    if unknown:
        known = sorted(set(signature.parameters) - INJECTED)
        raise ConfigurationError(
            f"{name!r} has no parameter {unknown[0]!r}", suggestion=f"its parameters are {', '.join(known) or 'none'}"
        )


def _data_parameter(signature: inspect.Signature, params: dict[str, Any], name: str) -> str | None:
    """Name the parameter that gets the step's data, and refuse a signature that would be left with a gap."""
    free = [p for n, p in signature.parameters.items() if n not in INJECTED and n not in params]
    data = next((p for p in free if p.kind in (*_POSITIONAL, inspect.Parameter.VAR_POSITIONAL)), None)
    for other in free:
        variadic = other.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if other is not data and not variadic and other.default is inspect.Parameter.empty:
            raise ConfigurationError(
                f"nothing fills parameter {other.name!r} of {name!r}",
                suggestion="a step passes its data first and, by name, context, resources and run; "
                f"give {other.name!r} a default or a value in 'params'",
            )
    return data.name if data else None
