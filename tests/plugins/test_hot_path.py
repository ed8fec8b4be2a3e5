"""Plugins cost a run nothing once they are loaded."""

import sys
from collections import Counter

from flujo import Flujo, Pipeline, map_, parallel, step
from flujo.engine.executor_core import ExecutorCore
from flujo.plugins import create_plugin_manager, hookimpl


class Bells:
    """A plugin of every sort that a run could meet."""

    @hookimpl
    def flujo_register_event_sinks(self, registrar):
        registrar.sink("bells", lambda settings, root: Quiet(), summary="hear nothing")

    @hookimpl
    def flujo_register_pricing(self, registrar):
        registrar.pricing("bells", lambda model, usage: 0)


class Quiet:
    def handle(self, event):
        pass


@step
def double(data: int) -> int:
    return data * 2


async def test_no_hook_is_called_while_steps_are_executed():
    pipeline = Pipeline(
        [
            double,
            parallel("both", {"a": double, "b": double}),
            step(lambda data: [1, 2], name="list"),
            map_("each", double),
        ],
        name="p",
    )
    flujo = Flujo(pipeline, plugins=create_plugin_manager(Bells()), sinks=["bells"])
    files = Counter()

    def note(frame, event, arg):
        if event == "call":
            files[frame.f_code.co_filename] += 1

    sys.setprofile(note)
    try:
        result = await flujo.run(1)
    finally:
        sys.setprofile(None)

    assert result.output == [2, 4]
    assert files[ExecutorCore.execute.__code__.co_filename] > 0
    assert [file for file in files if "pluggy" in file or "importlib_metadata" in file] == []
