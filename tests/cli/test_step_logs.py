"""What steps log by themselves, with Python's `logging` and with structlog."""

import json
import logging

import pytest
import structlog

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


STRUCTURED = """
import logging, os
import structlog

log = structlog.get_logger()

def first(x):
    log.info("fine")
    log.warning("the key is %s", os.environ["MY_API_KEY"], order=7, api_key="mine")
    return x

def second(x):
    structlog.contextvars.bind_contextvars(who="ann")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("bad")
    logging.getLogger("app").warning("late", extra={"order": 8, "event": "paid"})
    return x
"""


def test_what_a_step_logs_by_structlog_goes_the_same_way_with_its_fields(flujo, project):
    (project / "skills" / "s.py").write_text(STRUCTURED)
    ran = flujo("--log-format", "json", "run", "--input", "x", "--run-id", "r", "-q")

    one, other, late = (json.loads(line) for line in ran.err.splitlines())
    assert (one["level"], one["event"], one["order"], one["api_key"]) == ("warning", "the key is ***", 7, "***")
    assert (one["run_id"], one["path"]) == ("r", "loop:l[0]/a")
    assert (other["level"], other["event"], other["who"], other["path"]) == ("error", "bad", "ann", "b")
    assert "ZeroDivisionError" in other["exception"]
    assert (late["event"], late["order"], late["event_"], late["logger"]) == ("late", 8, "paid", "app")
    assert ran.out == "x\n"
    assert not structlog.is_configured()


def test_what_a_step_logs_by_structlog_is_text_by_default(flujo, project):
    (project / "skills" / "s.py").write_text(STRUCTURED)
    told = flujo("run", "--input", "x", "--run-id", "r", "-q").err

    assert told.splitlines()[0] == "warning: the key is *** (run_id=r, path=loop:l[0]/a, order=7, api_key=***)"


def test_a_program_that_has_configured_structlog_keeps_that(flujo, project):
    configured = "import structlog\nstructlog.configure([structlog.processors.JSONRenderer()])\n"
    (project / "skills" / "s.py").write_text(configured + STRUCTURED)
    try:
        told = flujo("run", "--input", "x", "-q")
        assert json.loads(told.err.splitlines()[0]) == {"event": "fine"}
    finally:
        structlog.reset_defaults()
