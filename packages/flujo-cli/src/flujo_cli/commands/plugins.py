"""`flujo plugins`: which plugins there are, what became of each, and what it adds."""

from typing import Any

import click

from flujo.plugins import PluginRecord, create_plugin_manager
from flujo_cli.options import json_option
from flujo_cli.output import Console, one_line

__all__ = ["plugins"]


@click.command()
@json_option
def plugins(as_json: bool) -> None:
    """List plugins and what each one adds. A plugin that does not work is listed with the reason."""
    records = create_plugin_manager().records
    console = Console()
    if as_json:
        console.json({"schema": "flujo.plugins/1", "plugins": [_describe(record) for record in records]})
        return
    head = ("NAME", "VERSION", "STATUS", "SOURCE", "CONTRIBUTES")
    console.table(head, [(_name(r), r.version, r.status.value, r.source, _contributes(r)) for r in records])


def _describe(record: PluginRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "dist": record.dist,
        "version": record.version,
        "status": record.status.value,
        "error": record.error or None,
        "source": record.source,
        "target": record.target,
        "contributes": {facet: list(keys) for facet, keys in record.contributes.items()},
    }


def _name(record: PluginRecord) -> str:
    """The distribution, with the entry point's name where that says more."""
    return record.dist if record.name in (record.dist, f"{record.dist}:{record.dist}") else record.name


def _contributes(record: PluginRecord) -> str:
    if record.error:
        return one_line(record.error, 200)
    return ", ".join(_counted(len(keys), facet) for facet, keys in record.contributes.items()) or "nothing"


def _counted(number: int, facet: str) -> str:
    """The facets are named in the plural."""
    one = facet.removesuffix("ies") + "y" if facet.endswith("ies") else facet.removesuffix("s")
    return f"{number} {one if number == 1 else facet}"
