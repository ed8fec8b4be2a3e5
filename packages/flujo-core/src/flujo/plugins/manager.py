"""The plugin manager: loads plugins one by one, keeps what became of each, and hands out what they contribute."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from flujo.domain import foreign
from flujo.domain.suggest import nearest
from flujo.exceptions import PluginError, StateUnavailable
from flujo.plugins import hookspecs
from flujo.plugins.blame import blame, is_kept_out
from flujo.plugins.contributions import BackendSpec, EventSinkSpec, settle
from flujo.plugins.discovery import installed_plugins, load_target, local_plugins, named_plugins
from flujo.plugins.loading import Loaded, admit, compared, record_of, veto
from flujo.plugins.precedence import Conflict, Offer, Rank
from flujo.plugins.records import Candidate, PluginRecord, PluginStatus
from flujo.plugins.screening import check_names, check_required, heeded_pins, refusal, unmatched
from flujo.plugins.switches import PluginOptions, plugin_options
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

_MEMORY = BackendSpec("memory", "flujo.infra.memory:open_memory", _CORE)

#: What works without any plugin.
_OWN = (
    Offer("backends", "memory", _MEMORY, _CORE, Rank.INSTALLED, "flujo-core"),
    *(Offer("sinks", spec.name, spec, _CORE, Rank.INSTALLED, "flujo-core") for spec in _SINKS),
)

#: State backends of this project that are installed by themselves.
_KNOWN_BACKENDS = {"sqlite": "flujo-state-sqlite"}


def create_plugin_manager(
    *plugins: object, discover: bool = True, options: PluginOptions | None = None
) -> "PluginManager":
    """Make a manager of the installed plugins, those of the project's plugin files, and `plugins`: modules, classes or
    objects with hooks.

    What `plugins` contribute beats what others do; with `discover=False` there is nothing else. `options` say which
    plugins are loaded and what of them counts, by default as `plugin_options()` finds in the environment and the
    project around the working directory. A plugin that does not work raises nothing: see `PluginManager.records`.
    Raises `PluginError` for a plugin that is named or required and isn't there, and for the first problem where
    options are `strict`; without `options` `SettingsError`, for a project's settings that can't be.
    """
    if options is None:
        options = plugin_options() if discover else PluginOptions()
    options = options._replace(discover=options.discover and discover)
    looks = options.discover or (discover and options.force)
    found = [*local_plugins(options.local), *installed_plugins()] if looks else []
    return PluginManager([*named_plugins(plugins), *found], options)


class PluginManager(pluggy.PluginManager):
    """Every plugin there is, loaded once. Made by `create_plugin_manager`; nothing can be added later.

    `records` tells what became of each plugin, those given in code first; `contributions` is what the active ones
    bring, and `options` which were to be loaded. `set_aside` has a line for each setting that would let a plugin
    count which a switch keeps out. No hook is called after the manager is made.
    """

    def __init__(self, candidates: Iterable[Candidate] = (), options: PluginOptions | None = None) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)
        self.options = options or PluginOptions()
        self._assembled = False
        ordered = sorted(candidates, key=_place)
        check_names(ordered, self.options)
        loaded = veto([self._admit(candidate) for candidate in ordered])
        for record, _ in loaded:
            if record.status is PluginStatus.VETOED:
                self.unregister(name=record.name)
        offers = [*_OWN, *chain.from_iterable(offers for _, offers in loaded)]
        found = [record for record, _ in loaded]
        pins, self.set_aside = heeded_pins(found, self.options)
        self.contributions = settle(offers, pins, found)
        self.records: tuple[PluginRecord, ...] = tuple(compared(loaded, self.contributions))
        self._unmatched = tuple(unmatched(self.records, self.contributions._asdict(), self.options))
        self._insist()
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
        """One line for each plugin that does not work."""
        return [record.problem for record in self._failed()]

    def notices(self) -> list[str]:
        """One line for each loaded plugin of which there is something to tell, and for each setting about none."""
        told = (f"plugin {record.provider}: {record.note}" for record in self.records if record.note)
        return [*told, *self._unmatched, *self.set_aside]

    def conflicts(self) -> tuple[Conflict, ...]:
        """What nobody has, because several plugins claim it; looking it up raises `PolicyConflictError`."""
        tables = self.contributions
        found = (table.conflict(key) for table in tables for key in table)
        return tuple(filter(None, found))

    def blame(self, facet: str, key: str) -> str:
        """Why `key` may not be among the contributions: the plugins that are not loaded and seem to bring it.

        Or the one that does, where that sort is switched off. `facet` may be empty, for every sort. Without one that
        seems to, the plugins that do not work or are switched off, or how many. Empty when all of them do.
        """
        if not (self.options.discover or self.records) and "discover" in self.options.origins:
            return f"no plugins are loaded: {self.options.origins['discover']}"
        return blame(self.records, self.options, facet, key)

    def is_kept_out(self, facet: str, key: str) -> bool:
        """Whether `key` may be missing by a switch of this process alone, and not by settings or a broken plugin."""
        return is_kept_out(self.records, self.options, facet, key)

    def _failed(self) -> list[PluginRecord]:
        return [record for record in self.records if not record.loaded and record.status is not PluginStatus.DISABLED]

    def _insist(self) -> None:
        """Raise `PluginError` for what must not be, as the options say."""
        check_required(self.records, self.options)
        if self.options.strict:
            found = [
                (each.problem, each.suggestion or f"see `flujo plugins show {each.dist}`") for each in self._failed()
            ]
            found += [(line, "correct the settings") for line in self._unmatched]
            found += [(str(conflict), conflict.advice) for conflict in self.conflicts()]
            for problem, advice in found:
                raise PluginError(problem, suggestion=f"{advice}; it is an error because of FLUJO_PLUGINS_STRICT")

    def _admit(self, candidate: Candidate) -> Loaded:
        reason = refusal(candidate, self.options)
        if reason is not None:
            return record_of(candidate, PluginStatus.DISABLED, phase="switches", error=reason), []
        return admit(candidate, self, self.options)

    def open_backend(self, url: str, root: Path) -> "StateBackend":
        """Open the state at `url` by the backend of its scheme; `root` is the project's folder.

        Raises `StateUnavailable` for a scheme that no active plugin knows or whose backend can't be imported,
        `PolicyConflictError` for one that two claim, `PluginError` for a plugin that gives no backend, and those of
        flujo's errors that the backend raises.
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
        whose = f"plugin {spec.provider} can't open a {scheme!r} state"
        made = foreign.attempt(
            lambda: factory(url, root), lambda line, error: PluginError(f"{whose}: {line}", cause=error)
        )
        if not callable(getattr(made, "create_run", None)):
            raise PluginError(f"{whose}: it gave {made!r}, expected a StateBackend")
        backend: StateBackend = made
        return backend

    def _backend_advice(self, scheme: str) -> str:
        known = list(self.contributions.backends)
        near = nearest(scheme, known)
        advice = [f"did you mean {near!r}?" if near else f"known schemes are {', '.join(map(repr, known))}"]
        if scheme in _KNOWN_BACKENDS:
            advice.append(f"pip install {_KNOWN_BACKENDS[scheme]}")
        return "; ".join(filter(None, [*advice, self.blame("backends", scheme)]))


def _place(candidate: Candidate) -> tuple[int, str, str]:
    """Where a plugin stands among the others, whatever the order in which they were found."""
    if candidate.source == "explicit":
        return 0, "", ""  # as they were given
    return (1 if candidate.source == "local" else 2), candidate.dist, candidate.name
