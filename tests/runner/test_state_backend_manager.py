"""Which state a runner has, and which one it closes."""

import pytest

from flujo import Flujo, Step
from flujo.exceptions import StateUnavailable
from flujo.infra.memory import InMemoryBackend
from flujo.plugins import create_plugin_manager
from flujo.runner.state_backend_manager import StateBackendManager, open_state


class Counted(InMemoryBackend):
    """A state in memory that counts how often it was closed."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1
        await super().close()


async def test_a_backend_that_is_given_is_used_and_stays_its_owners_to_close():
    backend = Counted()
    manager = StateBackendManager(backend=backend, uri="sqlite:///not-this.db")

    await manager.shutdown()

    assert manager.backend is backend
    assert backend.closed == 0


async def test_without_anything_values_are_kept_in_memory_as_they_are():
    manager = StateBackendManager()

    assert isinstance(manager.backend, InMemoryBackend)
    assert not manager.backend.encodes
    await manager.shutdown()


async def test_an_address_is_opened_from_the_root_and_closed_as_often_as_one_likes(tmp_path):
    manager = StateBackendManager(uri="sqlite:///kept/runs.db", root=tmp_path)
    await Flujo(Step("length", len), state_backend=manager.backend).run("four", run_id="r")
    await manager.shutdown()
    await manager.shutdown()

    again = StateBackendManager(uri="sqlite:///kept/runs.db", root=tmp_path, manager=create_plugin_manager())
    assert (await again.backend.get("r")).status == "completed"
    await again.shutdown()
    assert (tmp_path / "kept/runs.db").is_file()


async def test_a_scheme_that_nobody_knows_is_refused_with_those_that_are_known(tmp_path):
    with pytest.raises(StateUnavailable, match="'redis") as raised:
        open_state("redis://there", create_plugin_manager(), tmp_path)

    assert "sqlite" in raised.value.suggestion
