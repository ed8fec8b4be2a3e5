"""What a state makes of a commit that raises, and may have taken place all the same."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from flujo.domain.interfaces import JournalRecord, StateBackend, Sync
from flujo.exceptions import FlujoError, StateError
from flujo.testing.state_base import StateTests, journal_of, new_run, stored

__all__ = ["AmbiguityTests"]


class AmbiguityTests(StateTests):
    """The tests of commits of unknown effect, skipped for a backend that has none: nothing is lost, nothing doubled."""

    def open_failing(self, folder: Path, fails: Callable[[], bool], *, after: bool) -> StateBackend | None:
        """A backend on `folder` that asks `fails()` at each commit, and if so has an error there.

        The error is that of a disk or a connection: before the commit takes place, or `after` it has. The backend may
        find out which it was, or hand the error on as one of flujo's. None: no commit of it can fail.
        """
        return None

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("sync", list(Sync))
    @pytest.mark.parametrize("count", [1, 5])
    async def test_record_of_unknown_effect_is_there_once(
        self, tmp_path: Path, after: bool, sync: Sync, count: int
    ) -> None:
        """It is acknowledged, or refused and written again by the same claim, alone and beside others."""
        records = [JournalRecord(f"b{number}", out=f"{number}", sync=sync) for number in range(count)]
        async with self._failing(tmp_path, after) as (backend, due):
            records = [record._replace(out=stored(backend, record.out)) for record in records]
            claim = await backend.create_run(new_run(backend))
            await backend.append(claim, JournalRecord("a"))
            due.append(True)
            await asyncio.gather(*(_insist(partial(backend.append, claim, record)) for record in records))
            assert not due, "no commit asked whether it fails"
            await backend.append(claim, JournalRecord("c"))
            await self._expect(backend, tmp_path, {"a": None, **{r.path: r.out for r in records}, "c": None})

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    async def test_run_of_unknown_effect_is_there_once(self, tmp_path: Path, after: bool) -> None:
        """Whoever begins it again finds it begun, or begins it; either way it can be gone on with."""
        async with self._failing(tmp_path, after) as (backend, due):
            await backend.create_run(new_run(backend, "other"))
            due.append(True)
            await _insist(partial(backend.create_run, new_run(backend)))
            assert not due, "no commit asked whether it fails"
            assert [row.run_id for row in await backend.list()] == ["run-1", "other"]
            await backend.append(await backend.claim("run-1", force=True), JournalRecord("a"))
            await self._expect(backend, tmp_path, {"a": None})

    @asynccontextmanager
    async def _failing(self, folder: Path, after: bool) -> AsyncIterator[tuple[StateBackend, list[bool]]]:
        """The backend, and a list: what is put there makes one commit fail."""
        due: list[bool] = []
        backend = self.open_failing(folder, lambda: bool(due and due.pop()), after=after)
        if backend is None:
            pytest.skip("no commit of the backend can fail")
        try:
            yield backend, due
        finally:
            await backend.close()

    async def _expect(self, backend: StateBackend, folder: Path, outs: dict[str, object]) -> None:
        """The journal is this one, the first and the last record in their places, and outlives the backend."""
        found = await journal_of(backend)
        assert sorted((record.path, record.out) for record in found) == sorted(outs.items())
        assert (found[0].path, found[-1].path) == (next(iter(outs)), list(outs)[-1])
        await backend.close()
        if self.durable:
            again = self.open(folder)
            assert await journal_of(again) == found
            await again.close()


async def _insist(write: Callable[[], Awaitable[object]]) -> None:
    """Write, and once more if that was refused, which is refused itself where the first has taken place."""
    try:
        await write()
    except FlujoError:
        with suppress(StateError):
            await write()
