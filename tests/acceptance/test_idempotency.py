"""The key that a step hands to services, with real kills: one for all attempts and processes, another for each step."""

import random
import signal
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("quick")
KILLS = 3

#: Fails at its first attempt in every process, and takes long enough to be killed in the second.
SKILL = """\
import asyncio
import os


def note(line):
    ledger = os.open("ledger.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, (line + "\\n").encode())
    os.close(ledger)


async def work(data, *, run):
    note(f"{run.run_id} {run.path} {run.attempt} {run.idempotency_key}")
    if run.attempt == 1:
        raise ConnectionError("not yet")
    await asyncio.sleep(0.02)
    return data
"""

PIPELINE = """\
version: "0.1"
steps:
  - { name: first, uses: "skills.keys:work", config: { max_retries: 1, backoff: { initial_s: 0.02 } } }
  - kind: map
    name: each
    map:
      iterable_input: "{{ [1, 2, 3] }}"
      body: [{ name: item, uses: "skills.keys:work", config: { max_retries: 1 } }]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "skills").mkdir()
    (tmp_path / "skills" / "keys.py").write_text(SKILL)
    (tmp_path / "flujo.toml").write_text('blueprint_allowed_imports = ["skills"]\n')
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def ledger(project: Path) -> list[list[str]]:
    path = project / "ledger.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def kill_in_the_middle(project: Path, run_id: str, chance: random.Random) -> int:
    """Run, or go on, until the process is at work; the exit code after a kill there."""
    lines, deadline = len(ledger(project)), time.monotonic() + 60
    command = ["flujo", "run", "--input", "x", "--run-id", run_id, "-q"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE)
    while len(ledger(project)) == lines and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.08))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode


def test_a_step_has_one_key_over_all_attempts_and_crashes(project: Path) -> None:
    chance = random.Random(3)
    for run_id in ("r1", "r2"):
        for _ in range(KILLS):
            assert kill_in_the_middle(project, run_id, chance) in (0, -signal.SIGKILL)
        subprocess.run(["flujo", "run", "--input", "x", "--run-id", run_id, "-q"], cwd=project, check=True, timeout=60)

    keys, attempts = defaultdict(set), set()
    for run_id, path, attempt, key in ledger(project):
        keys[run_id, path].add(key)
        attempts.add(attempt)
    assert attempts == {"1", "2"}
    assert {len(each) for each in keys.values()} == {1}
    assert len(set.union(*keys.values())) == len(keys) == 2 * 4
