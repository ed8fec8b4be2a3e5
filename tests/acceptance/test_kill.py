"""The promise, with real processes and real kills: what is recorded never runs again, and is used exactly once."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from flujo_state_sqlite.backend import open_sqlite

pytestmark = pytest.mark.usefixtures("quick")
STEPS = 20
KILLS = 30
SEED = 20_261_123

SKILL = '''
"""A step that leaves a trace outside flujo's state, at its beginning and at its end."""

import asyncio
import os


def note(line):
    ledger = os.open("ledger.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, (line + "\\n").encode())
    os.fsync(ledger)
    os.close(ledger)


async def work(data, *, context, run):
    note(f"begin {run.run_id} {run.path}")
    await asyncio.sleep(0.004)
    context.scratchpad.setdefault("done", []).append(run.path)
    note(f"end {run.run_id} {run.path}")
    return data + 1
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "skills").mkdir()
    (tmp_path / "skills" / "__init__.py").write_text("")
    (tmp_path / "skills" / "ledger.py").write_text(SKILL)
    (tmp_path / "flujo.toml").write_text('blueprint_allowed_imports = ["skills"]\n')
    steps = [f'  - {{ name: s{n:02d}, uses: "skills.ledger:work" }}' for n in range(1, STEPS)]
    first = '  - { name: s00, uses: "skills.ledger:work", input: "{{ input | int }}" }'
    text = "\n".join(['version: "0.1"', "name: ledger", "steps:", first, *steps])
    said = "{{ previous_step }} {{ context.scratchpad.done | length }}"
    last = f'  - {{ name: out, agent: {{ id: flujo.builtins.stringify }}, input: "{said}" }}'
    (tmp_path / "pipeline.yaml").write_text(f"{text}\n{last}\n")
    return tmp_path


def start(project: Path, run_id: str, *, resume: bool) -> subprocess.Popen[str]:
    """Start the run, or go on with it by either of the two commands that do."""
    words = ["resume", run_id] if resume else ["run", "pipeline.yaml", "--input", "100", "--run-id", run_id]
    command = ["flujo", *words, "-q"]
    return subprocess.Popen(
        command, cwd=project, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )


def ledger(project: Path) -> list[str]:
    path = project / "ledger.txt"
    return path.read_text().splitlines() if path.exists() else []


def kill_at_random(project: Path, process: subprocess.Popen[str], chance: random.Random) -> bool:
    """Kill the process a random time after it did its first work; False when it was done before that."""
    lines = len(ledger(project))
    deadline = time.monotonic() + 60
    while len(ledger(project)) == lines and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.15))
    process.send_signal(signal.SIGKILL)
    _out, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode == -signal.SIGKILL


async def recorded(project: Path, run_id: str) -> set[str]:
    backend = open_sqlite("sqlite:///.flujo/state.db", project)
    try:
        if await backend.get(run_id) is None:
            return set()
        return {record.path for record in await backend.load(run_id)}
    finally:
        await backend.close()


async def test_no_recorded_step_runs_again_after_thirty_kills(project: Path) -> None:
    chance = random.Random(SEED)
    kills = number = 0
    while kills < KILLS:
        number += 1
        run_id = f"run{number}"
        known: set[str] = set()
        while kills < KILLS:
            before = len(ledger(project))
            killed = kill_at_random(project, start(project, run_id, resume=bool(known) and kills % 2 == 0), chance)
            begun = {line.split()[2] for line in ledger(project)[before:] if line.startswith(f"begin {run_id}")}
            assert not begun & known, "a recorded step ran again"
            known = await recorded(project, run_id)
            if not killed:
                break
            kills += 1
        process = start(project, run_id, resume=True)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, f"{100 + STEPS} {STEPS}\n"), err
    _check_ledger(project, number)


def _check_ledger(project: Path, runs: int) -> None:
    ended = Counter(line.split(maxsplit=1)[1] for line in ledger(project) if line.startswith("end"))
    assert len(ended) == runs * STEPS
    begun = Counter(line.split(maxsplit=1)[1] for line in ledger(project) if line.startswith("begin"))
    again = sum(count - 1 for count in begun.values())
    assert again <= KILLS, "more than the one step in flight ran again at a kill"
    assert os.path.getsize(project / ".flujo" / "state.db") > 0
