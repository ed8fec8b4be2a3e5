"""What a state can tell beside: which process wrote a record, and where on this machine it lies."""

import pytest

from flujo.domain.interfaces import JournalRecord, StateBackend
from flujo.domain.lives import LivesBackend
from flujo.domain.locations import LocatedBackend
from flujo.exceptions import RunNotFound
from flujo.testing.state_base import StateTests, new_run

__all__ = ["TellingTests"]


class TellingTests(StateTests):
    """The tests of `LivesBackend` and `LocatedBackend`, skipped for a backend that is neither."""

    @pytest.fixture
    def lives(self, backend: StateBackend) -> LivesBackend:
        """The backend as one that knows who wrote what."""
        if not isinstance(backend, LivesBackend):
            pytest.skip("the backend does not know which claim a record is of")
        return backend

    async def test_each_record_is_of_the_claim_it_was_written_under(
        self, backend: StateBackend, lives: LivesBackend
    ) -> None:
        """By its path, in the order of writing, and of this run alone."""
        first = await backend.create_run(new_run(backend))
        await backend.append(first, JournalRecord("b"))
        second = await backend.claim("run-1", force=True)
        for path in ("a", "c"):
            await backend.append(second, JournalRecord(path))
        await backend.append(await backend.create_run(new_run(backend, "run-2")), JournalRecord("d"))
        told = [("b", first.epoch), ("a", second.epoch), ("c", second.epoch)]
        assert list((await lives.lives("run-1")).items()) == told
        assert first.epoch < second.epoch

    async def test_nothing_is_told_of_a_run_that_is_not_there(self, lives: LivesBackend) -> None:
        """As with every look at a run."""
        with pytest.raises(RunNotFound):
            await lives.lives("run-1")

    async def test_places_of_a_state_are_whole_paths(self, backend: StateBackend) -> None:
        """They hold from any working directory, and are there once a run is."""
        if not isinstance(backend, LocatedBackend):
            pytest.skip("the backend lies in no file")
        await backend.create_run(new_run(backend))
        assert backend.locations["state"].exists()
        assert all(each.is_absolute() for each in backend.locations.values())
