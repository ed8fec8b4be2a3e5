"""`flujo plugins list`: which plugins there are, what became of each, and what it adds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from flujo.domain.suggest import did_you_mean
from flujo.plugins import PluginManager, PluginRecord, PluginStatus
from flujo.plugins.precedence import Conflict
from flujo.plugins.registrars import REGISTRARS
from flujo.plugins.screening import dropped_facets
from flujo_cli.exit_codes import ExitCode
from flujo_cli.installed import is_broken, load_plugins, shown_name
from flujo_cli.options import Options, json_option
from flujo_cli.output import Console, one_line
from flujo_cli.streams import CommandError

__all__ = ["describe_conflict", "describe_record", "hooks_of", "left_out", "plugins_list"]

_PREFIX = "flujo_register_"

#: So many keys are named, if none is longer than that; else they are counted.
_NAMED, _SHORT = 3, 20


@click.command()
@click.option("--all", "show_all", is_flag=True, help="List plugins that are switched off, too.")
@click.option("--hook", metavar="HOOK", help="List only plugins with that hook, such as event_sinks.")
@click.option("--requirements", is_flag=True, help="Write the plugins that are loaded as requirements for pip.")
@click.option(
    "--check", is_flag=True, help="End with exit code 1 when a plugin is broken or two contradict each other."
)
@json_option
@click.pass_obj
def plugins_list(
    options: Options, show_all: bool, hook: str | None, requirements: bool, check: bool, as_json: bool
) -> ExitCode:
    """List plugins and what each one adds. A plugin that does not work is listed with the reason."""
    manager = load_plugins(options, quiet=True, insists=check)
    records = list(_chosen(manager, None if hook is None else _known_hook(hook), show_all=show_all))
    if requirements:
        _write_requirements(records, as_json=as_json)
    elif as_json:
        told = {"plugins": [describe_record(record) for record in records]}
        conflicts = [describe_conflict(conflict) for conflict in manager.conflicts()]
        Console().json({"schema": "flujo.plugins/1", **told, "conflicts": conflicts})
    else:
        _write_table(manager, records)
    is_wrong = any(is_broken(record) for record in manager.records) or bool(manager.conflicts())
    return ExitCode.FAILED if check and is_wrong else ExitCode.OK


def describe_record(record: PluginRecord) -> dict[str, Any]:
    """A plugin as plain data."""
    return {
        "name": record.name,
        "dist": record.dist,
        "version": record.version,
        "api": record.api or None,
        "status": record.status.value,
        "phase": record.phase or None,
        "error": record.error or None,
        "suggestion": record.suggestion or None,
        "note": record.note or None,
        "source": record.source,
        "target": record.target,
        "file": record.file or None,
        "load_ms": record.load_ms,
        "contributes": _plain(record.contributes),
        "shadowed": _plain(record.shadowed),
        "overrides": _plain(record.overrides),
        "dropped": _plain(record.dropped),
    }


def describe_conflict(conflict: Conflict) -> dict[str, Any]:
    """What several plugins claim, as plain data."""
    return {"facet": conflict.facet, "key": conflict.key, "providers": list(conflict.providers), "fix": conflict.fix}


def hooks_of(manager: PluginManager, record: PluginRecord) -> list[str]:
    """The names of the hooks that the plugin has; none of one that is not loaded."""
    plugin = manager.get_plugin(record.name)
    return [] if plugin is None else sorted(caller.name for caller in manager.get_hookcallers(plugin) or ())


def left_out(manager: PluginManager, record: PluginRecord) -> list[str]:
    """What the plugin has beside, by its sort that is switched off, and by what that is."""
    off = dropped_facets(record, manager.options)
    return [f"{_counted(facet, keys)} switched off {off[facet]}" for facet, keys in record.dropped.items()]


def _chosen(manager: PluginManager, hook: str | None, *, show_all: bool) -> Iterator[PluginRecord]:
    for record in manager.records:
        is_hidden = record.status is PluginStatus.DISABLED and not show_all
        if not is_hidden and (hook is None or hook in hooks_of(manager, record)):
            yield record


def _known_hook(text: str) -> str:
    """The whole name of a hook. Raises `CommandError` for one that there isn't."""
    name = text if text.startswith(_PREFIX) else f"{_PREFIX}{text.replace('-', '_')}"
    if name not in REGISTRARS:
        words = [hook.removeprefix(_PREFIX) for hook in REGISTRARS]
        advice = did_you_mean(name.removeprefix(_PREFIX), words, what="the hooks are")
        raise CommandError(f"there is no hook {text!r}", suggestion=advice)
    return name


def _write_requirements(records: Sequence[PluginRecord], *, as_json: bool) -> None:
    """Each distribution once; a plugin of the project's own is in none."""
    lines = {f"{record.dist}=={record.version}" for record in records if record.loaded and record.is_installed}
    if as_json:
        Console().json({"schema": "flujo.plugins.requirements/1", "requirements": sorted(lines)})
        return
    for line in sorted(lines):
        Console().out(line)


def _write_table(manager: PluginManager, records: Sequence[PluginRecord]) -> None:
    console = Console()
    head = ("NAME", "VERSION", "API", "STATUS", "SOURCE", "LOAD", "CONTRIBUTES")
    console.table(head, [_row(manager, record) for record in records])
    for conflict in manager.conflicts():
        console.out(f"conflict: {one_line(str(conflict))}: at the top of flujo.toml set {conflict.fix}")
    for line in filter(None, [*manager.set_aside, manager.options.unheeded]):
        console.note(line)


def _row(manager: PluginManager, record: PluginRecord) -> tuple[str, ...]:
    took = "-" if record.load_ms is None else f"{record.load_ms:.0f} ms"
    shown = (shown_name(record), record.version or "-", record.api or "-", record.status.value, record.source, took)
    return (*shown, _contributes(manager, record))


def _contributes(manager: PluginManager, record: PluginRecord) -> str:
    if is_broken(record):
        return f"{one_line(record.error, 200)}  -> flujo plugins show {shown_name(record)}"
    if not record.loaded:
        return one_line(record.error, 200)
    parts = [_counted(facet, keys) for facet, keys in record.contributes.items() if keys]
    dropped = "".join(f" ({text})" for text in left_out(manager, record))
    return (", ".join(parts) or "nothing") + _overridden(manager, record) + dropped


def _counted(facet: str, keys: Sequence[str]) -> str:
    named = len(keys) <= _NAMED and all(len(key) <= _SHORT and " " not in key for key in keys)
    return f"{facet.replace('_', ' ')} {' '.join(keys) if named else len(keys)}"


def _overridden(manager: PluginManager, record: PluginRecord) -> str:
    """What the plugin takes from others, and from whom."""
    beaten: dict[str, list[str]] = {}
    for facet, keys in record.overrides.items():
        table = getattr(manager.contributions, facet)
        for key in keys:
            others = {offer.dist for offer in table.rivals(key)} - {record.dist}
            beaten.setdefault(", ".join(sorted(others)), []).append(key.rpartition(":")[2])
    told = "; ".join(f"overrides {dist}: {', '.join(keys)}" for dist, keys in beaten.items())
    return f" ({told})" if told else ""


def _plain(keys: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {facet: list(each) for facet, each in keys.items()}
