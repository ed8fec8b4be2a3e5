"""`flujo runs trace`: where a run's time and money went."""

import re
import sqlite3
from contextlib import closing

import pytest

SKILLS = """\
def shout(data: int) -> int:
    if data == 11:
        raise ValueError("eleven")
    return data

def many(data: str) -> list[int]:
    return list(range(int(data)))
"""
PIPELINE = """\
name: "test"
steps:
  - { name: many, uses: "skills.s:many" }
  - kind: map
    name: each
    map:
      body: [{ name: shout, uses: "skills.s:shout" }]
      on_error: collect
"""


@pytest.fixture
def traced(flujo, project):
    """Runs with as many items as asked for, and the words of each line of the trace."""
    (project / "skills" / "s.py").write_text(SKILLS)
    (project / "pipeline.yaml").write_text(PIPELINE)

    def trace(number, *options):
        flujo("run", "--input", str(number), "--run-id", "r")
        ran = flujo("runs", "trace", "r", *options)
        assert (ran.code, ran.err) == (0, "")
        return ran

    return trace


def times_hidden(text):
    return [re.sub(r"[\d.]+ (?:ms|s)\b", "T", re.sub(r" {2,}", "  ", line)).strip() for line in text.splitlines()]


def test_the_tree_has_a_line_for_each_step(traced):
    assert times_hidden(traced(2).out) == [
        "run  r",
        "status  completed",
        "took  T",
        "in none  T of that was in no step",
        "",
        "STEP  STATUS  TOTAL  OWN  TOKENS  USD  NOTES",
        "many  completed  T  T  -  -",
        "map:each  completed  T  T  -  -  2/2 completed",
        "[0]  completed  T  T  -  -",
        "shout  completed  T  T  -  -",
        "[1]  completed  T  T  -  -",
        "shout  completed  T  T  -  -",
    ]


def test_of_many_items_those_are_shown_that_did_not_complete_and_the_first_ones(traced):
    lines = times_hidden(traced(20).out)

    assert "map:each  completed  T  T  -  -  19/20 completed" in lines
    assert [line.split()[0] for line in lines if line.startswith("[")] == [*(f"[{n}]" for n in range(9)), "[11]"]
    assert "[11]  failed  T  T  -  -" in lines
    assert "shout  failed  T  T  -  -  2 attempts, ValueError: eleven" in lines
    assert lines[-1] == "... 10 more  T  T  -  -  19/20 completed"


def test_all_items_are_shown_where_all_are_asked_for(traced):
    lines = times_hidden(traced(20, "--all").out)

    assert len([line for line in lines if line.startswith("[")]) == 20
    assert not [line for line in lines if "more" in line]


def test_as_json_the_tree_is_whole(traced):
    trace = traced(20, "--json").json

    assert (trace["schema"], trace["run_id"], trace["status"]) == ("flujo.trace/1", "r", "completed")
    many, each = trace["root"]["children"]
    assert (many["path"], many["kind"], many["attempts"], many["marks"]) == ("many", "step", 1, [])
    assert [item["path"] for item in each["children"]] == [f"map:each[{number}]" for number in range(20)]
    assert each["children"][11]["children"][0]["error"]["message"] == "eleven"
    assert each["total_s"] >= each["children"][0]["total_s"]


LOOP = "kind: loop, name: never, loop: { max_loops: 2, exit_expression: 'false', body: [{ name: a }] }"
MAP = "kind: map, name: each, map: { iterable_input: '{{ 5 }}', body: [{ name: b }] }"


@pytest.mark.parametrize(
    ("step", "line", "why"),
    [
        (MAP, "map:each  failed  T  T  -  -  ", "ExecutionError: map 'each' needs a list of items"),
        (LOOP, "loop:never  failed  T  T  -  -  2/2 completed, ", "ExecutionError: loop 'never' did not end"),
    ],
)
def test_the_step_that_a_run_failed_at_is_shown_and_why(step, line, why, flujo, project):
    (project / "pipeline.yaml").write_text(f"steps: [{{ {step} }}]\n")
    flujo("run", "--input", "x", "--run-id", "r")
    name = line.partition("  ")[0]

    assert any(each.startswith(line + why) for each in times_hidden(flujo("runs", "trace", "r").out))
    assert flujo("why", name.partition(":")[2]).out.splitlines()[1] == name
    assert flujo("why", name).out.splitlines()[2].startswith(f"  attempt 1 was the last and failed: {why}")


def test_what_the_record_cannot_tell_has_no_status(flujo, project):
    body = "body: [{ name: ok }, { kind: map, name: m, map: { iterable_input: '{{ 5 }}', body: [{ name: b }] } }]"
    step = f"kind: map, name: each, map: {{ iterable_input: '{{{{ [1] }}}}', on_error: collect, {body} }}"
    (project / "pipeline.yaml").write_text(f"steps: [{{ {step} }}]\n")
    assert flujo("run", "--input", "x", "--run-id", "r").code == 0
    with closing(sqlite3.connect(project / ".flujo" / "state.db")) as state, state:
        state.execute("DELETE FROM journal WHERE path LIKE '%map:m#a1'")  # older runs have no record of that failure
    lines = times_hidden(flujo("runs", "trace", "r").out)

    assert lines[-3:] == ["map:each  completed  T  T  -  -  0/1 completed, 1 not known", *lines[-2:]]
    assert lines[-2:] == ["[0]  -  T  T  -  -", "ok  completed  T  T  -  -"]
    assert flujo("why", "map:each[0]").out.splitlines()[2] == "  it ran: step 'ok'"
    root = flujo("runs", "trace", "r", "--json").json["root"]
    assert root["children"][0]["children"][0]["status"] is None


def test_tokens_cost_and_the_model_are_shown(flujo, project):
    prices = '[pricing."scripted:*"]\ninput_usd_per_million = 1000000\noutput_usd_per_million = 1000000\n'
    (project / "flujo.toml").write_text(prices)
    (project / "answers.json").write_text('[{"answer": "hi", "tokens_in": 3, "tokens_out": 4}]')
    text = 'agents: { a: { model: "scripted:answers.json" } }\nsteps: [{ name: ask, uses: agents.a }]\n'
    (project / "pipeline.yaml").write_text(text)
    flujo("run", "--input", "x", "--run-id", "r")
    lines = times_hidden(flujo("runs", "trace", "@last").out)

    assert "used  1 call, 7 tokens, 7 USD" in lines
    assert lines[-1] == "ask  completed  T  T  7  7  scripted:answers.json"


def test_a_paused_run_says_for_how_long_it_waits(flujo, project):
    (project / "pipeline.yaml").write_text('steps: [{ kind: hitl, name: ask, message: "Ready?" }]\n')
    flujo("run", "--input", "x", "--run-id", "r")
    lines = times_hidden(flujo("runs", "trace", "r").out)

    assert lines[2] == "took  T, and waited T for people"
    assert lines[-1] == "ask  paused  T  T  -  -"


def test_who_has_answered_is_shown_with_when_and_a_digest(flujo, project):
    (project / "pipeline.yaml").write_text('steps: [{ kind: hitl, name: ask, message: "Ready?" }]\n')
    digests = []
    for run_id, answer in (("a", "yes"), ("b", "yes"), ("c", "no")):
        flujo("run", "--input", "x", "--run-id", run_id)
        assert flujo("runs", "approve", run_id, "--answer", answer, "--by", "Ann").code == 0
        assert times_hidden(flujo("runs", "trace", run_id).out)[-1] == "ask  completed  T  T  -  -  Ann answered"
        ((told,),) = (each["answers"] for each in flujo("runs", "trace", run_id, "--json").json["root"]["children"])
        record = flujo("runs", "show", run_id, "--json").json["records"][1]
        assert (told["by"], record["kind"], told["at"] > 0) == ("Ann", "answer", True)
        digests.append(told["digest"])
    assert (digests[0] == digests[1], digests[0] == digests[2], len(digests[0])) == (True, False, 12)


def test_a_run_that_is_not_there_is_told_with_where_was_looked(flujo):
    ran = flujo("runs", "trace", "none")
    assert ran.code == 2
    assert "no run 'none'" in ran.err


def test_a_map_of_no_items_is_marked(traced):
    assert times_hidden(traced(0).out)[-1] == "map:each  completed  T  T  -  -  empty"
