"""What a step calls: found out once, when the step is made."""

import functools
import inspect
import sys
import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from types import GenericAlias, SimpleNamespace
from typing import Any, NamedTuple, NoReturn

from flujo.domain.agents import answer_type
from flujo.domain.foreign import attempt
from flujo.exceptions import ConfigurationError

__all__ = ["INJECTED", "THREAD", "UNKNOWN", "Call", "inspect_call", "reference"]

#: Parameters that the engine fills by name; every other parameter is the step's data or one of its `params`.
INJECTED = frozenset({"context", "resources", "run"})

#: What a thread's name begins with while it works on a step; the step's path follows.
THREAD = "flujo step "

#: What a function is declared to return that gives its output in parts.
_STREAMS = (AsyncGenerator, AsyncIterable, AsyncIterator)

#: What Python calls the file that a program was started as, here and in a process that multiprocessing has made.
_STARTED = ("__main__", "__mp_main__")

#: The type of a parameter or result that nobody declared.
UNKNOWN: Any = Any

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

#: What is known of a callable that keeps its signature to itself, as some built-in ones do: it takes the data.
_UNTOLD = inspect.Signature(
    [
        inspect.Parameter("data", inspect.Parameter.POSITIONAL_ONLY),
        inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD),
    ]
)


class Call(NamedTuple):
    """A callable and what it wants: how to call it is decided here, not at every call.

    `target` takes the data by position, if `takes_data`, and what is `injected` by name. One that `streams` gives an
    async iterator of the parts of its output. `direct` says that its result is to be had by awaiting `target(data)`.
    """

    target: Callable[..., Any]
    is_async: bool
    takes_data: bool
    injected: tuple[str, ...]
    input_type: Any
    output_type: Any
    reference: str
    streams: bool = False
    direct: bool = False


def reference(target: object) -> str:
    """Name `target` as `module:qualname`; an instance is named by its class, a partial by what it wraps.

    The file that the program was started as is named as if it were imported, so that it is the same module either way.
    """
    while isinstance(target, functools.partial):
        target = target.func
    is_code = (inspect.isroutine(target) or inspect.isclass(target)) and hasattr(target, "__qualname__")
    named: Any = target if is_code else type(target)
    module = getattr(named, "__module__", None)  # built-in methods have none, or None
    if module is None:
        module = (getattr(named, "__objclass__", None) or type(getattr(named, "__self__", None))).__module__
    return f"{_imported_as(module) if module in _STARTED else module}:{named.__qualname__}"


def _imported_as(module: str) -> str:
    """The name that a started file would be imported by: what `python -m` was given, else the file's own name."""
    started: Any = sys.modules.get(module)
    spec, file = getattr(started, "__spec__", None), getattr(started, "__file__", None)
    name = spec.name if spec is not None else Path(file).stem if file else module
    return module if name == "__main__" else name


def inspect_call(target: object, params: Mapping[str, Any] | None = None) -> Call:
    """Find out how to call `target`: a function, an object with `run`, or a class with `run` (made once).

    An async generator is one that streams; an object with a method `stream` which is one is called by that.

    With `params` that fill its whole signature the callable is a factory and is called now; other params are
    bound as keyword arguments. Raises `ConfigurationError` for what can't be called with one value of data.
    """
    name, bound = reference(target), dict(params or {})
    if inspect.isclass(target):
        return inspect_call(_made(target, bound, name))._replace(reference=name)
    function = _function(target, name)
    signature = _signature(function)
    _refuse_unknown_params(signature, bound, name)
    if function is target and bound and _is_factory(function, signature, bound):
        return inspect_call(_produced(function, bound, name))._replace(reference=name)
    data = _data_parameter(signature, bound, name)
    hints = _hints(function, signature)
    returned, is_async, streams = hints.get("return", UNKNOWN), _is_async(function), _is(function, "asyncgen")
    output_type, awaited = _awaited(returned)
    if streams or (not is_async and typing.get_origin(returned) in _STREAMS):
        output_type, awaited, streams = _joined(returned), True, True
    injected = _injected(signature, bound, name)
    return Call(
        target=_bind(function, signature, bound, data),
        is_async=awaited or is_async,
        takes_data=data is not None,
        injected=injected,
        input_type=hints.get(data, UNKNOWN) if data else UNKNOWN,
        output_type=output_type,
        reference=name,
        streams=streams,
        direct=(awaited or is_async) and data is not None and not injected and not streams,
    )


def _made(cls: type, params: dict[str, Any], name: str) -> object:
    """An instance of a class with `run`."""
    if not callable(getattr(cls, "run", None)) and not _is(getattr(cls, "stream", None), "asyncgen"):
        raise ConfigurationError(
            f"class {name!r} has no method 'run'",
            suggestion="name a function, or a class with a method 'run'; "
            "to make an instance of the data, write a function that does",
        )
    given = f"with params {', '.join(map(str, params))}" if params else "without params"
    return attempt(
        lambda: cls(**params),
        lambda line, error: ConfigurationError(
            f"class {name!r} can't be made {given}: {line}",
            suggestion="give its constructor's arguments as 'params'",
            cause=error,
        ),
    )


def _is_factory(function: Callable[..., Any], signature: inspect.Signature, params: dict[str, Any]) -> bool:
    """Whether `params` fill the whole signature: nothing is left for the step's data."""
    needed = {n for n, p in signature.parameters.items() if p.kind not in _VARIADIC}
    return needed <= set(params) and not _is_async(function) and _data_parameter(signature, params, "") is None


def _produced(factory: Callable[..., Any], params: dict[str, Any], name: str) -> object:
    """What a factory gives, if that is something to call."""
    product = attempt(
        lambda: factory(**params),
        lambda line, error: ConfigurationError(
            f"factory {name!r} failed with params {', '.join(params)}: {line}",
            suggestion="params that fill a function's whole signature make it a factory, called once",
            cause=error,
        ),
    )
    if callable(product) or callable(getattr(product, "run", None)):
        return product
    raise ConfigurationError(
        f"factory {name!r} gave a value of type {type(product).__qualname__!r}, which can't be called",
        suggestion="params that fill a function's whole signature make it a factory, which gives what the step "
        "runs; a function that is to run itself takes the step's data first",
    )


def _function(target: object, name: str) -> Callable[..., Any]:
    stream: Any = getattr(target, "stream", None)
    if _is(stream, "asyncgen"):
        streaming: Callable[..., Any] = stream
        return streaming
    run = getattr(target, "run", None)  # an agent is any object with `run`: a protocol, not a base class
    if callable(run):
        function: Callable[..., Any] = run
        return function
    if callable(target):
        return target
    raise ConfigurationError(
        f"{name.removeprefix('builtins:')!r} can't be called",
        suggestion="a step runs a function, or an object or a class with a method 'run'",
    )


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError:
        return _UNTOLD


def _is_async(function: Callable[..., Any]) -> bool:
    return _is(function, "coroutine")


def _is(function: Any, what: typing.Literal["coroutine", "asyncgen"]) -> bool:
    """Whether calling `function`, or an object whose class can be called, gives a coroutine or an async generator."""
    asks = inspect.iscoroutinefunction if what == "coroutine" else inspect.isasyncgenfunction
    called = getattr(type(function), "__call__", None)  # noqa: B004 - asks which sort of function it is
    return asks(function) or asks(called)


def _joined(returned: Any) -> Any:
    """The type of what a stream declared so gives in the end: text for parts of text, else a list."""
    part = typing.get_args(returned)[0] if typing.get_args(returned) else UNKNOWN
    if part is UNKNOWN or any(answer_type(each) is not each for each in (part, *typing.get_args(part))):
        return UNKNOWN
    return str if part is str else GenericAlias(list, (part,))


def _hints(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """The annotations as types, by parameter; one that names what isn't there declares nothing."""
    while isinstance(function, functools.partial):
        function = function.func
    annotated = function if inspect.isroutine(function) else type(function).__call__
    written = {n: p.annotation for n, p in signature.parameters.items()} | {"return": signature.return_annotation}
    hints = {}
    for name, annotation in written.items():
        if annotation is not inspect.Signature.empty:
            hints[name] = _resolved(annotation, inspect.unwrap(annotated))
    return hints


def _resolved(annotation: Any, function: Any) -> Any:
    names = getattr(getattr(function, "__func__", function), "__globals__", {})
    holder = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)["it"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return UNKNOWN


def _awaited(output_type: Any) -> tuple[Any, bool]:
    """What a declared result comes to once it is awaited, and whether it has to be."""
    if typing.get_origin(output_type) in (Awaitable, Coroutine):
        return answer_type(typing.get_args(output_type)[-1]), True
    return answer_type(output_type), False


def _refuse_unknown_params(signature: inspect.Signature, params: dict[str, Any], name: str) -> None:
    named = [n for n, p in signature.parameters.items() if p.kind in _NAMED]
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
    for param in params:
        if param in named or (anything and isinstance(param, str)):
            continue
        if param in signature.parameters:
            raise ConfigurationError(
                f"{name!r} takes its parameter {param!r} by position, so 'params' can't give it",
                suggestion="wrap it in a function that takes the parameter by name",
            )
        known = sorted(set(named) - INJECTED)
        raise ConfigurationError(
            f"{name!r} has no parameter {param!r}", suggestion=f"its parameters are {', '.join(known) or 'none'}"
        )


def _data_parameter(signature: inspect.Signature, params: dict[str, Any], name: str) -> str | None:
    """Name the parameter that gets the step's data, and refuse a signature that would be left with a gap."""
    bound = {n for n, p in signature.parameters.items() if n in params and p.kind in _NAMED}
    free = [p for n, p in signature.parameters.items() if n not in INJECTED and n not in bound]
    data = next((p for p in free if p.kind in _POSITIONAL), None)
    if data is None:  # `*args` takes the data, unless what stands before it is passed by name
        data = next(
            (p for p in [*signature.parameters.values()][:1] if p.kind is inspect.Parameter.VAR_POSITIONAL), None
        )
    for other in free:
        if other is not data and other.kind not in _VARIADIC and other.default is inspect.Parameter.empty:
            _refuse_gap(other.name, name)
    return data.name if data else None


def _refuse_gap(parameter: str, name: str) -> NoReturn:
    raise ConfigurationError(
        f"nothing fills parameter {parameter!r} of {name!r}",
        suggestion="a step passes its data first and, by name, context, resources and run; "
        f"give {parameter!r} a default or a value in 'params'",
    )


def _injected(signature: inspect.Signature, params: dict[str, Any], name: str) -> tuple[str, ...]:
    wanted = [p for n, p in signature.parameters.items() if n in INJECTED and n not in params]
    wanted = [p for p in wanted if p.kind not in _VARIADIC]
    for parameter in wanted:
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise ConfigurationError(
                f"{name!r} takes {parameter.name!r} by position",
                suggestion=f"the engine passes {parameter.name!r} by name: let it stand after '*'",
            )
    return tuple(parameter.name for parameter in wanted)


def _bind(
    function: Callable[..., Any], signature: inspect.Signature, params: dict[str, Any], data: str | None
) -> Callable[..., Any]:
    """`function` with its params, taking the data first wherever its parameter stands."""
    bound = functools.partial(function, **params) if params else function
    first = next(iter(signature.parameters), None)
    if data is None or data == first or signature.parameters[data].kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return bound

    def with_data_first(value: Any, /, **injected: Any) -> Any:
        return bound(**{data: value}, **injected)

    return with_data_first
