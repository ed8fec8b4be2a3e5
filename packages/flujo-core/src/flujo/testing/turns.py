"""How long code keeps the event loop to itself."""

import asyncio
import time
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["turns_timed"]

#: Where Linux tells how long the thread that reads it was ready to run, but had no processor, in nanoseconds.
_READY = Path("/proc/thread-self/schedstat")


@contextmanager
def turns_timed() -> Iterator[list[float]]:
    """How long each turn of each task took that began meanwhile, in seconds.

    What a thread waits for a processor of a busy machine does not count, where the system tells it: on Linux.
    """
    loop, turns = asyncio.get_running_loop(), list[float]()
    before = loop.get_task_factory()

    def timed(loop: asyncio.AbstractEventLoop, inner: Any, **options: Any) -> "asyncio.Task[Any]":
        return asyncio.Task(_Timed(inner, turns), loop=loop, **options)

    loop.set_task_factory(timed)
    try:
        yield turns
    finally:
        loop.set_task_factory(before)


class _Timed(Coroutine[Any, Any, Any]):
    """The coroutine `inner`; how long each of its steps takes goes into `turns`."""

    def __init__(self, inner: Coroutine[Any, Any, Any], turns: list[float]) -> None:
        self._inner = inner
        self._turns = turns

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked of coroutines, by who looks at tasks."""
        return getattr(self._inner, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def close(self) -> None:
        self._inner.close()

    def send(self, value: Any) -> Any:
        with self._turn():
            return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        with self._turn():
            return self._inner.throw(*error)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        began = _clock()
        try:
            yield
        finally:
            self._turns.append(_clock() - began)


def _clock() -> float:
    ready = int(_READY.read_text().split()[1]) if _READY.exists() else 0
    return time.perf_counter() - ready / 1e9
