"""Settings: where a project begins, what it is configured with, and which source each value came from."""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from flujo.domain.pricing import Price, PriceTable
from flujo.domain.quota import UsageLimits
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import SettingsError
from flujo.infra.spending import SPENDING_TABLES, SpendingTable, read_spending

__all__ = ["DEFAULT_STATE_URI", "ConfigManager", "Settings", "get_config_manager", "invalidate_config_cache"]

DEFAULT_STATE_URI = "sqlite:///.flujo/state.db"

PROJECT_FILE = "flujo.toml"
PYPROJECT = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a project is configured with.

    `root` is the project's folder: state and imports are relative to it. `origins` tells for each setting where
    its value came from: `--state`, an environment variable's name, `file:line`, or `default`. `prices` are those of
    `[pricing]`; `budgets` are limits, each with the pattern of the pipelines' names that it is for.
    """

    root: Path
    state_uri: str = DEFAULT_STATE_URI
    blueprint_allowed_imports: tuple[str, ...] = ()
    template_undefined_variables: str = "strict"
    prices: PriceTable = field(default_factory=PriceTable)
    budgets: tuple[tuple[str, UsageLimits], ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    def limits_for(self, pipeline: str) -> UsageLimits | None:
        """The tightest of each limit among the budgets that are for `pipeline`; None where there is none."""
        fitting = [limits for pattern, limits in self.budgets if fnmatchcase(pipeline, pattern)]
        return reduce(UsageLimits.tightest, fitting) if fitting else None


class _Document(NamedTuple):
    """The flujo part of one TOML file: dotted keys with their values, and the text for line numbers."""

    file: Path
    values: Mapping[str, Any]
    text: str
    spending: Mapping[str, SpendingTable]

    def origin(self, name: str) -> str:
        """`file:line` of a key, or the file where the key's line isn't plain to see."""
        last = re.escape(name.rpartition(".")[2])
        found = re.search(rf"^[ \t]*(?:[\w.-]+\.)?{last}[ \t]*=", self.text, re.MULTILINE)
        return f"{self.file}:{self.text.count(chr(10), 0, found.start()) + 1}" if found else str(self.file)


def _text(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise ValueError("expected a text that is not empty")


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
        return tuple(value)
    raise ValueError("expected a list of module names")


def _strict(value: Any) -> Any:
    if value == "strict":
        return value
    raise ValueError("expected 'strict': a name that isn't defined is always an error; use the filter default()")


#: The settings, each with how its value is read. `template.x` is FLUJO_TEMPLATE_X in the environment.
_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "state_uri": _text,
    "blueprint_allowed_imports": _names,
    "template.undefined_variables": _strict,
}
#: Tables that hold settings, so that `[template] x = 1` is read as `template.x`.
_TABLES = {name.partition(".")[0] for name in _KEYS if "." in name}


class ConfigManager:
    """The configuration files of one project, read once; `settings` puts flags and environment above them."""

    def __init__(self, root: Path, documents: Sequence[_Document] = (), *, declared: bool = False) -> None:
        self.root = root
        #: Whether a file in `root` says that a project begins there.
        self.declared = declared
        self._documents = tuple(documents)

    def settings(self, *, environ: Mapping[str, str] | None = None, state_uri: str | None = None) -> Settings:
        """The settings: `state_uri` as given, else environment (default: the process's), files, defaults.

        Raises `SettingsError` for a value that a setting can't have, naming its origin.
        """
        environment = os.environ if environ is None else environ
        flags = {} if state_uri is None else {"state_uri": ("--state", state_uri)}
        values: dict[str, Any] = {}
        origins = dict.fromkeys(_KEYS, "default")
        for name, parse in _KEYS.items():
            found = flags.get(name) or self._look_up(name, environment)
            if found is not None:
                origins[name], raw = found
                values[name.replace(".", "_")] = _parsed(name, parse, raw, origins[name])
        spending = self._spending()
        for table in spending:
            origins.update(table.origins)
        return Settings(
            root=self.root,
            prices=PriceTable({each.pattern: each.value for each in spending if isinstance(each.value, Price)}),
            budgets=tuple((each.pattern, each.value) for each in spending if isinstance(each.value, UsageLimits)),
            origins=MappingProxyType(origins),
            **values,
        )

    def _spending(self) -> list[SpendingTable]:
        """Prices and budgets; of two tables of one name the one of the nearer file counts."""
        tables: dict[str, SpendingTable] = {}
        for document in reversed(self._documents):
            tables.update(document.spending)
        return list(tables.values())

    def _look_up(self, name: str, environment: Mapping[str, str]) -> tuple[str, Any] | None:
        """Where the setting `name` is given, and as what; None where its default holds."""
        variable = f"FLUJO_{name.replace('.', '_').upper()}"
        if value := environment.get(variable):
            return variable, value
        found = next((document for document in self._documents if name in document.values), None)
        return (found.origin(name), found.values[name]) if found else None


def _parsed(name: str, parse: Callable[[Any], Any], raw: Any, origin: str) -> Any:
    try:
        return parse(raw)
    except ValueError as error:
        raise SettingsError(f"{name} can't be {raw!r} ({origin}): {error}") from error


#: Folder -> the state of every file that matters there, and what was read from them.
_cache: dict[Path, tuple[tuple[object, ...], ConfigManager]] = {}


def get_config_manager(start: Path | None = None, *, force_reload: bool = False) -> ConfigManager:
    """The configuration of the project around the folder `start` (default: the working directory).

    The project's root is the nearest folder upwards with a flujo.toml, or a pyproject.toml with `[tool.flujo]`;
    without one it is `start` itself, and the manager is not `declared`. Files are read again when their size or
    time has changed, or by `force_reload`. Raises `SettingsError` for a file that can't be read or holds a
    setting that nobody knows.
    """
    here = (start or Path.cwd()).resolve()
    state = tuple((file, *_stamp(file)) for file in _candidates(here))
    cached = _cache.get(here)
    if cached is not None and cached[0] == state and not force_reload:
        return cached[1]
    manager = _load(here)
    _cache[here] = (state, manager)
    return manager


def invalidate_config_cache() -> None:
    """Forget every configuration that was read."""
    _cache.clear()


def _load(here: Path) -> ConfigManager:
    documents = list(_project_documents(here))
    root = documents[0].file.parent if documents else here
    return ConfigManager(root, [*documents, *_project_file(_user_file())], declared=bool(documents))


def _project_documents(start: Path) -> Iterator[_Document]:
    """The flujo.toml and `[tool.flujo]` of the nearest folder that has either."""
    for folder in (start, *start.parents):
        documents = [*_project_file(folder / PROJECT_FILE), *_pyproject(folder / PYPROJECT)]
        if documents:
            yield from documents
            return


def _project_file(file: Path) -> Iterator[_Document]:
    text = _read(file)
    if text is not None:
        yield _document(file, _parse(file, text), text)


def _pyproject(file: Path) -> Iterator[_Document]:
    text = _read(file)
    if text is None or "flujo" not in text:
        return  # other tools' files are none of our business, not even when they are broken
    tools = _parse(file, text).get("tool")
    if isinstance(tools, dict) and isinstance(tools.get("flujo"), dict):
        yield _document(file, tools["flujo"], text)


def _candidates(start: Path) -> Iterator[Path]:
    for folder in (start, *start.parents):
        yield folder / PROJECT_FILE
        yield folder / PYPROJECT
    yield _user_file()


def _user_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "flujo" / "config.toml"


def _stamp(file: Path) -> tuple[int, int]:
    try:
        state = file.stat()
    except OSError:
        return (-1, -1)
    return (state.st_mtime_ns, state.st_size)


def _read(file: Path) -> str | None:
    """The file's text, or None when there is no such file."""
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}") from error
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}") from error


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        raise SettingsError(f"{file} is not TOML: {reason[:1].lower()}{reason[1:]}") from error


def _document(file: Path, table: Mapping[str, Any], text: str) -> _Document:
    values = {name: value for name, value in _flat(table) if name not in SPENDING_TABLES}
    for name in values:
        if name not in _KEYS:
            advice = did_you_mean(name, [*_KEYS, *SPENDING_TABLES], what="settings are")
            raise SettingsError(f"{file} has no setting {name!r}", suggestion=advice)
    return _Document(file, values, text, read_spending(table, file, text))


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and name in _TABLES:
            yield from ((f"{name}.{inner}", item) for inner, item in value.items())
        else:
            yield name, value
