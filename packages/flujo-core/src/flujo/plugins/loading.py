"""One plugin from its entry point to what it contributes: all of that counts, or nothing."""

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from flujo.domain.foreign import visible
from flujo.exceptions import PluginError
from flujo.plugins.discovery import attempt, remedy
from flujo.plugins.hookspecs import API_1
from flujo.plugins.precedence import Offer, Table, in_the_way
from flujo.plugins.records import Candidate, Phase, PluginRecord, PluginStatus
from flujo.plugins.registrars import REGISTRARS, Staged
from flujo.plugins.screening import dropped_facets
from flujo.plugins.switches import PluginOptions, normal
from flujo.plugins.vetting import api_of, check_api, check_hooks, check_settings, is_newer

if TYPE_CHECKING:
    import pluggy

    from flujo.plugins.contributions import Contributions

__all__ = ["MOVED", "Loaded", "admit", "compared", "record_of", "veto"]

#: A plugin's record, and what counts of its offers.
Loaded: TypeAlias = tuple[PluginRecord, list[Offer]]

#: The distribution whose commands nobody else may have.
_COMMAND_LINE = "flujo-cli"

#: Frames of these say nothing about a plugin.
_OURS = ("flujo/plugins/", "flujo/domain/foreign.py", "flujo/blueprint/modules.py", "importlib")

_SHOWN_FRAMES = 10

#: What the note of a plugin begins with that has gone elsewhere.
MOVED = "it changed the working directory"


def admit(candidate: Candidate, manager: "pluggy.PluginManager", options: PluginOptions) -> Loaded:
    """Load, check and ask one plugin. What goes wrong is its record, with nothing contributed."""
    return _Course(candidate, manager, options).run()


class _Course:
    """The way of one plugin, and how far it has come."""

    def __init__(self, candidate: Candidate, manager: "pluggy.PluginManager", options: PluginOptions) -> None:
        self.candidate = candidate
        self.manager = manager
        self.options = options
        self.offers = Staged()
        self.status, self.phase = PluginStatus.INCOMPATIBLE, "api"
        self.facts: dict[str, Any] = {"api": candidate.announced}

    def run(self) -> Loaded:
        """Go the way to its end, or to what goes wrong on it; then go back to the working directory."""
        here = _here()
        try:
            record, offers = self._loaded()
        finally:
            self.offers.closed = True
            moved = _put_back(here)
        return (replace(record, note=moved) if moved else record), offers

    def _loaded(self) -> Loaded:
        candidate, manager = self.candidate, self.manager
        try:
            check_api(candidate.announced or API_1, "its distribution")
            plugin = self._imported()
            self._enter(PluginStatus.REJECTED, "hooks")
            attempt(partial(check_hooks, plugin, partial(manager.parse_hookimpl_opts, plugin)))
            attempt(partial(manager.register, plugin, candidate.name))
            self._enter(PluginStatus.REGISTER_FAILED, "register")
            attempt(partial(self._ask, plugin))
        except PluginError as error:
            if manager.has_plugin(candidate.name):
                manager.unregister(name=candidate.name)
            advice = error.suggestion or remedy(candidate.dist, error)
            told = {"error": visible(str(error)), "suggestion": advice, "traceback": _trimmed(error)}
            return record_of(candidate, self.status, phase=self.phase, **told, **self.facts), []
        dropped = dropped_facets(candidate, self.options)
        offers = [offer for offer in self.offers if offer.facet not in dropped]
        self.facts["dropped"] = _by_facet(offer for offer in self.offers if offer.facet in dropped)
        return record_of(candidate, PluginStatus.ACTIVE, contributes=_by_facet(offers), **self.facts), offers

    def _enter(self, status: PluginStatus, phase: Phase) -> None:
        """Note what a failure from here on is."""
        self.status, self.phase = status, phase

    def _imported(self) -> object:
        candidate = self.candidate
        self._enter(PluginStatus.IMPORT_FAILED, "import")
        if self.options.debug:
            _say(f"importing plugin {candidate.provider} ({candidate.target})")
        began = perf_counter()
        try:
            plugin = attempt(candidate.load)
        except KeyboardInterrupt:
            _say(f"interrupted while plugin {candidate.provider} was imported")
            raise
        finally:
            if candidate.source != "explicit":
                self.facts["load_ms"] = (perf_counter() - began) * 1000
        self.facts["file"] = attempt(partial(_file_of, plugin))
        self._enter(PluginStatus.INCOMPATIBLE, "api")
        self.facts["api"] = wanted = attempt(partial(api_of, plugin, candidate.announced or API_1))
        check_api(wanted)
        if is_newer(wanted):
            self.facts["note"] = f"it was written for plugin API {wanted}, this flujo-core offers {API_1}"
        return plugin

    def _ask(self, plugin: object) -> None:
        """Call the plugin's hooks, and no other plugin's, so that everything it offers bears its name."""
        settings = self._settings()
        self.facts["takes"] = check_settings(plugin, settings)
        for caller in self.manager.get_hookcallers(plugin) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin:
                    before = len(self.offers)
                    implementation.function(REGISTRARS[caller.name](self.candidate, self.offers, settings))
                    self._trace(caller.name, self.offers[before:])

    def _trace(self, hook: str, given: list[Offer]) -> None:
        if self.options.trace:
            told = ", ".join(f"{offer.facet} {offer.key}" for offer in given) or "nothing"
            _say(f"plugin {self.candidate.provider}: {hook} gave {told}")

    def _settings(self) -> Mapping[str, Any]:
        """The plugin's own table of the project's settings."""
        tables = self.options.settings.items()
        return next((table for name, table in tables if normal(name) == normal(self.candidate.dist)), {})


def veto(loaded: list[Loaded]) -> list[Loaded]:
    """Drop the plugins that want a command of flujo's own, a group of its commands, or one below a command."""
    own = {offer.key for record, offers in loaded if _is_command_line(record) for offer in offers}
    return [each if _is_command_line(each[0]) else _vetoed(each, own) for each in loaded]


def _is_command_line(record: PluginRecord) -> bool:
    return record.is_first_party and record.dist == _COMMAND_LINE


def _vetoed(loaded: Loaded, own: set[str]) -> Loaded:
    record, offers = loaded
    for offer in offers:
        for other in sorted(own) if offer.facet == "commands" else ():
            if in_the_way(offer.key, other):
                error = f"command {offer.key!r} is not free: {other!r} is flujo's own"
                advice = "the plugin's author has to give the command another name"
                status = PluginStatus.VETOED
                return replace(
                    record, status=status, phase="commands", error=error, suggestion=advice, contributes={}
                ), []
    return loaded


def compared(loaded: list[Loaded], contributions: "Contributions") -> Iterator[PluginRecord]:
    """The records, with what of each plugin another one beats, and what it took from others."""
    tables = contributions._asdict()
    for record, offers in loaded:
        beaten = [offer for offer in offers if offer.name not in _winners(tables, offer)]
        took = [offer for offer in offers if _takes(tables[offer.facet], offer)]
        status = PluginStatus.SHADOWED if beaten and len(beaten) == len(offers) else record.status
        yield replace(record, status=status, shadowed=_by_facet(beaten), overrides=_by_facet(took))


def _winners(tables: Mapping[str, Any], offer: Offer) -> list[str]:
    return [other.name for other in tables[offer.facet].offers(offer.key)]


def _takes(table: Table[Any], offer: Offer) -> bool:
    """Whether `offer` counts, and another would without it."""
    best, *others = table.rivals(offer.key)
    return best.name == offer.name and bool(others) and table.conflict(offer.key) is None


def _by_facet(offers: Iterable[Offer]) -> dict[str, tuple[str, ...]]:
    """The keys of `offers`, by what they are."""
    keys: dict[str, tuple[str, ...]] = {}
    for offer in offers:
        keys[offer.facet] = (*keys.get(offer.facet, ()), offer.key)
    return keys


def record_of(candidate: Candidate, status: PluginStatus, **facts: Any) -> PluginRecord:
    """The record of `candidate`: what is known of it already, and `facts`."""
    own = {each.name: getattr(candidate, each.name) for each in fields(candidate) if each.name in _KNOWN}
    return PluginRecord(**own, status=status, **facts)


def _here() -> str:
    """The working directory; empty where there is none any more."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _put_back(here: str) -> str:
    """Go back to the working directory `here`, and say from where; empty for who is there."""
    there = _here()
    if there == here or not os.path.isdir(here):
        return ""
    os.chdir(here)
    return f"{MOVED} to {there!r} when it was loaded, which was undone"


_KNOWN = {each.name for each in fields(PluginRecord)}


def _file_of(plugin: object) -> str:
    """The file of the module that `plugin` is, or is defined in; empty where it has none."""
    named = plugin if isinstance(plugin, type) else type(plugin)
    module = plugin if isinstance(plugin, ModuleType) else sys.modules.get(named.__module__)
    return str(getattr(module, "__file__", None) or "")


def _trimmed(error: PluginError) -> str:
    """The traceback of what went wrong, the plugin's own frames only; empty where it had no part in it."""
    root = error.__cause__ or error
    found = traceback.extract_tb(root.__traceback__)
    frames = [frame for frame in found if not any(part in Path(frame.filename).as_posix() for part in _OURS)]
    if not frames and not isinstance(root, SyntaxError):
        return ""
    shown = [*traceback.format_list(frames[-_SHOWN_FRAMES:]), *traceback.format_exception_only(root)]
    return "".join(shown).rstrip()


def _say(line: str) -> None:
    """Write to stderr at once: what comes next may never return."""
    if sys.stderr is not None:
        sys.stderr.write(f"flujo: {line}\n")
        sys.stderr.flush()
