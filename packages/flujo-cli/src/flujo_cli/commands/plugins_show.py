"""`flujo plugins show`: everything about one plugin."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from flujo.domain.callables import reference
from flujo.domain.masking import unsecret
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import PluginError
from flujo.plugins import PluginManager, PluginRecord
from flujo.plugins.records import NOUNS
from flujo.plugins.screening import is_called
from flujo.plugins.switches import normal
from flujo_cli.commands.plugins_list import describe_record, hooks_of, left_out
from flujo_cli.installed import load_plugins, shown_name
from flujo_cli.options import Options, json_option
from flujo_cli.output import Console, one_line

__all__ = ["find_record", "plugins_show"]

#: Where an offer says what is behind it, in the order in which it is looked for.
_TARGETS = ("target", "factory", "build")


@click.command()
@click.argument("name")
@json_option
@click.pass_obj
def plugins_show(options: Options, name: str, as_json: bool) -> None:
    """Show one plugin: what became of it and why, its hooks and settings, and each thing that it adds.

    NAME is that of its distribution, with or without "flujo-", of its entry point, both with a colon, or its module.
    """
    manager = load_plugins(options, quiet=True, insists=False)
    record = find_record(manager, name)
    things = list(_things(manager, record))
    hooks = hooks_of(manager, record)
    console = Console()
    if as_json:
        more = {
            "hooks": hooks,
            "settings": _settings(manager, record),
            "takes": {**record.takes},
            "traceback": record.traceback or None,
        }
        told = describe_record(record) | more | {"things": things}
        console.json({"schema": "flujo.plugin/1", "plugin": told})
        return
    console.out(f"{record.provider}: {record.status.value}")
    for label, text in _facts(manager, record, hooks):
        console.out(f"  {label:<9} {one_line(text)}")
    for thing in things:
        console.out(f"  {NOUNS[thing['facet']]} {_line(thing)}")
    if record.traceback:
        console.out(one_line(f"\n{record.traceback.rstrip()}", len(record.traceback) + 1))


def find_record(manager: PluginManager, name: str) -> PluginRecord:
    """The plugin called `name`. Raises `PluginError` when there is none, or several."""
    found = [record for record in manager.records if is_called(record, name)]
    found = [record for record in found if normal(name) in (normal(record.dist), normal(record.name))] or found
    found = [record for record in found if record.name == name] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise PluginError(
            f"{name!r} has several plugins", suggestion=f"name one of {', '.join(record.name for record in found)}"
        )
    known = {shown_name(record) for record in manager.records}
    raise PluginError(f"there is no plugin {name!r}", suggestion=did_you_mean(name, known, what="plugins are"))


def _facts(manager: PluginManager, record: PluginRecord, hooks: Sequence[str]) -> Iterator[tuple[str, str]]:
    where = f" ({record.phase})" if record.phase else ""
    facts = {
        "error": f"{record.error}{where}" if record.error else "",
        "help": record.suggestion,
        "note": record.note,
        "from": f"{record.source}, {record.target}",
        "file": record.file,
        "api": record.api,
        "load": "" if record.load_ms is None else f"{record.load_ms:.0f} ms",
        "hooks": ", ".join(hooks),
    }
    yield from ((label, text) for label, text in facts.items() if text)
    yield from (("without", text) for text in left_out(manager, record))
    for key, value in _settings(manager, record).items():
        yield "setting", f"{key} = {value!r}"
    yield from (("takes", f"{key}: {meaning}") for key, meaning in record.takes.items())


def _settings(manager: PluginManager, record: PluginRecord) -> dict[str, Any]:
    given = manager.options.settings.get(normal(record.dist), {})
    return {key: unsecret(key, value) for key, value in given.items()}


def _things(manager: PluginManager, record: PluginRecord) -> Iterator[dict[str, Any]]:
    """Each thing that the plugin offers: what it is, where it is, and what else it says of itself."""
    for facet, keys in record.contributes.items():
        table = getattr(manager.contributions, facet)
        for key in keys:
            value = next((offer.value for offer in table.rivals(key) if offer.provider == record.provider), None)
            yield {
                "facet": facet,
                "key": key,
                "target": _target(value),
                "summary": getattr(value, "summary", None) or getattr(value, "short_help", None),
                "side_effects": bool(getattr(value, "side_effects", False)),
                "shadowed": key in record.shadowed.get(facet, ()),
                "overrides": key in record.overrides.get(facet, ()),
            }


def _target(value: Any) -> str | None:
    """Where the thing is, as the plugin says, or its class."""
    found = next((getattr(value, name) for name in _TARGETS if hasattr(value, name)), None)
    if found is None or isinstance(found, str):
        return found
    return reference(found)


def _line(thing: dict[str, Any]) -> str:
    summary = f": {thing['summary']}" if thing["summary"] else ""
    marks = [word.replace("_", " ") for word in ("side_effects", "shadowed", "overrides") if thing[word]]
    target = f" -> {thing['target']}" if thing["target"] else ""
    return one_line(f"{thing['key']}{summary}{''.join(f' ({mark})' for mark in marks)}{target}")
