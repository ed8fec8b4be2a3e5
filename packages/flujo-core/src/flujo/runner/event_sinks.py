"""The event sinks of one `Flujo`: those given in code, and those of plugins, made by their names."""

import asyncio
import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from flujo.blueprint.kinds import blame_nobody
from flujo.domain.callables import reference
from flujo.domain.foreign import attempt
from flujo.domain.interfaces import ClosableSink, EventSink
from flujo.domain.scope import NOTHING
from flujo.domain.suggest import did_you_mean
from flujo.engine.event_stream import EventStream
from flujo.exceptions import ConfigurationError, PluginError
from flujo.infra.log_sink import LogSink
from flujo.plugins import EventSinkSpec, PluginManager
from flujo.plugins.contributions import load_function

__all__ = ["EventSinks", "NamedSink", "Sink"]


class NamedSink(NamedTuple):
    """An event sink of a plugin, with the settings that it is made with."""

    name: str
    settings: Mapping[str, Any] = NOTHING


#: What `Flujo` takes as a sink: an object that listens, or the name of one that a plugin makes.
Sink: TypeAlias = EventSink | NamedSink | str

#: What runs nothing when it is called.
_NOT_PLAIN = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


class EventSinks:
    """The `stream` to the sinks that are `wanted`. What was made here is closed by `aclose`; what was given is not.

    A sink that fails is logged as a `LogSink` does, by that one where it is among them.

    Raises `ConfigurationError` for a name that no plugin has and for what is no sink, `PluginError` for a sink that
    can't be made, and `PolicyConflictError` for a name that two plugins claim.
    """

    def __init__(self, wanted: Iterable[Sink], manager: PluginManager | None, root: Path | None) -> None:
        self._offered: Mapping[str, EventSinkSpec] = manager.contributions.sinks if manager else {}
        self._blame = manager.blame if manager else blame_nobody
        self._root = root or Path.cwd()
        self._made: list[EventSink] = []
        self._specs: dict[int, EventSinkSpec] = {}
        sinks = [self._sink(each) for each in wanted]
        is_logged = any(isinstance(each, LogSink) for each in sinks)
        self.stream = _Stream(sinks, None if is_logged else LogSink().handle)
        self.stream.specs = self._specs

    def _sink(self, wanted: Sink) -> EventSink:
        if isinstance(wanted, str):
            wanted = NamedSink(wanted)
        if not isinstance(wanted, NamedSink):
            return _checked(wanted)
        if wanted.name not in self._offered:
            known = did_you_mean(wanted.name, self._offered, what="installed plugins have")
            advice = "; ".join(filter(None, [known, self._blame("sinks", wanted.name)]))
            raise ConfigurationError(f"there is no event sink {wanted.name!r}", suggestion=advice)
        spec = self._offered[wanted.name]
        make = partial(_factory(spec), dict(wanted.settings), self._root)
        made = attempt(make, partial(_refused, spec), but=ConfigurationError)
        try:
            sink = _checked(made)
        except ConfigurationError as error:
            raise _refused(spec, str(error.message), error) from error
        self._made.append(sink)
        self._specs[id(sink)] = spec
        return sink

    async def aclose(self) -> None:
        """Close the sinks that were made here; one that fails is reported as broken. A second call does nothing."""
        while self._made:
            sink = self._made.pop()
            if isinstance(sink, ClosableSink):
                [error] = await asyncio.gather(_close(sink), return_exceptions=True)
                if error is not None:
                    self.stream.detach(sink, error)


class _Stream(EventStream):
    """The stream, which says of a sink that failed whose it is; `specs` are those of the sinks made here, by id."""

    __slots__ = ("specs",)
    specs: Mapping[int, EventSinkSpec]

    def detach(self, sink: EventSink, error: BaseException, run_id: str = "") -> None:
        """Let `sink` hear nothing more; what a plugin's failed with becomes a `PluginError` that names the plugin."""
        spec = self.specs.get(id(sink))
        if spec is not None:
            whose = f"event sink {spec.name!r} of plugin {spec.provider}"
            error = PluginError(f"{whose} failed: {type(error).__name__}: {error}".rstrip(": "), cause=error)
        super().detach(sink, error, run_id)


def _factory(spec: EventSinkSpec) -> Any:
    try:
        return load_function(spec.factory, spec.provider)
    except PluginError as error:
        error.suggestion = spec.needs or error.suggestion
        raise


async def _close(sink: ClosableSink) -> SystemExit | None:
    try:
        closing = sink.close()
        if inspect.isawaitable(closing):
            await closing
    except SystemExit as error:  # raised in a task it would end the loop
        return error
    return None


def _checked(sink: Any) -> EventSink:
    """`sink`, if it can listen. Raises `ConfigurationError`."""
    if isinstance(sink, type) or not isinstance(sink, EventSink):
        raise ConfigurationError(
            f"{reference(sink)!r} is not an event sink",
            suggestion="give an object with a method handle(event), or the name of a sink that a plugin has",
        )
    if any(test(sink.handle) or test(type(sink.handle).__call__) for test in _NOT_PLAIN):
        raise ConfigurationError(
            f"event sink {reference(sink)!r} hears nothing: its handle(event) is async or a generator",
            suggestion="let it be a plain function; it may put the event into a queue that a task of yours reads",
        )
    return sink


def _refused(spec: EventSinkSpec, text: str, error: BaseException) -> PluginError:
    return PluginError(f"plugin {spec.provider} can't make the event sink {spec.name!r}: {text}", cause=error)
