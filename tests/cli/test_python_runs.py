"""Runs that a program began: what the command line does with them, and how it is told their pipeline."""

import subprocess
import sys

import pytest

APP = """\
import asyncio
import os

from pydantic import BaseModel

from flujo import Flujo, human, step


class Order(BaseModel):
    id: int


@step
async def fetch(x: str) -> str:
    return f"got {x}"


@step
async def ship(x: str) -> str:
    if not os.environ.get("SHOP_OPEN"):
        raise ValueError("the shop is closed")
    return f"{x}, shipped"


@step(effects="at-most-once")
async def post(to: str) -> str:
    if os.environ.get("POST_OPEN"):
        return f"letter to {to}"
    raise ConnectionError("no answer")


@step
async def note(letter: str) -> str:
    return f"noted {letter}"


@step
def number(order: Order) -> int:
    return order.id


order, letter, asking = fetch >> ship, post >> note, fetch >> human("ask", "which?", schema=Order) >> number


async def main() -> None:
    for pipeline, run_id in ((order, "order"), (letter, "letter"), (asking, "asking")):
        async with Flujo(pipeline, state_uri="sqlite:///runs.db") as flujo:
            await flujo.run("17", run_id=run_id)
"""

STATE = ("--state", "sqlite:///runs.db")


@pytest.fixture
def begun(project, flujo):
    """The command line in a project whose program has begun three runs, with that program's state."""
    (project / "skills" / "app.py").write_text(APP)
    words = [sys.executable, "-c", "import asyncio; from skills import app; asyncio.run(app.main())"]
    subprocess.run(words, check=True, cwd=project, timeout=60)
    return lambda *words: flujo(*words, *STATE)


def test_without_its_pipeline_the_help_says_how_to_name_it(begun):
    for words in (["resume", "order"], ["runs", "rerun", "order", "--from", "ship"], ["runs", "approve", "asking"]):
        ran = begun(*words)

        assert (ran.code, ran.out) == (2, "")
        assert "was not started from a pipeline file of this project" in ran.err
        assert "help: say by --pipeline which one is its: module:name of one made in Python, or a file" in ran.err


def test_a_run_goes_on_with_the_pipeline_that_is_named(begun, monkeypatch):
    failed = begun("resume", "order", "--pipeline", "skills.app:order")
    monkeypatch.setenv("SHOP_OPEN", "1")

    assert (failed.code, failed.err.splitlines()[-1]) == (
        1,
        "next: flujo resume order --pipeline skills.app:order --state sqlite:///runs.db",
    )
    assert begun("resume", "order", "--pipeline", "skills.app:order", "-q").out == "got 17, shipped\n"


def test_a_rerun_remembers_the_pipeline_that_was_named(begun, monkeypatch):
    monkeypatch.setenv("SHOP_OPEN", "1")

    ran = begun("runs", "rerun", "order", "--from", "ship", "--pipeline", "skills.app:order", "--json")

    assert ran.json["output"] == "got 17, shipped"
    assert begun("resume", "@last", "-q").out == "got 17, shipped\n"


def test_a_step_in_doubt_is_settled_without_the_pipeline(begun, monkeypatch):
    ran = begun("runs", "settle", "letter", "post", "--again")
    monkeypatch.setenv("POST_OPEN", "1")

    assert ran.err == (
        "post of run letter: it may run again\n"
        "next: flujo resume letter --pipeline MODULE:NAME --state sqlite:///runs.db\n"
    )
    assert begun("resume", "letter", "--pipeline", "skills.app:letter", "-q").out == "noted letter to 17\n"


def test_its_output_is_checked_where_the_pipeline_is_named(begun):
    words = ["runs", "settle", "letter", "post", "--pipeline", "skills.app:letter", "--output"]

    assert "the output of 'post' does not fit" in begun(*words, "17").err
    assert begun(*words, '"a letter"').code == 0
    assert begun("resume", "letter", "--pipeline", "skills.app:letter", "-q").out == "noted a letter\n"


def test_what_is_in_doubt_says_how_to_settle_it_here_and_in_python(begun):
    ran = begun("resume", "letter", "--pipeline", "skills.app:letter")

    assert "`flujo runs settle letter post --state sqlite:///runs.db --again` lets it run once more" in ran.err
    assert "`await flujo.settle('letter', 'post', again=True)`" in ran.err


def test_an_answer_is_recorded_without_the_pipeline_and_is_what_its_step_declares_then(begun):
    wrong = begun("runs", "approve", "asking", "--no-resume", "--answer-json", '{"id": "x"}')
    right = begun("runs", "approve", "asking", "--no-resume", "--answer-json", '{"id": 5}')

    assert (wrong.code, right.code) == (2, 0)
    assert "the answer to 'ask' does not fit" in wrong.err
    assert begun("resume", "asking", "--pipeline", "skills.app:asking", "-q").out == "5\n"


def test_what_is_shown_of_a_question_leaves_the_pipeline_to_be_filled_in(begun):
    shown = begun("runs", "show", "asking").out

    assert "flujo resume asking --answer-json JSON --pipeline MODULE:NAME --state sqlite:///runs.db\n" in shown
    answered = begun("runs", "approve", "asking", "--answer-json", '{"id": 5}', "--pipeline", "skills.app:asking", "-q")
    assert answered.out == "5\n"


def test_a_run_of_a_changed_pipeline_goes_on_by_a_command_that_names_it(begun):
    ran = begun("resume", "order", "--pipeline", "skills.app:letter")

    assert ran.code == 4
    assert "--pipeline skills.app:letter --state sqlite:///runs.db" in ran.err


def test_a_replay_takes_the_pipeline_as_an_argument(begun):
    ran = begun("runs", "replay", "asking")

    assert (ran.code, ran.out) == (2, "")
    assert "help: name the pipeline: flujo runs replay asking MODULE:NAME --state sqlite:///runs.db" in ran.err
    assert begun("runs", "replay", "asking", "skills.app:asking").code == 0
    assert begun("runs", "replay", "asking", "--pipeline", "skills.app:asking").code == 0


@pytest.mark.parametrize("named", [["skills.app:order"], ["--pipeline", "skills.app:order"]])
def test_a_diff_takes_the_pipeline_as_an_argument_or_an_option(begun, named):
    told = begun("runs", "diff", "order", "order", *named, "--json").json

    assert (told["inputs_unknown"], told["steps"][0]["a"]["input"]) == ({}, "17")


def test_a_pipeline_as_it_was_begun_is_not_named(begun):
    ran = begun("resume", "order", "--as-begun", "--pipeline", "skills.app:order")

    assert ran.code == 2
    assert "--as-begun takes the pipeline that the run has kept: leave --pipeline out" in ran.err
