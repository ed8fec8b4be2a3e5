"""A run that is read while it is at work: what happens in it, as it happens, and in the end its result."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Generic, TypeAlias, TypeVar

from flujo.domain.events import BackgroundLaunched, Chunk, Event, StepFinished
from flujo.domain.outcomes import PipelineResult, StepOutcome
from flujo.engine.event_stream import EventStream
from flujo.engine.shield import all_ended
from flujo.exceptions import ConfigurationError

__all__ = ["Outcome", "RunEvents", "RunHandle", "every", "outcome_of", "streamed"]

Item = TypeVar("Item")
Out = TypeVar("Out")
Ctx = TypeVar("Ctx")

#: What a step came to, that one goes on in the background, or a part of an output that is still being made.
Outcome: TypeAlias = StepOutcome[Any] | BackgroundLaunched | Chunk

#: So many items a run may be ahead of its reader, give or take those of the steps that are at work.
_AHEAD = 256


def every(event: Event) -> Event:
    """For a reader of events: all of them."""
    return event


def outcome_of(event: Event) -> Outcome | None:
    """For a reader of outcomes: what an event tells of one; nothing of the whole pipeline's, which is the result."""
    if isinstance(event, StepFinished):
        return event.outcome if event.path else None
    return event if isinstance(event, BackgroundLaunched | Chunk) else None


class RunEvents(EventStream, Generic[Item]):
    """The events of one run: for `everyone` who listens to all runs and, as `pick` has them, for one reader.

    The reader is waited for: `full` says that the run is too far ahead.
    """

    __slots__ = ("_everyone", "_items", "_news", "_open", "_pick", "_space")

    def __init__(self, everyone: EventStream, pick: Callable[[Event], Item | None]) -> None:
        super().__init__()
        self.active = True
        self._everyone, self._pick = everyone, pick
        self._items: deque[Item] = deque()
        self._news, self._space = asyncio.Event(), asyncio.Event()
        self._open = True

    def emit(self, event: Event) -> None:
        """Hand `event` to everyone, and keep what the reader wants of it."""
        self._everyone.emit(event)
        item = self._pick(event) if self._open else None
        if item is not None:
            self._items.append(item)
            self.full = len(self._items) >= _AHEAD
            self._news.set()

    async def room(self) -> None:
        """Return when the reader is not too far behind."""
        while self.full:
            self._space.clear()
            await self._space.wait()

    async def next(self) -> Item | None:
        """The next item; None once there are no more."""
        while self._open and not self._items:
            self._news.clear()
            await self._news.wait()
        item = self._items.popleft() if self._items else None
        if self.full and len(self._items) <= _AHEAD // 2:
            self._make_room()
        return item

    def end(self) -> None:
        """Nothing more is kept: the run has ended, or its reader has gone."""
        self._open = False
        self._news.set()
        self._make_room()

    def _make_room(self) -> None:
        self.full = False
        self._space.set()


async def streamed(
    everyone: EventStream,
    start: Callable[[EventStream], Coroutine[Any, Any, PipelineResult[Out, Ctx]]],
    pick: Callable[[Event], Item | None],
    stop: Callable[["asyncio.Task[Any]"], None],
) -> AsyncGenerator[Item | PipelineResult[Out, Ctx], None]:
    """What `pick` makes of the events of the run that `start` begins, as they happen; its result is the last item.

    The run begins with the first item that is asked for. It is stopped, and can be resumed, when the generator is
    closed before its end, by `stop`, which gets its task. Raises what `start` raises.
    """
    events: RunEvents[Item] = RunEvents(everyone, pick)
    run = asyncio.create_task(start(events))
    run.add_done_callback(lambda _: events.end())
    try:
        while (item := await events.next()) is not None:
            yield item
        yield run.result()
    finally:
        events.end()
        if not run.done():
            stop(run)
        await all_ended([run])  # what it came to is nobody's business


class RunHandle(Generic[Out, Ctx]):
    """One run, which begins when this is first awaited or iterated.

    Awaited, it gives the result, as often and by as many as you like. Iterated, it gives what `Flujo.run_outcomes`
    gives. Who leaves the loop early goes on by awaiting it, or by another loop, and stops the run where it can be
    resumed by `aclose`, or by forgetting the handle. A waiter or reader that is cancelled stops it, too. While one task
    iterates, what another does with the handle raises `ConfigurationError`; so does iterating while one awaits it, and
    once the run is over.
    """

    def __init__(self, stream: AsyncGenerator[Outcome | PipelineResult[Out, Ctx], None]) -> None:
        self._stream = stream
        self._result: PipelineResult[Out, Ctx] | None = None
        self._is_over = self._is_read = False
        self._turn = asyncio.Lock()

    def __aiter__(self) -> "RunHandle[Out, Ctx]":
        if self._is_over or self._result is not None:
            raise ConfigurationError(
                "the run of this handle has been iterated or awaited before",
                suggestion="await the handle for its result, or call run_async again",
            )
        return self

    async def __anext__(self) -> Outcome | PipelineResult[Out, Ctx]:
        self._check_unread()
        self._is_read = True
        try:
            item = await anext(self._stream)
        except BaseException:
            self._is_over = True
            raise
        finally:
            self._is_read = False
        if isinstance(item, PipelineResult):
            self._result = item
        return item

    async def aclose(self) -> None:
        """Stop the run where it can be resumed, unless it is over, and return when it has let go of everything."""
        self._check_unread()
        self._is_over = True
        await self._stream.aclose()

    def _check_unread(self) -> None:
        if self._is_read:
            raise ConfigurationError(
                "the run of this handle is being read by another task",
                suggestion="await that task, or stop the run by Flujo.cancel",
            )

    def __await__(self) -> Generator[Any, None, PipelineResult[Out, Ctx]]:
        return self._awaited().__await__()

    async def _awaited(self) -> PipelineResult[Out, Ctx]:
        async with self._turn:
            with suppress(StopAsyncIteration):
                while self._result is None:
                    await anext(self)
            await self.aclose()
        if self._result is None:
            raise ConfigurationError(
                "the run of this handle has been given up", suggestion="call run_async again, or resume the run"
            )
        return self._result
