"""Event sinks in settings files: `[sinks.NAME]`, whose keys are the sink's own settings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flujo.exceptions import SettingsError
from flujo.infra.config_files import Table

__all__ = ["SINK_TABLE", "SinkTable", "read_sinks"]

#: The top-level table that is read here.
SINK_TABLE = "sinks"


class SinkTable(NamedTuple):
    """The settings of one sink, and where each is written, by their dotted names."""

    settings: Mapping[str, Any]
    given: Mapping[str, Any]
    origins: Mapping[str, str]


def read_sinks(source: Table) -> dict[str, SinkTable]:
    """The sinks of a settings file by their names. Raises `SettingsError` for what is no table."""
    sinks = source.values.get(SINK_TABLE, {})
    if not isinstance(sinks, dict):
        raise SettingsError(f"{SINK_TABLE} can't be {sinks!r}, expected tables ({source.place((SINK_TABLE,))})")
    return {name: _sink(source, name, table) for name, table in sinks.items()}


def _sink(source: Table, name: str, table: Any) -> SinkTable:
    path = (SINK_TABLE, name)
    if not isinstance(table, dict):
        raise SettingsError(
            f"{'.'.join(path)} can't be {table!r}, expected a table ({source.place(path)})",
            suggestion=f"write [{'.'.join(path)}], and the sink's settings under it",
        )
    names = {key: ".".join((*path, key)) for key in table}
    given = {names[key]: value for key, value in table.items()}
    return SinkTable(table, given, {names[key]: source.place((*path, key)) for key in table})
