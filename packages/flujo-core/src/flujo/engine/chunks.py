"""Outputs that come in parts, each told as soon as it is there."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, nullcontext
from typing import Any

from flujo.domain.agents import AgentResult
from flujo.domain.events import Chunk
from flujo.engine.changes import unshared
from flujo.engine.frame import ExecutionFrame
from flujo.engine.shield import halted

__all__ = ["gathered", "tell"]


def tell(frame: ExecutionFrame, value: Any) -> None:
    """Tell a part of the step's output, if anybody listens."""
    run = frame.run
    if run.events.active:
        run.events.emit(Chunk(run.run_id, frame.path, unshared(value), frame.attempt))


async def gathered(frame: ExecutionFrame, stream: AsyncIterator[Any], declared: Any) -> Any:
    """What the parts of `stream` come to: joined, if all are text, else a list of them. Each is told when it is there.

    An `AgentResult` is no part: the last one is what the step gives. A stream without parts gives what its type says
    by `declared`, no text or an empty list. A reader who is far behind is waited for, while the step's time stands
    still.
    """
    parts, whole = [], None
    async with aclosing(stream) if isinstance(stream, AsyncGenerator) else nullcontext():
        async for value in stream:
            if type(value) is AgentResult:
                whole = value
                continue
            parts.append(value)
            tell(frame, value)
            await _paced(frame)
    if whole is not None:
        return whole
    is_text = all(isinstance(part, str) for part in parts) if parts else declared is str
    return "".join(parts) if is_text else parts


async def _paced(frame: ExecutionFrame) -> None:
    """Let a reader come nearer, and the event loop have its turn."""
    run = frame.run
    if run.events.full:
        with halted(frame.timer):
            await run.events.room()
    if (now := run.clock.monotonic()) >= run.pulse.due:
        await run.pulse.beat(now)
