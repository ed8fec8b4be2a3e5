"""Steps that are at work while the pipeline goes on."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal, get_args

from flujo.domain.outcomes import StepOutcome, StepResult
from flujo.engine.shield import all_ended
from flujo.engine.step_history_tracker import StepHistoryTracker
from flujo.exceptions import ConfigurationError

__all__ = ["BackgroundTaskManager", "OnEnd", "check_on_end"]

#: What the end of a run does with steps that are still at work: wait for them, or cancel them.
OnEnd = Literal["wait", "cancel"]

_DETACHED = "start a run of its own for what is to outlive this one: nothing can be recorded of a run that has ended"


def check_on_end(value: object) -> None:
    """Raise `ConfigurationError` for anything else than an `OnEnd`."""
    if value not in get_args(OnEnd):
        advice = _DETACHED if value == "detach" else None
        raise ConfigurationError(f"on_background can't be {value!r}, expected 'wait' or 'cancel'", suggestion=advice)


class BackgroundTaskManager:
    """Holds the background steps of one run, so that none outlives it."""

    __slots__ = ("_tasks", "lines")

    def __init__(self) -> None:
        #: What each step has come to, or that it was cut off.
        self.lines = StepHistoryTracker()
        self._tasks: dict[str, asyncio.Task[StepOutcome[Any]]] = {}

    def launch(self, path: str, work: Coroutine[Any, Any, StepOutcome[Any]], cut: StepResult[Any]) -> bool:
        """Let the step at `path` begin, unless it has: a composite that is retried launches nothing twice.

        `cut` is its line should it be cut off before it has begun.
        """
        if path in self._tasks:
            work.close()
            return False
        self.lines[path] = cut
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

    async def cancel(self) -> tuple[StepResult[Any], ...]:
        """Cancel what is still at work, and wait until it has ended; the lines of what was cut off."""
        await all_ended(self._tasks.values(), cancels=True)
        cut = [path for path, task in self._tasks.items() if task.cancelled()]
        for path in cut:
            del self._tasks[path]
        return tuple(line for path in cut if (line := self.lines[path]))
