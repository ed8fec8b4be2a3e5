"""A state whose process dies at a chosen record."""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from flujo.domain.caching import CacheBackend, CachingBackend
from flujo.domain.interfaces import Claim, JournalRecord, NewRun, RecordKind, RunRow, StateBackend, Wait
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.exceptions import StateUnavailable
from flujo.infra.memory import InMemoryCache

__all__ = ["DyingBackend", "kill_this_process"]

T = TypeVar("T")


def kill_this_process() -> None:
    """Die at once, as by `kill -9`: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


class DyingBackend:
    """Forwards to `inner`, and calls `die` at journal record number `die_after`, counted from 1 over all its runs.

    With `at="after"` the record is acknowledged by `inner` and nobody has heard of it yet; with "before" it is not
    written. Record 0 is the row of a new run; None is never. When `die` returns, in a test without processes, this
    object is as a process that has died: it raises `StateUnavailable`, and nothing reaches `inner` any more. `inner`
    stays its owner's to close. `records` is how many were acknowledged.
    """

    def __init__(
        self,
        inner: StateBackend,
        *,
        die_after: int | None = None,
        at: Literal["before", "after"] = "after",
        die: Callable[[], object] = kill_this_process,
    ) -> None:
        self._inner = inner
        self._last = die_after
        self._at = at
        self._die = die
        self._begun = 0
        self._cache = inner.cache if isinstance(inner, CachingBackend) else InMemoryCache()
        self.dead = False
        self.records = 0

    @property
    def encodes(self) -> bool:
        """As `inner`."""
        return self._inner.encodes

    @property
    def cache(self) -> CacheBackend:
        """The cache of `inner`; one in memory if it has none."""
        return self._cache

    async def create_run(self, run: NewRun, /) -> Claim:
        """Forward; die here if that is to be at record 0."""
        self._pass(0, "before")
        claim = await self._living.create_run(run)
        self._pass(0, "after")
        return claim

    async def redefine(self, claim: Claim, definition: str, digest: bytes, files: Mapping[str, str], /) -> None:
        """Forward."""
        await self._living.redefine(claim, definition, digest, files)

    async def append(self, claim: Claim, record: JournalRecord, /) -> None:
        """Forward one record and count it; the beginning of a call is none of what was done."""
        if record.kind is RecordKind.CALL:
            await self._living.append(claim, record)
            return
        await self._record(lambda: self._inner.append(claim, record))

    async def answer(self, run_id: str, record: JournalRecord, /) -> bool:
        """Forward an answer and count it, if it is taken."""
        return await self._record(lambda: self._inner.answer(run_id, record))

    async def claim(self, run_id: str, /, *, force: bool = False) -> Claim:
        """Forward."""
        return await self._living.claim(run_id, force=force)

    async def load(self, run_id: str, /) -> Sequence[JournalRecord]:
        """Forward."""
        return await self._living.load(run_id)

    async def waits(self, *, run_id: str | None = None, limit: int = 1000, offset: int = 0) -> Sequence[Wait]:
        """Forward."""
        return await self._living.waits(run_id=run_id, limit=limit, offset=offset)

    async def cancel(self, run_id: str, /, *, at: float) -> RunStatus:
        """Forward."""
        return await self._living.cancel(run_id, at=at)

    async def is_cancelled(self, claim: Claim, /) -> bool:
        """Forward."""
        return await self._living.is_cancelled(claim)

    async def delete(self, run_id: str, /) -> None:
        """Forward."""
        await self._living.delete(run_id)

    async def gc(self, *, ended_before: float, limit: int = 200, trust_clock: bool = False) -> int:
        """Forward."""
        return await self._living.gc(ended_before=ended_before, limit=limit, trust_clock=trust_clock)

    async def finish(
        self, claim: Claim, status: RunStatus, /, *, output: Any = None, error: ErrorInfo | None = None, at: float
    ) -> None:
        """Forward."""
        await self._living.finish(claim, status, output=output, error=error, at=at)

    async def get(self, run_id: str, /) -> RunRow | None:
        """Forward."""
        return await self._living.get(run_id)

    async def list(self, *, prefix: str = "", limit: int = 50, offset: int = 0) -> Sequence[RunRow]:
        """Forward."""
        return await self._living.list(prefix=prefix, limit=limit, offset=offset)

    async def close(self) -> None:
        """Do nothing: whoever made `inner` closes it."""

    @property
    def _living(self) -> StateBackend:
        if self.dead:
            raise StateUnavailable("the process that used this state has died", suggestion="go on with another one")
        return self._inner

    def _pass(self, number: int, at: str) -> None:
        """Die if this is the place, or raise because that has happened."""
        if number == self._last and at == self._at and not self.dead:
            self.dead = True
            self._die()
        _ = self._living

    async def _record(self, write: Callable[[], Awaitable[T]]) -> T:
        self._begun += 1
        self._pass(self._begun, "before")
        taken = await write()
        if taken is not False:
            self.records += 1
            self._pass(self.records, "after")
        return taken
