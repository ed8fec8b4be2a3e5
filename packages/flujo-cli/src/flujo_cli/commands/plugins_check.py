"""`flujo plugins check`: what an author's plugin has to keep, looked at in a process of its own."""

from pathlib import Path

import click

from flujo.domain.suggest import did_you_mean
from flujo.exceptions import PluginError
from flujo.plugins import plugin_options
from flujo.plugins.discovery import installed_plugins, local_plugins
from flujo.plugins.screening import is_called
from flujo.testing.probe import probe_plugin, problems
from flujo_cli.exit_codes import ExitCode
from flujo_cli.options import Options, json_option
from flujo_cli.output import Console, one_line

__all__ = ["plugins_check"]


@click.command()
@click.argument("name", required=False)
@json_option
@click.pass_obj
def plugins_check(options: Options, name: str | None, as_json: bool) -> ExitCode:
    """Check an installed plugin or a plugin file of the project, or all of them, as its author should.

    In a process of its own: it loads, twice with the same result, prints nothing, starts no thread and leaves the
    process as it was; its hooks and its API version are right, and everything that it names can be imported and is of
    its sort. It has the settings of the project. Ends with 1 when something is wrong.
    """
    found = {dist: problems(probe_plugin(dist, root=options.works)) for dist in _dists(options.works, name)}
    console = Console()
    if as_json:
        told = [{"dist": dist, "problems": wrong} for dist, wrong in found.items()]
        console.json({"schema": "flujo.plugins.check/1", "plugins": told})
    else:
        for dist, wrong in found.items():
            for line in wrong or ["ok"]:
                console.out(f"{dist}: {one_line(line)}")
    return ExitCode.FAILED if any(found.values()) else ExitCode.OK


def _dists(folder: Path, name: str | None) -> list[str]:
    """The distributions and files to look at, found without loading any.

    Raises `PluginError` for a name that has no plugin.
    """
    plugins = [*installed_plugins(), *local_plugins(plugin_options(folder).local)]
    named = [each for each in plugins if name is None or is_called(each, name)]
    if name is not None and not named:
        known = {each.dist for each in plugins}
        raise PluginError(f"there is no plugin {name!r}", suggestion=did_you_mean(name, known, what="plugins are"))
    return sorted({each.dist for each in named})
