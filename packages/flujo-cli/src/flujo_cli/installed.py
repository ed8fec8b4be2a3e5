"""The plugins that a command works with, and a line of the log for each one that is broken."""

from contextlib import redirect_stdout
from pathlib import Path

from flujo.infra.config_manager import get_config_manager
from flujo.infra.logging import Logger
from flujo.plugins import PluginManager, PluginRecord, PluginStatus, create_plugin_manager, plugin_options
from flujo_cli.options import Options
from flujo_cli.output import Console

__all__ = ["is_broken", "load_plugins", "shown_name"]


def load_plugins(
    options: Options, root: Path | None = None, *, quiet: bool = False, insists: bool = True
) -> PluginManager:
    """Load the plugins for the project at `root` (default: that of the working directory), as the switches say.

    `options` note those that aren't flujo's own. Unless `quiet`, a line of the log tells of each broken one, and of
    what else there is to say of those that work. Without `insists` no plugin has to be there, or to work. Raises
    `SettingsError` for settings that can't be, `PluginError` for a switch that names no plugin, and
    `ConfigurationError` where there is no folder to work in any more.
    """
    root = root or options.works
    chosen = plugin_options(root, no_plugins=options.no_plugins, switches=options.plugin_switches)
    with redirect_stdout(Console().stderr):  # what a plugin prints is no result
        manager = create_plugin_manager(options=chosen if insists else chosen._replace(strict=False, require=()))
    options.strangers = tuple(each.provider for each in manager.records if each.loaded and not each.is_first_party)
    if not quiet and (manager.notices() or any(map(is_broken, manager.records))):
        _tell(manager, options, root)
    return manager


def _tell(manager: PluginManager, options: Options, root: Path) -> None:
    settings = get_config_manager(root).settings(log_format=options.log_format, log_level=options.log_level)
    log = Logger(settings.log_format, Console().stderr, settings.log_level)
    for record in filter(is_broken, manager.records):
        log.log("warning", record.problem, see=f"flujo plugins show {shown_name(record)}")
    for notice in manager.notices():
        log.log("warning", notice)


def is_broken(record: PluginRecord) -> bool:
    """Whether the plugin should work, and does not."""
    return not record.loaded and record.status is not PluginStatus.DISABLED


def shown_name(record: PluginRecord) -> str:
    """The distribution, with the entry point's name where that says more."""
    return record.dist if record.name in (record.dist, f"{record.dist}:{record.dist}") else record.name
