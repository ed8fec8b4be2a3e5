"""`flujo where`: the project's folder, its settings, its state, and what of it is there."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from flujo.domain.locations import LocatedBackend
from flujo.domain.masking import masked
from flujo.exceptions import FlujoError
from flujo.infra.config_manager import get_config_manager
from flujo.runner.state_backend_manager import open_state
from flujo_cli.installed import load_plugins
from flujo_cli.options import Options, json_option, state_option
from flujo_cli.output import Console, one_line
from flujo_cli.project import Project
from flujo_cli.variables import warn_of_variables

__all__ = ["where"]


class _Place(NamedTuple):
    """Something of the project's: what it is, where it lies, whether it is there, and what else is to say of it."""

    what: str
    place: str
    exists: bool
    note: str


@click.command()
@json_option
@state_option
@click.pass_obj
def where(options: Options, as_json: bool, state: str | None) -> None:
    """Say where the project's folder, settings and state are, and which of them exist. Nothing is made."""
    project = Project.here(stands=options.stands, state=state)
    console = Console()
    warn_of_variables(console)
    found = [*_settings(), *asyncio.run(_state(options, project))]
    if as_json:
        console.json({"schema": "flujo.where/1", "places": [each._asdict() for each in found]})
        return
    console.table(("WHAT", "WHERE", ""), [(each.what, each.place, each.note) for each in found])


def _settings() -> Iterator[_Place]:
    manager = get_config_manager()
    yield _Place("project", str(manager.root), True, "" if manager.declared else "no settings: the working directory")
    for each in manager.looked:
        is_ours = each.file.parent == manager.root or each.own or each.table is not None
        if is_ours or each.state.startswith("can't"):
            yield _Place("settings", str(each.file), each.state == "read", each.state)


async def _state(options: Options, project: Project) -> list[_Place]:
    """The state's places; why it can't be opened, where it can't."""
    uri = masked(project.settings.state_uri)
    try:
        backend = open_state(project.settings.state_uri, load_plugins(options), project.root)
    except FlujoError as error:
        return [_Place("state", uri, False, one_line(masked(str(error))))]
    try:
        if isinstance(backend, LocatedBackend):
            return [_placed(what, place) for what, place in backend.locations.items()]
        return [_Place("state", uri, False, "in no file")]
    finally:
        await backend.close()


def _placed(what: str, place: Path) -> _Place:
    exists = place.exists()
    return _Place(what, str(place), exists, "there" if exists else "not there yet")
