"""Type checkers accept a plugin whose hooks have the form in which flujo calls them, and reject every other."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".mypy_cache" / "typing"
STRICT = ["mypy", "--strict", "--config-file=", f"--cache-dir={CACHE}", "--no-error-summary"]

HOOKS = """\
from typing import Protocol

from flujo.plugins import SkillRegistrar
import {plugin}


class Hooks(Protocol):
    def flujo_register_skills(self, registrar: SkillRegistrar) -> None: ...


hooks: Hooks = {plugin}
"""
GOOD = """\
from flujo.plugins import PolicyRegistrar, SkillRegistrar, hookimpl


@hookimpl
def flujo_register_skills(registrar: SkillRegistrar) -> None:
    registrar.skill("my.skill", "my_plugin:skill", summary="does it")


@hookimpl
def flujo_register_policies(registrar: PolicyRegistrar) -> None:
    registrar.policy("my_plugin:MyStep", "my_plugin:MyPolicy", override=True)
"""
SIGNATURE = "def flujo_register_skills(registrar: SkillRegistrar) -> None:"
WRONG = {
    "one_parameter_too_many": (SIGNATURE, "def flujo_register_skills(registrar: SkillRegistrar, config: str) -> None:"),
    "another_name_of_the_parameter": (SIGNATURE, "def flujo_register_skills(registry: SkillRegistrar) -> None:"),
    "another_registrar": (SIGNATURE, "def flujo_register_skills(registrar: PolicyRegistrar) -> None:"),
    "an_async_hook": (SIGNATURE, f"async {SIGNATURE}"),
    "a_hook_that_returns": (SIGNATURE, "def flujo_register_skills(registrar: SkillRegistrar) -> list[str]:"),
    "a_typing_error": ("flujo_register_skills", "flujo_register_skils"),
    "no_summary": (', summary="does it"', ""),
    "an_option_that_is_not_there": ("override=True", "replace=True"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The good plugin and every wrong one, each with the file that says what it has to be."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, (old, new) in {"good": ("", ""), **WRONG}.items():
        assert old in GOOD
        (folder / f"{name}.py").write_text(GOOD.replace(old, new) if old else GOOD)
        (folder / f"hooks_{name}.py").write_text(HOOKS.format(plugin=name))
    return folder


def rejected(paths):
    return {Path(path).stem.removeprefix("hooks_") for path in paths}


def test_mypy_rejects_every_wrong_plugin_and_no_other(folder):
    files = sorted(path.name for path in folder.glob("*.py"))
    done = subprocess.run(
        [sys.executable, "-m", *STRICT, *files], capture_output=True, text=True, cwd=folder, check=False
    )

    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert rejected(line.partition(":")[0] for line in errors) == set(WRONG), done.stdout


def test_pyright_rejects_every_wrong_plugin_and_no_other(folder):
    settings = {"include": [str(folder)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--project", folder, "--pythonpath", sys.executable]

    done = subprocess.run([*command, "--outputjson"], capture_output=True, text=True, check=False)

    found = [each for each in json.loads(done.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    assert rejected(each["file"] for each in found) == set(WRONG), [each["message"] for each in found]
