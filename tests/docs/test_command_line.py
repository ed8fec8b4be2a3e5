"""docs/reference/command-line.md has the commands, options and codes that there are."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from flujo_cli.commands import COMMANDS
from flujo_cli.exit_codes import EXIT_CODES

PAGE = "command-line"


def options(command):
    return {name for each in command.params if isinstance(each, click.Option) for name in each.opts}


def test_the_commands_are_those_there_are(page):
    assert page(PAGE).names("command") == {f"flujo {entry.path}" for entry in COMMANDS}


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.path)
def test_a_commands_options_are_those_it_takes(page, entry):
    module, _, attr = entry.target.partition(":")
    command = getattr(import_module(module), attr)
    assert set(next(page(PAGE).tables(f"option of {entry.path} |"), ())) == options(command)
    usage = command.collect_usage_pieces(click.Context(command))
    assert " ".join(["## flujo", entry.path, *usage[1:]]) + "\n" in page(PAGE).text


def test_the_options_before_a_command_are_those_of_flujo_itself(page):
    command = [Path(sys.executable).parent / "flujo", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^  (-.*?)(?:  |$)", shown, re.MULTILINE)
    found = {name for line in lines for name in re.findall(r"(?<!\S)--?[\w-]+", line)}
    assert page(PAGE).names("option of flujo") == found


def test_the_exit_codes_are_those_there_are(page):
    assert {int(code): cells[0].lower() for code, cells in page(PAGE).table("exit code").items()} == {
        int(code): f"{meaning}.".lower() for code, meaning in EXIT_CODES.items()
    }
