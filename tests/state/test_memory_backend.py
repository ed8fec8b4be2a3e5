"""The backend in memory keeps the contract of every backend."""

from pathlib import Path

import pytest

from flujo.domain.interfaces import JournalRecord, StateBackend
from flujo.exceptions import SettingsError
from flujo.infra.memory import InMemoryBackend, open_memory
from flujo.testing.state import StateBackendConformance, new_run


class TestEncodingMemory(StateBackendConformance):
    """It has no `open_failing`: a record is put in a list, which neither a disk nor a connection can break off."""

    histories = 100

    def open(self, folder: Path) -> StateBackend:
        return InMemoryBackend()


class TestPlainMemory(StateBackendConformance):
    def open(self, folder: Path) -> StateBackend:
        return InMemoryBackend(encodes=False)


async def test_plain_memory_keeps_the_value_itself():
    backend = InMemoryBackend(encodes=False)
    value = object()
    claim = await backend.create_run(new_run(backend))
    await backend.append(claim, JournalRecord("a", out=value))
    assert (await backend.load("run-1"))[0].out is value


async def test_loaded_journal_does_not_grow_with_the_run():
    backend = InMemoryBackend()
    claim = await backend.create_run(new_run(backend))
    before = await backend.load("run-1")
    await backend.append(claim, JournalRecord("a"))
    assert before == []


@pytest.mark.parametrize("url", ["memory:", "memory://"])
def test_memory_url_opens_a_backend_that_encodes(url: str, tmp_path: Path):
    assert open_memory(url, tmp_path).encodes is True


@pytest.mark.parametrize("url", ["memory", "memory:x", "memory:///x", "memory:?a=1", "sqlite:///x"])
def test_any_other_url_is_refused(url: str, tmp_path: Path):
    with pytest.raises(SettingsError, match="is not a state in memory"):
        open_memory(url, tmp_path)
