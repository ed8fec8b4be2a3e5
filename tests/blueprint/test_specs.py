"""Mappings against models: what is said about keys and values that don't fit."""

import pytest

CASES = [
    # what a step holds, place, code, message, help
    ("name: 3", (2, 11), "V-S03", "'name' should be text, not 3", "quote it: '3'"),
    ("name: true", (2, 11), "V-S03", "'name' should be text, not true", "quote it: 'true'"),
    ("step: 3", (2, 11), "V-S03", "'step' should be text, not 3", "quote it: '3'"),
    ("step: a b", (2, 11), "V-N01", "'a b' is not a name", ...),
    ("name: a\n    config:", (3, 12), "V-S03", "'config' should be a mapping, not nothing", None),
    ("name: a\n    config: {retries: 1}", (3, 14), "V-S02", "unknown key 'retries'", "did you mean 'max_retries'?"),
    ("name: a\n    config: {retry: 1}", (3, 14), "V-S02", "unknown key 'retry'", ...),
    ("name: a\n    config: {timeout_s: 0}", (3, 25), "V-S03", "'timeout_s' should be greater than 0, not 0", None),
    ("name: a\n    config: {timeout_s: soon}", (3, 25), "V-S03", "'timeout_s' should be a number, not 'soon'", None),
    (
        "name: a\n    config: {max_retries: 1.5}",
        (3, 27),
        "V-S03",
        "'max_retries' should be a whole number, not 1.5",
        None,
    ),
    ("name: a\n    config: {backoff: {jitter: 2}}", (3, 32), "V-S03", ..., None),
    ("name: a\n    config: {backoff: {factr: 2}}", (3, 24), "V-S02", "unknown key 'factr'", "did you mean 'factor'?"),
    (
        "name: a\n    config: {timeout: 1, timeout_s: 2}",
        (3, 14),
        "V-S04",
        "'timeout' and 'timeout_s' say the same",
        ...,
    ),
    (
        "name: a\n    updates_context: yes",
        (3, 22),
        "V-S03",
        "'updates_context' should be true or false, not 'yes'",
        None,
    ),
    ("name: a\n    meta: [1]", (3, 11), "V-S03", "'meta' should be a mapping, not a list", None),
    (
        "name: a\n    effects: externl",
        (3, 14),
        "V-S03",
        "'effects' should be 'none', 'local', 'external' or 'at-most-once', not 'externl'",
        "did you mean 'external'?",
    ),
    ("name: a\n    effects: zzz", (3, 14), "V-S03", ..., None),
    ("name: a\n    timeout_s: 3", (3, 5), "V-S02", "unknown key 'timeout_s'", "it belongs under 'config'"),
    ("name: a\n    agent: 3", (3, 12), "V-S03", "'agent' should be text or a mapping, not 3", None),
    ("name: a\n    agent: {idd: x, id: y}", (3, 13), "V-S02", "unknown key 'idd'", "did you mean 'id'?"),
    ("name: a\n    agent: {}", (3, 12), "V-S01", "missing key 'id'", None),
    ("name: a\n    config: {timeut: 1}", (3, 14), "V-S02", "unknown key 'timeut'", "did you mean 'timeout'?"),
    ("step: a\n    name: b", (2, 5), "V-S04", "'step' and 'name' say the same", "leave 'step' out"),
    ("name: a\n    config: {timeout: soon}", (3, 23), "V-S03", "'timeout' should be a number, not 'soon'", None),
    ("name: a\n    x_note: 1", (3, 5), "V-S02", "unknown key 'x_note'", ...),
    ("name: a\n    fallback: 3", (3, 15), "V-S03", "a step should be a mapping, not 3", None),
    ("name: a\n    kind: 3", (3, 11), "V-S03", "'kind' should be text, not 3", None),
    ("name: a\n    steps: []", (3, 12), "V-S03", "'steps' should have at least 1 item", None),
    ("name: a\n    steps: [1]", (3, 13), "V-S03", "a step should be a mapping, not 1", None),
    (
        "name: a\n    kind: number\n    number: x",
        (4, 13),
        "V-S03",
        "'number' should be a whole number or true or false, not 'x'",
        None,
    ),
    (
        "name: a\n    kind: number\n    number: 1\n    numbers: [1, x]",
        (5, 18),
        "V-S03",
        "item 2 of 'numbers' should be a whole number, not 'x'",
        None,
    ),
]

NUMBER = "name: a\n    kind: number\n    number: 1\n"
CASES += [
    ("name: a\n    kind: number\n    number: 13", (4, 13), "V-S03", "thirteen brings bad luck", None),
    (NUMBER + "    pairs: [{id: a}, {id: 3}]", (5, 27), "V-S03", "'id' should be text, not 3", "quote it: '3'"),
    (NUMBER + "    pairs: [{id: a, paramz: {}}]", (5, 21), "V-S02", "unknown key 'paramz'", "did you mean 'params'?"),
    (NUMBER + "    pairs: [3]", (5, 13), "V-S03", "item 1 of 'pairs' should be a mapping, not 3", None),
]


@pytest.mark.parametrize(("step", "place", "code", "message", "advice"), CASES)
def test_what_does_not_fit_is_told_at_its_place(project, step, place, code, message, advice):
    (finding,) = project.findings(f"steps:\n  - {step}\n")
    assert (finding.location.line, finding.location.column) == place
    assert (finding.code, finding.message) == (code, finding.message if message is ... else message)
    assert finding.help == (finding.help if advice is ... else advice)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", (1, 1), "a pipeline file should be a mapping with the key 'steps', not nothing"),
        ("- a\n", (1, 1), "a pipeline file should be a mapping with the key 'steps', not a list"),
        ("just text", (1, 1), "a pipeline file should be a mapping with the key 'steps', not 'just text'"),
        ("name: x\n", (1, 1), "missing key 'steps'"),
        ("steps: []\n", (1, 8), "'steps' should have at least 1 item"),
        ("steps: {}\n", (1, 8), "'steps' should be a list, not a mapping"),
        ("steps:\n", (1, 7), "'steps' should be a list, not nothing"),
        ("steps: [{name: a}]\nstpes: 1\n", (2, 1), "unknown key 'stpes'"),
        ("steps: [{name: a}]\nagnets: {}\n", (2, 1), "unknown key 'agnets'"),
        ("steps: [{name: a}]\nname: two words\n", (2, 7), "'two words' is not a name"),
        (
            "steps: [{name: a}]\nversion: [1]\n",
            (2, 10),
            "'version' should be text or a number, not a list",
        ),
        ("steps: [a]\n", (1, 9), "a step should be a mapping, not 'a'"),
        ("steps: [[{name: a}]]\n", (1, 9), "a step should be a mapping, not a list"),
        ("steps: [null]\n", (1, 9), "a step should be a mapping, not nothing"),
    ],
)
def test_a_document_has_a_shape_too(project, text, place, message):
    (finding,) = project.findings(text)
    assert (finding.location.line, finding.location.column) == place
    assert finding.message == message


def test_thousands_of_mistakes_are_cut_off(project):
    keys = "".join(f"    key{number}: 1\n" for number in range(3000))
    assert len(project.findings(f"steps:\n  - name: a\n{keys}")) == 100
    assert len(project.findings("steps:\n" + "  - 1\n" * 3000)) == 100
    assert len(project.findings("steps:\n  - name: a\n    input:\n" + "      - '{{ a | }}'\n" * 3000)) == 100
