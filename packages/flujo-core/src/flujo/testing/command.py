"""What every command of the command line has to keep, as tests to subclass."""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest

from flujo.plugins import CommandSpec, PluginOptions, create_plugin_manager
from flujo.testing.command_line import CommandLine
from flujo.testing.conformance import Conformance
from flujo.testing.project import Done, Project

__all__ = ["CommandConformance"]

_LOADING = """
import sys
from flujo.plugins import create_plugin_manager
create_plugin_manager()
print(*sys.modules)
"""


@cache
def _loaded(path: str, tables: str) -> frozenset[str]:
    """Every module that is imported where all plugins are loaded; `path` is the PYTHONPATH that they are found on, and
    `tables` the project's settings."""
    with TemporaryDirectory(prefix="flujo-commands-") as folder:
        project = Project(Path(folder))
        project.write("flujo.toml", tables)
        return frozenset(project.python(_LOADING, env={"PYTHONPATH": path}).out.split())


def _toml(value: Any) -> str:
    """`value` as TOML writes it in a line, which is as JSON does, but for mappings."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_toml(key)} = {_toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


class CommandConformance(Conformance):
    """Tests of the command that is typed as `path` ("http ping"): subclass it as `Test...`.

    It is looked for in the plugins that are installed, which have their own tables of `settings`, by distribution, as
    those of a project have them in `[plugins.settings.NAME]`. Needs the command line: pip install flujo-cli.
    """

    path: ClassVar[str]
    settings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def _command(self) -> CommandSpec:
        commands = create_plugin_manager(options=PluginOptions(settings=self.settings)).contributions.commands
        assert self.path in commands, f"no plugin has a command {self.path!r}"
        return commands[self.path]

    def _tables(self) -> str:
        return f"plugins.settings = {_toml(self.settings)}"

    def _call(self, command_line: CommandLine, option: str) -> Done:
        if self.settings:
            command_line.project.write("flujo.toml", self._tables())
        return command_line(*self.path.split(), option)

    def test_command_says_what_it_is_for(self) -> None:
        """It is registered with a line of help, which is a sentence."""
        text = self._command().short_help
        assert text == text.strip()
        assert text.endswith(".")

    def test_help_explains_it(self, flujo_cli: CommandLine) -> None:
        """`--help` tells how it is written, on stdout."""
        done = self._call(flujo_cli, "--help")
        assert (done.code, done.err) == (0, "")
        assert f"flujo {self.path}" in done.out

    def test_what_it_does_not_know_is_refused(self, flujo_cli: CommandLine) -> None:
        """An option that it does not have is a mistake in the command line: exit code 2, and nothing on stdout."""
        done = self._call(flujo_cli, "--no-such-option-at-all")
        assert (done.code, done.out) == (2, "")
        assert "--no-such-option-at-all" in done.err

    def test_loading_its_plugin_does_not_import_it(self) -> None:
        """Its module is imported when it is called, and not before: whatever needs any plugin loads all of them."""
        target = self._command().target
        if not isinstance(target, str):
            pytest.fail(f"{self.path!r} is registered as an object, expected text: 'module:attr'")
        assert target.partition(":")[0] not in _loaded(os.environ.get("PYTHONPATH", ""), self._tables())
