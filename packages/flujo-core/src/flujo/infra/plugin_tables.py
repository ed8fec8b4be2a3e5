"""Plugins in settings files: `[plugins]`, `[plugins.settings.NAME]`, and whose contribution counts, as in `[kinds]`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flujo.domain.suggest import did_you_mean
from flujo.exceptions import SettingsError
from flujo.infra.config_files import Table

__all__ = ["FACETS", "PIN_TABLES", "PLUGIN_TABLES", "PluginTables", "read_plugins"]

#: The sorts of contribution that a project can settle by naming the distribution whose counts.
PIN_TABLES = ("agents", "backends", "commands", "kinds", "lint_rules", "policies", "skills", "state_providers")

#: Every sort of contribution.
FACETS = (*PIN_TABLES, "pricing", "sinks")

#: The top-level tables that are read here.
PLUGIN_TABLES = ("plugins", *PIN_TABLES)

_LISTS = ("disable", "enable", "local", "require")


class PluginTables(NamedTuple):
    """What settings files say of plugins. `local` are files.

    `given` has every setting as it is written, by its dotted name, and `origins` where.
    """

    #: Plugins that are not loaded. `"NAME:commands"` leaves out one sort of what a plugin adds.
    disable: tuple[str, ...] = ()
    #: Of plugins that are not flujo's own, these are loaded and no others.
    enable: tuple[str, ...] | None = None
    #: Plugins without which nothing begins, each with the versions that will do. `--no-plugins` begins without them.
    require: tuple[str, ...] = ()
    #: Plugin files of the project, by their paths. `flujo_plugins.py` beside `flujo.toml` needs no line.
    local: tuple[Path, ...] = ()
    pins: Mapping[str, Mapping[str, str]] = {}
    #: `[plugins.settings.NAME]` is the own table of a plugin: its page says what may stand there.
    settings: Mapping[str, Mapping[str, Any]] = {}
    origins: Mapping[str, str] = {}
    given: Mapping[str, Any] = {}

    def above(self, other: "PluginTables") -> "PluginTables":
        """These tables together with those of a file that counts less."""
        return PluginTables(
            self.disable or other.disable,
            other.enable if self.enable is None else self.enable,
            self.require or other.require,
            self.local or other.local,
            {sort: {**other.pins.get(sort, {}), **self.pins.get(sort, {})} for sort in {**other.pins, **self.pins}},
            {**other.settings, **self.settings},
            {**other.origins, **self.origins},
            {**other.given, **self.given},
        )


def read_plugins(source: Table) -> PluginTables:
    """What a settings file says of plugins. Raises `SettingsError` for what can't be, with its place."""
    own = _mapping(source, source.values, "plugins")
    for name in own:
        if name not in (*_LISTS, "settings"):
            advice = did_you_mean(name, (*_LISTS, "settings"), what="expected one of")
            raise SettingsError(f"{source.place(('plugins', name))} has no setting 'plugins.{name}'", suggestion=advice)
    lists = {name: _names(source, name, own[name]) for name in _LISTS if name in own}
    tables = _mapping(source, own, "settings", "plugins")
    settings = {name: _mapping(source, tables, name, "plugins", "settings") for name in tables}
    pins = {name: dict(_pins(source, name)) for name in PIN_TABLES if name in source.values}
    paths: dict[tuple[str, ...], Any] = {("plugins", name): list(names) for name, names in lists.items()}
    paths.update({(sort, key): dist for sort, table in pins.items() for key, dist in table.items()})
    for name, table in settings.items():
        paths.update({("plugins", "settings", name, key): value for key, value in table.items()})
    return PluginTables(
        lists.get("disable", ()),
        lists.get("enable"),
        lists.get("require", ()),
        tuple(source.file.parent / name for name in lists.get("local", ())),
        pins,
        settings,
        {".".join(path): source.place(path) for path in paths},
        {".".join(path): value for path, value in paths.items()},
    )


def _names(source: Table, name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value):
        return tuple(value)
    place = source.place(("plugins", name))
    raise SettingsError(f"plugins.{name} can't be {value!r} ({place}): expected a list of names")


def _pins(source: Table, sort: str) -> Iterator[tuple[str, str]]:
    for key, dist in _mapping(source, source.values, sort).items():
        if not isinstance(dist, str) or not dist:
            raise SettingsError(
                f"{sort}.{key} can't be {dist!r} ({source.place((sort, key))}): expected a distribution's name"
            )
        yield key, dist


def _mapping(source: Table, holder: Mapping[str, Any], name: str, *above: str) -> Mapping[str, Any]:
    table = holder.get(name, {})
    if isinstance(table, dict):
        return table
    path = (*above, name)
    raise SettingsError(f"{'.'.join(path)} can't be {table!r} ({source.place(path)}): expected a table")
