"""What every command of the command line has to keep, as tests to subclass."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest

from flujo.plugins import CommandSpec, PluginOptions, create_plugin_manager
from flujo.testing.command_line import CommandLine
from flujo.testing.conformance import Conformance
from flujo.testing.project import Project

__all__ = ["CommandConformance"]

_LOADING = """
import sys
from flujo.plugins import create_plugin_manager
create_plugin_manager()
print(*sys.modules)
"""


@cache
def _loaded(path: str) -> frozenset[str]:
    """Every module that is imported where all plugins are loaded; `path` is the PYTHONPATH that they are found on."""
    with TemporaryDirectory(prefix="flujo-commands-") as folder:
        return frozenset(Project(Path(folder)).python(_LOADING, env={"PYTHONPATH": path}).out.split())


class CommandConformance(Conformance):
    """Tests of the command that is typed as `path` ("http ping"): subclass it as `Test...`.

    It is looked for in the plugins that are installed. Needs the command line: pip install flujo-cli.
    """

    path: ClassVar[str]

    def _command(self) -> CommandSpec:
        commands = create_plugin_manager(options=PluginOptions()).contributions.commands
        assert self.path in commands, f"no plugin has a command {self.path!r}"
        return commands[self.path]

    def _words(self, *more: str) -> Sequence[str]:
        return (*self.path.split(), *more)

    def test_command_says_what_it_is_for(self) -> None:
        """It is registered with a line of help, which is a sentence."""
        text = self._command().short_help
        assert text == text.strip()
        assert text.endswith(".")

    def test_help_explains_it(self, flujo_cli: CommandLine) -> None:
        """`--help` tells how it is written, on stdout."""
        done = flujo_cli(*self._words("--help"))
        assert (done.code, done.err) == (0, "")
        assert f"flujo {self.path}" in done.out

    def test_what_it_does_not_know_is_refused(self, flujo_cli: CommandLine) -> None:
        """An option that it does not have is a mistake in the command line: exit code 2, and nothing on stdout."""
        done = flujo_cli(*self._words("--no-such-option-at-all"))
        assert (done.code, done.out) == (2, "")
        assert "--no-such-option-at-all" in done.err

    def test_loading_its_plugin_does_not_import_it(self) -> None:
        """Its module is imported when it is called, and not before: whatever needs any plugin loads all of them."""
        target = self._command().target
        if not isinstance(target, str):
            pytest.fail(f"{self.path!r} is registered as an object, expected text: 'module:attr'")
        assert target.partition(":")[0] not in _loaded(os.environ.get("PYTHONPATH", ""))
