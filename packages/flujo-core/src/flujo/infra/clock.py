"""The real clock: nothing else in the engine asks the operating system for the time."""

import asyncio  # the one module below the engine that needs it: to wait is the clock's work
import time

__all__ = ["SystemClock"]


class SystemClock:
    """Wall time, monotonic time and sleep as the operating system gives them."""

    __slots__ = ()

    #: Seconds since the epoch, UTC; may be set back or forward at any time.
    now = staticmethod(time.time)
    #: Seconds from an arbitrary start, never set back.
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds`; other tasks run meanwhile."""
        await asyncio.sleep(seconds)
