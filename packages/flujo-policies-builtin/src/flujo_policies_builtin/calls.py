"""Calling what a step runs: with its data, and with what the function asks for by name."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from flujo.domain.callables import THREAD, Call
from flujo.engine.chunks import gathered
from flujo.engine.frame import ExecutionFrame
from flujo.engine.step_run import Line, StepRun
from flujo.exceptions import PausedException
from flujo_policies_builtin.asking import FunctionLine, answered

__all__ = ["arguments_of", "invoke"]

#: A call's data, how many times its agent was called before, and its line to the run.
_Given: TypeAlias = tuple[Any, int, Line]


async def invoke(call: Call, frame: ExecutionFrame, data: Any, *, calls: int = 0) -> Any:
    """What `call` gives for `data`; an awaitable answer is awaited, and a plain function may run in a thread.

    `calls` is how many times the run has called the step's agent before. A thread can't be stopped when nobody waits
    for it any more: it has a context of its own, whose changes are adopted when it has come to its end.
    """
    loop = asyncio.get_running_loop() if frame.step.blocking else None
    try:
        with FunctionLine(frame, None if loop is None else loop.call_soon_threadsafe) as line:
            value = await (_in_loop if loop is None else _beside)(call, frame, (data, calls, line))
            if call.streams or inspect.isasyncgen(value):
                return await gathered(frame, value, call.output_type)
            return await value if inspect.isawaitable(value) else value
    except PausedException as signal:
        return await answered(frame, signal)


async def _in_loop(call: Call, frame: ExecutionFrame, given: _Given) -> Any:
    arguments, injected = arguments_of(call, frame, *given)
    return call.target(*arguments, **injected)


async def _beside(call: Call, frame: ExecutionFrame, given: _Given) -> Any:
    """What a plain function gives that runs in a thread."""
    contexts, own = frame.run.contexts, None
    if "context" in call.injected:
        own = contexts.isolate(frame.context, purpose=f"the thread of {frame.path!r}")
        frame = frame._replace(context=own.context)
    arguments, injected = arguments_of(call, frame, *given)
    value = await asyncio.to_thread(_in_thread, frame.path, call.target, arguments, injected)
    value = await value if inspect.isawaitable(value) else value
    if own is not None:
        contexts.adopt(own)
    return value


def arguments_of(
    call: Call, frame: ExecutionFrame, data: Any, calls: int = 0, line: Line | None = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What `call` gets by position, and what by name."""
    run = frame.run
    found: dict[str, Any] = {}
    for name in call.injected:
        if name == "context":
            found[name] = frame.context
        elif name == "resources":
            found[name] = run.resources
        else:
            found[name] = StepRun(run.run_id, frame.path, frame.attempt, run.root, frame.feedback, calls, line)
    return (data,) if call.takes_data else (), found


def _in_thread(path: str, target: Callable[..., Any], arguments: tuple[Any, ...], injected: dict[str, Any]) -> Any:
    thread = threading.current_thread()
    idle, thread.name = thread.name, f"{THREAD}{path}"
    try:
        return target(*arguments, **injected)
    except StopIteration as error:  # a future can't hold it: its waiter would never wake
        raise RuntimeError("the function raised StopIteration") from error
    finally:
        thread.name = idle
