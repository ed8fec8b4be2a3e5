"""Background steps on the command line: what is told of them, and what their failure means."""

import pytest

PIPELINE = """\
version: "0.1"
steps:
  - { name: count, uses: "skills.b:fail", config: { execution_mode: background, max_retries: 0 } }
  - { name: out, input: "got {{ previous_step }}" }
"""


@pytest.fixture
def failing(project):
    (project / "skills" / "b.py").write_text("async def fail(data):\n    raise ValueError('lost')\n")
    (project / "pipeline.yaml").write_text(PIPELINE)


def test_a_background_step_that_fails_is_a_warning(failing, flujo):
    ran = flujo("run", "--input", "x")

    assert (ran.code, ran.out) == (0, "got x\n")
    assert "count  goes on in the background" in ran.err
    assert "warning: background step 'count' failed: ValueError: lost" in ran.err


def test_with_strict_background_it_makes_the_run_fail(failing, flujo):
    ran = flujo("run", "--input", "x", "--strict-background", "--quiet")

    assert (ran.code, ran.out) == (1, "got x\n")
    assert "background step 'count' failed" in ran.err


def test_whatever_goes_on_with_a_run_can_be_strict(failing, flujo):
    flujo("run", "--input", "x", "--run-id", "r1")

    ran = flujo("runs", "rerun", "r1", "--from", "out", "--strict-background", "--quiet")

    assert (ran.code, ran.out) == (1, "got x\n")


def test_the_object_of_a_run_tells_its_background_steps(failing, flujo):
    ran = flujo("run", "--input", "x", "--json")

    (step,) = ran.json["background"]
    assert (ran.json["status"], step["path"], step["success"]) == ("completed", "count", False)
    assert step["error"]["message"] == "lost"
