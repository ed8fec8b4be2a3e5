"""The `flujo` command: finds commands without importing them, and turns errors into messages and exit codes."""

import gc
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import Exit

from flujo import __version__
from flujo.domain import foreign
from flujo.domain.masking import masked
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import FlujoError, PluginError
from flujo_cli.commands import COMMANDS, DEFAULTS, GROUPS, CommandEntry
from flujo_cli.exit_codes import ExitCode, code_for
from flujo_cli.options import Options, note
from flujo_cli.output import Console, show_error
from flujo_cli.streams import CommandError

if TYPE_CHECKING:
    from flujo.infra.logging import LogFormat, LogLevel
    from flujo.plugins import CommandSpec, PluginManager
    from flujo.plugins.precedence import Table

__all__ = ["LazyGroup", "run_command_line"]

_TABLE = {entry.path: entry for entry in COMMANDS}

#: What a command may raise: it ends with that, or is told of.
_MEANT = (FlujoError, click.ClickException, click.Abort, Exit, SystemExit, BrokenPipeError)

#: Where a command line's plugins are kept, once they are loaded.
_PLUGINS = "flujo_cli.plugins"


class LazyGroup(click.Group):
    """A group that knows its commands by a table, and imports one when it is used.

    flujo's own names come first and can't be taken; plugins are looked at for a name that isn't there, and for help.
    """

    def __init__(self, *args: Any, words: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self._prefix = f"{words} " if words else ""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the options before a command; without a word the help is all there is to say, or a command's name."""
        default = DEFAULTS.get(self._prefix.rstrip())
        is_option = bool(args) and args[0].startswith("-") and args[0] not in ctx.help_option_names
        if default and not ctx.resilient_parsing and (not args or is_option):
            args = [default, *args]
        if not args and not ctx.resilient_parsing:
            Console().note(ctx.get_help())
            ctx.exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Find and run the command. An interrupt is an `Abort`: click would write an empty line for it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands and groups at this place, in the order of the table: flujo's own, or a plugin's group's."""
        return list(self._short_helps(ctx))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command `name`, or make the group that its word stands for."""
        words = self._prefix + name
        return self._among(words, _TABLE) or self._among(words, _plugin_commands(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with; an unknown name gets the nearest known one as advice."""
        name = args[0]
        command = None if name.startswith("-") else self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:  # which is a shell that completes what is typed
            ctx.fail(f"there is no command {self._prefix + name!r}; {self._advice(ctx, name)}")
        return name, command, args[1:]

    def _advice(self, ctx: click.Context, name: str) -> str:
        """What may be meant by an unknown `name`: commands that end so elsewhere, or what there is at this place."""
        elsewhere = [f"`flujo {path}`" for path in _helps(ctx) if path.rpartition(" ")[2] == name]
        if elsewhere:
            return f"did you mean {' or '.join(elsewhere)}?"
        blamed = _plugins(ctx, quiet=True).blame("commands", self._prefix + name)
        near = did_you_mean(name, self._short_helps(ctx), what="commands are")
        return "; ".join(filter(None, [blamed, near]))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by their table: help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._short_helps(ctx).items()))

    def _short_helps(self, ctx: click.Context) -> dict[str, str]:
        return _below(self._prefix, _helps(ctx))

    def _among(self, words: str, table: "Mapping[str, CommandEntry | CommandSpec]") -> click.Command | None:
        if words in table:
            return _load(table[words])
        if any(path.startswith(f"{words} ") for path in table):
            return LazyGroup(words.rpartition(" ")[2], words=words, help=_group_help(words))
        return None


def _below(prefix: str, helps: Mapping[str, str]) -> dict[str, str]:
    """Each word that may follow `prefix`, with its line of help: a command's own, or that of its group."""
    found: dict[str, str] = {}
    for path, short_help in helps.items():
        if path.startswith(prefix):
            word, _, more = path.removeprefix(prefix).partition(" ")
            found.setdefault(word, _group_help(prefix + word) if more else short_help)
    return found


def _helps(ctx: click.Context) -> dict[str, str]:
    """The line of help of each command by its words, flujo's own first; help is there whatever ails the plugins."""
    helps = {path: entry.short_help for path, entry in _TABLE.items()}
    try:
        table = _plugin_commands(ctx)
    except FlujoError as error:
        if not ctx.resilient_parsing:
            Console().note(f"without the commands of plugins: {error.message}")
        return helps
    return helps | {path: table.offers(path)[0].value.short_help for path in table if path not in helps}


def _group_help(words: str) -> str:
    return GROUPS.get(words, f"Commands that begin with {words!r}.")


def _load(entry: "CommandEntry | CommandSpec") -> click.Command:
    from flujo.plugins.discovery import installed_plugins, load_target  # noqa: PLC0415 - a command is imported anyway

    provider = "flujo-cli" if isinstance(entry, CommandEntry) else entry.provider
    gc.disable()  # what imports make stays: looking for garbage among it costs a tenth of a start
    try:
        try:
            command = load_target(entry.target, provider)
        except PluginError:
            if not isinstance(entry, CommandEntry):
                raise
            installed_plugins()  # where a distribution can't be read, pydantic fails by it until this has found it out
            command = load_target(entry.target, provider)
    finally:
        gc.freeze()
        gc.enable()
    if not isinstance(command, click.Command):
        raise PluginError(f"plugin {provider} offers {entry.target!r} for {entry.path!r}, which is no click command")
    return command if isinstance(entry, CommandEntry) else _guarded(entry, command)


def _guarded(entry: "CommandSpec", command: click.Command) -> click.Command:
    """A plugin's command, whose unexpected exceptions are the plugin's errors."""
    guarded = copy(command)

    def failed(line: str, error: BaseException) -> PluginError:
        advice = "run it as `flujo --debug ...` for the traceback, and report it to the plugin's authors"
        said = f"command {entry.path!r} of plugin {entry.provider} raised {masked(line)}"
        return PluginError(said, suggestion=advice, cause=error)

    def invoke(ctx: click.Context) -> Any:
        return foreign.attempt(partial(command.invoke, ctx), failed, but=_MEANT)

    guarded.invoke = invoke  # type: ignore[method-assign]
    return guarded


def _plugins(ctx: click.Context, *, quiet: bool, insists: bool = True) -> "PluginManager":
    """The plugins, loaded once for a command line: only for what flujo doesn't have itself."""
    from flujo_cli.installed import load_plugins  # noqa: PLC0415 - plugins are loaded for what needs them

    if _PLUGINS not in ctx.meta:
        ctx.meta[_PLUGINS] = load_plugins(ctx.ensure_object(Options), quiet=quiet, insists=insists)
    manager: PluginManager = ctx.meta[_PLUGINS]
    return manager


def _plugin_commands(ctx: click.Context) -> "Table[CommandSpec]":
    return _plugins(ctx, quiet=ctx.resilient_parsing).contributions.commands


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Say the version. Not eager: what `-v`, `-C` and the switches of plugins say is known by then."""
    if wanted and not ctx.resilient_parsing:
        Console().out(f"flujo {__version__}")
        told = ctx.ensure_object(Options).verbose
        records = _plugins(ctx, quiet=True, insists=False).records if told else ()
        for record in records:
            if record.loaded:
                Console().out(f"{record.provider} ({record.source})")
        ctx.exit()


def _work_in(ctx: click.Context, _: click.Parameter, folder: str | None) -> None:
    """Go there before anything is looked for: a project may have plugins of its own, and they commands."""
    if folder is not None:
        os.chdir(folder)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Plugins may add commands: `flujo plugins` lists them.",
)
@click.option(
    "-C",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    is_eager=True,
    expose_value=False,
    callback=_work_in,
    help="Work in DIR.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--log-format", type=click.Choice(["human", "json"]), help="How log lines are written to stderr.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="The least that is logged.")
@click.option(
    "--no-plugins",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=note,
    help="Load no plugins but flujo's own.",
)
@click.option(
    "-P",
    "plugin_switches",
    metavar="NAME",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=note,
    help="Load the plugin NAME, whatever settings say, or with no:NAME do not load it. May be repeated.",
)
@click.option("--version", is_flag=True, expose_value=False, callback=_show_version, help="Say which.")
@click.option(
    "-v", "--verbose", is_flag=True, is_eager=True, callback=note, help="With --version: and which plugins are loaded."
)
@click.pass_obj
def _flujo(
    options: Options, debug: bool, log_format: "LogFormat | None", log_level: "LogLevel | None", verbose: bool
) -> None:
    """Run durable pipelines of typed steps."""
    if verbose:
        raise click.UsageError("--verbose belongs to --version")
    options.debug = debug
    options.log_format = log_format
    options.log_level = log_level


def run_command_line(args: Sequence[str]) -> int:
    """Run one command and give its exit code. Errors of flujo's are told on stderr, others are raised."""
    options = Options(_working_directory())
    sys.excepthook = partial(_report_bug, options)
    try:
        return int(_flujo.main(list(args), prog_name="flujo", standalone_mode=False, obj=options) or ExitCode.OK)
    except click.ClickException as error:
        options.owes_json = options.owes_json or _asks_for_json(args)
        refusal = _refusal(error)
        show_error(Console(), refusal)
        _answer(options, refusal)
        return ExitCode.USAGE
    except click.Abort as error:
        Console().note("interrupted")
        _answer(options, error, "interrupted")
        return ExitCode.INTERRUPTED
    except FlujoError as error:
        show_error(Console(), error, trace=options.debug)
        _answer(options, error)
        return code_for(error)


def _refusal(error: click.ClickException) -> CommandError:
    """What click has against a command line, as an error of ours that says how the command is written."""
    message = error.format_message()
    message = message if message.endswith("...") else message.rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)]) if context else ""
    advice = f"write it as: {usage}; `{context.command_path} --help` says more" if context else None
    return CommandError(message[:1].lower() + message[1:], suggestion=_misplaced(error) or advice, cause=error)


def _misplaced(error: click.ClickException) -> str | None:
    """Advice about an option of `flujo` itself that stands behind the command; None for anything else."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return None
    option = next((each for each in _flujo.params if error.option_name in each.opts), None)
    if option is None:
        return None
    value = "" if isinstance(option, click.Option) and option.is_flag else " ..."
    words = error.ctx.command_path.removeprefix("flujo ")
    return f"it stands before the command: flujo {error.option_name}{value} {words}"


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was deleted: a command that needs it says so
        return None


def _asks_for_json(args: Sequence[str]) -> bool:
    """Whether a command line that can't be understood seems to ask for JSON."""
    return "--json" in args or "--format=json" in args or ("--format", "json") in pairwise(args)


def _answer(options: Options, error: BaseException, message: str | None = None) -> None:
    """Write the object for an error, where an object is still to be written."""
    if options.owes_json:
        from flujo_cli.report import describe_problem  # noqa: PLC0415 - it knows results, and loads what they need

        options.owes_json = False
        Console().json(describe_problem(error, message))


def _report_bug(options: Options, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell of an exception that nobody expected in a few lines, or in full with `--debug`. Python then exits with 1."""
    _answer(options, error)
    console = Console()
    if options.debug:
        sys.__excepthook__(kind, error, trace)
    else:
        places = traceback.extract_tb(trace)
        where = f" ({places[-1].filename}:{places[-1].lineno})" if places else ""
        whose = "flujo or in a plugin" if options.strangers else "flujo"
        said = f"{kind.__name__}: {masked(str(error))}"
        console.note(f"{console.paint('error', 'red', bold=True)} this is a bug in {whose}: {said}{where}")
        console.note("  help: run the command again as `flujo --debug ...` for the traceback, and report it")
    if options.strangers:
        console.note(f"  plugins at work: {', '.join(options.strangers)}; without them: `flujo --no-plugins ...`")
