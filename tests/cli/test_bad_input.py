"""What is wrong with a project, a pipeline, a state or a value is told with its place, its code, and no traceback."""

import sqlite3

import pytest

STEP = 'version: "0.1"\nsteps:\n  - { name: a, %s }\n'


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("steps: [", 4, "error[V-Y02] pipeline.yaml:1:"),
        ("steps: \ud800", 4, "error[V-Y03] pipeline.yaml:1:"),
        ("version: '1'\n", 4, "'steps'"),
        (STEP % "kind: stp", 4, "error[V-K01] pipeline.yaml:3:22: unknown kind 'stp'"),
        (STEP % "inptu: x", 4, "pipeline.yaml:3:16: "),
        (STEP % 'agent: { id: "flujo.builtins.strngify" }', 4, "did you mean 'flujo.builtins.stringify'?"),
        (STEP % 'uses: "os:getcwd"', 4, "error[V-A02] pipeline.yaml:3:"),
        (STEP % 'uses: "skills.nope:f"', 3, "error[V-A04] pipeline.yaml:3:"),
        (STEP % 'uses: "skills.bad:f"', 3, "error[V-A05] pipeline.yaml:3:"),
        (STEP % 'input: "{{ previous_step | nope }}"', 4, "error[V-T02] pipeline.yaml:3:"),
        (STEP % 'input: "{{ context.nope }}"', 1, "error[FLUJO-502] step 'a' failed: "),
    ],
)
def test_a_wrong_pipeline_is_told_at_its_place(flujo, project, text, code, message):
    (project / "pipeline.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    (project / "skills" / "bad.py").write_text("1 / 0\n")
    ran = flujo("run", "--state", "memory:")
    assert ran.code == code, ran.err
    assert message in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("float('inf')", "not finite"),
        ("object()", "object"),
        ("{1: 2}", "a key of class 'int'"),
        ("'\\ud800'", "lone surrogate"),
        ("[[float('nan')]]", "$[0][0]"),
    ],
)
def test_a_result_that_can_not_be_written_down_fails_its_step_and_stays_resumable(flujo, project, result, message):
    (project / "skills" / "odd.py").write_text(f"def f(x):\n    return {result}\n")
    (project / "pipeline.yaml").write_text(STEP % 'uses: "skills.odd:f"')
    ran = flujo("run", "--run-id", "r1")
    assert (ran.code, ran.out) == (1, "")
    assert "error[FLUJO-605] step 'a' failed: " in ran.err
    assert message in ran.err
    assert ran.err.splitlines()[-1] == "next: flujo resume r1"


@pytest.mark.parametrize("content", [b"some text of somebody's", b"SQLite format 3\0" + b"\0" * 100])
@pytest.mark.parametrize("command", [("run",), ("runs", "list"), ("resume", "r1")])
def test_a_state_that_is_not_ours_is_refused_and_left_alone(flujo, project, content, command):
    (project / "state.db").write_bytes(content)
    ran = flujo(*command, "--state", "sqlite:///state.db")
    assert (ran.code, ran.out) == (2, "")
    assert "error[FLUJO-6" in ran.err
    assert "state.db" in ran.err
    assert (project / "state.db").read_bytes() == content


def test_another_programs_database_is_refused_and_left_alone(flujo, project):
    with sqlite3.connect(project / "state.db") as other:
        other.execute("CREATE TABLE theirs(x)")
    other.close()
    before = (project / "state.db").read_bytes()
    ran = flujo("run", "--state", "sqlite:///state.db")
    assert (ran.code, (project / "state.db").read_bytes()) == (2, before)
    assert "error[FLUJO-609]" in ran.err


def test_a_setting_that_nobody_knows_is_told_with_its_file(flujo, project):
    (project / "flujo.toml").write_text("state_url = 'x'\n")
    for command in (("run",), ("validate", "pipeline.yaml"), ("runs", "list")):
        ran = flujo(*command)
        assert ran.code == 2
        assert "flujo.toml:1 has no setting 'state_url'" in ran.err
        assert "help: did you mean 'state_uri'?" in ran.err
