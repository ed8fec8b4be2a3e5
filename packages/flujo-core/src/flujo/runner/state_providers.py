"""The state providers of one `Flujo`: those given in code, and those of plugins, made at their first use."""

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from flujo.domain.foreign import attempt
from flujo.domain.interfaces import StateProvider
from flujo.exceptions import PluginError
from flujo.plugins import PluginManager
from flujo.plugins.contributions import StateProviderSpec, load_function

__all__ = ["StateProviders"]


class StateProviders(Mapping[str, StateProvider[Any]]):
    """Providers by name. One that a plugin brings is made when it is first looked up, and closed by `aclose`.

    Looking up raises `PluginError` for a provider that can't be made, `PolicyConflictError` for a name that two
    plugins claim. What is `given` beats what plugins bring, and stays its owner's to close.
    """

    def __init__(
        self, given: Mapping[str, StateProvider[Any]], manager: PluginManager | None, root: Path | None
    ) -> None:
        self._given = dict(given)
        self._manager = manager
        self._offered: Mapping[str, StateProviderSpec] = manager.contributions.state_providers if manager else {}
        self._root = root or Path.cwd()
        self._made: dict[str, StateProvider[Any]] = {}

    def __getitem__(self, name: str) -> StateProvider[Any]:
        if name in self._given:
            return self._given[name]
        if name not in self._made:
            self._made[name] = _make(self._offered[name], self._root)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._given or name in self._offered

    def __iter__(self) -> Iterator[str]:
        return iter({**self._given, **self._offered})

    def __len__(self) -> int:
        return len({**self._given, **self._offered})

    def blame(self, name: str) -> str:
        """Why `name` may not be there: the plugins that are not loaded and seem to bring it."""
        return self._manager.blame("state_providers", name) if self._manager else ""

    def plugin_of(self, name: str) -> str:
        """The plugin whose provider `name` was made here; empty for one that was given, or could not be made."""
        return self._offered[name].provider if name in self._made else ""

    async def aclose(self) -> None:
        """Close every provider that was made here, whatever the others raise. A second call does nothing."""
        async with AsyncExitStack() as stack:
            while self._made:
                stack.push_async_callback(self._made.popitem()[1].close)


def _make(spec: StateProviderSpec, root: Path) -> StateProvider[Any]:
    factory = load_function(spec.factory, spec.provider)
    provider = attempt(partial(factory, root), partial(_refused, spec), but=PluginError)
    if not callable(getattr(provider, "load", None)):
        raise _refused(spec, f"it gave {provider!r}, expected a StateProvider")
    made: StateProvider[Any] = provider
    return made


def _refused(spec: StateProviderSpec, text: str, error: BaseException | None = None) -> PluginError:
    return PluginError(f"plugin {spec.provider} can't make the state provider {spec.id!r}: {text}", cause=error)
