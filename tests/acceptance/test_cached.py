"""Cached results in real processes over one file, with a real kill."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("quick")

SKILL = """
import pathlib
import time


def first(data: str) -> str:
    with open("ledger.txt", "a") as ledger:
        ledger.write("first\\n")
    return data.upper()


def second(data: str) -> str:
    with open("ledger.txt", "a") as ledger:
        ledger.write("second\\n")
    while pathlib.Path("wait").exists():
        time.sleep(0.01)
    return data + "!"
"""

PIPELINE = """
steps:
  - name: c
    kind: cache
    cache:
      ttl: 7d
      body:
        - { name: first, uses: "made:first" }
        - { name: second, uses: "made:second" }
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "made.py").write_text(SKILL)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "flujo.toml").write_text('blueprint_allowed_imports = ["made"]\n')
    return tmp_path


def flujo(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["flujo", *words]
    return subprocess.run(command, cwd=project, text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False)


def ledger(project: Path) -> list[str]:
    path = project / "ledger.txt"
    return path.read_text().split() if path.exists() else []


def test_a_body_that_was_killed_is_finished_and_later_processes_use_what_a_whole_one_came_to(project):
    (project / "wait").touch()
    command = ["flujo", "run", "pipeline.yaml", "--input", "x", "--run-id", "r"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while "second" not in ledger(project) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (project / "wait").unlink()

    assert flujo(project, "resume", "r").stdout == "X!\n"
    assert ledger(project) == ["first", "second", "second"]

    runs = [flujo(project, "run", "pipeline.yaml", "--input", "x") for _ in range(3)]
    assert [run.stdout for run in runs] == ["X!\n"] * 3
    assert [", cached" in run.stderr for run in runs] == [False, True, True]
    assert ledger(project)[3:] == ["first", "second"]
