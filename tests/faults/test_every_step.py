"""What is run is killed after each of its records; under limits, after the beginning of each call, too."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("unmeasured")
ROOT = Path(__file__).resolve().parents[2]

#: One life of a run of four calls in the state `argv[1]`, which dies as the beginning of its call number `argv[2]` is
#: safe, under a limit of `argv[3]` calls.
LIFE = """
import asyncio, json, sys
from pathlib import Path
from flujo import AgentResult, Flujo, Pipeline, Step, Usage, UsageLimits, agent, map_, parallel
from flujo.domain.interfaces import RecordKind
from flujo.testing.dying import kill_this_process
from flujo_state_sqlite.backend import SqliteBackend

class Mortal(SqliteBackend):
    left = int(sys.argv[2])
    async def append(self, claim, record):
        await super().append(claim, record)
        self.left -= record.kind is RecordKind.CALL
        if self.left == 0 and record.kind is RecordKind.CALL:
            kill_this_process()

class Model:
    async def run(self, data):
        return AgentResult(data, Usage(1, 2))
    def estimate(self, data):
        return Usage(1, 3)

each = map_("each", [agent("ask", Model())], concurrency=1)
both = parallel("both", {"a": [agent("one", Model())], "b": [agent("two", Model())]})

async def live():
    state, pipeline = Mortal(Path(sys.argv[1])), Pipeline([each, both], name="p")
    limits = UsageLimits(max_calls=int(sys.argv[3]), total_tokens_limit=1000)
    result = await Flujo(pipeline, state_backend=state, usage_limits=limits).run([1, 2], run_id="r")
    print(json.dumps([result.status, result.output, result.usage.calls, result.usage.tokens_in]))
    assert result.usage == (await state.get("r")).usage
    await state.close()

asyncio.run(live())
"""


def test_whatever_the_tests_of_loops_run_comes_to_the_same_when_it_is_killed_after_each_record():
    tests = ("tests/policies/test_loop.py", "-k", "iteration or init or mappers or takes")
    command = [sys.executable, "-m", "pytest", *tests, "--crash-every-step"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    tally = json.loads(done.stdout.partition("killed after every record: ")[2].splitlines()[0])
    assert tally["crashes"] > tally["pipelines"] > 5
    assert tally["not comparable"] <= 2


def live(state, die_at=0, most=100):
    """What a life comes to; None if it dies."""
    command = [sys.executable, "-c", LIFE, str(state), str(die_at), str(most)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else None


def test_a_run_that_is_killed_as_any_of_its_calls_begins_comes_to_the_same_and_counts_one_more(tmp_path):
    status, output, calls, tokens = live(tmp_path / "undisturbed.db")
    assert (status, calls, tokens) == ("completed", 4, 8)
    for number in range(1, calls + 1):
        state = tmp_path / f"{number}.db"
        assert live(state, number) is None
        again = live(state)
        assert again[:2] == [status, output]
        assert again[2:] in ([5, 11], [6, 14])  # calls that are made side by side are lost together


def test_a_run_that_is_killed_in_each_life_as_its_first_call_begins_ends_at_its_limit(tmp_path):
    lives = [live(tmp_path / "runs.db", 1, 3) for _ in range(4)]
    assert lives == [None, None, None, ["stopped: budget", None, 3, 9]]
