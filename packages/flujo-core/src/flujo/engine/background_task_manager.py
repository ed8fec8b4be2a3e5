"""Steps that are at work while the pipeline goes on."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal

from flujo.domain.outcomes import StepOutcome

__all__ = ["BackgroundTaskManager", "OnEnd"]

#: What the end of a run does with steps that are still at work: wait for them, or cancel them.
OnEnd = Literal["wait", "cancel"]

Work = Coroutine[Any, Any, StepOutcome[Any]]


class BackgroundTaskManager:
    """Holds the background steps of one run, so that none outlives it."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[StepOutcome[Any]]] = {}

    def launch(self, path: str, work: Work) -> bool:
        """Let the step at `path` begin, unless it has: a composite that is retried launches nothing twice."""
        if path in self._tasks:
            work.close()
            return False
        self._tasks[path] = asyncio.ensure_future(work)
        return True

    @property
    def at_work(self) -> tuple[str, ...]:
        """The paths of the steps that have not come to their end."""
        return tuple(path for path, task in self._tasks.items() if not task.done())

    async def drain(self) -> tuple[StepOutcome[Any], ...]:
        """Wait for every step, also for those that are launched meanwhile; what each came to, the first one first.

        Raises what a step raised: the record can't be written.
        """
        while pending := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.wait(pending)
        return tuple(task.result() for task in self._tasks.values())

    async def cancel(self) -> None:
        """Cancel what is still at work, and wait until it has ended; their outcomes are nobody's business then."""
        while pending := [task for task in self._tasks.values() if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending)
        for task in self._tasks.values():
            if not task.cancelled():
                task.exception()
