"""Which plugins may be loaded: options of the command line, the environment, and the project's settings."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flujo.infra.config_files import PROJECT_FILE
from flujo.infra.config_manager import ConfigManager, get_config_manager

__all__ = ["LOCAL_FILE", "PluginOptions", "normal", "plugin_options"]

#: The plugin of a project that is loaded without being named, where it stands beside the project's settings.
LOCAL_FILE = "flujo_plugins.py"

#: What the names of distributions may be joined by, all of it the same to installers (PEP 503).
_SEPARATORS = re.compile(r"[-_.]+")

_AUTOLOAD = "FLUJO_DISABLE_PLUGIN_AUTOLOAD"

#: What switches something off, as well as leaving it out.
_NO = ("", "0")


class PluginOptions(NamedTuple):
    """Which plugins are loaded, and what of them counts. Names are those of distributions, in any spelling.

    `discover` looks for installed plugins, which with `safe` are flujo's own only. `only` and `enable` are the third
    parties that may load, None for any; `block` and `disable` ("dist", or "dist:kinds" for one sort of contribution)
    may not, and `force` may whatever the others say. `require` must be loaded ("dist>=1.2"). `local` are plugin files
    of the project. `pins` say whose contribution counts, by sort and key; `settings` is each plugin's own table.
    `strict` raises for the first problem; `debug` names each plugin on stderr before it is imported, and `trace` each
    hook that is called. `origins` tells where each setting is written, and by what `discover` is off; `unheeded` which
    plugin file is not among the `local` ones, and why, where there is one.
    """

    discover: bool = True
    safe: bool = False
    only: tuple[str, ...] | None = None
    block: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    enable: tuple[str, ...] | None = None
    require: tuple[str, ...] = ()
    local: tuple[Path, ...] = ()
    pins: Mapping[str, Mapping[str, str]] = {}
    settings: Mapping[str, Mapping[str, Any]] = {}
    strict: bool = False
    debug: bool = False
    trace: bool = False
    origins: Mapping[str, str] = {}
    unheeded: str = ""


def normal(name: str) -> str:
    """The one spelling of a distribution's name that all spellings amount to."""
    return _SEPARATORS.sub("-", name).lower()


def plugin_options(
    root: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    no_plugins: bool = False,
    switches: Sequence[str] = (),
) -> PluginOptions:
    """The options of the project around `root` (default: the working directory).

    `environ` is by default the process's environment; `no_plugins` and `switches` are the options `--no-plugins` and
    `-P` as typed, "NAME" or "no:NAME". Raises `SettingsError` for settings that can't be.
    """
    environment = os.environ if environ is None else environ
    config = get_config_manager(root)
    project = config.plugins
    only = environment.get("FLUJO_PLUGINS")
    autoload = not _is_on(environment, _AUTOLOAD)
    return PluginOptions(
        discover=autoload,
        safe=no_plugins or _is_on(environment, "FLUJO_NO_PLUGINS"),
        only=None if only is None else tuple(filter(None, map(str.strip, only.split(",")))),
        block=tuple(switch.removeprefix("no:") for switch in switches if switch.startswith("no:")),
        force=tuple(switch for switch in switches if not switch.startswith("no:")),
        disable=project.disable,
        enable=project.enable,
        require=project.require,
        local=_local(config) if autoload else (),
        pins=project.pins,
        settings=project.settings,
        strict=_is_on(environment, "FLUJO_PLUGINS_STRICT"),
        debug=_is_on(environment, "FLUJO_PLUGINS_DEBUG"),
        trace=_is_on(environment, "FLUJO_PLUGINS_TRACE"),
        origins=project.origins if autoload else {**project.origins, "discover": _AUTOLOAD},
        unheeded=_unheeded(config),
    )


def _is_on(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "") not in _NO


def _local(config: ConfigManager) -> tuple[Path, ...]:
    """The plugin files of a project: a folder that nobody has declared a project runs no code of its own accord."""
    own = config.root / LOCAL_FILE
    files = [*([own] if config.declared and own.is_file() else []), *config.plugins.local]
    found: dict[Path, Path] = {}
    for file in files:
        found.setdefault(file.resolve(), file)
    return tuple(found.values())


def _unheeded(config: ConfigManager) -> str:
    own = config.root / LOCAL_FILE
    told = f"{str(own)!r} is not loaded: no {PROJECT_FILE} beside it makes its folder a project"
    return told if own.is_file() and not config.declared else ""
