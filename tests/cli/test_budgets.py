"""Limits on the command line: exit code 5, what is said, and the command that goes on."""

import json
import re
import shlex

import pytest

ASKS = """\
version: "0.1"
name: "asks"
agents:
  model:
    model: "scripted:answers.json"
steps:
  - { name: one, uses: agents.model }
  - { name: two, uses: agents.model, input: "again" }
  - { name: three, uses: agents.model, input: "once more" }
"""

PRICE = '[pricing."scripted:*"]\nusd_per_call = 0.10\n'


@pytest.fixture
def asks(project):
    """Three questions to a model whose calls take ten tokens and cost a tenth of a dollar."""
    (project / "pipeline.yaml").write_text(ASKS)
    answers = {"*": {"answer": "yes", "tokens_in": 6, "tokens_out": 4}}
    (project / "answers.json").write_text(json.dumps(answers))
    (project / "flujo.toml").write_text(PRICE)
    return project


@pytest.mark.parametrize(
    ("option", "message", "following"),
    [
        (
            ("--max-cost", "0.25"),
            "total_cost_usd_limit of 0.25 is not enough: spent 0.2, reserved 0, asked 0.1, left 0.05",
            "--max-cost 0.55",
        ),
        (
            ("--max-tokens", "20"),
            "total_tokens_limit of 20 is used up: spent 20, reserved 0, asked 10, left 0",
            "--max-tokens 50",
        ),
        (("--max-calls", "2"), "max_calls of 2 is used up: spent 2, reserved 0, asked 1, left 0", "--max-calls 5"),
    ],
)
def test_a_run_that_reaches_a_limit_ends_with_5_and_says_how_to_go_on(flujo, asks, option, message, following):
    ran = flujo("run", "--input", "x", "--run-id", "r1", *option)
    assert (ran.code, ran.out) == (5, "")
    lines = ran.err.splitlines()
    assert f"error[FLUJO-201] {message}" in lines
    assert f"  help: go on with a higher {option[0]}" in lines
    assert re.fullmatch(r"stopped: budget in \S+ \S+, 2 calls, 20 tokens, 0\.2 USD, run r1", lines[-2])
    assert lines[-1] == f"next: flujo resume r1 {following}"
    done = flujo(*shlex.split(lines[-1].removeprefix("next: flujo ")))
    assert (done.code, done.out) == (0, "yes\n")
    assert "3 calls, 30 tokens, 0.3 USD" in done.err


SHARES = """\
version: "0.1"
name: "shares"
agents: {model: {model: "scripted:answers.json"}}
steps:
  - kind: parallel
    name: p
    budget: split
    branches:
      x: [{name: x, uses: agents.model}]
      y: [{name: y, uses: agents.model}]
      z: [{name: z, uses: agents.model}]
"""


def test_a_share_that_is_used_up_tells_of_the_whole_and_of_what_would_be_enough_for_all(flujo, asks):
    (asks / "pipeline.yaml").write_text(SHARES)
    ran = flujo("run", "--input", "x", "--run-id", "r1", "--max-calls", "2")
    lines = ran.err.splitlines()
    message = "a share of max_calls of 2 is used up: share 0, spent 0, reserved 0, asked 1, left 0, all have spent "
    assert ran.code == 5
    assert message in ran.err
    assert lines[-1] == "next: flujo resume r1 --max-calls 7"
    assert flujo(*shlex.split(lines[-1].removeprefix("next: flujo "))).code == 0


@pytest.mark.parametrize("options", [(), ("--quiet",)])
def test_a_run_that_completes_with_an_overdrawn_budget_says_so(flujo, project, options):
    (project / "pipeline.yaml").write_text(ONE)
    (project / "helpers.py").write_text(COSTLY)
    (project / "flujo.toml").write_text('blueprint_allowed_imports = ["helpers"]\n')
    ran = flujo("run", "--input", "x", "--run-id", "r1", "--max-cost", "0.05", "--max-tokens", "1", *options)
    assert (ran.code, ran.out) == (0, "done\n")
    told = [line for line in ran.err.splitlines() if line.startswith("warning")]
    assert told == [
        "warning: the budget is overdrawn (run_id=r1, limit=total_cost_usd_limit, spent=2, allowed=0.05)",
        "warning: the budget is overdrawn (run_id=r1, limit=total_tokens_limit, spent=3, allowed=1)",
    ]


ONE = """\
version: "0.1"
name: "one"
steps: [{name: one, uses: "helpers:ask"}]
"""

COSTLY = """\
from flujo import AgentResult, Usage
def ask(data):
    return AgentResult("done", Usage(1, 3, cost_usd=2))
"""


def test_who_answers_limits_the_run_that_goes_on(flujo, asks):
    file = asks / "pipeline.yaml"
    file.write_text(ASKS.replace("steps:\n", "steps:\n  - { kind: hitl, name: ask, message: 'ok?' }\n"))
    assert flujo("run", "--input", "x", "--run-id", "r1").code == 6

    ran = flujo("runs", "approve", "r1", "--max-calls", "1")

    assert (ran.code, "max_calls of 1 is used up" in ran.err) == (5, True)


def test_the_object_of_a_stopped_run_has_its_status_and_usage(flujo, asks):
    ran = flujo("run", "--input", "x", "--max-calls", "2", "--json")
    assert (ran.code, ran.json["status"], ran.json["success"]) == (5, "stopped: budget", False)
    assert ran.json["usage"] == {"calls": 2, "tokens_in": 12, "tokens_out": 8, "cost_usd": "0.2"}
    assert [step["name"] for step in ran.json["steps"] if step["success"]] == ["one", "two"]


def test_runs_show_and_list_tell_that_a_run_was_stopped(flujo, asks):
    flujo("run", "--input", "x", "--run-id", "r1", "--max-calls", "2")
    assert "stopped: budget" in flujo("runs", "list").out
    shown = flujo("runs", "show", "r1").out.splitlines()
    assert {"status    stopped: budget", "used      2 calls, 20 tokens, 0.2 USD"} <= set(shown)
    assert [line.split()[0] for line in shown[shown.index("steps") + 1 :]] == ["one", "two"]
    records = flujo("runs", "show", "r1", "--json").json["records"]
    assert [record["kind"] for record in records] == ["result", "result"]


def test_the_budgets_of_the_project_hold_and_the_tightest_limit_wins(flujo, asks):
    with (asks / "flujo.toml").open("a") as file:
        file.write('[budgets.default]\nmax_calls = 2\n[budgets.pipeline."as*"]\ntotal_tokens_limit = 1000\n')
    for options in ((), ("--max-calls", "3"), ("--max-cost", "10")):
        ran = flujo("run", "--input", "x", *options)
        assert (ran.code, "max_calls of 2 is used up" in ran.err) == (5, True)
    ran = flujo("run", "--input", "x", "--max-calls", "1", "--max-cost", "10")
    assert "max_calls of 1 is used up" in ran.err


def test_resume_takes_the_limits_it_is_given_in_place_of_the_project_s(flujo, asks):
    with (asks / "flujo.toml").open("a") as file:
        file.write("[budgets.default]\nmax_calls = 2\ntotal_tokens_limit = 20\n")
    assert flujo("run", "--input", "x", "--run-id", "r1").code == 5
    assert flujo("resume", "r1").code == 5
    still = flujo("resume", "r1", "--max-calls", "9")
    assert (still.code, "total_tokens_limit of 20 is used up" in still.err) == (5, True)
    assert still.err.splitlines()[-1] == "next: flujo resume r1 --max-calls 9 --max-tokens 50"
    assert flujo("resume", "r1", "--max-calls", "9", "--max-tokens", "50").code == 0


def test_the_command_that_goes_on_with_a_failed_run_repeats_its_limits(flujo, asks):
    (asks / "answers.json").write_text('["yes", {"error": "no"}]')
    ran = flujo("run", "--input", "x", "--run-id", "r1", "--max-cost", "5.50", "--max-calls", "7")
    assert (ran.code, ran.err.splitlines()[-1]) == (1, "next: flujo resume r1 --max-cost 5.5 --max-calls 7")


def test_a_model_without_a_price_is_told_of_where_the_project_only_warns(flujo, asks):
    (asks / "flujo.toml").write_text('[budgets.default]\ntotal_cost_usd_limit = 1\nunpriced = "warn"\n')
    ran = flujo("run", "--input", "x", "--quiet", "--run-id", "r1")
    warning = "warning: a model has no price: its calls do not count as cost (run_id=r1, model=scripted:answers.json)"
    assert (ran.code, ran.err.splitlines().count(warning)) == (0, 1)


def test_a_model_without_a_price_is_not_asked_under_a_limit_of_cost(flujo, asks):
    (asks / "flujo.toml").write_text("")
    ran = flujo("run", "--input", "x", "--max-cost", "1")
    assert ran.code == 1
    assert "model 'scripted:answers.json' has no price, and a limit of cost holds" in ran.err
    assert '[pricing."scripted:answers.json"]' in ran.err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--max-cost", "x"), "--max-cost can't be 'x', expected US dollars from 0 to 10^15"),
        (("--max-cost", "-1"), "--max-cost can't be '-1', expected US dollars from 0 to 10^15"),
        (("--max-tokens", "1.5"), "'1.5' is not a valid integer"),
        (("--max-calls", "-1"), "-1 is not in the range x>=0"),
    ],
)
@pytest.mark.parametrize("words", [("run", "--input", "x"), ("resume", "@last")])
def test_a_limit_that_can_not_be_is_wrong_usage(flujo, asks, words, option, message):
    ran = flujo(*words, *option)
    assert (ran.code, message in ran.err) == (2, True)


@pytest.mark.parametrize("quiet", ["-q", "--no-input"])
def test_the_way_on_of_a_stopped_run_is_told_quiet_or_not(flujo, asks, quiet):
    ran = flujo("run", "--input", "x", "--run-id", "r1", "--max-calls", "2", quiet)
    assert ran.err.splitlines()[-1] == "next: flujo resume r1 --max-calls 5"


def test_a_limit_below_what_is_spent_stops_a_resumed_run_before_anything_new(flujo, asks):
    flujo("run", "--input", "x", "--run-id", "r1", "--max-calls", "2")
    ran = flujo("resume", "r1", "--max-calls", "1")
    assert (ran.code, "\u2717 three" in ran.err) == (5, False)
    following = ran.err.splitlines()[-1].removeprefix("next: flujo ")
    assert flujo(*shlex.split(following)).out == "yes\n"


def table(ran):
    """The cells of what a command wrote, by the first of each line."""
    rows = [re.split(r"\s{2,}", line) for line in ran.out.splitlines()]
    return {first: rest for first, *rest in rows}


def test_the_limits_of_a_pipeline_are_shown_with_their_lines(flujo, project):
    with (project / "flujo.toml").open("a") as file:
        file.write("[budgets.default]\nmax_calls = 9\n[budgets.pipeline.'as*']\ntotal_cost_usd_limit = 0.50\n")
    at = project / "flujo.toml"
    assert table(flujo("budget", "show", "asks")) == {
        "LIMIT": ["ALLOWED", "ORIGIN"],
        "total_cost_usd_limit": ["0.5", f"{at}:5"],
        "total_tokens_limit": ["none", "-"],
        "max_calls": ["9", f"{at}:3"],
        "unpriced": ["deny", "default"],
    }
    assert table(flujo("budget", "show"))["total_cost_usd_limit"] == ["none", "-"]


def test_what_a_run_has_used_and_what_is_left_is_shown(flujo, asks):
    with (asks / "flujo.toml").open("a") as file:
        file.write("[budgets.default]\nmax_calls = 2\ntotal_cost_usd_limit = 10\nunpriced = 'count'\n")
    flujo("run", "--input", "x", "--run-id", "r1")
    shown = table(flujo("budget", "show", "--run", "r1"))
    assert shown["LIMIT"] == ["ALLOWED", "USED", "LEFT", "ORIGIN"]
    assert (shown["max_calls"][:3], shown["total_cost_usd_limit"][:3]) == (["2", "2", "0"], ["10", "0.2", "9.8"])
    assert (shown["total_tokens_limit"], shown["unpriced"][:3]) == (["none", "20", "-", "-"], ["count", "-", "-"])
    told = flujo("budget", "show", "--run", "r1", "--json").json
    assert (told["schema"], told["run_id"], told["pipeline"]) == ("flujo.budget/1", "r1", "asks")
    assert told["limits"][2]["left"] == "0"


def test_a_pipeline_and_a_run_are_not_asked_for_together(flujo, asks):
    assert "give the name of a pipeline or --run, not both" in flujo("budget", "show", "asks", "--run", "r1").err


def test_a_limit_of_the_project_is_told_with_its_place_and_one_of_the_options_is_not(flujo, asks, project):
    with (project / "flujo.toml").open("a") as settings:
        settings.write("\n[budgets.default]\nmax_calls = 1\n")

    ran = flujo("run", "--input", "x", "--run-id", "r1", "--max-calls", "3")
    again = flujo("resume", "r1", "--max-calls", "2")

    assert re.search(r"  help: go on with a higher --max-calls; the limit is that of \S*flujo\.toml:\d+\n", ran.err)
    assert (ran.code, again.code) == (5, 5)
    assert "  help: go on with a higher --max-calls\n" in again.err
