"""`flujo runs list`, `flujo runs show`, `flujo plugins` and `flujo validate`."""

import asyncio
import json
import re

import pytest

from flujo.domain.interfaces import MAX_CLAIMS, JournalRecord, NewRun, RecordKind
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.plugins import create_plugin_manager


@pytest.fixture
def two_runs(flujo, project):
    """A completed run and a failed one."""
    (project / "skills" / "s.py").write_text("def boom(data: str) -> str:\n    raise ValueError('boom')\n")
    bad = 'version: "0.1"\nsteps:\n  - name: keep\n  - { name: boom, uses: "skills.s:boom" }\n'
    (project / "bad.yaml").write_text(bad)
    flujo("run", "--input", "x" * 100 + "\n", "--run-id", "r1")
    flujo("run", "bad.yaml", "--input", "y", "--run-id", "r2")


def test_runs_are_listed_newest_first(flujo, two_runs):
    head, newest, oldest = flujo("runs", "list").out.splitlines()
    assert head.split() == ["RUN", "STATUS", "STARTED", "TOOK", "STEPS", "PIPELINE"]
    assert newest.split()[:2] == ["r2", "failed"]
    assert oldest.split()[:2] == ["r1", "completed"]


def test_the_list_as_json_and_its_limit(flujo, two_runs):
    listed = flujo("runs", "list", "--json", "--limit", "1").json
    assert listed["schema"] == "flujo.runs/1"
    assert [(run["run_id"], run["status"], run["source"]) for run in listed["runs"]] == [("r2", "failed", "bad.yaml")]
    assert listed["runs"][0]["poisoned"] is False


def test_a_project_without_runs_says_so_and_makes_no_file(flujo, project):
    ran = flujo("runs", "list")
    where = f"'sqlite:///.flujo/state.db' of '{project}'\n"
    assert (ran.code, ran.out, ran.err) == (0, "", f"no runs are recorded in {where}")
    assert flujo("runs", "list", "--status", "failed").err == f"no failed runs are recorded in {where}"
    assert flujo("runs", "list", "--json").json["runs"] == []
    assert not (project / ".flujo").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["runs", "cancel", "r1"],
        ["runs", "approve", "r1", "--no-resume"],
        ["runs", "reject", "@last"],
        ["runs", "settle", "r1", "a", "--again"],
        ["runs", "rerun", "r1", "--from", "a"],
        ["runs", "show", "r1"],
        ["resume", "r1", "--answer", "x"],
    ],
)
def test_a_run_is_looked_for_where_there_is_no_state_and_none_is_made(flujo, project, command):
    ran = flujo(*command)
    assert ran.code == 2
    assert ran.err.count(f"the state is 'sqlite:///.flujo/state.db' of '{project}'\n") == 1
    assert ran.err.count("the state is") == 1
    assert not (project / ".flujo").exists()


def test_what_is_advised_leads_to_the_same_state_from_anywhere(flujo, project, monkeypatch):
    (project / "ask.yaml").write_text('version: "0.1"\nsteps: [{ kind: hitl, name: ask, message: "ok?" }]\n')
    flujo("run", "ask.yaml", "--input", "x", "--run-id", "r1", "--state", "sqlite:///other.db")
    monkeypatch.chdir(project.parent)

    shown = flujo("-C", "project", "runs", "show", "r1", "--state", "sqlite:///other.db").out

    assert "answer    flujo -C project resume r1 --answer TEXT --state sqlite:///other.db\n" in shown


def test_a_run_is_shown_with_its_steps_and_their_short_outputs(flujo, two_runs):
    lines = flujo("runs", "show", "r1").out.splitlines()
    assert lines[:3] == ["run       r1", "status    completed", "pipeline  test (pipeline.yaml)"]
    assert f"output    {'x' * 70}... (101 characters)" in lines
    assert lines[-2] == "steps"
    assert lines[-1].startswith("  echo  ")


def test_a_failed_run_is_shown_with_its_attempts_and_error(flujo, two_runs):
    out = flujo("runs", "show", "@last").out
    assert "error     step 'boom': ValueError: boom\n" in out
    assert "  keep  " in out
    assert re.search(r"^  boom  \S+ ms  failed: ValueError: boom$", out, re.MULTILINE)


def test_a_run_as_json_has_everything_whole(flujo, two_runs):
    shown = flujo("runs", "show", "r1", "--json").json
    assert (shown["schema"], shown["run_id"], shown["input"]) == ("flujo.run-record/1", "r1", "x" * 100 + "\n")
    assert [(record["path"], record["output"]) for record in shown["records"]] == [("echo", "x" * 100 + "\n")]


@pytest.fixture
def record(project):
    """Write a run with these records down, and leave it unfinished."""

    async def write(*records: JournalRecord) -> None:
        backend = create_plugin_manager().open_backend("sqlite:///.flujo/state.db", project)
        claim = await backend.create_run(NewRun("r1", "p", "", "{}", b"d", b'"in"', b"{}", 1.0))
        for one in records:
            await backend.append(claim, one)
        await backend.close()

    return lambda *records: asyncio.run(write(*records))


@pytest.mark.parametrize(("records", "where"), [((), "its beginning"), (("a", "b"), "'b'")])
def test_a_run_whose_processes_have_died_too_often_says_so_and_how_it_goes_on(flujo, project, records, where):
    async def write() -> None:
        backend = create_plugin_manager().open_backend("sqlite:///.flujo/state.db", project)
        claim = await backend.create_run(NewRun("r1", "p", "", "{}", b"d", b'"in"', b"{}", 1.0, "p.yaml"))
        for path in records:
            await backend.append(claim, JournalRecord(path, out=b"1"))
        for _ in range(MAX_CLAIMS):
            await backend.close()
            backend = create_plugin_manager().open_backend("sqlite:///.flujo/state.db", project)
            await backend.claim("r1")
        await backend.close()

    asyncio.run(write())
    told = f"run 'r1' was claimed {MAX_CLAIMS} times and got no further than {where}"
    shown = flujo("runs", "show", "r1").out
    assert f"\npoisoned  {told}: find out where it breaks off, then: flujo resume r1 --force" in shown
    assert flujo("runs", "show", "r1", "--json").json["poisoned"] is True
    assert flujo("runs", "list").out.splitlines()[1].split()[1:3] == ["interrupted,", "poisoned"]
    listed = flujo("runs", "list", "--json", "--status", "interrupted").json["runs"]
    assert [(each["status"], each["poisoned"]) for each in listed] == [("interrupted", True)]


@pytest.mark.parametrize("answered_at", [900.0, 1001.0, 8202.0])
@pytest.mark.parametrize("ended_at", [999.0, 1002.0])
def test_a_run_that_has_an_answer_and_was_not_gone_on_with_took_no_less_than_nothing(
    flujo, project, answered_at, ended_at
):
    async def write() -> None:
        backend = create_plugin_manager().open_backend("sqlite:///.flujo/state.db", project)
        claim = await backend.create_run(NewRun("r1", "p", "", "{}", b"d", b'"in"', b"{}", 1000.0))
        question = {"token": "t", "message": "well?", "schema": None, "deadline": None}
        told = json.dumps(question).encode()
        await backend.append(
            claim, JournalRecord("ask?", RecordKind.WAIT, out=told, started_at=1001.0, ended_at=1001.0)
        )
        await backend.finish(claim, RunStatus.PAUSED, at=ended_at)
        answer = JournalRecord("ask!1", RecordKind.ANSWER, out=b'{"value": "yes", "by": ""}', ended_at=answered_at)
        await backend.answer("r1", answer._replace(started_at=answered_at))
        await backend.close()

    asyncio.run(write())
    shown = [flujo("runs", "show", "r1").out, flujo("runs", "list").out]
    assert [each for each in shown if " -" in each] == []


def test_the_time_that_a_run_waited_for_a_person_is_not_what_it_took(flujo, project):
    async def write() -> None:
        backend = create_plugin_manager().open_backend("sqlite:///.flujo/state.db", project)
        claim = await backend.create_run(NewRun("r1", "p", "", "{}", b"d", b'"in"', b"{}", 1000.0))
        question = b'{"token": "t", "message": "well?", "schema": null, "deadline": null}'
        answer = b'{"value": "yes", "by": "ann"}'
        for record in (
            JournalRecord("a", out=b"1", started_at=1000.0, ended_at=1002.0),
            JournalRecord("ask?", RecordKind.WAIT, out=question, started_at=1002.0, ended_at=1002.0),
            JournalRecord("ask!t", RecordKind.ANSWER, out=answer, started_at=8202.0, ended_at=8202.0),
            JournalRecord("ask", out=b'"yes"', started_at=8202.0, ended_at=8202.0),
        ):
            await backend.append(claim, record)
        await backend.finish(claim, RunStatus.COMPLETED, output=b"1", at=8203.0)
        await backend.close()

    asyncio.run(write())
    assert "\ntook      3.0 s, and waited 2 h 0 min for people\n" in flujo("runs", "show", "r1").out
    assert "  3.0 s  " in flujo("runs", "list").out.splitlines()[1]


def test_a_run_without_records_says_so(flujo, record):
    record()
    assert flujo("runs", "show", "r1").out.splitlines()[-1] == "steps     none recorded"


def test_records_stand_in_the_tree_with_attempts_and_fallbacks(flujo, record):
    error = ErrorInfo("OSError", "gone")
    record(
        JournalRecord("sub:b/a#a1", RecordKind.ATTEMPT, error=error),
        JournalRecord("sub:b/a#a2", RecordKind.ATTEMPT, 2, error=error, fallback="spare"),
        JournalRecord("sub:b/a", out=b'"x"', fallback="spare"),
        JournalRecord("c#a1", RecordKind.FAILED),
    )
    assert flujo("runs", "show", "r1").out.splitlines()[-4:] == [
        "    sub:b/a  0 ms  failed, tried again: OSError: gone",
        "    sub:b/a  0 ms  failed, then fallback spare: OSError: gone",
        "    sub:b/a  0 ms  by fallback spare  x",
        "  c  0 ms  failed: for no known reason",
    ]
    kinds = [one["kind"] for one in flujo("runs", "show", "r1", "--json").json["records"]]
    assert kinds == ["attempt", "attempt", "result", "failed"]


def test_a_valid_file_is_ok(flujo):
    ran = flujo("validate", "pipeline.yaml")
    assert (ran.code, ran.out, ran.err) == (0, "pipeline.yaml: ok\n", "")


def test_every_finding_of_every_file_is_told_on_stdout(flujo, project):
    (project / "bad.yaml").write_text('version: "0.1"\nsteps:\n  - nname: a\n  - { name: b, knd: step }\n')
    ran = flujo("validate", "pipeline.yaml", "bad.yaml")
    assert ran.code == 4
    assert "pipeline.yaml: ok\n" in ran.out
    assert "bad.yaml:3:5: " in ran.out
    assert "bad.yaml:4:16: " in ran.out


def test_findings_as_json_have_codes_and_places(flujo, project):
    (project / "bad.yaml").write_text('version: "0.1"\nsteps:\n  - { name: a, agnt: x }\n')
    listed = flujo("validate", "bad.yaml", "pipeline.yaml", "--format", "json").json
    assert listed["schema"] == "flujo.validate/1"
    assert [(file["file"], file["valid"]) for file in listed["files"]] == [("bad.yaml", False), ("pipeline.yaml", True)]
    finding = listed["files"][0]["findings"][0]
    assert (finding["code"], finding["location"]["line"], finding["location"]["column"]) == ("V-S02", 3, 16)


def test_validating_imports_none_of_the_projects_code(flujo, project):
    (project / "skills" / "loud.py").write_text("from pathlib import Path\nPath('imported').touch()\n\ndef f(x): ...\n")
    (project / "loud.yaml").write_text('version: "0.1"\nsteps:\n  - { name: a, uses: "skills.loud:f" }\n')
    assert flujo("validate", "loud.yaml").code == 0
    assert not (project / "imported").exists()


def test_a_file_that_is_not_there_is_refused(flujo):
    ran = flujo("validate", "nope.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert "no pipeline file 'nope.yaml'" in ran.err


def test_a_run_that_is_not_there_was_looked_for_in_a_state_that_is_named(flujo, project):
    for words in (("runs", "show", "nope"), ("resume", "nope")):
        ran = flujo(*words)
        assert ran.code == 2
        assert f"the state is 'sqlite:///.flujo/state.db' of {str(project)!r}" in ran.err


WAITS = """\
version: "0.1"
steps:
  - kind: map
    name: each
    map:
      iterable_input: "{{ [1, 2] }}"
      on_error: collect
      body:
        - { name: fails, uses: "skills.odd:odd", input: "{{ this }}", config: { max_retries: 0 } }
  - { kind: hitl, name: ask, message: "ok?", input_schema: { type: boolean }, deadline: 7d }
"""


def test_a_run_that_waits_is_shown_with_what_answers_it_and_collected_items_with_their_errors(flujo, project):
    (project / "pipeline.yaml").write_text(WAITS)
    (project / "skills" / "odd.py").write_text("def odd(data):\n    if data == 2:\n        raise ValueError('even')\n")
    ran = flujo("run", "--run-id", "r1")
    assert any("each[1]" in line and "ValueError: even" in line for line in ran.err.splitlines())
    shown = flujo("runs", "show", "r1").out
    assert '          answers: {"type": "boolean"}\n          until 2' in shown
    assert "answer    flujo resume r1 --answer-json JSON\n" in shown


def test_a_dry_run_shows_the_paths_of_the_record(flujo, project):
    (project / "pipeline.yaml").write_text(WAITS)
    (project / "skills" / "odd.py").write_text("def odd(data):\n    return data\n")
    paths = [step["path"] for step in flujo("run", "--dry-run", "--json").json["steps"]]
    assert paths == ["map:each", "map:each[i]", "map:each[i]/fails", "ask"]
