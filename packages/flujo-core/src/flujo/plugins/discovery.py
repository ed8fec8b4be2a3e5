"""Which plugins there are, and the guard around their code."""

import os
import re
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import chain, count
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flujo.blueprint.modules import Project
from flujo.domain import foreign
from flujo.exceptions import PluginError
from flujo.plugins.records import Candidate, Source
from flujo.plugins.switches import normal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from importlib_metadata import Distribution, EntryPoint

__all__ = [
    "API_GROUP",
    "GROUP",
    "PROVIDES_GROUP",
    "attempt",
    "installed_plugins",
    "is_target",
    "load_target",
    "local_plugins",
    "named_plugins",
    "remedy",
]

T = TypeVar("T")

#: The entry-point group that plugins announce themselves in.
GROUP = "flujo.plugins"

#: The group in which a distribution names the contract it was written for, so that nothing needs to be imported.
API_GROUP = "flujo.plugin_api"

#: The group in which a distribution may say what it brings, as in `http = "kinds"`, for when it can't be loaded.
PROVIDES_GROUP = "flujo.provides"

#: The lines of a distribution's metadata that are needed here. To read all of it takes a parser of mails, which costs a
#: tenth of a start.
_FIELDS = ("Name", "Version")
_FIELD = re.compile(rf"^({'|'.join(_FIELDS)}):[ \t]*(\S+)", re.MULTILINE)

#: What installers write down of a distribution that is its author's working copy.
_EDITABLE = re.compile(r'"editable"\s*:\s*true')

#: What a distribution needs, and the extra that needs it.
_NEED = re.compile(r"""([\w.-]+)(?:.*\bextra\s*==\s*['"]([\w.-]+))?""")

_API = re.compile(r"flujo\.plugins:API_([0-9]+)(?:_([0-9]+))?")
_TARGET = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")


def attempt(action: Callable[[], T]) -> T:
    """Run a plugin's code; whatever goes wrong there is a `PluginError`, with the cause in one line."""
    return foreign.attempt(action, lambda line, error: PluginError(line, cause=error), but=PluginError)


def is_target(text: str) -> bool:
    """Whether `text` has the form `module:attr`."""
    return _TARGET.fullmatch(text) is not None


def load_target(target: Any, provider: str) -> Any:
    """The object at "module:attr"; anything but text is the object itself. Raises `PluginError` naming `provider`."""
    if not isinstance(target, str):
        return target
    module, _, attribute = target.partition(":")
    try:
        return attempt(lambda: attrgetter(attribute)(import_module(module)))
    except PluginError as error:
        raise PluginError(
            f"plugin {provider} offers {target!r}, which can't be loaded: {error}",
            suggestion=remedy(provider.partition(" ")[0], error)
            or "install what it needs, or another version of the plugin",
            cause=error.__cause__,
        ) from error


def installed_plugins() -> list[Candidate]:
    """The plugins of every installed distribution, in an order that does not depend on the installation's."""
    try:
        return attempt(_scan)
    except PluginError as error:  # one unreadable installation must not look as if nothing were installed
        return [Candidate("installed plugins", "installed plugins", "", "installed", GROUP, partial(_refuse, error))]


def local_plugins(files: "Iterable[Path]") -> list[Candidate]:
    """The plugin files of a project: each is imported as a module of the folder it is in, called as the file is."""
    taken: set[str] = set()
    return [
        Candidate(_unique(file.stem, taken), file.stem, "", "local", str(file), partial(_load_file, file))
        for file in files
    ]


def named_plugins(plugins: "Iterable[object]") -> list[Candidate]:
    """Plugins that are given as objects: modules, classes or instances with decorated methods."""
    taken: set[str] = set()
    return [_named(plugin, taken) for plugin in plugins]


def _load_file(file: Path) -> ModuleType:
    if file.suffix != ".py" or not file.is_file():
        wrong = f"{str(file)!r} is no plugin file" if file.exists() else f"there is no plugin file {str(file)!r}"
        raise PluginError(wrong, suggestion="plugins.local lists paths of .py files")
    folder = file.resolve().parent
    return Project(folder, folder).load(file.stem)


def remedy(dist: str, error: PluginError) -> str:
    """How to install the module that the plugin of `dist` lacks, with the extra that needs it, if `dist` says so."""
    lacks = error.__cause__
    if not isinstance(lacks, ModuleNotFoundError):
        return ""
    try:
        needs = [_NEED.match(line) for line in attempt(lambda: _metadata().requires(dist)) or ()]
    except PluginError:  # it is no distribution, or one whose metadata can't be read
        return ""
    missing = normal(str(lacks.name).partition(".")[0])
    extra = next((need[2] for need in needs if need and normal(need[1]) == missing), "")
    return "" if extra == "" else f"pip install '{dist}[{extra}]'" if extra else f"pip install '{dist}'"


def _scan() -> list[Candidate]:
    every, unreadable = _entry_points()
    found = sorted((*_identity(entry), entry.name, entry.value, entry) for entry in every.select(group=GROUP))
    said: dict[str, dict[str, Any]] = {
        _identity(entry)[0]: {"announced": _announced(entry.value)} for entry in every.select(group=API_GROUP)
    }
    for entry in every.select(group=PROVIDES_GROUP):
        said.setdefault(_identity(entry)[0], {}).setdefault("provides", {})[entry.name] = entry.value
    taken: set[str] = set()
    return unreadable + [
        Candidate(_unique(f"{dist}:{name}", taken), dist, version, source, value, entry.load, **said.get(dist, {}))
        for dist, version, source, name, value, entry in found
    ]


def _entry_points() -> tuple[Any, list[Candidate]]:
    """All entry points, and the plugins whose own can't be read: no distribution's text keeps the others from us."""
    metadata = _metadata()
    try:
        return attempt(metadata.entry_points), []
    except PluginError:
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # it reads the same texts, and would fail by them
    found: dict[str, list[EntryPoint]] = {}
    unreadable = []
    for dist in metadata.distributions():
        name, version, source = _origin(dist, _unique("unnamed", set(found)))
        try:
            found.setdefault(name, list(attempt(partial(getattr, dist, "entry_points"))))
        except PluginError as error:
            found.setdefault(name, [])
            if _names_us(dist, error):
                told = PluginError(f"its entry_points.txt can't be read: {error}", cause=error.__cause__)
                told.suggestion = f"repair or uninstall {name}"
                unreadable.append(Candidate(name, name, version, source, GROUP, partial(_refuse, told)))
    return metadata.EntryPoints(chain.from_iterable(found.values())), unreadable


def _names_us(dist: "Distribution", error: PluginError) -> bool:
    """Whether the entry points that can't be read name a group of ours: else it is nothing to us."""
    cause = error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return b"[flujo." in cause.object
    return "[flujo." in attempt(lambda: dist.read_text("entry_points.txt") or "")


def _metadata() -> Any:
    import importlib_metadata  # noqa: PLC0415 - a tenth of a start, for those who look for plugins

    return importlib_metadata


def _announced(value: str) -> str:
    """The version that "flujo.plugins:API_1" stands for; any other text as it is."""
    found = _API.fullmatch(value)
    return f"{found[1]}.{found[2] or 0}" if found else value


def _identity(entry: "EntryPoint") -> tuple[str, str, Source]:
    """Distribution, version and source; an entry point whose distribution has no metadata stands for itself."""
    return _origin(cast("Distribution", entry.dist), entry.name)


def _origin(dist: "Distribution", nameless: str) -> tuple[str, str, Source]:
    try:
        text = attempt(lambda: dist.read_text("METADATA") or dist.read_text("PKG-INFO") or "")
        origin = attempt(lambda: dist.read_text("direct_url.json") or "")
    except PluginError:
        text = origin = ""
    source: Source = "editable" if _EDITABLE.search(origin) else "installed"
    fields = dict(_FIELD.findall(text.partition("\n\n")[0]))
    whole = len(fields) == len(_FIELDS)
    return (normal(fields["Name"]), fields["Version"], source) if whole else (nameless, "", source)


def _named(plugin: object, taken: set[str]) -> Candidate:
    if isinstance(plugin, ModuleType):
        name = target = plugin.__name__
    else:
        cls = plugin if isinstance(plugin, type) else type(plugin)
        name, target = cls.__qualname__, f"{cls.__module__}:{cls.__qualname__}"
    name = _unique(name, taken)
    return Candidate(name, name, "", "explicit", target, lambda: plugin)


def _refuse(error: PluginError) -> object:
    raise error


def _unique(name: str, taken: set[str]) -> str:
    unique = next(each for each in chain([name], (f"{name}#{n}" for n in count(2))) if each not in taken)
    taken.add(unique)
    return unique
