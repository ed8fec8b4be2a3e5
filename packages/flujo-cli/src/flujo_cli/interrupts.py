"""Ctrl-C and SIGTERM while a run goes on: the first one stops it cleanly, the second one at once."""

import asyncio
import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from types import FrameType
from typing import Any

__all__ = ["GRACE_S", "Interrupts"]

#: Seconds that a step may take to stop before the process ends without it.
GRACE_S = 5.0

#: Seconds after which it is told what has not stopped.
_SOON_S = 0.5

#: Seconds that a reader may take before what it doesn't read is dropped.
_PATIENCE_S = 0.5

Words = Callable[[], Iterable[tuple[int, str]]]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

#: What handles them in a program that does nothing about them.
_PLAIN: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interrupts:
    """Cancels the watched task at the first signal; `signum` is then its number.

    A second signal, or a step that has not stopped after the grace period, ends the process where it is: every
    finished step is recorded by then, so the run can be resumed all the same. `last_words` gives what the process says
    before it ends, each text with the descriptor it goes to, `waits_for` what it says while it waits.

    A thread of its own listens, because Python calls no handler while a step blocks the interpreter's main thread.
    """

    def __init__(self, *, last_words: Words, waits_for: Words = tuple, grace_s: float = GRACE_S) -> None:
        self.signum: int | None = None
        self._waits_for = waits_for
        self._last_words = last_words
        self._grace_s = grace_s
        self._task: asyncio.Task[Any] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Listen to the signals inside the block, and put back what handled them before."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        thread = Thread(target=self._listen, args=[reader], name="flujo-signals", daemon=True)
        thread.start()
        handlers = {number: signal.signal(number, _noted) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(writer)
            thread.join()
            os.close(reader)

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Leave signals to Python inside the block, where nothing is at work that could be lost."""
        wakeup = signal.set_wakeup_fd(-1)
        handlers = {number: signal.signal(number, handler) for number, handler in _PLAIN.items()}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Cancel `task` at the first signal, or now if that has come already."""
        self._task = task
        if self.signum is not None:
            task.cancel()

    def _listen(self, reader: int) -> None:
        number = _next_signal(reader)
        if number is None:
            return
        self.signum = number
        _write_now([(2, "stopping; once more stops at once")])
        if self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: the run has ended by itself
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        soon = min(_SOON_S, self._grace_s)
        second = _next_signal(reader, soon)
        if second == 0:
            _write_now(self._waits_for())
            second = _next_signal(reader, self._grace_s - soon)
        if second is not None:
            self._kill(number)

    def _kill(self, number: int) -> None:
        """End the process from this thread; the main thread may hold any lock, a stream's too."""
        try:
            _write_now(self._last_words())
        finally:
            os._exit(128 + number)


def _write_now(lines: Iterable[tuple[int, str]]) -> None:
    """Write lines past the streams. Where nobody reads, one is dropped: it must not hold anything up."""
    for descriptor, text in lines:
        with suppress(OSError):
            if select.select([], [descriptor], [], _PATIENCE_S)[1]:
                os.write(descriptor, f"{text}\n".encode(errors="backslashreplace"))


def _noted(_: int, __: FrameType | None) -> None:
    """Stand in for a handler: what makes Python write the signal's number to the wakeup descriptor."""


def _next_signal(reader: int, timeout_s: float | None = None) -> int | None:
    """The number of the next signal that counts, 0 when none came in time, None when nobody listens any more."""
    while select.select([reader], [], [], timeout_s)[0]:
        data = os.read(reader, 1)
        if not data:
            return None
        if data[0] in _SIGNALS:
            return data[0]
    return 0
