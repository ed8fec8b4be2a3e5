"""One thread that writes: whatever waits is committed together, and everybody is told once it is safe."""

import asyncio
import atexit
import itertools
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

from flujo.exceptions import StateError, StateUnavailable
from flujo_state_sqlite import forks, runs
from flujo_state_sqlite.batches import Outcome, Promise, Write, commit, tell
from flujo_state_sqlite.schema import INLINE_LIMIT
from flujo_state_sqlite.statefile import StateFile

__all__ = ["Writer"]

T = TypeVar("T")

#: A batch ends at so many writes, or at so many bytes of values.
_BATCH_WRITES = 512
_BATCH_BYTES = 4 * 1024 * 1024

#: A process that owns more runs than this gains more from committing them together (measured: from three on).
_FEW_RUNS = 2


class _Order(Enum):
    CHECKPOINT = auto()
    STOP = auto()


# Connections of the parent, in a forked child: kept, because closing one would act on the parent's file.
_inherited: list[StateFile] = []


class Writer:
    """Writes to the state at `path`, which `open_file` opens in the writer's thread when the first write comes.

    The thread and whoever writes at once (`write_now`) take turns at the connection by `_turn`.
    """

    def __init__(self, path: Path, open_file: Callable[[], StateFile]) -> None:
        self._path = path
        self._open_file = open_file
        self._queue: SimpleQueue[Write | _Order] = SimpleQueue()
        self._kept: deque[Write | _Order] = deque()
        self._turn = threading.Lock()
        self._gate = threading.Lock()
        self._thread: threading.Thread | None = None
        self._file: StateFile | None = None
        self._refusal: StateUnavailable | None = None
        # A write is known by these random bytes and its number: urandom is too slow to be asked each time.
        self._mark = secrets.token_bytes(8)
        self._count = itertools.count()
        forks.keep(self)

    def check(self) -> None:
        """Raise `StateUnavailable` once nothing can be written any more."""
        if self._refusal is not None:
            raise StateUnavailable(self._refusal.message, suggestion=self._refusal.suggestion)

    def new_id(self) -> bytes:
        """A name for one write, like no other in any process."""
        return self._mark + next(self._count).to_bytes(6)

    def write(
        self, work: Callable[[StateFile], T], *, full: bool, size: int = 0, row: tuple[object, ...] | None = None
    ) -> asyncio.Future[T]:
        """Do `work` in a transaction; what is awaited is its result, which comes when that is committed.

        Who is cancelled meanwhile is so after the commit: what was handed over is written. A second cancellation
        does not wait. `row` is that of `Write`.
        """
        future = Promise(loop=asyncio.get_running_loop())
        with self._gate:
            self.check()
            if self._thread is None:
                self._start()
            self._queue.put(Write(work, full, size, future, row))
        return future

    def write_now(self, statement: str, values: tuple[object, ...]) -> bool:
        """Commit one insert here and now, if little else is being written. Raises `StateUnavailable`.

        False says that nothing is known of it, and that `write` has to do it.
        """
        turn = self._turn
        if not turn.acquire(False):
            return False
        try:
            file = self._file
            if file is None or not file.inline or len(file.holding.epochs) > _FEW_RUNS or not self._queue.empty():
                return False
            written = file.write_now(statement, values)
            if file.log_is_long:
                self._queue.put(_Order.CHECKPOINT)
            return written
        finally:
            turn.release()

    def read(self, look: Callable[[sqlite3.Connection], T]) -> T | None:
        """What `look` finds through the writer's own connection, without a transaction; None if it isn't open.

        Blocks while a batch is committed.
        """
        with self._turn:
            file = self._file
            return None if file is None else file.patiently(partial(look, file.connection))

    def close(self) -> None:
        """Write what waits, let go of every run, close the file and end the thread. Blocks; may be called again."""
        with self._gate:
            if self._refusal is None:
                self._refusal = StateUnavailable(f"the state {str(self._path)!r} is closed")
            thread = self._thread
            self._queue.put(_Order.STOP)
        if thread is not None:
            thread.join()

    def desert(self) -> None:
        """Close without waiting, because the backend object is gone; safe to call while garbage is collected."""
        if self._file is not None:
            self._file.holding.abandoned = True
        self._queue.put(_Order.STOP)

    def abandon(self) -> None:
        """In a forked child: write nothing, close nothing. A writer that was not used yet is not affected."""
        # A thread that this process doesn't have may hold these.
        self._turn, self._gate, self._queue = threading.Lock(), threading.Lock(), SimpleQueue()
        self._mark = secrets.token_bytes(8)
        if self._thread is not None:
            self._refusal = forks.forked(self._path)
            self._thread = None
            atexit.unregister(self.close)
        if self._file is not None:
            _inherited.append(self._file)
            self._file = None

    def _failed(self) -> StateUnavailable:
        return StateUnavailable(
            f"the thread that writes to {str(self._path)!r} has failed",
            suggestion="see its traceback; resume the run in another process",
        )

    def _start(self) -> None:
        # A daemon, because Python waits for other threads before it runs what is registered for its exit.
        self._thread = threading.Thread(target=self._run, name=f"flujo-state {self._path.name}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        finally:
            with self._gate:
                if self._refusal is None:
                    self._refusal = self._failed()
            with self._turn:
                self._end()
            atexit.unregister(self.close)

    def _serve(self) -> bool:
        """Wait for the next order or batch and carry it out; False after the last one.

        A method of its own, so that while the thread waits it holds nothing of the batch before.
        """
        first = self._kept.popleft() if self._kept else self._queue.get()
        if first is _Order.STOP:
            return False
        if isinstance(first, Write):
            batch = self._gather(first)
            outcomes: list[Outcome] = [(None, self._failed())] * len(batch)
            try:
                with self._turn:
                    outcomes = self._commit(batch)
            finally:
                # After the turn: who hears of it may well write at once. And also if this thread breaks.
                tell(batch, outcomes)
        if self._file is not None and self._file.log_is_long:
            with self._turn:
                self._file.checkpoint()
        return True

    def _gather(self, first: Write) -> list[Write]:
        """What waits behind `first`, without waiting for more. A large value goes alone, it would hold others up."""
        batch, size = [first], first.size
        while first.size <= INLINE_LIMIT and len(batch) < _BATCH_WRITES and size < _BATCH_BYTES:
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
            if not isinstance(following, Write) or following.size > INLINE_LIMIT:
                self._kept.append(following)
                break
            batch.append(following)
            size += following.size
        return batch

    def _commit(self, batch: list[Write]) -> list[Outcome]:
        try:
            if self._file is None:
                self._file = self._open_file()
            return commit(self._file, batch)
        except StateError as error:
            return [(None, error)] * len(batch)

    def _end(self) -> None:
        file, self._file = self._file, None
        late = [*self._kept]
        while not self._queue.empty():
            late.append(self._queue.get())
        batch = [write for write in late if isinstance(write, Write)]
        tell(batch, [(None, self._refusal)] * len(batch))
        if file is not None:
            _leave(file)


def _leave(file: StateFile) -> None:
    """Let go of every run and close the file."""
    # If that can't be written down, the runs are free all the same.
    file.holding.abandoned = True
    try:
        if file.holding.epochs:
            with suppress(StateError, sqlite3.Error), file.transaction(full=False):
                runs.release(file)
    finally:
        file.close()
