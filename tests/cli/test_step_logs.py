"""What steps log by themselves, with Python's `logging` and with structlog."""

import json
import logging

import pytest

SKILLS = """
import logging, os
import structlog

log = logging.getLogger("app")

def first(x):
    log.warning("the key is %s", os.environ["MY_API_KEY"])
    return x

def second(x):
    log.error("bad")
    log.info("fine")
    return structlog.contextvars.get_contextvars()
"""
PIPELINE = """
steps:
  - { kind: loop, name: l, loop: { max_loops: 1, body: [{ name: a, uses: "skills.s:first" }] } }
  - { name: b, uses: "skills.s:second" }
"""


@pytest.fixture
def flujo(flujo, project, monkeypatch):
    """Run a command in a project whose steps log, as if nobody else had handlers in this process."""
    monkeypatch.setenv("MY_API_KEY", "s3cr3t-and-long")
    (project / "skills").mkdir(exist_ok=True)
    (project / "skills" / "s.py").write_text(SKILLS)
    (project / "pipeline.yaml").write_text(PIPELINE)

    def alone(*args):
        with monkeypatch.context() as patch:
            patch.setattr(logging.getLogger(), "handlers", [])
            return flujo(*args)

    return alone


def test_what_a_step_logs_is_a_log_line_with_its_run_and_path_and_without_secrets(flujo):
    ran = flujo("--log-format", "json", "run", "--input", "x", "--run-id", "r", "-q")

    one, other = (json.loads(line) for line in ran.err.splitlines())
    assert (one["level"], one["event"], one["logger"]) == ("warning", "the key is ***", "app")
    assert (one["run_id"], one["path"]) == ("r", "loop:l[0]/a")
    assert (other["level"], other["event"], other["path"]) == ("error", "bad", "b")
    assert json.loads(ran.out) == {"run_id": "r", "path": "b"}


def test_what_a_step_logs_is_text_by_default_and_heard_from_the_wanted_level_on(flujo):
    told = flujo("--log-level", "error", "run", "--input", "x", "--run-id", "r", "-q").err

    assert told == "error: bad (logger=app, run_id=r, path=b)\n"


def test_a_program_that_has_handlers_of_its_own_keeps_them_and_shows_no_secrets(flujo, project):
    skills = project / "skills" / "s.py"
    skills.write_text("import logging\nlogging.basicConfig(format='mine: %(message)s')\n" + skills.read_text())
    last, made = logging.lastResort, logging.getLogRecordFactory()
    told = flujo("run", "--input", "x", "-q").err

    assert told == "mine: the key is ***\nmine: bad\n"
    assert (logging.lastResort, logging.getLogRecordFactory()) == (last, made)
