"""The options that hold for every command, and those that several have in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flujo.exceptions import ConfigurationError

if TYPE_CHECKING:
    from flujo.infra.logging import LogFormat, LogLevel

__all__ = [
    "Options",
    "json_option",
    "no_input_option",
    "note",
    "note_json",
    "pipeline_argument",
    "pipeline_option",
    "sink_option",
    "state_option",
    "strict_background_option",
    "token_option",
]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Options:
    """What holds for every command.

    `started_in` is the folder the user stands in, before any `-C`; None when it is gone. `owes_json` says that an
    object was asked for and is still to be written to stdout: whoever writes it takes the mark away. `limits` are those
    that a run was given, by their names; `no_input` forbids to ask anything at the terminal; with `strict_background`
    a background step that fails makes the exit code that of a failed run. `log_format` and `log_level` go before the
    settings of the same names. `sinks` are the names of event sinks that hear the run. `pipeline` takes the place of
    what a run was begun with, a file or `module:name`. With `no_plugins` only flujo's own plugins are loaded;
    `verbose` is more of what `--version` says; `plugin_switches` are the names of those to load, or not to ("no:NAME").
    `strangers` are the plugins at work that aren't flujo's own, once they are loaded.
    """

    started_in: Path | None
    debug: bool = False
    log_format: "LogFormat | None" = None
    log_level: "LogLevel | None" = None
    owes_json: bool = False
    limits: dict[str, Any] = field(default_factory=dict)
    no_input: bool = False
    strict_background: bool = False
    sinks: tuple[str, ...] = ()
    pipeline: Path | None = None
    verbose: bool = False
    no_plugins: bool = False
    plugin_switches: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def stands(self) -> Path:
        """The folder the user stands in. Raises `ConfigurationError` when it is gone."""
        if self.started_in is None:
            raise ConfigurationError("the working directory is gone", suggestion="go to a folder that exists")
        return self.started_in

    @property
    def works(self) -> Path:
        """The folder the command works in, after any `-C`. Raises `ConfigurationError` when the user's is gone."""
        return self.stands if self.started_in is None else Path.cwd()


def json_option(function: F) -> F:
    """Add `--json` as the argument `as_json`; with it an error is an object as well."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,
        callback=note_json,
        help="Write one JSON object to stdout, of an error too.",
    )(function)


def note(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Keep the value of an option in the `Options`, under the option's name: as its callback."""
    if value is not None:
        setattr(ctx.ensure_object(Options), str(param.name), value)
    return value


def note_json(ctx: click.Context, _: click.Parameter, value: Any) -> Any:
    """Take note that an object is asked for, as a callback of an option that has the value True or "json" then."""
    ctx.ensure_object(Options).owes_json = value in (True, "json")
    return value


def no_input_option(function: F) -> F:
    """Add `--no-input`, which becomes `Options.no_input`."""
    text = "Ask nothing at the terminal: a run that waits for a person ends with exit code 6 there too."
    return click.option("--no-input", is_flag=True, expose_value=False, callback=note, help=text)(function)


def strict_background_option(function: F) -> F:
    """Add `--strict-background`, which becomes `Options.strict_background`."""
    text = "End with exit code 1 when a background step has failed."
    return click.option("--strict-background", is_flag=True, expose_value=False, callback=note, help=text)(function)


def sink_option(function: F) -> F:
    """Add `--sink NAME`, which becomes `Options.sinks`."""
    text = (
        "An event sink of a plugin that hears the run, as tree or otel, beside those of the settings. May be repeated."
    )
    return click.option("--sink", "sinks", multiple=True, metavar="NAME", expose_value=False, callback=note, help=text)(
        function
    )


def pipeline_option(function: F) -> F:
    """Add `--pipeline`, which becomes `Options.pipeline`."""
    text = "The run's pipeline, a file or module:name, where its record names none or another one is meant."
    return click.option(
        "--pipeline", metavar="TARGET", type=click.Path(path_type=Path), expose_value=False, callback=note, help=text
    )(function)


def pipeline_argument(function: F) -> F:
    """Add `--pipeline`, and an argument that means the same."""

    def keep(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
        options = ctx.ensure_object(Options)
        options.pipeline = value or options.pipeline

    made = click.Path(path_type=Path)
    named = click.argument("file", metavar="[FILE]", required=False, type=made, expose_value=False, callback=keep)
    return named(pipeline_option(function))


def token_option(function: F) -> F:
    """Add `--token` as the argument `token`."""
    text = "Which question is answered, where several are open: its token, the beginning of that, or its path."
    return click.option("--token", metavar="TOKEN", help=text)(function)


def state_option(function: F) -> F:
    """Add `--state URI` as the argument `state`."""
    text = (
        "Where runs are recorded, like sqlite:///runs.db or memory: [default: FLUJO_STATE_URI, the project's setting]"
    )
    return click.option("--state", metavar="URI", help=text)(function)
