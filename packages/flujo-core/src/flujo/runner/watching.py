"""The owner's eye on its run: somebody may cancel it, or take it over, while it is at work."""

import asyncio
from types import TracebackType
from typing import Any, cast

from flujo.domain.interfaces import Claim, StateBackend
from flujo.exceptions import StateError

__all__ = ["Watch"]

#: Seconds between two looks.
_PERIOD_S = 1.0


class Watch:
    """Cancels the task inside its block once the run is to be stopped; `stopped` says that it has.

    The cancellation ends at the block, unless somebody else cancels the task as well. A step that goes on in spite of
    it is cancelled again at the next look. A run that is shorter than a look costs one timer.
    """

    def __init__(self, backend: StateBackend, claim: Claim) -> None:
        self._backend = backend
        self._claim = claim
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
        self._timer = asyncio.get_running_loop().call_later(_PERIOD_S, self._begin)
        return self

    def _begin(self) -> None:
        self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        while True:
            if await self._is_to_stop():
                self._cancelled += 1
                self._task.cancel("the run was cancelled")
            await asyncio.sleep(_PERIOD_S)

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
