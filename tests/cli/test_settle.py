"""`flujo runs settle`: a step that died in the middle of its only execution, and what a person says of it."""

import re
import signal

import pytest

from flujo.engine.step_run import idempotency_key

PIPELINE = """\
version: "0.1"
steps:
  - name: first
  - { name: pay, uses: "skills.till:pay", effects: at-most-once }
  - { name: say, input: "paid {{ previous_step.amount }}" }
"""

SKILL = """\
import os
import signal
from pathlib import Path


async def pay(data: str, *, run) -> dict[str, int]:
    with open("ledger.txt", "a") as ledger:
        ledger.write(f"{run.idempotency_key}\\n")
    if Path("deadly").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return {"amount": int(data)}
"""


@pytest.fixture
def killed(project, flujo_process):
    """A run whose process was killed while it paid; how often it has paid."""
    (project / "pipeline.yaml").write_text(PIPELINE)
    (project / "skills" / "till.py").write_text(SKILL)
    (project / "deadly").touch()
    assert flujo_process("run", "--input", "7", "--run-id", "r1").code == -signal.SIGKILL
    (project / "deadly").unlink()
    return lambda: (project / "ledger.txt").read_text().splitlines()


def test_a_step_that_died_is_not_repeated_and_the_command_says_what_to_do(flujo, killed):
    ran = flujo("resume", "r1")

    assert (ran.code, ran.out, len(killed())) == (1, "", 1)
    assert re.search(r"error\[FLUJO-207\] step 'pay' failed: step 'pay' began at .*: it may have taken effect", ran.err)
    assert f"by its idempotency key {killed()[0]}; then `flujo runs settle r1 pay --output JSON`" in ran.err
    assert killed() == [idempotency_key("r1", "pay")]
    assert ran.err.endswith("\nnext: flujo runs settle r1 pay --output JSON, or --again\n")
    ran = flujo("resume", "r1", "--pipeline", "pipeline.yaml")
    assert ran.err.endswith("\nnext: flujo runs settle r1 pay --pipeline pipeline.yaml --output JSON, or --again\n")


def test_the_commands_that_settle_a_step_are_told_as_they_are_to_be_typed_there(flujo, killed, project, monkeypatch):
    monkeypatch.chdir("/")
    root = str(project)[1:]
    ran = flujo("-C", root, "resume", "r1", "--state", "sqlite:///.flujo/state.db")
    for how in ("--output JSON` takes", "--again` lets"):
        assert f"`flujo -C {root} runs settle r1 pay --state sqlite:///.flujo/state.db {how}" in ran.err
    monkeypatch.chdir("/")
    ran = flujo("-C", root, "why", "pay")
    assert ran.out.endswith(f"not called again until it is settled, with: flujo -C {root} runs settle r1 pay\n")


def test_a_step_that_may_run_only_once_and_is_stopped_is_to_be_settled(flujo, project):
    (project / "pipeline.yaml").write_text(PIPELINE)
    (project / "skills" / "till.py").write_text("def pay(data: str) -> dict[str, int]:\n    raise KeyboardInterrupt\n")
    ran = flujo("run", "--input", "7", "--run-id", "r1")
    assert ("pay  was at work, and is to be settled\n" in ran.err, "runs again" in ran.err) == (True, False)


def test_what_is_in_doubt_is_shown(flujo, killed):
    flujo("resume", "r1", "-q")

    shown = flujo("runs", "show", "r1").out

    settling = "say what became of it, by --again or --output JSON: flujo runs settle r1 pay\n"
    assert f"in doubt  pay: {settling}" in shown
    assert "\n  pay  begins, at most once\n" in shown
    assert flujo("runs", "show", "r1", "--json").json["in_doubt"] == ["pay"]


@pytest.mark.parametrize(
    ("output", "advice"), [("hi", "  help: a text stands in double quotes: '\"hi\"'\n"), ("{", "")]
)
def test_an_output_that_is_no_json_is_refused_with_how_a_text_is_written(flujo, output, advice):
    ran = flujo("runs", "settle", "r1", "pay", "--output", output)
    assert ran.code == 2
    assert ran.err.startswith("error[FLUJO-701] --output is not JSON: ")
    assert ran.err.partition("\n")[2] == advice


def test_it_is_settled_with_its_output(flujo, killed):
    ran = flujo("runs", "settle", "@last", "pay", "--output", '{"amount": 9}', "--by", "ann")

    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "pay of run r1: it is done\nnext: flujo resume r1\n"
    assert flujo("resume", "r1").out == "paid 9\n"
    assert len(killed()) == 1
    shown = flujo("runs", "show", "r1").out
    assert '\n  pay  ann settles it: {"amount": 9}\n' in shown
    assert "in doubt" not in shown


def test_or_it_runs_once_more_with_the_same_key(flujo, killed, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    told = flujo("runs", "settle", "r1", "pay", "--again", "--json").json

    assert told == {"schema": "flujo.settled/1", "run_id": "r1", "path": "pay", "again": True, "by": "ann"}
    assert flujo("resume", "r1").out == "paid 7\n"
    assert (len(killed()), len(set(killed()))) == (2, 1)
    assert "\n  pay  ann settles it: it may run again\n" in flujo("runs", "show", "r1").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pay"], "say what became of it: --output JSON, or --again"),
        (["pay", "--again", "--output", "1"], "say what became of it: --output JSON, or --again"),
        (["pay", "--output", "{"], "--output is not JSON: "),
        (["first", "--again"], "step 'first' of run 'r1' is not in doubt"),
        (["pay", "--output", '{"amount": "much"}'], "the output of 'pay' does not fit"),
    ],
)
def test_what_is_no_settlement_ends_with_2_and_changes_nothing(flujo, killed, words, message):
    ran = flujo("runs", "settle", "r1", *words)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "settles it" not in flujo("runs", "show", "r1").out
