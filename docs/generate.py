"""The pages of the reference that are made from the code.

`python -m docs.generate` (or `nox -s reference`) writes them again, or into the folder that it is given; tests/docs
compares them with the code.
"""

import ast
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import get_args

import click

import flujo
from flujo.plugins import create_plugin_manager, hookspecs
from flujo.plugins.registrars import REGISTRARS
from flujo_cli.commands import COMMANDS

__all__ = ["PAGES", "main"]

FOLDER = Path(__file__).parent / "reference"
PACKAGES = Path(__file__).parent.parent / "packages"
Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_WIDTH = 100

#: The public names by what they are for; a name that is not here comes last.
SUBJECTS = {
    "Runs": (
        *("Flujo", "load_pipeline", "PipelineResult", "StepResult", "RunStatus", "RunSummary", "PendingAnswer"),
        *("UsageLimits", "Usage", "Price"),
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
    "ErrorInfo": "flujo.domain.outcomes",
    "OpenQuestion": "flujo.runner.inbox",
    "RunHandle": "flujo.runner.streaming",
    "PipelineResolver": "flujo.runner.pipeline_resolver",
}

#: The protocols that a plugin or a program may implement, by their modules.
PORTS = {
    "flujo.domain.agents": ("AgentObject", "Estimates", "Priced"),
    "flujo.domain.interfaces": ("EventSink", "Clock", "StateBackend", "MaintainedBackend", "StateProvider"),
    "flujo.domain.caching": ("CacheBackend", "CachingBackend"),
    "flujo.domain.lives": ("LivesBackend",),
    "flujo.domain.locations": ("LocatedBackend",),
    "flujo.engine.policy": ("StepPolicy", "StepExecutor"),
}


@cache
def _module(name: str) -> ast.Module:
    return ast.parse(Path(str(import_module(name).__file__)).read_text(encoding="utf-8"))


def _source(module: str, name: str) -> Named | None:
    """The definition of `name`: of overloads the last one, which is the function itself. None for what is no class
    and no function."""
    found = [node for node in _module(module).body if isinstance(node, Named) and node.name == name]
    return found[-1] if found else None


def _type(annotation: ast.expr | None) -> str:
    """An annotation as it is meant: without the quotes of one that is written as text."""
    if annotation is None:
        return ""
    return str(ast.literal_eval(annotation)) if isinstance(annotation, ast.Constant) else ast.unparse(annotation)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The parameters as they are written, with the marks between them, without `self`."""
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    for number, (arg, default) in enumerate(zip(positional, defaults, strict=True), 1):
        if arg.arg not in ("self", "cls"):
            yield _parameter(arg, default)
        if number == len(args.posonlyargs) and arg.arg != "self":
            yield "/"
    if args.vararg:
        yield f"*{_parameter(args.vararg, None)}"
    elif args.kwonlyargs:
        yield "*"
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _parameter(arg, default)
    if args.kwarg:
        yield f"**{_parameter(args.kwarg, None)}"


def _parameter(arg: ast.arg, default: ast.expr | None) -> str:
    kind = f": {_type(arg.annotation)}" if arg.annotation else ""
    value = "" if default is None else ast.unparse(default)
    return arg.arg + kind + (f" = {value}" if value and kind else f"={value}" if value else "")


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The line that defines a function; one parameter a line where it would be too long."""
    parameters = list(_parameters(node))
    start = f"{'async ' if isinstance(node, ast.AsyncFunctionDef) else ''}def {node.name}("
    end = f") -> {_type(node.returns)}" if node.returns else ")"
    line = start + ", ".join(parameters) + end
    if len(line) <= _WIDTH:
        return line
    return "\n".join([start, *(f"    {parameter}," for parameter in parameters), end])


def _class(node: ast.ClassDef) -> str:
    """The line that defines a class, its fields or members, and how it is made where that is written out."""
    bases = [ast.unparse(base) for base in node.bases]
    head = f"class {node.name}({', '.join(bases)})" if bases else f"class {node.name}"
    lines = []
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and not ast.unparse(each.target).startswith("_"):
            value = f" = {ast.unparse(each.value)}" if each.value else ""
            lines.append(f"    {ast.unparse(each.target)}: {_type(each.annotation)}{value}")
        elif isinstance(each, ast.Assign) and ast.unparse(each.targets[0]).isupper():
            lines.append(f"    {ast.unparse(each)}")
        elif isinstance(each, _FUNCTIONS) and each.name in ("__init__", "__new__"):
            lines.append(textwrap.indent(_signature(each).removesuffix(" -> None"), "    "))
    return "\n".join([f"{head}:", *lines]) if lines else head


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {ast.unparse(mark) for mark in node.decorator_list}


def _aliases(node: Named, name: str) -> list[str]:
    """Other names of the method `name`."""
    same = [each for each in node.body if isinstance(each, ast.Assign) and ast.unparse(each.value) == name]
    return [ast.unparse(each.targets[0]) for each in same]


def _words(node: Named) -> str:
    """What its docstring says; what stands indented in it is code."""
    text = ast.get_docstring(node) or ""
    return text.replace("Example:\n", "Example:\n\n")


def _block(code: str) -> str:
    return f"```python\n{code}\n```"


def _described(node: Named, level: str) -> Iterator[str]:
    """A name's heading, definition and docstring, and those of its methods."""
    yield f"{level} {node.name}"
    yield _block(_class(node) if isinstance(node, ast.ClassDef) else _signature(node))
    yield _words(node)
    for each in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(each, _FUNCTIONS) and not each.name.startswith("_") and "overload" not in _marks(each):
            yield f"{level}# {node.name}.{each.name}"
            line = _signature(each)
            yield _block(f"@property\n{line}" if "property" in _marks(each) else line)
            yield _words(each)
            yield "".join(f"Also: `{name}`." for name in _aliases(node, each.name))


def _page(title: str, *parts: str) -> str:
    return "\n\n".join(part for part in (f"# {title}", *parts) if part) + "\n"


def api() -> str:
    """Every public name of `flujo`, and the fakes of `flujo.testing`."""
    homes = {name: module for module, names in flujo._HOMES.items() for name in names}
    known = [name for names in SUBJECTS.values() for name in names]
    subjects = {**SUBJECTS, "More": tuple(name for name in flujo.__all__ if name not in known)}
    parts: list[str] = []
    for subject, names in subjects.items():
        found = [(name, _source(homes[name], name)) for name in names if name in homes]
        parts += [f"## {subject}"] if found else []
        for name, node in found:
            parts += _described(node, "###") if node else [f"### {name}", f"See `{homes[name]}`."]
    parts.append("## What they take and give")
    for name, module in NAMED.items():
        node = _source(module, name)
        assert node, f"{module} has no {name}"
        parts += [*_described(node, "###"), f"To be imported from `{module}`."]
    parts += ["## flujo.testing", "What tests need, to be imported from `flujo.testing`."]
    for name in import_module("flujo.testing").__all__:
        node = _source(sys.modules["flujo.testing"].__dict__[name].__module__, name)
        parts += _described(node, "###") if node else []
    return _page(
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
    return _page(
        "Commands",
        "What `--help` says of each command. This page is made by `nox -s reference`.\n"
        "[Command line](command-line.md) explains them.",
        *parts,
    )


def hooks() -> str:
    """The hooks of plugins, what they are handed, and the protocols behind it."""
    parts: list[str] = []
    for name, registrar in REGISTRARS.items():
        hook, given = _source(hookspecs.__name__, name), _source(registrar.__module__, registrar.__name__)
        assert hook
        assert given
        parts += [f"## {name}", _words(hook)]
        parts += _described(given, "###")
    parts += ["## Protocols", "What a plugin, or an argument of `Flujo`, has to be."]
    for module, names in PORTS.items():
        for name in names:
            node = _source(module, name)
            assert node, f"{module} has no {name}"
            parts += [*_described(node, "###")]
    return _page(
        "Hooks",
        "What a plugin can add. A plugin is a module with functions under `@hookimpl` from `flujo.plugins`, announced\n"
        "by an entry point in the group `flujo.plugins`. This page is made by `nox -s reference`.",
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

A plugin may offer sinks by [name](hooks.md#flujo_register_event_sinks): `Flujo(sinks=["tree"])`, or `flujo run --sink
tree`, or a table [`[sinks.NAME]`](settings.md#sinks) with the sink's settings. Such a sink is made for the `Flujo`, and
closed with it, if it has a method `close`, plain or async; one that is given as an object stays its owner's to close.
flujo itself has these; [Trace a run](../how-to/trace-a-run.md) shows them at work."""


def events() -> str:
    """Every event with its fields, in the order of a run, and what sinks are."""
    home = "flujo.domain.events"
    rows = ["| event | fields | meaning |", "|---|---|---|"]
    for event in get_args(import_module(home).Event):
        node = _source(home, event.__name__)
        assert node
        fields = [
            (ast.unparse(each.target), _type(each.annotation)) for each in node.body if type(each) is ast.AnnAssign
        ]
        shown = ", ".join(f"`{name}: {kind}`".replace("|", "\\|") for name, kind in fields)
        rows.append(f"| `{event.__name__}` | {shown} | {' '.join(_words(node).split())} |")
    sinks = ["| sink | what it does |", "|---|---|"]
    own = create_plugin_manager(discover=False).contributions.sinks
    sinks += [f"| `{name}` | {spec.summary[:1].upper()}{spec.summary[1:]}. |" for name, spec in own.items()]
    return _page("Events", EVENTS, "\n".join(rows), SINKS, "\n".join(sinks))


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
    return _page("Modules", MODULES, *parts)


def _first_line(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0].replace("|", "\\|")


#: The pages by name, and what makes each one's text.
PAGES: dict[str, Callable[[], str]] = {
    "api": api,
    "commands": commands,
    "events": events,
    "hooks": hooks,
    "modules": modules,
}


def main(folder: Path) -> None:
    """Write every page into `folder`."""
    for name, text in PAGES.items():
        (folder / f"{name}.md").write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
