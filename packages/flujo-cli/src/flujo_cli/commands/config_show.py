"""`flujo config show`: every setting, its value, and where that comes from."""

import json
from typing import Any

import click

from flujo.domain.masking import unsecret
from flujo.infra.config_manager import get_config_manager
from flujo_cli.options import Options, json_option
from flujo_cli.output import Console, one_line
from flujo_cli.variables import warn_of_variables

__all__ = ["config_show"]


@click.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from, and which files were looked for.")
@json_option
@click.pass_obj
def config_show(options: Options, origin: bool, as_json: bool) -> None:
    """Show every setting of the project around the working directory. Secrets are not shown."""
    manager = get_config_manager()
    settings = manager.settings(log_format=options.log_format, log_level=options.log_level)
    console = Console()
    warn_of_variables(console)
    values = {name: unsecret(name, value) for name, value in settings.values.items()}
    files = [(str(each.file), each.state) for each in manager.looked]
    if as_json:
        found = {name: {"value": value, "origin": settings.origins[name]} for name, value in values.items()}
        looked = [{"file": file, "state": state} for file, state in files]
        console.json({"schema": "flujo.config/1", "root": str(manager.root), "settings": found, "files": looked})
        return
    rows = [(name, _text(value), settings.origins[name]) for name, value in values.items()]
    console.table(("SETTING", "VALUE", "ORIGIN")[: 2 + origin], [row[: 2 + origin] for row in rows])
    if origin:
        console.out("")
        console.table(("FILE", "STATE"), files)


def _text(value: Any) -> str:
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
