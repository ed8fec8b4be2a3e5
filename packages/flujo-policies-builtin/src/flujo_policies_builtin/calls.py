"""Calling what a step runs: with its data, and with what the function asks for by name."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

from flujo.domain.callables import THREAD, Call
from flujo.engine.frame import ExecutionFrame, StepRun

__all__ = ["arguments_of", "invoke"]


async def invoke(call: Call, frame: ExecutionFrame, data: Any, *, calls: int = 0) -> Any:
    """What `call` gives for `data`; an awaitable answer is awaited, and a plain function may run in a thread.

    `calls` is how many times the run has called the step's agent before. A thread can't be stopped when nobody waits
    for it any more: it has a context of its own, whose changes are adopted when it has come to its end.
    """
    if not frame.step.blocking or call.is_async:
        arguments, injected = arguments_of(call, frame, data, calls=calls)
        value = call.target(*arguments, **injected)
        return await value if inspect.isawaitable(value) else value
    contexts, own = frame.run.contexts, None
    if "context" in call.injected:
        own = contexts.isolate(frame.context, purpose=f"the thread of {frame.path!r}")
        frame = frame._replace(context=own.context)
    arguments, injected = arguments_of(call, frame, data, calls=calls)
    value = await asyncio.to_thread(_in_thread, frame.path, call.target, arguments, injected)
    value = await value if inspect.isawaitable(value) else value
    if own is not None:
        contexts.adopt(own)
    return value


def arguments_of(
    call: Call, frame: ExecutionFrame, data: Any, *, calls: int = 0
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
            found[name] = StepRun(run.run_id, frame.path, frame.attempt, run.root, frame.feedback, calls)
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
