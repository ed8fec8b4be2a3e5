"""How long code keeps the event loop to itself."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["HELD_S", "longest_turn", "some_turns", "turns_timed"]

#: The longest that one turn of a task may keep all others waiting, in seconds, and how often it may try.
HELD_S, _TRIES = 0.05, 5

#: How many turns the event loop has while something is to happen, or not to.
_TURNS = 50

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


async def longest_turn(way: Callable[[], Awaitable[Any]]) -> float:
    """The longest turn in the best of some tries, in seconds."""
    best = math.inf
    for _ in range(_TRIES):
        with turns_timed() as turns:
            await way()
        best = min(best, max(turns))
        if best <= HELD_S:
            break
    return best


async def some_turns() -> None:
    """Let everybody else have their turn, some times."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


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
