"""Log lines: for people, and for machines."""

import io
import json
import subprocess
import sys

from flujo.infra.logging import get_logger


def test_a_line_for_people_reads_like_a_message_with_its_fields():
    out = io.StringIO()
    get_logger(stream=out).warning("an event sink failed", sink="Slow", error="OSError: gone")
    assert out.getvalue() == "warning: an event sink failed (sink=Slow, error=OSError: gone)\n"


def test_a_line_without_fields_ends_with_its_text():
    out = io.StringIO()
    get_logger(stream=out).info("ready")
    assert out.getvalue() == "info: ready\n"


def test_a_line_for_machines_is_one_json_object_with_a_time():
    out = io.StringIO()
    get_logger("json", out).warning("an event sink failed", error=OSError("gone"))
    line = json.loads(out.getvalue())
    assert (line["level"], line["event"], line["error"]) == ("warning", "an event sink failed", "gone")
    assert line["timestamp"].endswith("Z")


def test_the_default_stream_is_stderr(capsys):
    get_logger().error("lost")
    assert capsys.readouterr() == ("", "error: lost\n")


def test_nothing_of_structlog_is_imported_before_a_logger_is_asked_for():
    code = "import sys, flujo.infra.logging; sys.exit('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
