"""Runs for code that is not async."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from flujo.exceptions import ConfigurationError

__all__ = ["in_loop_of_its_own"]

Given = TypeVar("Given")
Result = TypeVar("Result")


def in_loop_of_its_own(do: Callable[[Given], Coroutine[Any, Any, Result]], given: Given) -> Result:
    """What `do(given)` comes to, in an event loop that is made for it and closed again.

    Raises `ConfigurationError` inside a running event loop. At Ctrl-C the run is let go of, then comes the
    `KeyboardInterrupt`.
    """
    if _in_loop():
        raise ConfigurationError("run_sync was called inside a running event loop", suggestion="await run(...) there")
    results: list[Result] = []

    async def main() -> None:  # without a result: CPython writes out that of the main task, however large it is
        results.append(await do(given))

    asyncio.run(main())
    return results[0]


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
