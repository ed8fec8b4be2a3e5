"""flujo's own commands keep the contract; each promise can be broken, and the test of that promise notices."""

import inspect
from contextlib import nullcontext

import pytest

from flujo.testing.command import CommandConformance
from flujo_cli.commands import COMMANDS

#: A fake plugin's commands: one that is good, and one for each promise that it breaks.
PLUGIN = """
import click

@hookimpl
def flujo_register_commands(registrar):
    registrar.command("my good", "my_commands:good", short_help="Say that all is well.")
    registrar.command("my mute", "my_commands:good", short_help="say nothing")
    registrar.command("my loud", "my_commands:loud", short_help="Say it on stderr.")
    registrar.command("my lax", "my_commands:lax", short_help="Take anything.")
    registrar.command("my eager", "flujo_my:eager", short_help="Be there before it is called.")
    registrar.command("my heavy", click.Command("heavy"), short_help="Be there before it is called.")

@click.command()
def eager(): ...
"""
COMMANDS_MODULE = """
import click

@click.command()
def good(): ...

class Loud(click.Command):
    def get_help(self, ctx):
        click.echo("hear, hear", err=True)
        return super().get_help(ctx)

@click.command(cls=Loud)
def loud(): ...

@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1)
def lax(words): ...
"""


@pytest.fixture
def suite(fake_dist):
    """The tests of one of the fake plugin's commands."""
    fake_dist("flujo-my", PLUGIN, modules={"my_commands": COMMANDS_MODULE})
    return lambda path: type("Suite", (CommandConformance,), {"path": path})()


@pytest.fixture
def call(request):
    """Call a test with the fixtures that it asks for."""

    def call_it(test):
        test(*[request.getfixturevalue(name) for name in inspect.signature(test).parameters])

    return call_it


for _entry in COMMANDS:
    _name = "Test" + "".join(word.title() for word in _entry.path.split())
    globals()[_name] = type(_name, (CommandConformance,), {"path": _entry.path, "__module__": __name__})

PROMISES = [name for name in dir(CommandConformance) if name.startswith("test_")]
BROKEN = [
    ("my mute", "test_command_says_what_it_is_for"),
    ("my loud", "test_help_explains_it"),
    ("my lax", "test_what_it_does_not_know_is_refused"),
    ("my eager", "test_loading_its_plugin_does_not_import_it"),
    ("my heavy", "test_loading_its_plugin_does_not_import_it"),
    ("my nothing", "test_command_says_what_it_is_for"),
]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_good_command_keeps_every_promise(suite, call, promise):
    call(getattr(suite("my good"), promise))


@pytest.mark.parametrize(("path", "promise"), BROKEN)
def test_a_broken_promise_fails_its_test(suite, call, path, promise):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        call(getattr(suite(path), promise))


#: Another plugin's, which is not loaded without its settings.
SETTINGS = {"flujo-set": {"greeting": 'she said "hi", \\o/', "often": [1, 2.5, True], "to": {"a b": "é", "c": "😀"}}}
SET = f"""
@hookimpl
def flujo_register_commands(registrar):
    assert registrar.settings == {SETTINGS["flujo-set"]!r}, registrar.settings
    registrar.command("set good", "set_commands:good", short_help="Say that all is well.")
"""


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("settings", [{"settings": SETTINGS}, {}], ids=["given", "missing"])
def test_a_command_of_a_plugin_with_settings_keeps_every_promise_with_them(fake_dist, call, promise, settings):
    fake_dist("flujo-set", SET, modules={"set_commands": "import click\n\n@click.command()\ndef good(): ...\n"})
    suite = type("Suite", (CommandConformance,), {"path": "set good", **settings})()

    with nullcontext() if settings else pytest.raises(AssertionError):
        call(getattr(suite, promise))


def test_every_promise_is_shown_to_be_breakable():
    assert {promise for _, promise in BROKEN} == set(PROMISES)
