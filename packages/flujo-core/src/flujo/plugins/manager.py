"""The plugin manager: loads plugins one by one, keeps what became of each, and hands out what they contribute."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pluggy

from flujo.domain.suggest import nearest
from flujo.exceptions import PluginError, StateUnavailable
from flujo.plugins import hookspecs
from flujo.plugins.contributions import BackendSpec, EventSinkSpec, Offer, Rank, settle
from flujo.plugins.discovery import attempt, installed_plugins, load_target, named_plugins
from flujo.plugins.records import Candidate, PluginRecord, PluginStatus
from flujo.plugins.registrars import REGISTRARS
from flujo.plugins.vetting import check_api, check_hooks
from flujo.version import __version__

if TYPE_CHECKING:
    from flujo.domain.interfaces import StateBackend

__all__ = ["PluginManager", "create_plugin_manager"]

_CORE = f"flujo-core {__version__}"

#: The event sinks of flujo itself.
_SINKS = (
    EventSinkSpec(
        "tree",
        "flujo.runner.local_tracer:open_tree",
        "write a run as a tree of lines to stderr, as its steps begin and end",
        _CORE,
    ),
    EventSinkSpec(
        "otel",
        "flujo.runner.otel:open_otel",
        "send a run as OpenTelemetry spans to a collector",
        _CORE,
        "pip install 'flujo-core[otel]'",
    ),
)

#: What works without any plugin.
_OWN = (
    Offer("backends", "memory", BackendSpec("memory", "flujo.infra.memory:open_memory", _CORE), _CORE, Rank.INSTALLED),
    *(Offer("sinks", spec.name, spec, _CORE, Rank.INSTALLED) for spec in _SINKS),
)

#: State backends of this project that are installed by themselves.
_KNOWN_BACKENDS = {"sqlite": "flujo-state-sqlite"}


def create_plugin_manager(*plugins: object, discover: bool = True) -> "PluginManager":
    """Make a manager of the installed plugins and of `plugins`: modules, classes or objects with hooks.

    What `plugins` contribute beats what installed plugins do; with `discover=False` there is nothing else. A plugin
    that does not work raises nothing: see `PluginManager.records`.
    """
    return PluginManager([*named_plugins(plugins), *(installed_plugins() if discover else ())])


class PluginManager(pluggy.PluginManager):
    """Every plugin there is, loaded once. Made by `create_plugin_manager`; nothing can be added later.

    `records` tells what became of each plugin, those given in code first; `contributions` is what the active ones
    bring. No hook is called after the manager is made.
    """

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)
        self._assembled = False
        offers = list(_OWN)
        records = []
        for candidate in candidates:
            record, contributed = self._admit(candidate)
            records.append(record)
            offers.extend(contributed)
        self.records: tuple[PluginRecord, ...] = tuple(records)
        self.contributions = settle(offers)
        self._assembled = True

    def register(self, plugin: object, name: str | None = None) -> str | None:
        """Refuse a late plugin: what plugins contribute is settled. Raises `PluginError`."""
        if self._assembled:
            raise PluginError(
                f"plugin {name or plugin!r} comes too late: contributions are settled",
                suggestion="pass it to create_plugin_manager(...)",
            )
        return super().register(plugin, name)

    def problems(self) -> list[str]:
        """One line for each plugin that is not active."""
        return [record.problem for record in self.records if record.status is not PluginStatus.ACTIVE]

    def open_backend(self, url: str, root: Path) -> "StateBackend":
        """Open the state at `url` by the backend of its scheme; `root` is the project's folder.

        Raises `StateUnavailable` for a scheme that no active plugin knows or whose backend can't be imported,
        `PolicyConflictError` for one that two claim, and what the backend raises.
        """
        scheme, colon, _ = url.partition(":")
        if not colon:
            raise StateUnavailable(
                f"{url!r} is not a state url", suggestion="expected a scheme first, as in 'sqlite:///state.db'"
            )
        if scheme not in self.contributions.backends:
            raise StateUnavailable(f"no state backend opens {scheme!r} urls", suggestion=self._backend_advice(scheme))
        spec = self.contributions.backends[scheme]
        try:
            factory = load_target(spec.factory, spec.provider)
        except PluginError as error:
            raise StateUnavailable(str(error), suggestion=error.suggestion, cause=error) from error
        backend: StateBackend = factory(url, root)
        return backend

    def _backend_advice(self, scheme: str) -> str:
        known = list(self.contributions.backends)
        near = nearest(scheme, known)
        advice = [f"did you mean {near!r}?" if near else f"known schemes are {', '.join(map(repr, known))}"]
        if scheme in _KNOWN_BACKENDS:
            advice.append(f"pip install {_KNOWN_BACKENDS[scheme]}")
        return "; ".join([*advice, *self.problems()])

    def _admit(self, candidate: Candidate) -> tuple[PluginRecord, list[Offer]]:
        """Load, check and ask one plugin: all of what it contributes counts, or nothing."""
        offers: list[Offer] = []
        status = PluginStatus.IMPORT_FAILED
        try:
            plugin = attempt(candidate.load)
            status = PluginStatus.INCOMPATIBLE
            attempt(partial(check_api, plugin))
            status = PluginStatus.REJECTED
            attempt(partial(check_hooks, plugin, partial(self.parse_hookimpl_opts, plugin)))
            attempt(partial(self.register, plugin, candidate.name))
            status = PluginStatus.REGISTER_FAILED
            attempt(partial(self._ask, plugin, candidate, offers))
        except PluginError as error:
            if self.has_plugin(candidate.name):
                self.unregister(name=candidate.name)
            return _record(candidate, status, error=str(error)), []
        return _record(candidate, PluginStatus.ACTIVE, offers), offers

    def _ask(self, plugin: object, candidate: Candidate, offers: list[Offer]) -> None:
        """Call the plugin's hooks, and no other plugin's, so that everything it offers bears its name."""
        for caller in self.get_hookcallers(plugin) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin:
                    implementation.function(REGISTRARS[caller.name](candidate, offers, {}))


def _record(
    candidate: Candidate, status: PluginStatus, offers: Iterable[Offer] = (), *, error: str = ""
) -> PluginRecord:
    keys: dict[str, tuple[str, ...]] = {}
    for offer in offers:
        keys[offer.facet] = (*keys.get(offer.facet, ()), offer.key)
    own = (candidate.name, candidate.dist, candidate.version, candidate.source, candidate.target)
    return PluginRecord(*own, status, error, MappingProxyType(keys))
