"""The command itself: names, help, options, and what is said of errors."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from flujo import __version__
from flujo.exceptions import FlujoError, RunOwnedElsewhere
from flujo.plugins import create_plugin_manager, hookimpl
from flujo_cli import app as module
from flujo_cli.app import run_command_line
from flujo_cli.commands import COMMANDS
from flujo_cli.main import main
from flujo_cli.options import json_option


def _how(ctx: click.Context, param: click.Parameter, how: str) -> str:
    """Fail before the command itself runs: what that raises would be the plugin's error."""
    if how == "bug":
        raise KeyError("odd")
    return how


@click.command()
@click.option(
    "--how",
    type=click.Choice(["ok", "error", "owned", "bug", "stop", "code", "folder"]),
    default="ok",
    callback=_how,
)
def odd(how: str) -> int:
    """A command that ends as it is told to."""
    match how:
        case "error":
            raise FlujoError("it went wrong", suggestion="do better")
        case "owned":
            raise RunOwnedElsewhere("run 'x' is owned")
        case "stop":
            raise KeyboardInterrupt
        case "folder":
            click.echo(Path.cwd())
    return 3 if how == "code" else 0


@click.command()
@click.option("--how", callback=_how)
@json_option
@click.pass_context
def jodd(ctx: click.Context, how: str, as_json: bool) -> int:
    """The same with an object."""
    return ctx.invoke(odd, how=how)


class OddPlugin:
    """Adds commands, and tries to take one of flujo's own."""

    @hookimpl
    def flujo_register_commands(self, registrar) -> None:
        registrar.command("odd", odd, short_help="Odd.")
        registrar.command("jodd", jodd, short_help="Odd.")
        registrar.command("strange odd", odd, short_help="Odd.")
        registrar.command("plugins", odd, short_help="Not yours.")
        registrar.command("broken", "flujo_cli.app:run_command_line", short_help="No click command.")


REAL = module._plugin_commands


@pytest.fixture(autouse=True)
def odd_plugin(monkeypatch) -> None:
    commands = create_plugin_manager(OddPlugin(), discover=False).contributions.commands
    monkeypatch.setattr(module, "_plugin_commands", lambda ctx: commands)


def test_version_is_one_line(flujo):
    assert flujo("--version") == (ran := flujo("--version"))
    assert (ran.code, ran.out, ran.err) == (0, f"flujo {__version__}\n", "")


def test_help_lists_the_commands_of_the_table(flujo):
    ran = flujo("--help")
    assert ran.code == 0
    assert "  run       Run a pipeline file.\n" in ran.out
    assert "  runs      Look at recorded runs, and decide about them.\n" in ran.out
    assert "  odd       Odd.\n" in ran.out
    assert "  strange   Commands that begin with 'strange'.\n" in ran.out
    assert "Not yours." not in ran.out


@pytest.mark.parametrize("words", [(), ("runs",), ("config",)])
def test_a_group_without_a_command_says_its_help_alone(flujo, words):
    ran = flujo(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == flujo(*words, "--help").out


def test_a_group_lists_its_own_commands(flujo):
    ran = flujo("runs", "--help")
    assert "  list     List recorded runs, newest first.\n" in ran.out
    assert "  show     Show what a run's steps did.\n" in ran.out


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.path)
def test_every_command_of_the_table_has_help(flujo, entry):
    ran = flujo(*entry.path.split(), "--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: flujo {entry.path} ")


def test_the_commands_are_registered_by_the_hook_that_everyone_uses():
    commands = create_plugin_manager().contributions.commands
    assert {path: (spec.target, spec.short_help) for path, spec in commands.items()} == {
        entry.path: (entry.target, entry.short_help) for entry in COMMANDS
    }


def test_a_plugin_adds_commands_and_groups(flujo):
    assert flujo("odd", "--how", "code").code == 3
    assert flujo("strange", "odd").code == 0
    ran = flujo("strange", "--help")
    assert "Commands that begin with 'strange'." in ran.out
    assert "  odd  Odd." in ran.out


def test_a_plugin_can_not_take_a_name_of_flujos_own(flujo):
    assert "CONTRIBUTES" in flujo("plugins").out


def test_installed_plugins_are_asked_for_a_name_that_is_not_in_the_table(flujo, monkeypatch):
    monkeypatch.setattr(module, "_plugin_commands", REAL)
    assert "there is no command 'odd'" in flujo("odd").err


def test_a_plugins_target_must_be_a_click_command(flujo):
    ran = flujo("broken")
    assert ran.code == 2
    assert "error[FLUJO-106] plugin " in ran.err
    assert "offers 'flujo_cli.app:run_command_line' for 'broken', which is no click command" in ran.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["rnu"], "there is no command 'rnu'; did you mean 'run'?"),
        (["od"], "there is no command 'od'; did you mean 'odd'?"),
        (["runs", "lst"], "there is no command 'runs lst'; did you mean 'list'?"),
        (["runs", "resume", "abc"], "there is no command 'runs resume'; did you mean `flujo resume`?"),
        (["list"], "there is no command 'list'; did you mean `flujo runs list` or `flujo plugins list`?"),
        (["db", "nosuch"], "there is no command 'db nosuch'; commands are backup, check, migrate\n"),
        (["xyzzy"], ", ...\n  help: "),
        (["run", "--log-level", "debug"], "help: it stands before the command: flujo --log-level ... run\n"),
        (["runs", "list", "--debug"], "help: it stands before the command: flujo --debug runs list\n"),
        (["run", "--quick"], "write it as: flujo run"),
        (["--nope"], "error[FLUJO-701] no such option"),
        (["run", "--nope"], "write it as: flujo run [OPTIONS] [FILE]; `flujo run --help` says more"),
        (["-C", "no/such/folder", "plugins"], "does not exist"),
    ],
)
def test_wrong_usage_is_told_on_stderr_with_code_2(flujo, args, message):
    ran = flujo(*args)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_an_error_is_told_without_a_traceback(flujo):
    ran = flujo("odd", "--how", "error")
    assert (ran.code, ran.out, ran.err) == (1, "", "error[FLUJO-000] it went wrong\n  help: do better\n")


def test_debug_adds_the_traceback(flujo):
    ran = flujo("--debug", "odd", "--how", "error")
    assert ran.code == 1
    assert "Traceback (most recent call last):" in ran.err


def test_an_errors_code_is_the_exit_code_of_its_kind(flujo):
    assert flujo("odd", "--how", "owned").code == 75


def test_an_interrupt_ends_with_130_and_one_line(flujo):
    ran = flujo("odd", "--how", "stop")
    assert (ran.code, ran.out, ran.err) == (130, "", "interrupted\n")


@pytest.mark.parametrize("stderr", ["open", "closed"])
def test_an_interrupt_of_the_first_imports_is_one_line_too(capsys, monkeypatch, stderr):
    class Interrupting:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "flujo_cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "flujo_cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    if stderr == "closed":
        monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n" if stderr == "open" else "")


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (["runs", "show", "nope", "--json"], "RunNotFound"),
        (["runs", "list", "--json", "--state", "foo"], "SettingsError"),
        (["validate", "--format", "json", "nope.yaml"], "ConfigurationError"),
        (["runs", "list", "--json", "--limit", "x"], "CommandError"),
        (["run", "--json", "--nope"], "CommandError"),
        (["validate", "--format=json"], "CommandError"),
        (["validate", "--nope", "--format", "json"], "CommandError"),
        (["jodd", "--how", "stop", "--json"], "Abort"),
        (["jodd", "--how", "error", "--json"], "FlujoError"),
    ],
)
def test_an_error_is_an_object_where_json_is_asked_for(flujo, args, kind):
    ran = flujo(*args)
    assert (ran.json["schema"], ran.json["error"]["type"]) == ("flujo.error/1", kind)
    assert ran.json["error"]["message"]
    assert ran.code != 0
    assert ran.err


def test_a_command_line_that_can_not_be_understood_has_a_code_and_says_how_it_is_written(flujo):
    told = flujo("runs", "list", "--json", "--limit", "x").json["error"]
    assert (told["code"], told["message"][:32]) == ("FLUJO-701", "invalid value for '--limit': 'x'")
    assert told["suggestion"].startswith("write it as: flujo runs list [OPTIONS]; ")


def test_the_help_of_validate_lists_the_codes_that_it_can_end_with(flujo):
    codes = re.findall(r"^ +(\d+)  ", flujo("validate", "--help").out.partition("Exit codes:")[2], re.MULTILINE)
    assert codes == ["0", "2", "3", "4"]


def test_a_bug_is_an_object_too(capsys):
    with pytest.raises(KeyError) as caught:
        run_command_line(["jodd", "--json", "--how", "bug"])
    sys.excepthook(caught.type, caught.value, caught.tb)
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "KeyError"


@pytest.mark.parametrize(
    ("args", "code"),
    [("--version", 0), ("--help", 0), ("plugins", 2), ("run p.yaml", 2), ("runs list", 2), ("validate p.yaml", 2)],
)
def test_only_what_needs_the_working_directory_is_refused_when_that_is_gone(flujo, project, monkeypatch, args, code):
    (project / "gone").mkdir()
    monkeypatch.chdir(project / "gone")
    (project / "gone").rmdir()
    ran = flujo(*args.split())
    assert ran.code == code
    assert ("error[FLUJO-100] the working directory is gone\n" in ran.err) is (code == 2)


def test_the_installed_command_says_its_version_where_the_working_directory_is_gone(flujo_process):
    ran = flujo_process(
        "mkdir gone; cd gone; rmdir ../gone; flujo --version", shell=True, env={"COVERAGE_PROCESS_START": ""}
    )
    assert (ran.code, ran.out) == (0, f"flujo {__version__}\n")


@pytest.mark.parametrize("debug", [True, False])
def test_an_exception_that_nobody_expected_is_called_a_bug(capsys, debug):
    with pytest.raises(KeyError) as caught:
        run_command_line([*(["--debug"] if debug else []), "odd", "--how", "bug"])
    sys.excepthook(caught.type, caught.value, caught.tb)
    err = capsys.readouterr().err
    assert ("Traceback" in err) is debug
    assert ("error this is a bug in flujo: KeyError: 'odd' (" in err) is not debug
    assert ("flujo --debug" in err) is not debug


def test_an_exception_without_a_traceback_is_told_as_well(capsys):
    run_command_line(["--version"])
    sys.excepthook(KeyError, KeyError("odd"), None)
    assert "this is a bug in flujo: KeyError: 'odd'\n" in capsys.readouterr().err


def test_a_command_works_in_the_folder_it_is_given(flujo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert flujo("-C", "there", "odd", "--how", "folder").out == f"{tmp_path}/there\n"


@pytest.mark.parametrize(
    ("args", "more"),
    [
        (["--version"], ["pluggy", "importlib_metadata", "flujo.plugins.manager", "flujo_cli.plugin"]),
        (["--help"], []),
        (["runs", "--help"], []),
    ],
)
def test_version_loads_no_plugin_and_help_no_command_and_neither_anything_heavy(args, more):
    code = """
import sys
from flujo_cli.app import run_command_line
args, *heavy = map(str.split, sys.argv[1:])
run_command_line(args)
heavy = {"pydantic", "jinja2", "asyncio", "yaml", "structlog", "rich", *heavy[0]}
commands = {name for name in sys.modules if name.startswith("flujo_cli.commands.")}
sys.exit(", ".join(heavy & set(sys.modules) | commands) or 0)
"""
    words = [" ".join(args), " ".join(more)]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_shell_can_complete_commands(monkeypatch, capsys):
    monkeypatch.setenv("_FLUJO_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "flujo r")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        run_command_line([])
    assert capsys.readouterr().out.splitlines() == ["plain,run", "plain,resume", "plain,rehearse", "plain,runs"]
