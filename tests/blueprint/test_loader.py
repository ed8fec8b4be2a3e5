"""YAML text to plain data with places."""

import resource

import pytest

from flujo.blueprint.encoding import MAX_BYTES
from flujo.blueprint.loader import parse
from flujo.domain.validation import Location
from flujo.exceptions import BlueprintError


def data(text):
    return parse(text.encode(), "p.yaml").data


def first(text):
    """Code and place of the first finding."""
    with pytest.raises(BlueprintError) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), "p.yaml")
    finding = caught.value.findings[0]
    return finding.code, finding.location.line, finding.location.column


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-2.5E-1", -0.25),
    ],
)
def test_core_scalars_have_their_type(text, value):
    found = data(f"k: {text}\n")["k"]
    assert (found, type(found)) == (value, type(value))


TEXT = ["no", "on", "Yes", "y", "tRUE", "nULL", "012", "0x", "0o8", "1_000", "12:30:45", "2020-01-01", ".inf", "-.INF"]
TEXT += [".nan", "1.2.3", "-x", "+", ".", "e5", "1e", "<<x", "=", "'1'", '"true"']


@pytest.mark.parametrize("text", TEXT)
def test_everything_else_stays_text(text):
    assert data(f"k:\n  {text}\n") == {"k": text.strip("'\"")}


def test_blocks_are_text():
    assert data("k: |\n  5\nl: >\n  true\n") == {"k": "5\n", "l": "true\n"}


def test_keys_are_text_as_they_are_written():
    assert data("true: 1\n1: 2\non: 3\n~: 4\n") == {"true": 1, "1": 2, "on": 3, "~": 4}


def test_every_key_and_value_has_its_place():
    doc = parse(b"a: 1\nbox:\n  - x\n  - {deep: true}\n", "p.yaml")
    box = doc.data["box"]
    assert doc.at(doc.data) == Location("p.yaml", 1, 1)
    assert doc.key(doc.data, "box") == Location("p.yaml", 2, 1)
    assert doc.value(doc.data, "a") == Location("p.yaml", 1, 4)
    assert doc.value(box, 0) == Location("p.yaml", 3, 5)
    assert doc.key(box[1], "deep") == Location("p.yaml", 4, 6)
    assert doc.value(box[1], "deep") == Location("p.yaml", 4, 12)


def test_what_the_loader_did_not_make_has_no_place():
    doc = parse(b"a: 1\n", "p.yaml")
    assert doc.at({}) is None
    assert doc.key({}, "a") is None
    assert doc.value(doc.data, "b") is None


def test_an_alias_is_a_copy_of_its_own_with_the_anchors_places_inside():
    doc = parse(b"a: &a {k: v}\nb: *a\n", "p.yaml")
    assert doc.data["a"] == doc.data["b"]
    assert doc.data["a"] is not doc.data["b"]
    assert doc.value(doc.data, "b") == Location("p.yaml", 2, 4)
    assert doc.value(doc.data["b"], "k") == Location("p.yaml", 1, 11)


def test_own_keys_beat_merged_ones_and_earlier_merges_later_ones():
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  c: 3\n  <<: [*x, *y]\n"
    assert data(text)["z"] == {"a": 1, "b": 1, "c": 3}
    assert list(data(text)["z"]) == ["a", "b", "c"]


def test_a_quoted_merge_key_is_a_key():
    assert data('"<<": {a: 1}\n') == {"<<": {"a": 1}}


def test_a_merged_key_stands_where_it_was_written():
    doc = parse(b"x: &x\n  a: 1\nz:\n  <<: *x\n", "p.yaml")
    assert doc.key(doc.data["z"], "a") == Location("p.yaml", 2, 3)


def test_a_later_anchor_of_the_same_name_counts_from_there():
    assert data("a: &n 1\nb: *n\nc: &n 2\nd: *n\n") == {"a": 1, "b": 1, "c": 2, "d": 2}


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n# end\n"])
def test_a_file_without_content_is_nothing(text):
    assert data(text) is None


def test_what_frames_a_document_is_allowed():
    assert data("%YAML 1.2\n# hello\n---\na: 1\n...\n\n# the end\n...\n") == {"a": 1}
    assert parse(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "p.yaml").data == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: 1\nb: !!str 2\n", ("V-Y06", 2, 4)),
        ("a: !mine {}\n", ("V-Y06", 1, 4)),
        ("# c\n%TAG !e! tag:x,2000:\n---\na: 1\n", ("V-Y06", 2, 1)),
        ("a: &a [*a]\n", ("V-Y07", 1, 8)),
        ("a: &a {<<: *a}\n", ("V-Y07", 1, 12)),
        ("? [1, 2]\n: x\n", ("V-Y08", 1, 3)),
        ("a: {{x: 1}: 2}\n", ("V-Y08", 1, 5)),
        ("<<: 3\n", ("V-Y08", 1, 5)),
        ("<<: []\n", ("V-Y08", 1, 5)),
        ("<<: [{a: 1}, 2]\n", ("V-Y08", 1, 5)),
        ("<<: {a: 1}\n<<: {b: 1}\n", ("V-Y05", 2, 1)),
        ("a: 1\n---\n", ("V-Y09", 2, 1)),
        ("a: 1\n...\n%YAML 1.2\n---\nb: 1\n", ("V-Y09", 3, 1)),
        ("a: " + "9" * 1001, ("V-Y10", 1, 4)),
        ("a:\n\tb: 1\n", ("V-Y02", 2, 1)),
        ("a: {{ x }} b\n", ("V-Y02", 1, 12)),
        ("%YAML 3.0\n---\na: 1\n", ("V-Y02", 1, 1)),
        ('a: "\\ud800"\n', ("V-Y02", 1, 7)),
        ("a: b\nc: \0\n", ("V-Y03", 2, 4)),
        ("a: \x1b[31m\n", ("V-Y03", 1, 4)),
        ("a: 1\n".encode("utf-16"), ("V-Y03", 1, 1)),
        ("a: 1\n".encode("utf-32-be"), ("V-Y03", 1, 1)),
        (b"a: \xc3\xa9\xc3\n", ("V-Y03", 1, 5)),
    ],
)
def test_what_is_refused_is_refused_in_its_place(text, where):
    assert first(text) == where


def test_advice_fits_the_mistake():
    def advice(text):
        with pytest.raises(BlueprintError) as caught:
            parse(text.encode(), "p.yaml")
        return caught.value.suggestion

    assert advice("a:\n\tb: 1\n") == "indent with spaces, not with tabs"
    assert advice("a: {{ x }} b\n") == "quote text that begins with '{': \"{{ ... }}\""
    assert advice("a: {{ x }}\n") == "quote text that begins with '{': \"{{ ... }}\""
    assert advice("a: [1, {b: 2}: 3]\n") is None


def test_several_mistakes_are_told_together_and_in_order():
    with pytest.raises(BlueprintError, match=r"3 errors, the first: p\.yaml:1:4: the tag") as caught:
        parse(b"a: !!str 1\na: 2\nb: *c\n", "p.yaml")
    assert [f.code for f in caught.value.findings] == ["V-Y06", "V-Y05", "V-Y07"]


NINE = ",".join(["*a{0}"] * 9)
HOSTILE = {
    "billion laughs": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{NINE.format(n - 1)}]\n" for n in range(1, 10)),
    "thirty-three aliases": "a: &a 1\nb: [" + ",".join(["*a"] * 33) + "]\n",
    "deep through an alias": "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40 + "\n",
    "depth 65": "[" * 65 + "]" * 65,
    "depth 65 in a step": "[{name: x, input: " + "[" * 64 + "]" * 64 + "}]",
    "depth 65 of mappings with names of nothing": "{name: " * 64 + "[]" + "}" * 64,
    "depth 500": "[" * 500 + "]" * 500,
    "depth 322 of steps": "{name: x, a: [" * 161 + "]}" * 161,
    "depth 5000": "- " * 5_000,
    "a mebibyte of brackets": "[" * (MAX_BYTES - 1),
    "a mebibyte of braces": "{a: " * (MAX_BYTES // 4 - 1),
    "a mebibyte of questions": "? " * (MAX_BYTES // 2 - 1),
    "a quarter million items": "- a\n" * (MAX_BYTES // 4 - 1),
    "too many twins": "a: 1\n" * 15_000,
    "five megabytes": "a: 1\n" * (MAX_BYTES // 5 * 5),
    "an open quote": 'a: "' + "x\n" * (MAX_BYTES // 2 - 4),
    "tag directives": "".join(f"%TAG !a{n}! x\n" for n in range(50_000)) + "---\na: 1\n",
    "tag directives after the end": "a: 1\n...\n" + "".join(f"%TAG !a{n}! x\n" for n in range(50_000)) + "---\n",
    "unknown directives": "%X y\n" * (MAX_BYTES // 5 - 1),
    "a python object": "a: !!python/object/apply:os.system [id]\n",
    "an anchor for ever": "&a " * (MAX_BYTES // 3 - 1),
    "NUL": "a: \0",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_with_a_place(name):
    code, line, column = first(HOSTILE[name])
    assert code.startswith("V-Y")
    assert line >= 1
    assert column >= 1


def test_hostile_text_costs_little_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for text in HOSTILE.values():
        first(text)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_limits_are_just_reached():
    depth = 64
    assert data("[" * depth + "]" * depth) is not None
    assert len(data("- a\n" * 19_999)) == 19_999
    assert len(data("a: &a 1\nb: [" + ",".join(["*a"] * 32) + "]\n")["b"]) == 32
    assert data("#" * MAX_BYTES) is None
    assert data("[" * 63 + "&a x, *a" + "]" * 63) is not None
    assert data("{name: x, a: [" * 64 + "]}" * 64) is not None
