"""The owner's eye on its run: somebody may cancel it, or take it over, while it is at work."""

import asyncio
from types import TracebackType
from typing import Any, cast

from flujo.domain.interfaces import Claim, Clock, StateBackend
from flujo.engine.frame import Lookout
from flujo.exceptions import StateError

__all__ = ["Watch"]

#: Seconds between two looks.
_PERIOD_S = 1.0


class Watch(Lookout):
    """Cancels the task inside its block once the run is to be stopped; `stopped` says that it has.

    The cancellation ends at the block, unless somebody else cancels the task as well. A step that goes on in spite of
    it is cancelled again at the next look. A run that is shorter than a look costs one timer. Steps that never wait
    keep the looks from being had: a step that is to begin when one is due waits for it.
    """

    def __init__(self, backend: StateBackend, claim: Claim, clock: Clock) -> None:
        super().__init__()
        self._backend = backend
        self._claim = claim
        self._clock = clock
        self._looking: asyncio.Task[None] | None = None
        self._cancelled = 0

    @property
    def stopped(self) -> bool:
        """Whether the task was cancelled from here."""
        return self._cancelled > 0

    def is_let_go(self) -> bool:
        """Whether the task was cancelled, and not from here alone."""
        return self._task.cancelling() > self._cancelling + self._cancelled

    async def __aenter__(self) -> "Watch":
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._cancelling = self._task.cancelling()
        self.due = self._clock.monotonic() + _PERIOD_S
        self._wait()
        return self

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_PERIOD_S, self._begin)

    def _begin(self) -> None:
        self._looking = asyncio.ensure_future(self._look())

    async def look(self) -> None:
        """Look now; does not return in a run that is to be stopped, as it is cancelled meanwhile."""
        if self._looking is not None:
            await asyncio.wait([self._looking])  # what it has seen may be long ago
        if self._looking is None:
            self._timer.cancel()
            self._begin()
        if self._looking is not None:
            await asyncio.wait([self._looking])
        if self.stopped:
            await asyncio.get_running_loop().create_future()

    async def _look(self) -> None:
        began = self._clock.monotonic()
        if await self._is_to_stop():
            self._cancelled += 1
            self._task.cancel("the run was cancelled")
        self._looking, self.due = None, began + _PERIOD_S
        self._wait()

    async def _is_to_stop(self) -> bool:
        try:
            return await self._backend.is_cancelled(self._claim)
        except StateError:  # the next record meets the same fault, and has somebody to tell
            return False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for _ in range(self._cancelled):
            self._task.uncancel()
        alone = self._task.cancelling() <= self._cancelling
        return self.stopped and alone and isinstance(error, asyncio.CancelledError)
