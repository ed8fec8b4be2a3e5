"""The pages that are made from the code, and the tables in others that are.

`python -m docs.generate` (or `nox -s reference`) writes them again, or into the folder that it is given; tests/docs
compares them with the code.
"""

import ast
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import get_args

import click
from docs.error_tables import error_codes
from docs.hook_pages import HOOK_PAGES, hooks
from docs.key_tables import file_keys, setting_keys
from docs.sources import described, filled, page, source, type_of, words

import flujo
from flujo.plugins import create_plugin_manager
from flujo_cli.commands import COMMANDS

__all__ = ["PAGES", "main"]

FOLDER = Path(__file__).parent
PACKAGES = Path(__file__).parent.parent / "packages"

#: The public names by what they are for; a name that is not here comes last.
SUBJECTS = {
    "Runs": (
        *("Flujo", "load_pipeline", "PipelineResult", "StepResult", "RunStatus", "RunSummary", "PendingAnswer"),
        *("get_config_manager", "UsageLimits", "Usage", "Price"),
    ),
    "What a run tells": ("Success", "Failure", "Paused", "Aborted", "Chunk", "LogSink", "TracingManager", "Tracer"),
    "Steps": ("step", "Step", "Pipeline", "StepConfig", "Backoff", "StepRun"),
    "Steps made of steps": (
        *("loop", "map_", "FileItems", "branch", "parallel", "route", "cached", "human", "import_", "ImportOutput"),
        *("state_machine", "Transition", "agentic_loop"),
    ),
    "Agents": ("agent", "AgentResult", "scripted", "ScriptedAgent"),
    "The context": ("PipelineContext", "OpenContext", "ContextReference", "StateProviderAdapter"),
    "Errors": (
        *("FlujoError", "ConfigurationError", "StateError", "RunNotFound", "RunOwnedElsewhere", "RunNotPaused"),
        *("AnswerRejected", "DefinitionChanged", "EffectInDoubt", "PausedException"),
    ),
    "Classes of steps": (
        *("AgentStep", "LoopStep", "MapStep", "ConditionalStep", "ParallelStep", "DynamicParallelRouterStep"),
        *("CacheStep", "HumanInTheLoopStep", "ImportStep", "StateMachineStep", "AgenticLoopStep"),
    ),
}

#: What public names take and give, to be imported from its module.
NAMED = {
    "Clock": "flujo.domain.interfaces",
    "ErrorInfo": "flujo.domain.outcomes",
    "OpenQuestion": "flujo.runner.inbox",
    "RunHandle": "flujo.runner.streaming",
    "PipelineResolver": "flujo.runner.pipeline_resolver",
}


def api() -> str:
    """Every public name of `flujo`, and the fakes of `flujo.testing`."""
    homes = {name: module for module, names in flujo._HOMES.items() for name in names}
    known = [name for names in SUBJECTS.values() for name in names]
    subjects = {**SUBJECTS, "More": tuple(name for name in flujo.__all__ if name not in known)}
    parts: list[str] = []
    for subject, names in subjects.items():
        found = [(name, source(homes[name], name)) for name in names if name in homes]
        parts += [f"## {subject}"] if found else []
        for name, node in found:
            parts += described(node, "###") if node else [f"### {name}", f"See `{homes[name]}`."]
    parts.append("## What they take and give")
    for name, module in NAMED.items():
        node = source(module, name)
        assert node, f"{module} has no {name}"
        parts += [*described(node, "###"), f"To be imported from `{module}`."]
    parts += ["## flujo.testing", "What tests need, to be imported from `flujo.testing`."]
    for name in import_module("flujo.testing").__all__:
        node = source(sys.modules["flujo.testing"].__dict__[name].__module__, name)
        parts += described(node, "###") if node else []
    return page(
        "Public names",
        "Every name that can be imported from `flujo`, as the code has it. This page is made by `nox -s reference`.\n"
        "[Python](python.md) explains them with examples.",
        *parts,
    )


def commands() -> str:
    """What `--help` says of every command of flujo's own."""
    root = click.Context(click.Group("flujo"), info_name="flujo", help_option_names=["-h", "--help"], terminal_width=80)
    parts: list[str] = []
    for entry in COMMANDS:
        module, _, attr = entry.target.partition(":")
        command: click.Command = getattr(import_module(module), attr)
        text = command.get_help(click.Context(command, info_name=entry.path, parent=root, terminal_width=80))
        parts += [f"## flujo {entry.path}", f"```text\n{text.strip()}\n```"]
    return page(
        "Commands",
        "What `--help` says of each command. This page is made by `nox -s reference`.\n"
        "[Command line](command-line.md) explains them.",
        *parts,
    )


EVENTS = """\
What happens in a run, as it happens. `Flujo(sinks=[...])` hands every event of every run to objects with a method
`handle(event)`; `run_with_events` gives those of one run. Each is a class of `flujo.domain.events`, a named tuple. A
run tells of its start first, and of its end last: `RunFinished`, or `RunInterrupted` where it is let go of. Every step
that has started comes to `StepFinished` or to `StepAbandoned`; one whose result is recorded only finishes. The path of
the pipeline itself is empty.

Where nobody listens, no event is made."""

SINKS = """\
## Sinks

An event is handed to each sink in turn, on the event loop, at the moment that it tells of: it has no time of its own,
the sink's clock tells it. `handle` must be quick and must not wait; what takes long belongs into a queue, and into a
thread or a task of the sink's own. What an event holds is not the sink's to change: a context in a result is the one
that the caller gets.

A sink that raises is detached and hears nothing more; the run goes on. The other sinks are told by `SinkDetached`, a
warning is [logged](python.md#log-lines) once, and `Flujo.broken_sinks` has it with what it raised.

A plugin may offer sinks by [name](../plugins/hooks/event_sinks.md): `Flujo(sinks=["tree"])`, or `flujo run --sink
tree`, or a table [`[sinks.NAME]`](settings.md#sinks) with the sink's settings. Such a sink is made for the `Flujo`, and
closed with it, if it has a method `close`, plain or async; one that is given as an object stays its owner's to close.
flujo itself has these; [Trace a run](../how-to/trace-a-run.md) shows them at work."""


def events() -> str:
    """Every event with its fields, in the order of a run, and what sinks are."""
    home = "flujo.domain.events"
    rows = ["| event | fields | meaning |", "|---|---|---|"]
    for event in get_args(import_module(home).Event):
        node = source(home, event.__name__)
        assert node
        fields = [
            (ast.unparse(each.target), type_of(each.annotation)) for each in node.body if type(each) is ast.AnnAssign
        ]
        shown = ", ".join(f"`{name}: {kind}`".replace("|", "\\|") for name, kind in fields)
        rows.append(f"| `{event.__name__}` | {shown} | {' '.join(words(node).split())} |")
    sinks = ["| sink | what it does |", "|---|---|"]
    own = create_plugin_manager(discover=False).contributions.sinks
    sinks += [f"| `{name}` | {spec.summary[:1].upper()}{spec.summary[1:]}. |" for name, spec in own.items()]
    return page("Events", EVENTS, "\n".join(rows), SINKS, "\n".join(sinks))


MODULES = """\
Every module of the four packages, each with the first line of what it says of itself. Floors import downwards only: see
[the architecture](../architecture.md)."""


def modules() -> str:
    """Every module by its package, with its first line."""
    parts = []
    for package in sorted(PACKAGES.glob("*/src/*")):
        for folder in sorted({path.parent for path in package.rglob("*.py")}):
            name = ".".join(folder.relative_to(package.parent).parts)
            files = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
            rows = [f"| `{path.stem}` | {_first_line(path)} |" for path in files]
            if rows:
                parts.append("\n".join([f"## {name}\n", "| module | what it is |", "|---|---|", *rows]))
    return page("Modules", MODULES, *parts)


def _first_line(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0].replace("|", "\\|")


#: The pages that are written by hand, but for tables that are made: those of each, by what its page calls them.
TABLES: dict[str, Callable[[], dict[str, str]]] = {
    "reference/errors": error_codes,
    "reference/pipeline-files": file_keys,
    "reference/settings": setting_keys,
}


def with_tables(name: str) -> str:
    """The page as it is, with its tables made again."""
    return filled((FOLDER / f"{name}.md").read_text(encoding="utf-8"), TABLES[name]())


#: The pages by name, and what makes each one's text.
PAGES: dict[str, Callable[[], str]] = {
    "reference/api": api,
    "reference/commands": commands,
    "reference/events": events,
    "reference/hooks": hooks,
    "reference/modules": modules,
    **{f"plugins/hooks/{name}": text for name, text in HOOK_PAGES.items()},
    **{name: partial(with_tables, name) for name in TABLES},
}


def main(folder: Path) -> None:
    """Write every page into `folder`."""
    for name, text in PAGES.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
