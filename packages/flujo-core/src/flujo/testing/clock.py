"""Time that passes only when it is told to."""

import asyncio

__all__ = ["FakeClock"]


class FakeClock:
    """A clock for tests: `advance` moves it on, and so does `sleep`, which does not wait.

    `slept` holds the seconds of every sleep in order. `set_back` moves the wall clock alone, as a
    correction by the operating system would.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._monotonic

    async def sleep(self, seconds: float, /) -> None:
        """Move the clock on by `seconds`, let other tasks run once, and return."""
        self.slept.append(seconds)
        self.advance(max(seconds, 0.0))
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Raises `ValueError` for a negative number: use `set_back`."""
        if seconds < 0:
            raise ValueError(f"time can't pass by {seconds!r} seconds, expected zero or more")
        self._now += seconds
        self._monotonic += seconds

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back by `seconds`; a negative number sets it forward."""
        self._now -= seconds
