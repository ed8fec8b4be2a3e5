"""`--crash-every-step` kills what the tests of kinds and engine run, after each of its records."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_whatever_the_tests_of_loops_run_comes_to_the_same_when_it_is_killed_after_each_record():
    tests = ("tests/policies/test_loop.py", "-k", "iteration or init or mappers or takes")
    command = [sys.executable, "-m", "pytest", *tests, "--crash-every-step"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    tally = json.loads(done.stdout.partition("killed after every record: ")[2].splitlines()[0])
    assert tally["crashes"] > tally["pipelines"] > 5
    assert tally["not comparable"] <= 2
