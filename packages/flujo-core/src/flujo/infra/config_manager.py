"""Settings: where a project begins, what it is configured with, and which source each value came from."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from flujo.domain.masking import masked
from flujo.domain.pricing import Price, PriceTable
from flujo.domain.quota import UsageLimits
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import SettingsError
from flujo.infra.config_files import Looked, Table, look, nearest, stamps
from flujo.infra.logging import LOG_FORMATS, LOG_LEVELS, LogFormat, LogLevel
from flujo.infra.plugin_tables import PLUGIN_TABLES, PluginTables, read_plugins
from flujo.infra.sink_tables import SINK_TABLE, SinkTable, read_sinks
from flujo.infra.spending import SPENDING_TABLES, SpendingTable, read_spending

__all__ = [
    "DEFAULT_STATE_URI",
    "Budget",
    "ConfigManager",
    "Settings",
    "get_config_manager",
    "invalidate_config_cache",
    "leave_out_files",
    "setting_variables",
]

DEFAULT_STATE_URI = "sqlite:///.flujo/state.db"


class Budget(NamedTuple):
    """Limits for the pipelines whose names fit `pattern`; `origins` tells where each of them is written."""

    pattern: str
    limits: UsageLimits
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a project is configured with.

    `root` is the project's folder: state and imports are relative to it. `origins` tells for each setting where
    its value came from: `--state`, an environment variable's name, `file:line`, or `default`. `prices` are those of
    `[pricing]`; `budgets` are limits, each with the pattern of the pipelines' names that it is for. `sinks` are those
    of `[sinks.NAME]`, each with its settings. `values` has every setting by its dotted name, those of prices, budgets,
    sinks and plugins as they are written.
    """

    root: Path
    #: Where runs are recorded: `sqlite:///PATH` (from the project's folder; four slashes for an absolute path), or
    #: `memory:` for runs that nobody needs afterwards. Plugins add others.
    state_uri: str = DEFAULT_STATE_URI
    #: The modules that pipeline files may name; a package allows the modules in it. There are no wildcards. In the
    #: variable, names are separated by commas.
    blueprint_allowed_imports: tuple[str, ...] = ()
    #: Only `strict`: a name that is not there is an error.
    template_undefined_variables: Literal["strict"] = "strict"
    #: For people, or one JSON object a line.
    log_format: LogFormat = "human"
    #: The least that commands [log](python.md#log-lines).
    log_level: LogLevel = "warning"
    prices: PriceTable = field(default_factory=PriceTable)
    budgets: tuple[Budget, ...] = ()
    sinks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def limits_for(self, pipeline: str) -> UsageLimits | None:
        """The tightest of each limit among the budgets that are for `pipeline`; None where there is none."""
        fitting = [budget.limits for budget in self._fitting(pipeline)]
        return reduce(UsageLimits.tightest, fitting) if fitting else None

    def limit_origins(self, pipeline: str) -> dict[str, str]:
        """Where each limit that holds for `pipeline` is written, by the limit's name."""
        held = self.limits_for(pipeline)
        found: dict[str, str] = {}
        for budget in self._fitting(pipeline):
            for name, origin in budget.origins.items():
                if getattr(budget.limits, name) == getattr(held, name):
                    found.setdefault(name, origin)
        return found

    def _fitting(self, pipeline: str) -> Iterator[Budget]:
        return (budget for budget in self.budgets if fnmatchcase(pipeline, budget.pattern))


def _text(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError("expected a text that is not empty")


def _address(value: Any) -> str:
    text = _text(value)
    if ":" not in text:
        raise ValueError("expected an address with a scheme", "write it like 'sqlite:///state.db', or 'memory:'")
    return text


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError("expected a list of module names")
    for item in value:
        if not all(part.isidentifier() for part in item.split(".")):
            advice = "write the modules and packages themselves, as in ['skills']: a package allows what is in it"
            raise ValueError(f"expected names of modules, not {item!r}", advice)
    return tuple(value)


def _one_of(*choices: str, advice: str = "") -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        if value in choices:
            return value
        raise ValueError(f"expected {' or '.join(map(repr, choices))}", *filter(None, [advice]))

    return parse


#: The settings, each with how its value is read. `template.x` is FLUJO_TEMPLATE_X in the environment.
_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "state_uri": _address,
    "blueprint_allowed_imports": _names,
    "template.undefined_variables": _one_of(
        "strict", advice="a name that isn't defined is always an error: the filter default() answers what may be absent"
    ),
    "log.format": _one_of(*LOG_FORMATS),
    "log.level": _one_of(*LOG_LEVELS),
}
#: The options of the command line for settings.
_OPTIONS = {"state_uri": "--state", "log.format": "--log-format", "log.level": "--log-level"}
#: Tables that are read elsewhere.
_OTHER_TABLES = (*SPENDING_TABLES, SINK_TABLE, *PLUGIN_TABLES)
#: Tables that hold settings, so that `[template] x = 1` is read as `template.x`.
_TABLES = {name.partition(".")[0] for name in _KEYS if "." in name}


class ConfigManager:
    """The configuration files of one project, read once; `settings` puts flags and environment above them.

    `root` is the project's folder, and `declared` whether a file in it says so; `looked` tells which files were looked
    for, and what became of each; `plugins` is what they say of plugins.
    """

    def __init__(self, start: Path, look: Callable[[Path], tuple[Looked, ...]] = look) -> None:
        self.looked: tuple[Looked, ...] = look(start)
        tables = [each.table for each in self.looked if each.table]
        for table in tables:
            _check_names(table)
        project = next((each for each in self.looked if each.table and not each.own), None)
        self.root = project.file.parent if project else start
        self.declared = project is not None and project.state == "read"
        self._tables = tables
        self._spending: dict[str, SpendingTable] = {}
        self._sinks: dict[str, SinkTable] = {}
        self.plugins = PluginTables()
        for table in reversed(tables):  # of two tables of one name the one of the nearer file counts
            self._spending.update(read_spending(table))
            self._sinks.update(read_sinks(table))
            self.plugins = read_plugins(table).above(self.plugins)

    def settings(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        state_uri: str | None = None,
        log_format: str | None = None,
        log_level: str | None = None,
    ) -> Settings:
        """The settings: options of the command line, else environment (default: the process's), files, defaults.

        Raises `SettingsError` for a value that a setting can't have, naming its origin.
        """
        options = {"state_uri": state_uri, "log.format": log_format, "log.level": log_level}
        environment = os.environ if environ is None else environ
        fields: dict[str, Any] = {}
        origins = dict.fromkeys(_KEYS, "default")
        for name, parse in _KEYS.items():
            found = _option(name, options) or self._look_up(name, environment)
            if found is not None:
                origins[name], raw = found
                fields[_field(name)] = _parsed(name, parse, raw, origins[name])
        spending = self._spending.values()
        own = Settings(self.root, **fields)
        values = {name: getattr(own, _field(name)) for name in _KEYS}
        tables: list[SpendingTable | SinkTable | PluginTables] = [*spending, *self._sinks.values(), self.plugins]
        for table in tables:
            origins.update(table.origins)
            values.update(table.given)
        return replace(
            own,
            prices=PriceTable({each.pattern: each.value for each in spending if isinstance(each.value, Price)}),
            budgets=tuple(_budget(each) for each in spending if isinstance(each.value, UsageLimits)),
            sinks={name: table.settings for name, table in self._sinks.items()},
            origins=MappingProxyType(origins),
            values=MappingProxyType(values),
        )

    def _look_up(self, name: str, environment: Mapping[str, str]) -> tuple[str, Any] | None:
        """Where the setting `name` is given, and as what; None where its default holds."""
        variable = _variable(name)
        if value := environment.get(variable):
            return variable, value
        for table in self._tables:
            values = dict(_flat(table.values))
            if name in values:
                return table.place(name.split(".")), values[name]
        return None


def _option(name: str, options: Mapping[str, str | None]) -> tuple[str, Any] | None:
    """The option of the command line for the setting `name`, and its value, where it was given."""
    value = options.get(name)
    return None if value is None else (_OPTIONS[name], value)


def setting_variables() -> list[str]:
    """The variables of the environment that settings are read from."""
    return [_variable(name) for name in _KEYS]


def _variable(name: str) -> str:
    return f"FLUJO_{_field(name).upper()}"


def _field(name: str) -> str:
    """The field of `Settings` for a setting."""
    return name.replace(".", "_")


def _budget(table: SpendingTable) -> Budget:
    assert isinstance(table.value, UsageLimits)
    return Budget(table.pattern, table.value, {key.rpartition(".")[2]: at for key, at in table.origins.items()})


def _parsed(name: str, parse: Callable[[Any], Any], raw: Any, origin: str) -> Any:
    try:
        return parse(raw)
    except ValueError as error:
        what, *advice = error.args
        shown = masked(repr(raw))
        raise SettingsError(
            f"{name} can't be {shown} ({origin}): {what}", suggestion=next(iter(advice), None)
        ) from error


#: Folder -> the state of every file that matters there, and what was read from them.
_cache: dict[Path, tuple[tuple[object, ...], ConfigManager]] = {}


def get_config_manager(start: Path | None = None, *, force_reload: bool = False) -> ConfigManager:
    """The configuration of the project around the folder `start` (default: the working directory).

    The project's root is the nearest folder upwards with a flujo.toml, or a pyproject.toml with `[tool.flujo]`;
    without one it is `start` itself, and the manager is not `declared`. Files are read again when their size, time or
    inode has changed, or by `force_reload`. Raises `SettingsError` for a file that can't be read or holds a
    setting that nobody knows.
    """
    here = (start or Path.cwd()).resolve()
    state = stamps(here)
    cached = _cache.get(here)
    if cached is not None and cached[0] == state and not force_reload:
        return cached[1]
    manager = ConfigManager(here)
    _cache[here] = (state, manager)
    return manager


def leave_out_files() -> None:
    """From now on take no setting of a file in the project around the working directory; its folder stays its root."""
    here = Path.cwd().resolve()
    _cache[here] = (stamps(here), ConfigManager(here, nearest))


def invalidate_config_cache() -> None:
    """Forget every configuration that was read."""
    _cache.clear()


def _check_names(table: Table) -> None:
    """Raise `SettingsError` for settings that nobody knows, all at once."""
    unknown = [name for name, _ in _flat(table.values) if name not in _KEYS and name not in _OTHER_TABLES]
    if unknown:
        advice = [did_you_mean(name, [*_KEYS, *_OTHER_TABLES], what="settings are", most=99) for name in unknown]
        raise SettingsError(
            "; ".join(f"{table.place(name.split('.'))} has no setting {name!r}" for name in unknown),
            suggestion="; ".join(dict.fromkeys(advice)),
        )


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and name in _TABLES:
            yield from ((f"{name}.{inner}", item) for inner, item in value.items())
        else:
            yield name, value
