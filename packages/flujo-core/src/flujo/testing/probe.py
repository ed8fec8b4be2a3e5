"""What a plugin does when it is loaded, found out in a process of its own: `python probe.py NAME RESULT [PROJECT]`.

As a program it imports of flujo only what loads plugins, so that whatever else is imported is the plugin's doing.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from flujo.exceptions import PluginError
from flujo.plugins import PluginManager, PluginOptions, PluginRecord, create_plugin_manager, plugin_options
from flujo.plugins.blame import begins, sorts
from flujo.plugins.discovery import API_GROUP, installed_plugins
from flujo.plugins.loading import MOVED
from flujo.plugins.switches import normal

__all__ = ["PluginProbe", "look", "probe_plugin", "problems"]

Settings: TypeAlias = Mapping[str, Mapping[str, Any]]

#: A plugin that takes longer to load has come to a standstill, in seconds.
_HUNG_S = 120.0

#: The most that is shown of what a plugin prints.
_SHOWN = 200


class PluginProbe(NamedTuple):
    """What loading the plugins of one distribution came to, as lines.

    `records` are those that do not work, `printed` is what was written to stdout and stderr, `threads` those that were
    begun, `changes` what else of the process is another than before, `modules` what was imported beside what flujo
    itself needs to load plugins. `unloadable` are targets that can't be imported or are of the wrong sort, `differs`
    what another manager, made right after the first, does not have as the first, and `api` what is wrong with the
    versions of the contract and of flujo-core that the distribution names.
    """

    records: tuple[str, ...] = ()
    printed: str = ""
    threads: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    unloadable: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    api: tuple[str, ...] = ()


def problems(probe: PluginProbe) -> list[str]:
    """Everything that is wrong with the plugin, one line each; `modules` are no problem by themselves."""
    printed = [f"it prints {probe.printed[:_SHOWN]!r} when it is loaded"] if probe.printed else []
    threads = [f"it starts the thread {name!r} when it is loaded" for name in probe.threads]
    return [*probe.records, *printed, *threads, *probe.changes, *probe.unloadable, *probe.differs, *probe.api]


def probe_plugin(
    dist: str, hung_s: float = _HUNG_S, root: Path | None = None, settings: Settings = MappingProxyType({})
) -> PluginProbe:
    """Load the plugins of the installed distribution `dist` in a process of its own, and import all they offer.

    With `root` it has the settings of the project there, and may be a plugin file of it; `settings` are those without
    one, each plugin's own table by its distribution. One that brings the process down, or is not loaded after `hung_s`
    seconds, is told as a record.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("FLUJO_")}
    with tempfile.TemporaryDirectory(prefix="flujo-probe-") as folder:
        found = Path(folder) / "found.json"
        words = [sys.executable, "-u", "-P", __file__, dist, str(found), *([str(root.resolve())] if root else [])]
        try:
            done = subprocess.run(  # noqa: S603 - this file, and the name of a distribution
                words,
                cwd=folder,
                env=own,
                input=json.dumps(dict(settings)).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=hung_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            line = f"{dist}: loading it has not come to an end after {hung_s:g} s"
            return PluginProbe(records=(line,), printed=(error.output or b"").decode(errors="backslashreplace"))
        printed = done.stdout.decode(errors="backslashreplace")
        if not found.exists():
            line = f"{dist}: loading it ended the process with exit code {done.returncode}"
            return PluginProbe(records=(line,), printed=printed)
        fields = json.loads(found.read_text(encoding="utf-8"))
    return PluginProbe(printed=printed, **{name: tuple(lines) for name, lines in fields.items()})


def look(dist: str, root: str = "", settings: Settings = MappingProxyType({})) -> dict[str, list[str]]:
    """What a probe tells but for what is printed, by field, found in this process: it should be a new one."""
    options = PluginOptions(only=(dist,), settings=settings)
    if root:
        given = plugin_options(Path(root))
        options = options._replace(local=given.local, settings=given.settings)
    try:
        create_plugin_manager(options=options._replace(only=(), block=(dist,)))
        modules, threads, before = set(sys.modules), set(threading.enumerate()), _process()
        manager = create_plugin_manager(options=options)
        own = _records(manager, dist)
        imported = sorted(set(sys.modules) - modules)
        begun = [thread.name for thread in threading.enumerate() if thread not in threads]
        changes = [f"it changes {what} when it is loaded" for what, now in _process().items() if now != before[what]]
        again = _records(create_plugin_manager(options=options), dist)
    except PluginError as error:
        return {"records": [str(error)]}
    from flujo.testing.offers import wrong_offers  # noqa: PLC0415 - what it imports is told from the plugin's own

    return {
        "records": [record.problem for record in own if not record.loaded],
        "modules": imported,
        "threads": begun,
        "changes": [*changes, *(record.note for record in own if record.note.startswith(MOVED))],
        "unloadable": [*wrong_offers(manager, dist)],
        "differs": [*_differing(own, again)],
        "api": [] if any(each.source == "local" for each in own) else [*_wrong_versions(own, dist)],
    }


def _process() -> dict[str, Any]:
    """What a plugin that is loaded should leave as it is, by what it is called."""
    mask = os.umask(0)
    os.umask(mask)
    streams = {"sys.stdin": sys.stdin, "sys.stdout": sys.stdout, "sys.stderr": sys.stderr}
    return {
        "sys.path": [*sys.path],
        "the recursion limit": sys.getrecursionlimit(),
        "the umask": mask,
        **{f"the handler of {each.name}": signal.getsignal(each) for each in signal.Signals},
        **{name: (stream, stream is None or stream.closed) for name, stream in streams.items()},
    }


def _records(manager: PluginManager, dist: str) -> list[PluginRecord]:
    return [record for record in manager.records if normal(record.dist) == normal(dist)]


def _differing(first: list[PluginRecord], second: list[PluginRecord]) -> Iterator[str]:
    for one, two in zip(first, second, strict=True):
        if (one.status, dict(one.contributes)) != (two.status, dict(two.contributes)):
            yield f"{one.name} is another when it is loaded again: {_shown(one)}, then {_shown(two)}"


def _shown(record: PluginRecord) -> str:
    return f"{record.status.value} with {dict(record.contributes)}"


def _wrong_versions(records: list[PluginRecord], dist: str) -> Iterator[str]:
    announced = {each.announced for each in installed_plugins() if each.dist == normal(dist)} - {""}
    if not announced:
        yield (
            f"{dist} does not announce the plugin API it was written for, "
            f'expected [project.entry-points."{API_GROUP}"] {dist} = "flujo.plugins:API_1"'
        )
    for record in records:
        whole = f"{record.api.partition('.')[0]}.0"  # which stands for all that are compatible with it
        for version in announced - {record.api, whole} if record.api else ():
            yield f"{record.name} is written for plugin API {record.api!r}, but {dist} announces {version!r}"
    needs = [each for found in distributions(name=dist) for each in found.requires or ()]
    if not any(normal(each).startswith("flujo-core") for each in needs):
        yield f"{dist} does not require flujo-core, expected a dependency such as 'flujo-core>=0.1'"
    said = records[0].provides.items() if all(record.loaded for record in records) else ()
    for key, facet in ((key, facet) for key, text in said for facet in sorts(text)):
        if not any(begins(each, key) for record in records for each in record.contributes.get(facet, ())):
            yield f"{dist} says that it brings {key!r} of {facet}, which none of its hooks registers"


if __name__ == "__main__":
    told = look(sys.argv[1], "".join(sys.argv[3:]), json.load(sys.stdin))
    Path(sys.argv[2]).write_text(json.dumps(told), encoding="utf-8")
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        os._exit(0)  # the interpreter would wait for such a thread, and what it is called is told already
