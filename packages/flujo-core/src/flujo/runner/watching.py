"""The owner's eye on its runs: somebody may cancel one, or take it over, while it is at work."""

import asyncio
import math
from types import TracebackType
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

from flujo.domain.interfaces import Claim, Clock, StateBackend
from flujo.engine.frame import Lookout
from flujo.engine.shield import all_ended
from flujo.exceptions import StateError

__all__ = ["Watch", "look_now"]

#: Seconds between two looks.
_PERIOD_S = 1.0


def look_now(run_id: str) -> None:
    """Let who watches the run of this id in the running loop look at once: somebody has just asked it to stop."""
    _Rounds.of_loop().hurry(run_id)


class Watch(Lookout):
    """Cancels the task inside its block once the run is to be stopped; `stopped` says that it has.

    The cancellation ends at the block, unless somebody else cancels the task as well. It comes once, as steps may need
    time to stop: where one goes on in spite of it, what is to begin next is cancelled. Steps that never wait keep the
    looks from being had: a step that is to begin when one is due waits for it. A run that waits has neither a timer nor
    a task of its own for this.
    """

    __slots__ = ("_backend", "_cancelled", "_cancelling", "_claim", "_clock", "_looking", "_rounds", "_task")

    def __init__(self, backend: StateBackend, claim: Claim, clock: Clock) -> None:
        super().__init__()
        self._backend = backend
        self._claim = claim
        self._clock = clock
        self._looking: asyncio.Task[None] | None = None
        self._cancelled = 0  # times

    @property
    def run_id(self) -> str:
        """The run that is watched."""
        return self._claim.run_id

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
        self._rounds = _Rounds.of_loop()
        self._rounds.add(self)
        self.due = self._clock.monotonic() + _PERIOD_S
        return self

    def begin(self) -> None:
        """Have a look, and come to the next round after it."""
        self._looking = asyncio.ensure_future(self._look())

    async def look(self) -> None:
        """Look now; does not return in a run that is to be stopped, as it is cancelled meanwhile."""
        if self.stopped:  # some step went on in spite of it
            self._cancel(cast("asyncio.Task[Any]", asyncio.current_task()))
        if self._looking is not None:
            await asyncio.wait([self._looking])  # what it has seen may be long ago
        if self._looking is None and not self.stopped:
            self._rounds.discard(self)
            self.begin()
        if self._looking is not None:
            await asyncio.wait([self._looking])
        if self.stopped:
            await asyncio.get_running_loop().create_future()

    async def _look(self) -> None:
        began = self._clock.monotonic()
        is_to_stop = await self._is_to_stop()
        if self._looking is None:  # the block is left
            return
        self._looking, self.due = None, began + _PERIOD_S
        if is_to_stop:
            self.due = -math.inf
            self._cancel(self._task)
        else:
            self._rounds.add(self)

    def _cancel(self, task: "asyncio.Task[Any]") -> None:
        self._cancelled += task is self._task
        task.cancel("the run was cancelled")

    async def _is_to_stop(self) -> bool:
        try:
            return await self._backend.is_cancelled(self._claim)
        except StateError:  # the next record meets the same fault, and has somebody to tell
            return False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        looking, self._looking = self._looking, None
        self._rounds.discard(self)
        try:
            await all_ended([looking] if looking else [], cancels=True)
        finally:
            for _ in range(self._cancelled):
                self._task.uncancel()
        alone = self._task.cancelling() <= self._cancelling
        return self.stopped and alone and isinstance(error, asyncio.CancelledError)


class _Rounds:
    """Lets the watches of one loop have their looks, with one timer for all of them."""

    __slots__ = ("_due", "_is_set")

    #: Those of the loops that there are; none may keep its loop.
    _of: ClassVar["WeakKeyDictionary[asyncio.AbstractEventLoop, _Rounds]"] = WeakKeyDictionary()

    def __init__(self) -> None:
        #: When each is to look, the next one first.
        self._due: dict[Watch, float] = {}
        self._is_set = False

    @classmethod
    def of_loop(cls) -> "_Rounds":
        """The rounds of the running loop."""
        return cls._of.setdefault(asyncio.get_running_loop(), cls())

    def add(self, watch: Watch) -> None:
        """Let the watch have a look in a while."""
        self._due[watch] = asyncio.get_running_loop().time() + _PERIOD_S
        self._set()

    def discard(self, watch: Watch) -> None:
        """The watch is over."""
        self._due.pop(watch, None)

    def hurry(self, run_id: str) -> None:
        """Let the watches of this run look now, unless they do."""
        for watch in [each for each in self._due if each.run_id == run_id]:
            del self._due[watch]
            watch.begin()

    def _set(self) -> None:
        """Set the timer for who is next, unless it is set: it may come too early."""
        if self._due and not self._is_set:
            self._is_set = True
            asyncio.get_running_loop().call_at(next(iter(self._due.values())), self._begin)

    def _begin(self) -> None:
        self._is_set = False
        now = asyncio.get_running_loop().time()
        while self._due:
            watch, due = next(iter(self._due.items()))
            if due > now:
                break
            del self._due[watch]
            watch.begin()
        self._set()
