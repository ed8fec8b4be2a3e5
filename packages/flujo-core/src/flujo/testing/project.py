"""A project's folder for a test, and processes that work in it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

__all__ = ["Done", "Project", "own_environment"]

#: A process that takes longer has come to a standstill, in seconds.
_HUNG_S = 120.0


class Done(NamedTuple):
    """What a command came to: its exit code, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it wrote to stdout, which has to be JSON."""
        return json.loads(self.out)


class Project:
    """The folder `root`, with a flujo.toml: what is run in it finds its settings there, and none of the user's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.write("flujo.toml", "")

    def write(self, path: str, text: str) -> Path:
        """Put `text`, without the indentation that all of its lines share, into the file `path` of the project."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")
        return file

    def flujo(self, *args: str, input: str = "", env: Mapping[str, str] | None = None) -> Done:
        """Run the installed command `flujo` in a process of its own; `env` adds to its environment."""
        return self._process(str(Path(sys.executable).with_name("flujo")), *args, text=input, env=env)

    def python(self, program: str, *args: str, env: Mapping[str, str] | None = None) -> Done:
        """Run a program of Python in a process of its own, where nothing has been imported yet."""
        return self._process(sys.executable, "-c", dedent(program), *args, text="", env=env)

    def _process(self, *words: str, text: str, env: Mapping[str, str] | None) -> Done:
        done = subprocess.run(  # noqa: S603 - a test's own words
            words,
            cwd=self.root,
            input=text.encode(),
            env={**own_environment(self.root), **(env or {})},
            capture_output=True,
            timeout=_HUNG_S,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def own_environment(root: Path) -> dict[str, str]:
    """This process's environment without any setting of flujo's, and without the user's configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLUJO_")}
    return {**kept, "XDG_CONFIG_HOME": str(root / ".config")}
