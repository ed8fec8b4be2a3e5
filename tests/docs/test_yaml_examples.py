"""The pipelines that the reference shows are run, each as a file of its own, and print what is shown below them.

A block after a line that ends with `NAME`: is the file of that name. In a console block a line with `$` is a command,
and the lines after it are what it prints.
"""

import os
import re
import shlex
import sys

import pytest

from flujo.infra.config_manager import invalidate_config_cache
from flujo_cli.app import run_command_line

PAGES = ("pipeline-files", "skills")
BLOCK = re.compile(r"^(?:[^\n]*`([\w./-]+)`:\n\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ flujo (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
PAUSED = 6


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty project, the working directory; no setting from outside, and a standard input at its end."""
    monkeypatch.chdir(tmp_path)
    for variable in [each for each in os.environ if each.startswith("FLUJO_") and each != "FLUJO_STRICT_CONTEXT"]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    invalidate_config_cache()
    with open(os.devnull, encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield tmp_path


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_print_what_is_shown(page, name, folder, capfd):
    for file, language, text in BLOCK.findall(page(name).text):
        if file:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
        for arguments, shown in COMMAND.findall(text) if language == "console" else ():
            code = run_command_line(shlex.split(arguments))
            assert (code, capfd.readouterr().out) == (0 if shown else PAUSED, shown)


@pytest.mark.parametrize("name", PAGES)
def test_every_pipeline_is_a_file_that_is_run(page, name):
    blocks = BLOCK.findall(page(name).text)
    files = {file for file, language, _ in blocks if language == "yaml"}
    commands = "".join(text for _, language, text in blocks if language == "console")
    pipelines = "".join(text for _, language, text in blocks if language == "yaml")
    assert "" not in files
    assert {
        file for file in files if f"$ flujo run {file} " not in commands and f": {file}\n" not in pipelines
    } == set()
