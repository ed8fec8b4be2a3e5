"""The approval example: what waits, what is paid, and that nothing is paid twice however often the run is killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "approval"
SCENARIOS = Path(os.environ.get("FLUJO_SCENARIOS_DIR", EXAMPLE.parents[2] / "shared" / "scenarios"))
pytestmark = pytest.mark.usefixtures("quick")
RUN = ("run", "--no-input", "--input", "@tickets.csv", "--run-id", "r1", "--quiet")
APPROVE = ("runs", "approve", "r1", "--from", "decisions.json", "--json")


@pytest.fixture
def project(tmp_path):
    ignored = shutil.ignore_patterns("out", ".flujo", "__pycache__", "ledger.jsonl")
    return shutil.copytree(EXAMPLE, tmp_path / "approval", ignore=ignored)


@pytest.fixture
def scenario(project):
    """The example over the tickets of the scenario, and its expected figures."""
    generator = SCENARIOS / "gen_fixtures.py"
    if not generator.exists():
        pytest.skip(f"no scenarios in {SCENARIOS}; set FLUJO_SCENARIOS_DIR")
    subprocess.run([sys.executable, generator, project.parent / "made"], check=True, capture_output=True)
    for path in (project.parent / "made" / "uc1").iterdir():
        shutil.copy(path, project)
    return project, json.loads((project.parent / "made" / "expected.json").read_text())["uc1"]


def flujo(project, *words):
    return subprocess.run(["flujo", *words], cwd=project, capture_output=True, encoding="utf-8", check=False)


def killed(project, words, after_s):
    """Run a command and kill it after that time, unless it has ended; whether it was killed."""
    process = subprocess.Popen(["flujo", *words], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def ledger(project):
    path = project / "ledger.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return len(lines), round(sum(line["usd"] for line in lines), 2)


def test_the_example_waits_for_four_answers_and_then_pays_three_refunds(project):
    ran = flujo(project, *RUN)
    assert (ran.returncode, ledger(project)) == (6, (1, 48.5)), ran.stderr
    assert len(json.loads(flujo(project, "inbox", "--json").stdout)["questions"]) == 4
    kept = (project / "out" / "rejected.csv").read_text()
    assert kept == "ticket_id,reason\nA-4,opened_at is no date\nA-1,the id stands in a row before\n"

    done = flujo(project, *APPROVE)

    assert (done.returncode, ledger(project)) == (0, (3, 728.5)), done.stderr
    assert json.loads(done.stdout)["output"]["decisions"] == {"approve": 2, "edit": 1, "reject": 1}


def test_the_scenario_comes_to_exactly_its_expected_figures(scenario):
    project, expected = scenario

    ran = flujo(project, *RUN)
    assert ran.returncode == 6, ran.stderr
    before = (expected["ledger_lines_before_approval"], expected["ledger_usd_before_approval"])
    assert ledger(project) == before
    assert len(json.loads(flujo(project, "inbox", "--json").stdout)["questions"]) == expected["needs_human"]
    done = flujo(project, *APPROVE)

    assert_is_as_expected(project, done, expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_scenario_comes_to_the_same_when_it_is_killed_at_random_moments(scenario, seed):
    project, expected = scenario
    chance = random.Random(seed)

    kills = [killed(project, RUN, chance.uniform(0.4, 1.6)) for _ in range(4)]
    assert flujo(project, *RUN).returncode == 6
    kills += [killed(project, APPROVE, chance.uniform(0.4, 1.2)) for _ in range(3)]
    assert any(kills)
    waiting = json.loads(flujo(project, "inbox", "--json").stdout)["questions"]
    done = flujo(project, *APPROVE) if waiting else flujo(project, "resume", "r1", "--json")

    assert_is_as_expected(project, done, expected)


def assert_is_as_expected(project, done, expected):
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout)["output"]
    assert {key: output[key] for key in output} == {key: expected[key] for key in output}
    assert ledger(project) == (expected["refund_lines"], expected["refund_total_usd"])
    assert len((project / "out" / "rejected.csv").read_text().splitlines()) == 1 + expected["rejected_rows"]
