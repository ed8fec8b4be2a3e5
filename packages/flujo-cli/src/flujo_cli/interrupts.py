"""Ctrl-C and SIGTERM while a run goes on: the first one stops it cleanly, the second one at once."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from types import FrameType
from typing import Any

__all__ = ["GRACE_S", "Interrupts"]

#: Seconds that a step may take to stop before the process ends without it.
GRACE_S = 5.0


class Interrupts:
    """Cancels the watched task at the first signal; `signum` is then its number.

    A second signal, or a step that has not stopped after the grace period, ends the process where it is: every
    finished step is recorded by then, so the run can be resumed all the same. `on_first` is called on the event
    loop at the first signal; `last_words` gives what the process says before it ends.
    """

    def __init__(
        self, *, on_first: Callable[[], None], last_words: Callable[[], str], grace_s: float = GRACE_S
    ) -> None:
        self.signum: int | None = None
        self._on_first = on_first
        self._last_words = last_words
        self._grace_s = grace_s
        self._timer: Timer | None = None
        self._task: asyncio.Task[Any] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals inside the block, and put back what handled them before."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Cancel `task` at the first signal."""
        self._task = task
        if self.signum is not None:
            task.cancel()

    def _handle(self, signum: int, _: FrameType | None) -> None:
        if self.signum is not None:
            self._kill()
        self.signum = signum
        self._timer = Timer(self._grace_s, self._kill)
        self._timer.daemon = True
        self._timer.start()
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._stop, self._task)

    def _stop(self, task: asyncio.Task[Any]) -> None:
        self._on_first()
        task.cancel()

    def _kill(self) -> None:
        """End the process from a signal handler or a thread: no stream's lock may be waited for here."""
        with suppress(OSError):  # nobody may be there to read it
            os.write(2, f"{self._last_words()}\n".encode())
        os._exit(128 + (self.signum or signal.SIGINT))
