"""Pipelines of several files at the command line."""

import pytest

MAIN = """\
imports:
  child: parts/child.yaml
steps:
  - name: run_child
    uses: imports.child
    config:
      outputs: [{child: scratchpad.said, parent: scratchpad.said}]
  - name: late
    uses: "skills.late:late"
    config: {max_retries: 0}
  - name: end
    input: "{{ context.scratchpad.said }} and {{ previous_step }}"
"""
CHILD = 'steps:\n  - {name: c, input: "child of {{ input }}", sink_to: scratchpad.said}\n'
LATE = """\
from pathlib import Path

def late(data):
    if not Path("ready").exists():
        raise ValueError("not ready")
    return data
"""


@pytest.fixture
def imports(project):
    """A project whose pipeline imports a file."""
    (project / "parts").mkdir()
    (project / "parts/child.yaml").write_text(CHILD)
    (project / "skills/late.py").write_text(LATE)
    (project / "pipeline.yaml").write_text(MAIN)
    return project


def test_a_run_goes_on_after_an_import_with_what_the_import_has_handed_back(flujo, imports):
    assert flujo("run", "--input", "x", "--run-id", "r").code == 1
    (imports / "ready").touch()
    ran = flujo("resume", "r")
    assert (ran.code, ran.out) == (0, "child of x and child of x\n")
    assert "import:run_child/c  recorded" in ran.err


def test_a_run_whose_child_was_changed_meanwhile_is_not_resumed(flujo, imports):
    flujo("run", "--input", "x", "--run-id", "r")
    (imports / "parts/child.yaml").write_text(CHILD.replace("child of", "boy of"))
    ran = flujo("resume", "r")
    assert ran.code == 4
    assert "changed 'run_child/pipeline/c' (input: " in ran.err


def test_a_dry_run_shows_the_child_s_steps_where_they_stand(flujo, imports):
    steps = flujo("run", "--dry-run", "--json").json["steps"]
    assert [step["path"] for step in steps] == ["import:run_child", "import:run_child/c", "late", "end"]


@pytest.mark.parametrize("command", [("run", "--state", "memory:"), ("validate", "pipeline.yaml")])
@pytest.mark.parametrize(
    ("file", "text", "code", "message"),
    [
        ("pipeline.yaml", MAIN.replace("child.yaml", "chidl.yaml"), 4, "V-I02] pipeline.yaml:2:10: there is no file"),
        ("pipeline.yaml", MAIN.replace("parts/child.yaml", "../child.yaml"), 4, "V-I02] pipeline.yaml:2:10: '../chi"),
        ("pipeline.yaml", MAIN.replace("imports.child", "imports.chidl"), 4, "V-I01] pipeline.yaml:5:11: there is no"),
        ("parts/child.yaml", MAIN, 4, "V-I02] parts/child.yaml:2:10: there is no file 'parts/child.yaml'"),
        (
            "parts/child.yaml",
            MAIN.replace("parts/child", "../pipeline"),
            4,
            "V-I03] parts/child.yaml:5:11: the imports go in a circle: pipeline.yaml -> parts/child.yaml -> pip",
        ),
        ("parts/child.yaml", CHILD.replace("input:", "inptu:"), 4, "V-S02] parts/child.yaml:2:15: unknown key"),
        ("parts/child.yaml", CHILD.replace("input", "uses: 'skills.x:y', x-i"), 3, "V-A04] parts/child.yaml:2:21: "),
        ("parts/child.yaml", "steps: [", 4, "V-Y02] parts/child.yaml:1:"),
    ],
)
def test_a_wrong_import_is_told_at_its_place(flujo, imports, command, file, text, code, message):
    (imports / file).write_text(text)
    ran = flujo(*command)
    told = ran.err if command[0] == "run" else ran.out
    assert (ran.code, message in told) == (code, True), told
    assert "Traceback" not in told
