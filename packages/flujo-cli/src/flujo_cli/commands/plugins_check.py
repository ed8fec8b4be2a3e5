"""`flujo plugins check`: what an author's plugin has to keep, looked at in a process of its own."""

import click

from flujo.domain.suggest import did_you_mean
from flujo.exceptions import PluginError
from flujo.plugins.discovery import installed_plugins
from flujo.plugins.switches import normal
from flujo.testing.probe import probe_plugin, problems
from flujo_cli.exit_codes import ExitCode
from flujo_cli.installed import names_of
from flujo_cli.options import json_option
from flujo_cli.output import Console, one_line

__all__ = ["plugins_check"]


@click.command()
@click.argument("name", required=False)
@json_option
def plugins_check(name: str | None, as_json: bool) -> ExitCode:
    """Check an installed plugin, or all of them, as its author should before it is published.

    In a process of its own: it loads, twice with the same result, prints nothing and starts no thread; its hooks and
    its API version are right, and everything that it names can be imported. Ends with 1 when something is wrong.
    """
    found = {dist: problems(probe_plugin(dist)) for dist in _dists(name)}
    console = Console()
    if as_json:
        told = [{"dist": dist, "problems": wrong} for dist, wrong in found.items()]
        console.json({"schema": "flujo.plugins.check/1", "plugins": told})
    else:
        for dist, wrong in found.items():
            for line in wrong or ["ok"]:
                console.out(f"{dist}: {one_line(line)}")
    return ExitCode.FAILED if any(found.values()) else ExitCode.OK


def _dists(name: str | None) -> list[str]:
    """The distributions to look at, found without loading any. Raises `PluginError` for a name that has no plugin."""
    plugins = installed_plugins()
    named = [each for each in plugins if name is None or normal(name) in map(normal, names_of(each))]
    if name is not None and not named:
        known = {each.dist for each in plugins}
        raise PluginError(f"no plugin {name!r} is installed", suggestion=did_you_mean(name, known, what="plugins are"))
    return sorted({each.dist for each in named})
