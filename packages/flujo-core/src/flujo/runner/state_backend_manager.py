"""Which state a run is kept in, and who closes it."""

from pathlib import Path

from flujo.domain.interfaces import StateBackend
from flujo.infra.memory import InMemoryBackend
from flujo.plugins import PluginManager, create_plugin_manager

__all__ = ["StateBackendManager", "open_state"]


def open_state(uri: str, manager: PluginManager, root: Path) -> StateBackend:
    """The backend for `uri` (`sqlite:///relative/to/root.db`, `memory:`, or a scheme that a plugin brings).

    Raises `StateUnavailable` for a scheme that no installed plugin knows.
    """
    return manager.open_backend(uri, root)


class StateBackendManager:
    """Holds a runner's backend, and closes it only when it was opened here.

    A backend that is given is used as it is; a URI is opened; without either the record is kept in memory, and
    values are kept as they are, for as long as the runner lives.
    """

    def __init__(
        self,
        *,
        backend: StateBackend | None = None,
        uri: str | None = None,
        manager: PluginManager | None = None,
        root: Path | None = None,
    ) -> None:
        self._owned = backend is None
        if backend is not None:
            self.backend = backend
        elif uri is not None:
            self.backend = open_state(uri, manager or create_plugin_manager(), root or Path.cwd())
        else:
            self.backend = InMemoryBackend(encodes=False)

    async def shutdown(self) -> None:
        """Close the backend if it was opened here. A second call does nothing."""
        if self._owned:
            await self.backend.close()
