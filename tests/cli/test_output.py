"""The two streams: what is written, in which form, and what happens when nobody reads."""

import io
import json
import os

import pytest

from flujo.domain.validation import Finding, Location
from flujo.exceptions import BlueprintError, FlujoError, RunNotFound
from flujo_cli.output import Console, one_line, show_error


def stream(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def text_of(written: io.TextIOWrapper) -> str:
    return written.buffer.getvalue().decode(written.encoding)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_results_and_notes_go_to_different_streams():
    out, err = stream(), stream()
    console = Console(out, err)
    console.out("result")
    console.note("by the way")
    assert (text_of(out), text_of(err)) == ("result\n", "by the way\n")


def test_json_is_indented_and_keeps_its_characters():
    out = stream()
    Console(out, stream()).json({"ñ": [1, "\ud800"]})
    assert text_of(out) == '{\n  "ñ": [\n    1,\n    "\\ud800"\n  ]\n}\n'
    assert json.loads(text_of(out)) == {"ñ": [1, "\ud800"]}


def test_json_stays_json_where_the_stream_can_not_encode_it():
    out = stream("ascii")
    Console(out, stream()).json("ñ")
    assert json.loads(text_of(out)) == "ñ"


def test_text_that_can_not_be_encoded_is_written_with_escapes():
    out = stream("ascii")
    Console(out, stream()).out("ñ")
    assert text_of(out) == "\\xf1\n"


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "✓"), ("ascii", "ok")])
def test_signs_are_plain_where_the_stream_can_not_encode_them(encoding, sign):
    assert Console(stream(), stream(encoding), environ={}).glyph("ok") == sign


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"TERM": "dumb", "FORCE_COLOR": "1"}, True)],
)
def test_colour_on_a_terminal_follows_the_environment(environ, coloured):
    console = Console(stream(), Terminal(), environ)
    assert console.paint("x", "red") == ("\x1b[31mx\x1b[0m" if coloured else "x")


def test_no_colour_where_there_is_no_terminal_unless_forced():
    assert Console(stream(), stream(), {}).paint("x", "red", bold=True) == "x"
    assert Console(stream(), stream(), {"FORCE_COLOR": "1"}).paint("x", "red") == "\x1b[31mx\x1b[0m"


def test_a_table_is_as_wide_as_it_needs_to_be():
    out = stream()
    Console(out, stream()).table(("A", "LONG"), [("aaa", "b"), ("a", "")])
    assert text_of(out) == "A    LONG\naaa  b\na\n"


def test_notes_that_can_not_be_written_are_dropped():
    with open("/dev/full", "w", encoding="utf-8") as full, open(os.devnull, "w", encoding="utf-8") as nowhere:
        Console(stream(), full).note("nobody reads this")
        os.dup2(nowhere.fileno(), full.fileno())
    Console(stream(), full).note("nor this")


def test_an_error_is_shown_with_its_code_and_advice():
    err = stream()
    show_error(Console(stream(), err), RunNotFound("no run 'x'", suggestion="look elsewhere"))
    assert text_of(err) == "error[FLUJO-601] no run 'x'\n  help: look elsewhere\n"


def test_a_trace_is_shown_under_the_error():
    err = stream()
    show_error(Console(stream(), err), FlujoError("odd"), trace=True)
    assert text_of(err).splitlines() == ["error[FLUJO-000] odd", "flujo.exceptions.FlujoError: odd"]


def test_findings_are_shown_with_their_lines(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("steps: 3\n")
    finding = Finding("V-S03", "expected a list", location=Location(str(file), 1, 8), help="write one")
    err = stream()
    show_error(Console(stream(), err), BlueprintError("x", findings=(finding,)))
    assert text_of(err).splitlines() == [
        f"error[V-S03] {file}:1:8: expected a list",
        "    1 | steps: 3",
        "      |        ^",
        "help: write one",
    ]


def test_control_characters_are_made_visible_and_long_text_is_cut():
    assert one_line("a\x1b[31m\nb") == "a\\x1b[31m\nb"
    assert one_line("x" * 10, 4) == "xxxx... (10 characters)"
