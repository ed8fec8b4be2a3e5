"""The order in which a run's record was written, kept again while the run is replayed."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

from flujo.domain.outcomes import StepOutcome
from flujo.engine.recorded import is_in

__all__ = ["LAST", "Turns"]

T = TypeVar("T")

#: The event loop has so many turns in which no step begins, ends or comes to its place, before nobody is expected any
#: more: a step with several at once hears of an end, and its cancelling is heard of, a few turns later.
_QUIET = 30

#: What ends the pipeline's own step in the path of one that stands in it.
_TOP = re.compile(r"[/\[]")

#: The rank of what may never have come about.
LAST = 2

Stuck = dict[str, "asyncio.Future[StepOutcome[Any]]"]


@dataclass(slots=True, eq=False)
class _Level:
    """A step under way, by whether it is at work itself: not while `under` steps in it are, or it waits its turn."""

    above: "_Level | None"
    under: int = 0


_LEVEL: ContextVar[_Level | None] = ContextVar("level", default=None)


class Turns:
    """Lets steps come to their ends one after the other, as they did when the run was at work.

    What a step came to can cancel others, as the failure of a branch does: so the order in time decides what became of
    them. A step that comes to its place before its turn waits. One of which no end is recorded waits until it is
    cancelled, as it was then; when everybody waits for that, `standstill` is told of all of them, by their paths. While
    a step is at work itself, as one is whose condition is asked, nobody is helped on: it may take its time.

    `order` has the paths of recorded ends in the order of writing. What never comes to its place is left out after a
    while. `last` is what a step without an end came to that is cancelled now: it was faster then, and all that can come
    to their places do so before the next one's turn. None where it was cancelled. `timers` holds the time limits that
    steps which are made of others stand under, by path.
    """

    def __init__(
        self, order: Sequence[str], standstill: Callable[[Stuck], None], last: StepOutcome[Any] | None = None
    ) -> None:
        self._last = last
        self._order = tuple(order)
        self._position = {path: number for number, path in enumerate(order)}
        self._standstill = standstill
        self._next = 0
        self._over: set[int] = set()
        self._patient: set[int] = set()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._stuck: Stuck = {}
        self._held: list[tuple[int, int, asyncio.Future[None]]] = []
        self._moves = 0
        self._at_work: set[_Level] = set()
        self._rest: asyncio.Future[None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self.broken_off = False
        #: The paths that the run has come by.
        self.reached: set[str] = set()
        #: The paths of those without an end of which none has ended the run.
        self.harmless: set[str] = set()
        self.timers: dict[str, asyncio.Timeout] = {}

    @contextmanager
    def under_way(self, *, alone: bool = False) -> Iterator[None]:
        """A step is under way in this block, in the one whose block is around it; one in the background `alone`."""
        level = _Level(None if alone else _LEVEL.get())
        token = _LEVEL.set(level)
        if level.above is not None:
            level.above.under += 1
            self._at_work.discard(level.above)
        self._at_work.add(level)
        self._moves += 1
        try:
            yield
        finally:
            _LEVEL.reset(token)
            level.under += 1  # for good: what may end in it later wakes nobody
            if level.above is not None:
                level.above.under -= 1
                if not level.above.under:
                    self._at_work.add(level.above)
            self._leave(level)

    def _leave(self, level: _Level | None) -> None:
        """The step is not at work any more."""
        self._moves += 1
        if level is not None:
            self._at_work.discard(level)
        if not self._at_work and self._rest is not None and not self._rest.done():
            self._rest.set_result(None)

    async def _its_turn(self, turn: "asyncio.Future[T]") -> T:
        """What `turn` gives; who waits for it is not at work."""
        level = _LEVEL.get()
        self._leave(level)
        try:
            return await turn
        finally:
            if level is not None:
                self._at_work.add(level)

    async def later(self, rank: int, near: int = 0) -> None:
        """Return when nobody else's turn it is, as no record tells when it was: the lowest rank first, `LAST` last.

        Of several of one rank the nearest is first.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.append((rank, -near, turn))
        await self._its_turn(turn)

    async def take(self, path: str, *, cancels: bool = False) -> None:
        """Return when it is the turn of what is recorded at `path`.

        What `cancels` others lets those that ended right after it come to their places before: they had begun then.
        """
        position = self._position[path]
        if self._is_over(position):
            return
        following = self._order[position + 1 : position + 2]
        beside = following and _TOP.split(path)[0] == _TOP.split(following[0])[0]
        if (cancels and beside) or self._last is not None:
            self._patient.add(position)
        try:
            if position > self._next or position in self._patient:
                self._waiting[position] = asyncio.get_running_loop().create_future()
                await self._its_turn(self._waiting[position])
        finally:
            self._waiting.pop(position, None)
            self._pass(position)

    def skip(self, path: str) -> None:
        """What is recorded at `path`, if anything, does not come to its turn."""
        position = self._position.get(path)
        if position is not None and not self._is_over(position):
            self._pass(position)

    def _is_over(self, position: int) -> bool:
        return position < self._next or position in self._over

    def _pass(self, position: int) -> None:
        self._over.add(position)
        while self._next in self._over:
            self._over.remove(self._next)
            self._next += 1
        if self._next not in self._patient:
            self._release(self._next)

    def _release(self, position: int) -> None:
        turn = self._waiting.get(position)
        if turn is not None and not turn.done():
            self._moves += 1
            turn.set_result(None)

    async def never(self, path: str, *, stops: bool = True) -> StepOutcome[Any]:
        """Wait to be cancelled, or for what the standstill makes of it; `stops` says that it may have ended the run."""
        self._stuck[path] = asyncio.get_running_loop().create_future()
        if not stops:
            self.harmless.add(path)
        try:
            return await self._its_turn(self._stuck[path])
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._last is None or task is None or not stops:
                raise
            task.uncancel()
            return self._last
        finally:
            del self._stuck[path]
            self.harmless.discard(path)

    async def lead(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` comes to, whose steps take their turns here."""
        task: asyncio.Task[T] = asyncio.ensure_future(work)
        self._task = task
        try:
            while not task.done():
                await self._lead(task)
            return task.result()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])

    def break_off(self, why: str) -> None:
        """Stop what is led where it is."""
        self.broken_off = True
        if self._task is not None:
            self._task.cancel(why)

    def time_out(self, path: str) -> bool:
        """Let the time be over of the innermost step around `path` that is limited; whether there is any."""
        around = [at for at in self.timers if is_in(path, at)]
        if around:
            self.timers[max(around, key=len)].reschedule(asyncio.get_running_loop().time())
        return bool(around)

    async def _lead(self, task: "asyncio.Task[Any]") -> None:
        """Wait until nobody is at work and nothing moves, then help on whoever waits."""
        if self._at_work:
            self._rest = asyncio.get_running_loop().create_future()
            await asyncio.wait([task, self._rest], return_when=asyncio.FIRST_COMPLETED)
        moves = self._moves
        for _ in range(_QUIET):
            await asyncio.sleep(0)
            if task.done() or self._moves != moves:
                return
        self._held.sort(key=itemgetter(0, 1))
        if self._held and not (self._waiting if self._held[0][0] else self._next in self._waiting):
            self._moves += 1
            _, _, turn = self._held.pop(0)
            if not turn.done():  # it can have been cancelled
                turn.set_result(None)
        elif self._waiting:
            first = min(self._waiting)
            self._patient.discard(first)  # what comes after it waits until all have heard of its end
            self._release(first)
        elif self._stuck:
            self._moves += 1
            self._standstill(self._stuck)
