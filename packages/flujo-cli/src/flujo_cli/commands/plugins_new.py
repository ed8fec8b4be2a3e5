"""`flujo plugins new`: a package to begin a plugin with, that works and is tested."""

import shlex
from pathlib import Path

import click

from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options, json_option
from flujo_cli.output import Console
from flujo_cli.rendering import PARTS, Scaffold, write_files
from flujo_cli.streams import CommandError

__all__ = ["plugins_new"]


def _parts(ctx: click.Context, param: click.Parameter, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        advice = did_you_mean(unknown[0], PARTS, what="the parts are")
        raise CommandError(f"a plugin has no part {unknown[0]!r}", suggestion=advice)
    if not parts:
        raise CommandError("--with names no part", suggestion=f"the parts are {', '.join(PARTS)}")
    return parts


@click.command()
@click.argument("name")
@click.option(
    "--with",
    "parts",
    metavar="PARTS",
    default="policy",
    show_default=True,
    callback=_parts,
    help=f"What it adds: any of {', '.join(PARTS)}, with commas between them.",
)
@click.option(
    "--into",
    metavar="DIR",
    default=".",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that the package's own is made in. [default: the working directory]",
)
@json_option
@click.pass_obj
def plugins_new(options: Options, name: str, parts: list[str], into: Path, as_json: bool) -> None:
    """Write a package for a plugin that adds NAME, such as http: typed, with tests of what flujo counts on.

    Nothing is overwritten.
    """
    scaffold = Scaffold(name, parts)
    manager = load_plugins(options, quiet=True, insists=False)
    for facet, key in scaffold.keys().items():
        if key in (table := getattr(manager.contributions, facet)):
            owner = table.offers(key)[0].provider
            raise ConfigurationError(f"{key!r} in {facet} is {owner}'s already", suggestion="choose another name")
    folder = into / scaffold.dist
    texts = scaffold.files()
    write_files(folder, texts)
    console = Console()
    following = [f"pip install --editable {shlex.quote(f'{folder}[test]')}", f"flujo plugins check {scaffold.dist}"]
    if as_json:
        told = {"dist": scaffold.dist, "folder": str(folder), "files": [*texts], "next": following}
        console.json({"schema": "flujo.plugins.new/1", **told})
        return
    for path in texts:
        console.out(str(folder / path))
    console.note(f"next: {'; '.join(following)}")
