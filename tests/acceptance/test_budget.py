"""Budgets by the installed command: a run stops before the call that would pass its limit, and can go on."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("quick")

SETTINGS = """
[pricing."scripted:*"]
input_usd_per_million = 100_000
usd_per_call = 0.5

[budgets.default]
total_cost_usd_limit = 2.0
"""

PIPELINE = """
agents:
  writer: {model: "scripted:answers.json", output_schema: {type: string, maxLength: 5}}
steps:
  - {name: draft, uses: agents.writer, input: "12345678"}
  - name: fan
    kind: parallel
    branches:
      first: [{name: one, agent: writer, input: "1234"}]
  - {name: polish, agent: writer, input: "1234", fallback: {name: never, input: "not asked"}}
"""

#: What the calls cost: 0.7, 0.7 for the second attempt, 0.6, and 0.6 again, which would pass the limit.
ANSWERS = ["far too long", "short", "one", "last"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "flujo.toml").write_text(SETTINGS)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "answers.json").write_text(json.dumps(ANSWERS))
    return tmp_path


def flujo(project: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        ["flujo", *words, "--json"], cwd=project, text=True, capture_output=True, input="", check=False
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_run_stops_at_its_budget_keeps_what_is_finished_and_goes_on_with_a_higher_one(project):
    code, stopped, said = flujo(project, "run", "--run-id", "r")
    assert code == 5
    assert "stopped: budget" in said
    assert (stopped["status"], stopped["usage"]["calls"], stopped["usage"]["cost_usd"]) == ("stopped: budget", 3, "2")

    code, again, _ = flujo(project, "resume", "r")
    assert (code, again["usage"]) == (5, stopped["usage"])

    code, done, _ = flujo(project, "resume", "r", "--max-cost", "2.6")
    assert (code, done["output"]) == (0, "last")
    assert (done["usage"]["calls"], done["usage"]["cost_usd"]) == (4, "2.6")


def test_limits_of_calls_and_tokens_stop_a_run_too(project):
    (project / "flujo.toml").write_text("")
    for option in (("--max-calls", "3"), ("--max-tokens", "9")):
        code, stopped, _ = flujo(project, "run", *option)
        assert (code, stopped["status"]) == (5, "stopped: budget")


def test_a_call_without_a_price_is_refused_under_a_limit_of_cost(project):
    (project / "flujo.toml").write_text("[budgets.default]\ntotal_cost_usd_limit = 1\n")
    code, failed, _ = flujo(project, "run")
    assert (code, failed["error"]["code"]) == (1, "FLUJO-102")
    assert failed["error"]["message"] == "model 'scripted:answers.json' has no price, and a limit of cost holds"
