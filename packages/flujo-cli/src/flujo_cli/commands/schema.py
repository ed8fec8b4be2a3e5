"""`flujo schema`: the JSON Schema of pipeline files, for editors."""

from collections.abc import Iterator

import click

from flujo.blueprint.json_schema import file_schema
from flujo.blueprint.kinds import KindSpec
from flujo.exceptions import FlujoError
from flujo.plugins import PluginManager
from flujo_cli.exit_codes import ExitCode, exit_code_help
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options
from flujo_cli.output import Console, one_line

__all__ = ["schema"]


@click.command(epilog=exit_code_help(ExitCode.OK, ExitCode.USAGE))
@click.pass_obj
def schema(options: Options) -> None:
    """Write the JSON Schema of pipeline files to stdout, with the kinds of step of the plugins here.

    It refuses nothing that flujo takes; `flujo validate` finds more than a schema can say.
    """
    console = Console()
    console.json(file_schema(_usable(load_plugins(options), console)))


def _usable(manager: PluginManager, console: Console) -> Iterator[KindSpec]:
    """The kinds that a file can name; the others are told of."""
    kinds = manager.contributions.kinds
    for name in kinds:
        try:
            yield kinds[name]
        except FlujoError as error:
            console.note(f"warning: kind {name!r} is left out: {one_line(str(error))}")
