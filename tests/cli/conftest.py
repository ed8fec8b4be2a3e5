"""A project folder, and the command line run in it: inside this process, or as users do."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flujo.infra.config_manager import invalidate_config_cache
from flujo_cli.app import run_command_line

ECHO = """\
version: "0.1"
name: "test"
steps:
  - kind: step
    name: echo
    agent:
      id: "flujo.builtins.stringify"
    input: "{{ previous_step }}"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch, nothing_left) -> Iterator[None]:
    """No setting from outside, a standard input at its end, and Python's own way to report exceptions afterwards."""
    for name in [name for name in os.environ if name.startswith("FLUJO_")] + ["NO_COLOR", "FORCE_COLOR"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    invalidate_config_cache()
    with open(os.devnull, encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with a pipeline that hands out its input; the working directory."""
    folder = tmp_path / "project"
    (folder / "skills").mkdir(parents=True)
    (folder / "flujo.toml").write_text('blueprint_allowed_imports = ["skills"]\n')
    (folder / "pipeline.yaml").write_text(ECHO)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def flujo(capfd, project) -> Callable[..., Ran]:
    """Run a command in the project, in this process."""

    def run(*args: str) -> Ran:
        capfd.readouterr()
        code = run_command_line(args)
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def flujo_process(project) -> Callable[..., Ran]:
    """Run the installed command in the project; `stdin` and the rest go to `subprocess.run`.

    With `shell`, the one argument is a line for bash, in which `flujo` stands for the command.
    """
    command = Path(sys.executable).with_name("flujo")

    def run(*args: str, env: dict[str, str] | None = None, shell: bool = False, **options: Any) -> Ran:
        words = ["/bin/bash", "-c", f"flujo() {{ '{command}' \"$@\"; }}; {args[0]}"] if shell else [command, *args]
        options.setdefault("input", b"")
        if "stdin" in options or options["input"] is None:
            del options["input"]
        done = subprocess.run(
            words, env={**os.environ, **(env or {})}, capture_output=True, timeout=60, check=False, **options
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
