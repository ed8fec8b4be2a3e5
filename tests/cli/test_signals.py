"""Runs that are stopped from outside, through the installed command: each goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("flujo")

SLOW = """\
version: "0.1"
steps:
  - { name: first, uses: "skills.slow:first" }
  - { name: nap, uses: "skills.slow:nap" }
"""
THREADED = """\
version: "0.1"
steps:
  - { name: first, uses: "skills.slow:first" }
  - { name: nap, uses: "skills.slow:blocked", blocking: true }
"""
SLOW_SKILL = """\
import asyncio
import time
from pathlib import Path

async def first(data: str) -> str:
    return data.upper()

async def nap(data: str) -> str:
    if not Path("awake").exists():
        Path("asleep").touch()
        {sleep}
    return f"{{data}} rested"

def blocked(data: str) -> str:
    Path("asleep").touch()
    time.sleep(60)
    return data
"""


@pytest.fixture
def sleeping(project):
    """A run that sleeps in its second step; `sleep` says how, then a process that has got there."""
    started: list[subprocess.Popen[bytes]] = []

    def start(sleep: str, *args: str, text: str = SLOW) -> subprocess.Popen[bytes]:
        (project / "pipeline.yaml").write_text(text)
        (project / "skills" / "slow.py").write_text(SLOW_SKILL.format(sleep=sleep))
        process = subprocess.Popen(
            [COMMAND, "run", "--input", "hi", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        while not (project / "asleep").exists():
            assert process.poll() is None, process.communicate()
            os.sched_yield()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_run_that_goes_on_where_it_stopped(flujo_process, project, sleeping, number, code):
    process = sleeping("await asyncio.sleep(60)")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, b"")
    advice = err.decode().splitlines()[-1]
    assert advice.startswith("next: flujo resume ")
    (project / "awake").touch()
    ran = flujo_process(*advice.removeprefix("next: flujo ").split())
    assert (ran.code, ran.out) == (0, "HI rested\n")
    assert "first  recorded" in ran.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_step_that_awaits_is_cancelled_within_five_seconds_and_runs_again(flujo_process, project, sleeping, number):
    process = sleeping("await asyncio.sleep(60)")
    process.send_signal(number)
    process.communicate(timeout=5)  # of a step of 60 s: the bound that is promised, not what it takes
    (project / "awake").touch()
    (project / "asleep").unlink()
    ran = flujo_process("resume", "@last", "-q")
    assert (ran.code, ran.out) == (0, "HI rested\n")


def test_a_second_signal_stops_a_step_that_does_not_listen(flujo_process, project, sleeping):
    process = sleeping("time.sleep(60)", "--json")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode in (130, 143)
    assert "next: flujo resume " in err.decode()
    assert json.loads(out)["status"] == "interrupted"
    (project / "awake").touch()
    assert flujo_process("resume", "@last", "-q").out == "HI rested\n"


def test_a_thread_that_is_waited_for_is_told_and_a_second_signal_ends_it(sleeping):
    process = sleeping("time.sleep(60)", text=THREADED)
    process.send_signal(signal.SIGINT)
    lines = [process.stderr.readline() for _ in range(4)]
    assert lines[-1] == b"waiting for the thread of step 'nap'; once more stops at once\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1].splitlines()[-1].startswith(b"next: flujo resume ")
    assert process.returncode == 130


SWALLOWING = """\
while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass"""


@pytest.mark.parametrize("sleep", ["time.sleep(60)", SWALLOWING])
def test_a_step_that_does_not_listen_is_told_while_it_is_waited_for_and_when_it_is_left(sleeping, sleep):
    process = sleeping(sleep)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith(b"\xe2\x9c\x93 first ")
    assert process.stderr.readline() == b"stopping; once more stops at once\n"
    assert process.poll() is None
    assert process.stderr.readline() == b"waiting for step 'nap'; once more stops at once\n"
    process.send_signal(signal.SIGINT)
    left, *last = process.communicate(timeout=30)[1].decode().splitlines()
    assert left == "✗ nap  was at work, and runs again"
    assert [line.partition(" ")[0] for line in last] == ["interrupted,", "next:"]


def test_a_run_that_another_process_works_on_can_not_be_resumed(flujo_process, sleeping):
    sleeping("await asyncio.sleep(60)")
    ran = flujo_process("resume", "@last", "--json")
    assert ran.code == 75
    assert (ran.json["status"], ran.json["error"]["type"]) == ("error", "RunOwnedElsewhere")
