"""Log lines: for people, for machines, and for programs that have a log of their own."""

import io
import json
import logging
import subprocess
import sys

import pytest

from flujo.infra.logging import LOG_LEVELS, Logger


def test_a_line_for_people_reads_like_a_message_with_its_fields():
    out = io.StringIO()
    Logger(stream=out).log("warning", "an event sink failed", sink="Slow", error=OSError("gone"), path=None)
    assert out.getvalue() == "warning: an event sink failed (sink=Slow, error=gone)\n"


def test_a_line_without_fields_ends_with_its_text():
    out = io.StringIO()
    Logger(stream=out).log("info", "ready")
    assert out.getvalue() == "info: ready\n"


def test_a_line_for_machines_is_one_json_object_with_a_time():
    out = io.StringIO()
    Logger("json", out).log("warning", "an event sink failed", error=OSError("gone"), attempt=2)
    line = json.loads(out.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {"level": "warning", "event": "an event sink failed", "error": "gone", "attempt": 2}


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_lines_below_the_level_are_not_written(level):
    out = io.StringIO()
    for each in LOG_LEVELS:
        Logger(stream=out, level=level).log(each, "said")
    heard = LOG_LEVELS[LOG_LEVELS.index(level) :]
    assert out.getvalue() == "".join(f"{each}: said\n" for each in heard)


def test_the_default_stream_is_stderr(capsys):
    Logger().log("error", "lost")
    assert capsys.readouterr() == ("", "error: lost\n")


def test_without_a_format_lines_go_to_pythons_logging_with_their_fields(caplog):
    caplog.set_level(logging.INFO, "flujo")
    logger = Logger(None)
    logger.log("debug", "too low")
    logger.log("info", "100 % done", run_id="r1")
    (record,) = caplog.records
    assert (record.getMessage(), record.levelname) == ("100 % done (run_id=r1)", "INFO")
    assert record.flujo == {"run_id": "r1"}


def test_what_is_secret_by_its_name_or_its_look_is_masked_in_every_form(monkeypatch, caplog):
    monkeypatch.setenv("MY_API_KEY", "sk-12345")
    caplog.set_level(logging.INFO, "flujo")
    for log_format in ("human", "json", None):
        out = io.StringIO()
        Logger(log_format, out).log("error", "key sk-12345", password=123456, at="db://ann:pw@host", x=["sk-12345"])
        told = out.getvalue() or caplog.records[0].getMessage()
        assert "sk-12345" not in told
        assert "123456" not in told
        assert "pw" not in told.replace("password", "")
        assert "***" in told


def test_a_programs_own_configuration_of_structlog_is_neither_used_nor_changed():
    code = """
import io, structlog
structlog.configure(processors=[lambda *_: "theirs"])
before = structlog.get_config()["processors"]
from flujo.infra.logging import Logger
out = io.StringIO()
Logger(stream=out).log("info", "ours")
assert out.getvalue() == "info: ours\\n", out.getvalue()
assert structlog.get_config()["processors"] is before
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_of_structlog_is_imported_before_a_line_is_written():
    code = "import sys; from flujo.infra.logging import Logger; Logger(level='error').log('info', 'x')"
    code += "; sys.exit('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
