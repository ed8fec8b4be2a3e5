"""A pipeline file that changed while a run of it waited, and runs that begin at a step of another."""

import asyncio
import re
import shlex

import pytest

from flujo import Flujo, human
from flujo.domain.interfaces import NewRun
from flujo.exceptions import DefinitionChanged
from flujo.infra.memory import InMemoryBackend
from flujo_cli.changed import ways_on
from flujo_cli.project import Project

MAIN = """\
name: letters
imports:
  child: parts/child.yaml
steps:
  - {name: first, input: "{{ input }} by {{ context.who | default('nobody') }}"}
  - name: child
    uses: imports.child
  - {kind: hitl, name: ask, message: "Send {{ previous_step }}?"}
  - {name: last, input: "{{ steps.child.output }}: {{ previous_step }}"}
"""
CHILD = 'steps:\n  - {name: draft, input: "a letter of {{ input }}"}\n'


@pytest.fixture
def letters(project):
    """A project with a run "r" that waits for an answer."""
    (project / "parts").mkdir()
    (project / "parts/child.yaml").write_text(CHILD)
    (project / "pipeline.yaml").write_text(MAIN)
    return project


@pytest.fixture
def waiting(flujo, letters):
    assert flujo("run", "--input", "x", "--run-id", "r", "--context", "who=ann").code == 6
    return letters


def change(project, before, after, file="pipeline.yaml"):
    text = (project / file).read_text()
    assert before in text
    (project / file).write_text(text.replace(before, after))


def advised(err):
    """The commands that an error names."""
    return [shlex.split(line)[1:] for line in re.findall(r": (flujo re.*|flujo runs.*)$", err, re.MULTILINE)]


def test_a_changed_message_is_no_change(flujo, waiting):
    change(waiting, "Send {{", "Really send {{")
    assert flujo("resume", "r", "--answer", "yes").out == "a letter of x by ann: yes\n"


def test_a_changed_pipeline_is_refused_with_what_differs_and_commands_that_work(flujo, waiting):
    change(waiting, "last, input: ", "end, input: ")
    ran = flujo("resume", "r", "--answer", "yes")
    assert (ran.code, ran.out) == (4, "")
    assert "error[FLUJO-611] pipeline 'letters' is not the one that run 'r' has: removed 'last'; added 'end'" in ran.err
    ways = advised(ran.err)
    assert ways == [
        ["resume", "r", "--allow-changed"],
        ["resume", "r", "--as-begun"],
        ["runs", "rerun", "r", "--from", "ask"],
    ]
    assert flujo(*ways[2]).code == 6
    assert flujo(*ways[1], "--answer", "yes").out == "a letter of x by ann: yes\n"


def test_a_run_goes_on_with_the_pipeline_as_it_is(flujo, waiting):
    change(waiting, 'last, input: "', 'end, input: "Dear ')
    ran = flujo("resume", "r", "--allow-changed", "--answer", "yes")
    assert (ran.code, ran.out) == (0, "Dear a letter of x by ann: yes\n")
    assert flujo("resume", "r").out == ran.out


def test_a_recorded_step_that_changed_is_named_with_the_ways_that_are_left(flujo, waiting):
    change(waiting, "a letter of", "a card of", "parts/child.yaml")
    ran = flujo("resume", "r", "--allow-changed", "--answer", "yes")
    assert ran.code == 4
    assert (
        "does not fit pipeline 'letters': 'import:child/draft' is another step now; changed 'child/pipeline/" in ran.err
    )
    assert advised(ran.err) == [["resume", "r", "--as-begun"], ["runs", "rerun", "r", "--from", "import:child/draft"]]
    assert flujo(*advised(ran.err)[1]).code == 6


def test_a_run_goes_on_with_the_files_as_they_were_though_none_is_there_any_more(flujo, waiting):
    (waiting / "parts/child.yaml").unlink()
    (waiting / "pipeline.yaml").unlink()
    assert flujo("resume", "r", "--answer", "yes").code == 2
    assert flujo("resume", "r", "--as-begun", "--answer", "yes").out == "a letter of x by ann: yes\n"


KEPT = "go on with the pipeline as it was when the run began: flujo resume r --as-begun\n"


def test_a_file_that_is_gone_or_broken_names_the_way_on_without_it(flujo, waiting):
    (waiting / "pipeline.yaml").write_text("steps: [")
    assert flujo("resume", "r").err.endswith(f"\nhelp: {KEPT}")
    (waiting / "pipeline.yaml").unlink()
    ran = flujo("resume", "r")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith(f"  help: put the file back as it was to go on with the run\n  or {KEPT}")
    assert flujo("resume", "r", "--as-begun").code == 6


def test_the_pipeline_as_it_was_is_no_advice_where_today_s_code_lacks_what_it_calls(flujo, project):
    (project / "skills/app.py").write_text("def same(data: str) -> str:\n    return data\n")
    (project / "pipeline.yaml").write_text(
        "name: p\nsteps: [{name: a, uses: skills.app:same}, {name: b, kind: hitl, message: ok?}]\n"
    )
    assert flujo("run", "--input", "x", "--run-id", "r").code == 6
    (project / "skills/app.py").rename(project / "skills/other.py")
    for options in ([], ["--as-begun"]):
        ran = flujo("resume", "r", *options)
        assert (ran.code, "V-A04" in ran.err, "--as-begun" in ran.err) == (3, True, False)


def test_a_completed_run_whose_code_is_gone_says_where_its_result_is(flujo, project):
    (project / "skills/app.py").write_text("def same(data: str) -> str:\n    return data\n")
    (project / "pipeline.yaml").write_text("steps: [{name: a, uses: skills.app:same}]\n")
    assert flujo("run", "--input", "x", "--run-id", "r").code == 0
    (project / "skills/app.py").unlink()
    ran = flujo("resume", "r")
    assert ran.err.endswith("help: see what it came to: flujo runs show r --json\n")
    assert flujo("runs", "show", "r", "--json").json["output"] == "x"


@pytest.mark.parametrize(
    ("text", "code"),
    [("steps: [", 4), (MAIN.replace("kind: hitl", "kind: nosuch"), 4), (None, 2)],
    ids=["broken", "without its plugin", "gone"],
)
def test_an_answer_is_recorded_though_the_pipeline_can_not_be_read(flujo, waiting, text, code):
    if text is None:
        (waiting / "pipeline.yaml").unlink()
    else:
        (waiting / "pipeline.yaml").write_text(text)
    ran = flujo("runs", "approve", "r", "--answer", "yes")
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("recorded the answer to ask\nerror[")
    assert ran.err.endswith(KEPT)
    assert flujo("resume", "r", "--as-begun").out == "a letter of x by ann: yes\n"


def test_an_answer_that_is_only_recorded_needs_no_pipeline_that_can_be_read(flujo, waiting):
    (waiting / "pipeline.yaml").unlink()
    ran = flujo("runs", "approve", "r", "--answer", "yes", "--no-resume")
    assert (ran.code, ran.err) == (0, "recorded the answer to ask\nnext: flujo resume r\n")
    named = flujo("runs", "approve", "r", "--answer", "no", "--no-resume", "--pipeline", "gone.yaml")
    assert (named.code, "recorded" in named.err) == (2, False)


def test_a_completed_run_is_handed_out_as_it_was(flujo, waiting):
    flujo("resume", "r", "--answer", "yes")
    change(waiting, "last, input: ", "end, input: ")
    ran = flujo("resume", "r", "--allow-changed")
    assert ran.code == 4
    assert "it is completed, and there is nothing to go on with" in ran.err
    assert "hand it out with the pipeline as it was: flujo resume r --as-begun" in ran.err
    assert flujo("resume", "r", "--as-begun").out == "a letter of x by ann: yes\n"


def test_a_run_of_the_same_id_says_the_ways_on_too(flujo, waiting):
    change(waiting, "last, input: ", "end, input: ")
    ran = flujo("run", "--input", "x", "--run-id", "r", "--context", "who=ann")
    assert ran.code == 4
    assert "flujo resume r --allow-changed" in ran.err


def test_a_run_of_the_same_key_says_the_ways_on_too(flujo, letters):
    run_id = flujo("run", "--input", "x", "--key", "K", "--json").json["run_id"]
    change(letters, "last, input: ", "end, input: ")
    ran = flujo("run", "--input", "x", "--key", "K", "--json")
    assert (ran.code, ran.json["run_id"]) == (4, run_id)
    assert f"flujo resume {run_id} --allow-changed" in ran.err


def test_a_run_from_python_has_no_files_to_go_back_to(flujo, project):
    async def begin():
        async with Flujo(human("ask", "?"), state_uri="sqlite:///.flujo/state.db", source="pipeline.yaml") as runner:
            await runner.run("x", run_id="r")

    asyncio.run(begin())
    ran = flujo("resume", "r", "--as-begun")
    assert ran.code == 2
    assert "run 'r' has kept no text of its pipeline" in ran.err
    assert "it was begun from Python code, which is not recorded" in ran.err


def test_the_ways_on_are_only_those_that_there_are(flujo, project):
    async def begin():
        async with Flujo(human("ask", "?"), state_uri="sqlite:///.flujo/state.db", source="pipeline.yaml") as runner:
            await runner.run("x", run_id="r")

    asyncio.run(begin())
    ran = flujo("resume", "r")
    assert (ran.code, advised(ran.err)) == (4, [["runs", "rerun", "r", "--from", "ask"]])


def test_a_part_that_the_changed_pipeline_does_not_come_by_is_no_circle_of_advice(flujo, project):
    (project / "pipeline.yaml").write_text(
        'version: "0.1"\nname: rounds\nsteps:\n'
        "  - name: l\n    kind: loop\n    loop: {max_loops: 2, body: [{name: la, input: again}]}\n"
        "  - {name: ask, kind: hitl, message: ok?}\n"
    )
    assert flujo("run", "--input", "x", "--run-id", "r").code == 6
    change(project, "max_loops: 2", "max_loops: 1")
    ran = flujo("resume", "r", "--allow-changed", "--answer", "yes")
    assert (ran.code, "the result of 'loop:l[1]/la' would not be used any more" in ran.err) == (4, True)
    ways = advised(ran.err.partition("next: ")[0])
    assert ways == [["resume", "r", "--as-begun"], ["runs", "rerun", "r", "--from", "loop:l[1]/la"]]
    assert flujo(*ways[1]).code == 6
    assert flujo(*ways[0]).code == 0


def test_a_way_that_was_taken_is_not_advised_again(flujo, project):
    (project / "pipeline.yaml").write_text(
        'version: "0.1"\nname: items\nsteps:\n'
        "  - name: go\n    kind: map\n    map:\n      iterable_input: '{{ [1, 2] }}'\n"
        "      body: [{name: ask, kind: hitl, message: ok?}]\n"
    )
    assert flujo("run", "--input", "x", "--run-id", "r").code == 6
    assert flujo("runs", "approve", "r", "--token", "map:go[0]/ask", "--answer", "yes").code == 6
    change(project, "[1, 2]", "[2, 1]")
    ran = flujo("resume", "r", "--allow-changed")
    assert (ran.code, "item 0 of 'map:go' is not the one it was" in ran.err) == (4, True)
    assert ["resume", "r", "--allow-changed"] not in advised(ran.err)
    assert ["resume", "r", "--as-begun"] in advised(ran.err)


async def test_a_run_without_a_record_has_no_step_to_begin_at(project):
    backend = InMemoryBackend()
    await backend.create_run(NewRun("r", "p", "", "{}", b"", None, None, 0.0))
    ways = ways_on(Project.here(stands=project), await backend.get("r"), (), DefinitionChanged("it is another"))
    assert ways == "go on with the pipeline as it is: flujo resume r --allow-changed"
    row = (await backend.get("r"))._replace(files={"pipeline.yaml": ""})
    ways = ways_on(Project.here(stands=project), row, (), DefinitionChanged("it is another"), taken=["--as-begun"])
    assert ways == "go on with the pipeline as it is: flujo resume r --allow-changed"


def test_a_run_begins_at_a_step_of_another_and_says_so(flujo, waiting):
    flujo("resume", "r", "--answer", "yes")
    ran = flujo("runs", "rerun", "r", "--from", "import:child", "--input", "y", "--json")
    assert (ran.code, ran.json["status"]) == (6, "paused")
    shown = flujo("runs", "show", "@last")
    assert "begun     at import:child of run r\n" in shown.out
    tags = flujo("runs", "show", "@last", "--json").json["tags"]
    assert (tags["rerun_of"], tags["rerun_from"]) == ("r", "import:child")
    assert flujo("resume", "@last", "--answer", "no").out == "a letter of x by ann: no\n"


def test_the_context_and_the_input_of_the_new_run_can_be_given(flujo, waiting):
    (waiting / "in.txt").write_text("z\n")
    flujo("runs", "rerun", "r", "--from", "first", "--set", "context.who=bob", "--input", "@in.txt")
    assert flujo("resume", "@last", "--answer", "yes").out == "a letter of z by bob: yes\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["--from", "import:child/drft"],
            2,
            "run 'r' has no step 'import:child/drft'\n  help: did you mean 'import:child/draft'?",
        ),
        (
            ["--from", "ask", "--set", "who=bob"],
            2,
            "--set 'who' is no field of the context\n  help: write --set context.PATH=VALUE",
        ),
        (["--from", "ask", "--set", "context.a..b=1"], 2, "--set 'context.a..b' is no field of the context"),
        (
            ["--from", "ask", "--set", "context.who=bob", "--set", "context.who.b=1"],
            2,
            "'who.b' leads into a str, which has no 'b' to set\n  help: a path goes through mappings and",
        ),
        (["--from", "ask", "--set", "context.run_id=1"], 2, "context field 'run_id' is the engine's own"),
        ([], 2, "missing option '--from'"),
    ],
)
def test_what_can_not_be_is_refused_and_nothing_begins(flujo, waiting, words, code, message):
    ran = flujo("runs", "rerun", "r", *words)
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
    assert [run["run_id"] for run in flujo("runs", "list", "--json").json["runs"]] == ["r"]


def test_a_step_before_that_changed_says_where_to_begin(flujo, waiting):
    change(waiting, 'first, input: "', 'first, input: "dear ')
    ran = flujo("runs", "rerun", "r", "--from", "ask")
    assert ran.code == 4
    assert "recorded before 'ask' does not fit pipeline 'letters': 'first' is another step now" in ran.err
    assert "begin at 'first'" in ran.err
