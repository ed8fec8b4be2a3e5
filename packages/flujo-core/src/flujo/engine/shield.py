"""What must come to its end, whoever is cancelled meanwhile, and time that does not count."""

import asyncio
from collections.abc import Collection, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

__all__ = ["all_ended", "halted", "is_cancellation", "undisturbed", "whole"]

T = TypeVar("T")


def is_cancellation(error: BaseException) -> bool:
    """Whether somebody cancels the work, rather than the step having raised `CancelledError` by itself."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)


async def undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` to its end, however often somebody cancels: for one who has been cancelled, and is about to say so."""
    with suppress(asyncio.CancelledError):
        await whole(work)


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to, done to its end however often somebody cancels, who is heard after that."""
    task = asyncio.ensure_future(work)
    try:
        await all_ended([task])
    except asyncio.CancelledError:
        task.result()  # what it raises itself says more
        raise
    return task.result()


async def all_ended(tasks: Collection[asyncio.Future[Any]], *, cancels: bool = False) -> None:
    """Return when `tasks`, and those that join them meanwhile, have ended, whatever they came to.

    Who is cancelled meanwhile is heard only then. `cancels` them first, and once more at each such time.
    """
    heard: tuple[Any, ...] | None = None
    while pending := [task for task in tasks if not task.done()]:
        for task in pending if cancels else ():
            task.cancel()
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            heard = error.args
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if heard is not None:
        raise asyncio.CancelledError(*heard)


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
