"""How findings are shown, and what they are worth as an error."""

import pytest

from flujo.blueprint.diagnostics import MOST, Report, blueprint_error, brief, finding_of, read_sources, render
from flujo.blueprint.document import Document, split_lines
from flujo.domain.validation import Finding, Location
from flujo.exceptions import ConfigurationError


def at(line, column, message="wrong", code="V-S03", file="p.yaml", **more):
    return Finding(code, message, location=Location(file, line, column), **more)


def test_findings_are_shown_in_the_order_of_their_places_each_once():
    shown = render([at(10, 1), at(2, 9), at(2, 3), at(2, 9)], {})
    places = [line.split()[1] for line in shown.split("\n\n")]
    assert places == ["p.yaml:2:3:", "p.yaml:2:9:", "p.yaml:10:1:"]


def test_a_finding_without_a_place_names_its_step():
    finding = Finding("V-T01", "it does not fit", path="a/b", help="mend it")
    assert render([finding], {}) == "error[V-T01] a/b: it does not fit\nhelp: mend it"
    assert render([Finding("V-T01", "odd", severity="warning")], {}) == "warning[V-T01]: odd"


def test_the_caret_stands_under_the_column_whatever_is_before_it():
    shown = render([at(1, 4)], {"p.yaml": "\ta\u4e2dx"}).splitlines()
    assert shown[1:] == ["    1 | \ta\u4e2dx", "      | \t   ^"]
    accent = render([at(1, 3)], {"p.yaml": "e\u0301x"}).splitlines()
    assert accent[2] == "      |  ^"


def test_a_long_line_is_cut_around_the_place():
    shown = render([at(1, 501)], {"p.yaml": "a" * 500 + "X" + "b" * 500}).splitlines()
    assert shown[1] == f"    1 | {'a' * 60}X{'b' * 59}"
    assert shown[2] == f"      | {' ' * 60}^"


def test_nothing_that_a_terminal_obeys_is_shown():
    shown = render([at(1, 1)], {"p.yaml": "a\x1b[31m\u202eb"})
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_nothing_of_a_message_or_its_advice_commands_a_terminal_or_takes_a_line_of_its_own():
    assert render([Finding("V-1", "a\x1b[2J\nerror", path="p", help="b\x9b1m")], {}) == (
        "error[V-1] p: a\\x1b[2J\\nerror\nhelp: b\\x9b1m"
    )


def test_a_place_beyond_the_text_is_shown_without_a_line():
    assert render([at(9, 1)], {"p.yaml": "a"}) == "error[V-S03] p.yaml:9:1: wrong"


def test_sources_are_read_where_they_can_be(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xff\n")
    findings = [at(1, 1, file=str(path)), at(1, 1, file=str(tmp_path / "gone.yaml")), Finding("V-T01", "odd")]
    assert read_sources(findings) == {str(path): "a: \N{REPLACEMENT CHARACTER}\n"}


def test_an_error_says_how_many_and_the_first():
    one = blueprint_error([at(3, 1, "bad", help="do good")])
    assert (str(one), one.suggestion) == ("p.yaml:3:1: bad", "do good")
    two = blueprint_error([at(3, 1, "bad"), at(1, 1, "worse")])
    assert str(two) == "2 errors, the first: p.yaml:1:1: worse"
    assert str(blueprint_error([Finding("V-T01", "odd")])) == "odd"


def test_a_report_takes_no_more_than_can_be_read():
    report = Report("p.yaml")
    for number in range(MOST + 5):
        report.note("V-S02", f"number {number}", (1, 1))
    assert report.full
    assert len(report.error().findings) == MOST


def test_an_error_with_a_code_of_findings_keeps_it():
    known = finding_of(ConfigurationError("no", code="V-A02", suggestion="ask"), "V-K02", "a", None)
    other = finding_of(ConfigurationError("no"), "V-K02", "a", None)
    assert (known.code, known.help, other.code) == ("V-A02", "ask", "V-K02")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        ([1], "a list"),
        ({}, "a mapping"),
        ("it's", '"it\'s"'),
        (1.5, "1.5"),
        ("x" * 99, f"{'x' * 57!r}..."),
        (10**300, f"1{'0' * 19}..."),
    ],
)
def test_values_are_named_in_short(value, text):
    assert brief(value) == text


@pytest.mark.parametrize(
    ("text", "value", "line", "column", "place"),
    [
        ("k: ab {{ c }}", "ab {{ c }}", 1, 7, (1, 10)),
        ("k: 'ab {{ c }}'", "ab {{ c }}", 1, 7, (1, 11)),
        ('k: "a\\tb {{ c }}"', "a\tb {{ c }}", 1, 8, (1, 4)),
        ("k: |\n   one\n   two x\n", "one\ntwo x\n", 2, 5, (3, 8)),
        ("k: |\n   one\n\n   x\n", "one\n\nx\n", 2, 1, (3, 1)),
        ("k: >\n   one\n   two\n", "one two\n", 1, 5, (1, 4)),
        ("k: |\n   one", "one", 1, 1, (2, 4)),
        ("k: |\n   one", "one", 3, 1, (1, 4)),
    ],
)
def test_a_place_inside_a_text_is_found_where_the_file_spells_it_out(text, value, line, column, place):
    doc = Document("p.yaml", text, None, {})
    assert doc.inside(Location("p.yaml", 1, 4), value, line, column) == Location("p.yaml", *place)


def test_lines_end_as_the_parser_counts_them():
    assert split_lines("a\r\nb\rc\nd\x85e\u2028f\u2029g") == list("abcdefg")
