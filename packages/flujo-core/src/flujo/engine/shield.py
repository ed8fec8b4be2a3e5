"""What must come to its end, whoever is cancelled meanwhile."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

__all__ = ["undisturbed"]


async def undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` to its end, however often somebody cancels: for one who has been cancelled, and is about to say so."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    task.result()
