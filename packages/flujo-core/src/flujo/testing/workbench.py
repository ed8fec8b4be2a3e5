"""Runs in memory, with flujo's own plugins and those that a test adds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from flujo.domain.context import OpenContext, PipelineContext
from flujo.domain.events import Event
from flujo.domain.outcomes import PipelineResult
from flujo.domain.steps import Step
from flujo.plugins import PluginManager, PluginOptions, PluginRecord, create_plugin_manager
from flujo.runner.flujo import Flujo
from flujo.runner.pipeline_resolver import load_pipeline
from flujo.testing.project import Project
from flujo.testing.sinks import RecordingSink

__all__ = ["Ran", "Workbench"]


class Ran(NamedTuple):
    """What a run came to: its result, the events it told of, and its context in the end."""

    result: PipelineResult[Any, Any]
    events: list[Event]
    context: PipelineContext


class Workbench:
    """Where a test's pipelines run: in the folder of `project`, in memory; `events` hears of all of them."""

    def __init__(self, project: Project, events: RecordingSink) -> None:
        self._project = project
        self._events = events
        self._plugins: list[object] = []

    def host(self, *, strict: bool = True) -> PluginManager:
        """A new plugin manager with flujo's own plugins and the added ones; `strict` raises for one that is broken."""
        return create_plugin_manager(*self._plugins, options=PluginOptions(safe=True, strict=strict))

    @contextmanager
    def plugin(self, plugin: object, *, strict: bool = True) -> Iterator[PluginRecord]:
        """Add a plugin, a module, class or object with hooks, for as long as this is open; what became of it.

        One that is broken raises `PluginError`; without `strict` its record tells of it.
        """
        self._plugins.append(plugin)
        try:
            yield self.host(strict=strict).records[len(self._plugins) - 1]
        finally:
            self._plugins.pop()

    async def run(self, what: Step[Any, Any] | str, data: Any = None, **options: Any) -> Ran:
        """Run a step, or the pipeline that the text of a pipeline file makes, on `data`; `options` are those of
        `Flujo`."""
        host = self.host()
        step = (
            load_pipeline(self._project.write("pipeline.yaml", what), plugins=host) if isinstance(what, str) else what
        )
        own = {"root": self._project.root, "context_model": OpenContext}
        if "registry" not in options:
            own["plugins"] = host
        sinks = [self._events, *options.pop("sinks", ())]
        first = len(self._events.events)
        async with Flujo(step, **{**own, **options}, sinks=sinks) as flujo:
            result = await flujo.run(data)
        return Ran(result, self._events.events[first:], result.final_pipeline_context)
