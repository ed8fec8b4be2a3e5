"""The runs of one `Flujo` that are at work, which closing it stops."""

import asyncio
from types import TracebackType
from typing import Any, cast

from flujo.exceptions import ConfigurationError

__all__ = ["AtWork"]


class _Block:
    """A block of code in a task that runs something; leaving it by `stop` raises `ConfigurationError`."""

    __slots__ = ("_all", "_cancelling", "_stopped", "task")

    def __init__(self, every: "AtWork") -> None:
        self._all = every
        self._stopped = False

    def __enter__(self) -> None:
        self.task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = self.task.cancelling()
        self._all.add(self)

    def stop(self, why: str) -> None:
        """Cancel what the task does in this block, once."""
        if not self._stopped:
            self._stopped = True
            self.task.cancel(why)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.discard(self)
        if not self._stopped:
            return
        alone = self.task.uncancel() <= self._cancelling  # or somebody else cancels the task, too
        if alone and isinstance(error, asyncio.CancelledError):
            raise ConfigurationError(
                "this Flujo was closed while the run was at work", suggestion="resume the run by its id, in another one"
            ) from error


class AtWork:
    """Knows the runs that are at work, and, once `closed`, lets none begin."""

    def __init__(self) -> None:
        self.closed = False
        self._works: set[_Block] = set()
        self._waiters: list[asyncio.Event] = []

    def check_open(self) -> None:
        """Raise `ConfigurationError` once it is closed."""
        if self.closed:
            raise ConfigurationError(
                "this Flujo is closed", suggestion="make another one, and close it when nothing needs it any more"
            )

    def run(self) -> _Block:
        """What to work on a run in: `with at_work.run(): ...`."""
        return _Block(self)

    def add(self, work: _Block) -> None:
        """Note that a run begins. Raises `ConfigurationError` once this is closed, and while another loop has runs."""
        self.check_open()
        self._check_loop("make another one for this loop, or wait for those runs")
        self._works.add(work)

    def discard(self, work: _Block) -> None:
        """Note that a run is at work no longer."""
        self._works.discard(work)
        if not self._works:
            for idle in self._waiters:
                idle.set()

    def stop(self, task: "asyncio.Task[Any]") -> None:
        """Stop the run of this task, which nobody reads any more: unless it is being stopped, or has not begun."""
        works = [work for work in self._works if work.task is task]
        for work in works:
            work.stop("nobody reads the run any more")
        if not works:
            task.cancel()

    def _check_loop(self, advice: str) -> None:
        work = next(iter(self._works), None)  # where this is, all are
        if work is not None and work.task.get_loop() is not asyncio.get_running_loop():
            raise ConfigurationError("this Flujo has runs at work in another event loop", suggestion=advice)

    async def close(self) -> None:
        """Stop every run, and return when all have been let go of. A second call waits for the same.

        Raises `ConfigurationError` while runs are at work in another event loop, whose tasks are not ours to stop.
        """
        self._check_loop("close it there, or after them")
        self.closed = True
        for work in [*self._works]:
            work.stop("the Flujo was closed")
        if self._works:
            self._waiters.append(idle := asyncio.Event())
            await idle.wait()
