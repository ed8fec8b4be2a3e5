"""The command line, run inside the process of a test."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec

import pytest

from flujo.infra.config_manager import invalidate_config_cache
from flujo.testing.project import Done, Project, own_environment

__all__ = ["CommandLine"]


class CommandLine:
    """Runs commands of `flujo` in the folder of its `project`. Skips the test where flujo-cli is not installed."""

    def __init__(self, project: Project, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        if find_spec("flujo_cli") is None:
            pytest.skip("flujo-cli is not installed: pip install flujo-cli")
        self._run: Callable[[Sequence[str]], int] = import_module("flujo_cli.app").run_command_line
        self.project = project
        self._patch = patch
        self._capture = capture

    def __call__(self, *args: str, input: str = "", plugins: Sequence[str] | None = None, strict: bool = True) -> Done:
        """Run one command with `input` on stdin. `plugins` names the distributions of others that may be loaded; by
        default every installed one may. The first of them that does not work is an error, unless not `strict`."""
        stdin = self.project.write(".stdin", "")
        stdin.write_text(input, encoding="utf-8")
        with self._patch.context() as patch, stdin.open(encoding="utf-8") as stream:
            self._surround(patch)
            patch.setattr(sys, "stdin", stream)
            patch.setenv("FLUJO_PLUGINS_STRICT", str(int(strict)))
            if plugins is not None:
                patch.setenv("FLUJO_PLUGINS", ",".join(plugins))
            self._capture.readouterr()
            code = self._run(args)
            return Done(code, *self._capture.readouterr())

    def _surround(self, patch: pytest.MonkeyPatch) -> None:
        """No setting from outside, and Python's own way to report exceptions afterwards."""
        own = own_environment(self.project.root)
        for name in set(os.environ) - set(own):
            patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", own["XDG_CONFIG_HOME"])
        patch.chdir(self.project.root)
        patch.setattr(sys, "excepthook", sys.excepthook)
        invalidate_config_cache()
