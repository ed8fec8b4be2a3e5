"""What must come to its end, whoever is cancelled meanwhile, and time that does not count."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["halted", "is_cancellation", "undisturbed"]


def is_cancellation(error: BaseException) -> bool:
    """Whether somebody cancels the work, rather than the step having raised `CancelledError` by itself."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)


async def undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` to its end, however often somebody cancels: for one who has been cancelled, and is about to say so."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    task.result()


@contextmanager
def halted(timer: asyncio.Timeout | None) -> Iterator[None]:
    """Let the timer stand still: who waits for others is not slow."""
    when = None if timer is None else timer.when()
    if timer is None or when is None:
        yield
        return
    loop = asyncio.get_running_loop()
    left = when - loop.time()
    timer.reschedule(None)
    try:
        yield
    finally:
        timer.reschedule(loop.time() + left)
