"""Rules of plugins about pipelines: what they see, what becomes of what they say, and what of those that fail."""

from pathlib import Path

import pytest

from flujo.blueprint.diagnostics import read_sources, render
from flujo.exceptions import BlueprintError, PluginError
from flujo.infra.config_manager import get_config_manager
from flujo.plugins import LintNote, Location, create_plugin_manager, hookimpl
from flujo.runner.pipeline_resolver import PipelineResolver

FILE = """\
steps:
  - name: fetch
    agent: {id: flujo.builtins.stringify}
    meta: {url: "http://token@host"}
  - name: each
    kind: map
    map:
      iterable_input: items
      body:
        - name: show
          agent: {id: flujo.builtins.stringify}
"""


class Rules:
    """A plugin with one rule a code: its target and severity."""

    def __init__(self, **rules):
        self.rules = rules

    @hookimpl
    def flujo_register_lint_rules(self, registrar):
        for code, (target, severity) in self.rules.items():
            registrar.rule(code.replace("_", "-"), target, severity=severity, summary="a rule")


def secrets(file):
    for step in file.steps:
        if "token" in str(step.raw.get("meta")):
            yield step.note("a secret stands in the file", "meta", help="take it from the environment")


def raises(file):
    raise KeyError(file.file[-1])


def resolver(folder: Path, *plugins) -> PipelineResolver:
    return PipelineResolver(create_plugin_manager(*plugins), get_config_manager(folder).settings())


@pytest.fixture
def file(tmp_path):
    (tmp_path / "flujo.toml").touch()
    (tmp_path / "p.yaml").write_text(FILE)
    return tmp_path / "p.yaml"


def test_a_rule_finds_what_only_its_plugin_knows_to_be_wrong(file):
    findings = resolver(file.parent, Rules(ACME_1=(secrets, "warning"))).check(file)

    assert render(findings, read_sources(findings)).replace(str(file), "p.yaml") == (
        "warning[ACME-1] p.yaml:4:11: a secret stands in the file\n"
        '    4 |     meta: {url: "http://token@host"}\n'
        "      |           ^\n"
        "help: take it from the environment"
    )


@pytest.mark.parametrize(
    ("note", "place"),
    [
        (LintNote("no", "each/show"), (10, 11)),
        (LintNote("no"), (1, 1)),
        (LintNote("no", "nowhere"), (1, 1)),
        (LintNote("no", "each/show", location=Location("other.yaml", 3, 4)), (3, 4)),
    ],
)
def test_a_note_that_is_made_by_hand_stands_where_its_step_does_or_at_the_files_first_line(file, note, place):
    [finding] = resolver(file.parent, Rules(ACME_1=(lambda linted: [note], "warning"))).check(file)

    assert finding.location[1:] == place
    assert finding.location.file == (note.location.file if note.location else str(file))


def test_nothing_that_a_rule_says_commands_a_terminal_or_takes_a_line_of_its_own(file):
    def hostile(linted):
        return [LintNote("\x1b[2J\nerror: fake", "\x07", "\x9b1m")]

    def broken(linted):
        raise PluginError("\x1b[2J", suggestion="\x07")

    found = resolver(file.parent, Rules(ACME_1=(hostile, "warning"), ACME_2=(broken, "warning"))).check(file)

    assert [(each.message, each.path, each.help, each.location.line) for each in found] == [
        ("\\x1b[2J\\nerror: fake", "\\x07", "\\x9b1m", 1),
        ("\\x1b[2J", "", "\\x07", 1),
    ]


def test_a_warning_refuses_no_file_and_an_error_does(file):
    assert resolver(file.parent, Rules(ACME_1=(secrets, "warning"))).resolve(file).name == "p"

    with pytest.raises(BlueprintError, match="4:11: a secret stands in the file") as caught:
        resolver(file.parent, Rules(ACME_1=(secrets, "error"))).resolve(file)
    assert [(found.code, found.path) for found in caught.value.findings] == [("ACME-1", "fetch")]


def test_a_rule_sees_every_step_with_what_is_written_of_it(file):
    seen = {}

    def look(linted):
        seen.update({step.path: (step.kind, step.name, step.raw["name"], step.step.name) for step in linted.steps})
        seen["file"] = linted.data["steps"][0]["name"]
        return ()

    assert resolver(file.parent, Rules(ACME_1=(look, "warning"))).check(file) == ()
    assert seen == {
        "fetch": ("step", "fetch", "fetch", "fetch"),
        "each": ("map", "each", "each", "each"),
        "each/show": ("step", "show", "show", "show"),
        "file": "fetch",
    }
    assert list(seen) == ["fetch", "each", "each/show", "file"]


def test_what_an_imported_file_is_warned_of_has_its_place_there_and_refuses_nothing(file):
    whole = file.parent / "whole.yaml"
    whole.write_text("steps:\n  - {name: part, kind: import, path: p.yaml}\n")
    checked = resolver(file.parent, Rules(ACME_1=(secrets, "warning")))

    [finding] = checked.check(whole)

    assert (Path(finding.location.file).name, finding.location.line) == ("p.yaml", 4)
    assert checked.resolve(whole).name == "whole"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (raises, "lint rule 'ACME-2' of Rules failed: KeyError: 'l'"),
        (lambda file: ["a text"], "lint rule 'ACME-2' of Rules failed: TypeError: it gave 'str', expected LintNote"),
        (lambda file: [LintNote(5)], "lint rule 'ACME-2' of Rules failed: TypeError: 'int' object is not iterable"),
        (lambda file: None, "lint rule 'ACME-2' of Rules failed: TypeError: 'NoneType' object is not iterable"),
        ("no_such_module:rule", "plugin Rules offers 'no_such_module:rule', which can't be loaded: ModuleNotFound"),
    ],
)
def test_a_rule_that_fails_is_a_warning_and_stops_no_other(file, rule, message):
    rules = Rules(ACME_1=(secrets, "error"), ACME_2=(rule, "error"), ACME_3=(secrets, "warning"))

    findings = resolver(file.parent, rules).check(file)

    [failed] = [found for found in findings if found.code == "V-L01"]
    assert failed.severity == "warning"
    assert failed.message.startswith(message)
    assert {found.code for found in findings} == {"V-L01", "ACME-1", "ACME-3"}


def test_two_plugins_that_claim_a_rule_spoil_that_rule_only(file):
    rival = Rules(ACME_1=(secrets, "error"))

    findings = resolver(file.parent, rival, Rules(ACME_1=(secrets, "error"), ACME_2=(secrets, "error"))).check(file)

    assert [(found.code, found.message) for found in findings] == [
        ("V-L01", "lint rule 'ACME-1' is claimed by Rules and Rules#2"),
        ("ACME-2", "a secret stands in the file"),
    ]


def test_steps_that_could_not_be_built_are_no_rules_business(file):
    file.write_text(FILE.replace("kind: map", "kind: mep"))

    findings = resolver(file.parent, Rules(ACME_1=(secrets, "warning"))).check(file)

    assert {found.code for found in findings} == {"V-K01", "ACME-1"}


def test_a_pipeline_made_in_python_is_checked_too(tmp_path):
    (tmp_path / "flujo.toml").write_text('blueprint_allowed_imports = ["made"]')
    (tmp_path / "made.py").write_text(
        "from flujo import Pipeline, Step\ndef text(data): return str(data)\n"
        "inner = Pipeline([Step('b', text, fallback=Step('c', text))], name='inner')\n"
        "whole = Pipeline([Step('a', text), inner])\n"
    )

    def names(file):
        assert file.data == {}
        return [step.note("seen") for step in file.steps] + [LintNote("the whole")]

    findings = resolver(tmp_path, Rules(ACME_1=(names, "warning"))).check("made:whole")

    assert {found.path for found in findings} == {"", "a", "inner", "inner/b", "inner/b/c"}
    assert all(found.location is None for found in findings)


BAD = [
    ("HTTP_1", "warning", "'HTTP_1' is not a rule's code, expected capitals, digits and '-', such as 'HTTP-101'"),
    ("V-X01", "warning", "rule 'V-X01' is not free: 'V' belongs to flujo"),
    ("FLUJO-9", "warning", "rule 'FLUJO-9' is not free: 'FLUJO' belongs to flujo"),
    ("HTTP-1", "fatal", "severity of rule 'HTTP-1' is 'fatal', expected 'error' or 'warning'"),
]


@pytest.mark.parametrize(("code", "severity", "message"), BAD)
def test_a_rule_with_a_bad_code_or_severity_is_refused(code, severity, message):
    class Plugin:
        @hookimpl
        def flujo_register_lint_rules(self, registrar):
            registrar.rule(code, secrets, severity=severity, summary="")

    [record] = create_plugin_manager(Plugin(), discover=False).records

    assert (record.status, record.error) == ("register-failed", message)
