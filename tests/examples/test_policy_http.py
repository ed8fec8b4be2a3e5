"""The example of a plugin, installed as far as Python can tell, passes its own tests and imports public names only."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples/plugins/flujo-policy-http"
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def installed(tmp_path, quick):
    """An environment in which the metadata of the distribution lies beside its sources."""
    info = tmp_path / "{}-{}.dist-info".format(PROJECT["name"].replace("-", "_"), PROJECT["version"])
    info.mkdir()
    needs = "".join(f"Requires-Dist: {each}\n" for each in PROJECT["dependencies"])
    head = f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n"
    (info / "METADATA").write_text(head + needs)
    groups = PROJECT["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in entries.items()) for group, entries in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
    path = os.pathsep.join([str(tmp_path), str(FOLDER / "src")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def test_its_own_tests_pass(installed):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", FOLDER / "tests", "-rf"]
    done = subprocess.run(command, cwd=FOLDER, env=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_imports_nothing_of_flujo_that_is_not_public(author_modules):
    found = {
        node.module
        for path in FOLDER.glob("src/**/*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "flujo"
    }
    assert found
    assert found <= author_modules
