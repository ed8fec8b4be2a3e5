"""From a file to a pipeline of steps."""

import pytest

from flujo.blueprint.kinds import KindSpec
from flujo.blueprint.schema import StepSpec
from flujo.domain.steps import PREVIOUS, Pipeline, Step
from flujo.exceptions import PolicyConflictError

STEP = "steps: [{name: a}]\n"


def only(pipeline):
    (step,) = pipeline.steps
    return step


def test_a_file_names_its_pipeline_or_its_file_does(project):
    assert project.load(STEP + "name: mine\n").name == "mine"
    assert project.load(STEP, "nightly.yaml").name == "nightly"
    assert project.load(STEP, "2 of us.yaml").name == "_2_of_us"
    assert project.load(STEP, "x" * 80 + ".yaml").name == "x" * 64


def test_the_version_may_be_any_text_or_number(project):
    assert project.load(STEP + 'version: "99"\n').version == "99"
    assert project.load(STEP + "version: 0.1\n").version == "0.1"
    assert project.load(STEP).version == ""


def test_a_step_has_one_retry_and_the_previous_output_unless_it_says_otherwise(project):
    step = only(project.load(STEP))
    assert type(step) is Step
    assert step.config.max_retries == 1
    assert step.config.timeout_s is None
    assert step.input is PREVIOUS
    assert step.fallback is None


def test_a_step_that_may_run_only_once_has_no_retry_unless_it_says_so(project):
    once = "steps: [{name: a, effects: at-most-once%s}]\n"
    assert only(project.load(once % "")).config.max_retries == 0
    assert only(project.load(once % ", config: {timeout_s: 5}")).config.max_retries == 0
    (finding,) = project.findings(once % ", config: {max_retries: 1}")
    assert (finding.code, finding.message) == ("V-K02", "step 'a' may run at most once, but has max_retries")


def test_a_step_gets_every_field_that_is_given(project):
    step = only(
        project.load(
            "steps:\n"
            "  - step: a\n"
            "    input: {n: 1, t: '{{ input }}'}\n"
            "    config: {max_retries: 4, timeout: 2, backoff: {initial_s: 0.5}}\n"
            "    sink_to: scratchpad.a\n"
            "    updates_context: true\n"
            "    effects: external\n"
            '    version: "2"\n'
            "    meta: {owner: ann}\n"
            "    fallback: {name: b, config: {timeout_s: 9}}\n"
            "    x-note: free\n"
        )
    )
    assert (step.name, step.input) == ("a", {"n": 1, "t": "{{ input }}"})
    assert (step.config.max_retries, step.config.timeout_s, step.config.backoff.initial_s) == (4, 2.0, 0.5)
    assert (step.sink_to, step.updates_context, step.effects) == ("scratchpad.a", True, "external")
    assert (step.version, step.meta) == ("2", {"owner": "ann"})
    assert (step.fallback.name, step.fallback.config.timeout_s) == ("b", 9.0)


def test_an_input_of_nothing_is_an_input(project):
    assert only(project.load("steps: [{name: a, input: }]\n")).input is None


def test_free_keys_hold_what_anchors_share(project):
    pipeline = project.load(
        "x-defaults: &defaults\n  config: {max_retries: 3}\nsteps:\n  - {name: a, <<: *defaults}\n  - {name: b}\n"
    )
    assert [step.config.max_retries for step in pipeline.steps] == [3, 1]


def test_steps_inside_a_step_make_a_pipeline(project):
    inner = only(project.load("steps:\n  - name: inner\n    steps:\n      - name: a\n      - {name: b}\n"))
    assert type(inner) is Pipeline
    assert [step.name for step in inner.steps] == ["a", "b"]


def test_names_need_be_unique_among_siblings_only(project):
    pipeline = project.load("steps: [{name: a, steps: [{name: a}, {name: b}]}, {name: b}]\n")
    assert [step.name for step in pipeline.walk()] == ["pipeline", "a", "a", "b", "b"]


def test_a_kind_builds_its_branches_one_by_one(project):
    either = only(project.load("steps: [{kind: either, name: e, yes: {name: y}, no: {name: n}}]\n"))
    assert [step.name for step in either.children()] == ["y", "n"]


def test_everything_wrong_is_told_at_once_and_in_order(project):
    project.write("skills/h.py", "def f(x: int) -> int: ...\ndef g(x: str) -> str: ...\n")
    findings = project.findings(
        "steps:\n"
        "  - {name: a, uses: 'skills.h:f'}\n"
        "  - {name: b, uses: 'skills.h:g'}\n"
        "  - {name: c, agnet: x}\n"
        "  - name: d\n"
        "    kind: either\n"
        "    yes: {name: y, uses: 'skills.h:nope', fallback: {name: z, kind: teleport}}\n"
        "    no: {name: n, input: '{{ a b }}'}\n"
        "  - {name: a, uses: 'os:system'}\n"
        "unknown: 1\n"
    )
    assert [(f.code, f.path, f.location.line) for f in findings] == [
        ("V-T01", "b", 3),
        ("V-S02", "c", 4),
        ("V-A04", "d/y", 7),
        ("V-K01", "d/y/z", 7),
        ("V-T02", "d/n", 8),
        ("V-N02", "a", 9),
        ("V-A02", "a", 9),
        ("V-S02", "", 10),
    ]


def test_the_rest_of_a_step_is_checked_though_a_part_of_it_is_wrong(project):
    findings = project.findings(
        "steps:\n"
        "  - kind: either\n"
        "    name: 1st\n"
        "    config: {max_retries: two, retries: 1}\n"
        "    yess: 1\n"
        "    yes: {nme: y, agent: nope}\n"
        "    fallback: {name: b, input: '{{ a b }}'}\n"
        "  - kind: either\n"
        "    name: needs-more\n"
        "    fallback: {kind: unseen}\n"
    )
    codes = [(f.code, f.location.line) for f in findings]
    assert codes[:4] == [("V-N01", 3), ("V-S03", 4), ("V-S02", 4), ("V-S02", 5)]
    assert codes[4:] == [("V-S01", 6), ("V-S02", 6), ("V-A01", 6), ("V-T02", 7), ("V-S01", 8)]


def test_what_only_the_left_out_part_explains_is_not_told(project):
    findings = project.findings("steps: [{kind: caught, name: a, typo: 1}]\n")
    assert [f.code for f in findings] == ["V-S02"]


def test_a_clash_inside_a_nested_sequence_is_told_once(project):
    (finding,) = project.findings("steps:\n  - name: p\n    steps: [{name: a}, {name: a}]\n")
    assert (finding.code, finding.path, finding.location.column) == ("V-N02", "p/a", 31)


def test_mistakes_in_nested_steps_bring_no_others_with_them(project):
    findings = project.findings("steps:\n  - name: p\n    steps: [{nme: a}, {name: 3}, {name: a}, 4]\n")
    assert [f.code for f in findings] == ["V-S01", "V-S02", "V-S03", "V-S03"]


def test_a_broken_step_between_two_hides_their_mismatch_only(project):
    project.write("skills/h.py", "def f(x: int) -> int: ...\ndef g(x: str) -> str: ...\n")
    text = "steps: [{name: a, uses: 'skills.h:f'}, {name: b, no: 1}, {name: c, uses: 'skills.h:g'}]\n"
    assert [f.code for f in project.findings(text)] == ["V-S02"]


def test_a_templated_input_makes_types_fit(project):
    project.write("skills/h.py", "def f(x: int) -> int: ...\ndef g(x: str) -> str: ...\n")
    text = "steps: [{name: a, uses: 'skills.h:f'}, {name: b, uses: 'skills.h:g', input: 'n={{ previous_step }}'}]\n"
    assert len(project.load(text).steps) == 2


def test_templates_are_checked_wherever_they_stand_in_an_input(project):
    findings = project.findings(
        "steps:\n"
        "  - name: a\n"
        "    input:\n"
        "      list: [1, '{{ x | nope }}']\n"
        "      text: |\n"
        "        first\n"
        "        {{ y | nope }}\n"
        "      more: {deep: '{{ z'}\n"
    )
    assert [(f.code, f.location.line) for f in findings] == [("V-T02", 4), ("V-T02", 7), ("V-T02", 8)]
    assert [f.location.column for f in findings][:2] == [25, 16]


def test_a_step_that_cannot_call_what_it_names_is_told_at_the_reference(project):
    project.write("skills/h.py", "def f(x, y): ...\nclass C: ...\n")
    findings = project.findings("steps:\n  - {name: a, uses: 'skills.h:f'}\n  - {name: b, agent: {id: 'skills.h:C'}}\n")
    assert [(f.code, f.location.line, f.location.column) for f in findings] == [("V-K02", 2, 21), ("V-K02", 3, 27)]
    assert findings[0].message == "nothing fills parameter 'y' of 'skills.h:f'"


def test_a_time_limit_that_nothing_could_enforce_is_told_at_the_reference(project):
    project.write("skills/h.py", "def f(x): ...\n")
    (finding,) = project.findings("steps:\n  - {name: a, config: {timeout_s: 1}, uses: 'skills.h:f'}\n")
    assert (finding.code, finding.location.line, finding.location.column) == ("V-K02", 2, 45)
    assert "blocking" in finding.help


def test_a_reference_is_found_at_its_own_key_though_others_say_the_same(project):
    findings = project.findings("steps:\n  - {name: nope, meta: {was: nope}, agent: nope}\n")
    assert [(f.code, f.location.column) for f in findings] == [("V-A01", 44)]


def test_a_builder_that_crashes_is_told_with_the_step(project):
    (finding,) = project.findings("steps: [{name: a, kind: caught, meta: {crash: true}}]\n")
    assert finding.code == "V-A05"
    assert finding.message == "building step 'a' raised KeyError: 'a'"


def test_without_kinds_the_message_says_what_to_install(project):
    project.kinds = {}
    (finding,) = project.findings(STEP)
    assert finding.message == "unknown kind 'step'"
    assert finding.help == "no installed plugin has kinds of steps: pip install flujo-policies-builtin"


def test_a_kind_that_two_plugins_claim_is_an_error_where_it_is_named(project):
    class Claimed(dict):
        def __getitem__(self, name):
            raise PolicyConflictError(f"kind {name!r} is claimed by two", suggestion="uninstall one")

    project.kinds = Claimed(step=None)
    (finding,) = project.findings(STEP)
    assert (finding.code, finding.message, finding.help) == ("V-K02", "kind 'step' is claimed by two", "uninstall one")


def test_a_kind_that_copies_its_steps_still_builds_them(project):
    class CopySpec(StepSpec):
        body: list[dict[str, object]]

    def build(spec, context):
        return Pipeline(context.sequence(spec.body), **context.common(spec))

    project.kinds["copy"] = KindSpec("copy", CopySpec, build, "copies")
    assert only(project.load("steps: [{kind: copy, name: c, body: [{name: a}]}]\n")).steps[0].name == "a"
    (finding,) = project.findings("steps: [{kind: copy, name: c, body: [{name: a, x: 1}]}]\n")
    assert (finding.code, finding.path) == ("V-S02", "c/a")


def test_an_older_file_in_another_folder_is_checked_by_its_own_path(project):
    project.base = "flows"
    assert project.shown("steps: 1\n").startswith("error[V-S03] flows/pipeline.yaml:1:8:")


class TestCheck:
    """`check_pipeline` finds what it can without the project's code."""

    @pytest.fixture
    def project(self, project):
        project.write("skills/h.py", "raise SystemExit('imported')\ndef f(x): ...\nlater = f\n")
        return project

    def test_a_good_file_has_no_findings_and_imports_nothing(self, project):
        assert project.check("steps: [{name: a, uses: 'skills.h:f'}, {name: b, agent: skills.h.later}]\n") == ()

    def test_names_are_looked_up_in_the_modules_text(self, project):
        findings = project.check("steps: [{name: a, uses: 'skills.h:ff'}, {name: b, uses: 'skills.hh:f'}]\n")
        assert [(f.code, f.help) for f in findings] == [
            ("V-A04", "did you mean 'f'?"),
            ("V-A04", "did you mean 'skills.h'?"),
        ]

    def test_it_finds_what_the_file_alone_tells(self, project):
        text = "steps: [{name: a, uses: 'os:system'}, {name: a, input: '{{ | }}'}, {name: b, kind: x, agent: y}]\n"
        assert [f.code for f in project.check(text)] == ["V-A02", "V-N02", "V-T02", "V-K01"]

    def test_skills_of_plugins_are_checked_with_their_parameters(self, project):
        skill = "flujo.builtins.upper"
        assert project.check(f"steps: [{{name: a, agent: {skill}}}]\n") == ()
        (finding,) = project.check(f"steps: [{{name: a, agent: {{id: {skill}, params: {{nope: 1}}}}}}]\n")
        assert finding.code == "V-K02"

    def test_a_bad_file_is_findings_too(self, project):
        assert [f.code for f in project.check("a: [")] == ["V-Y02"]

    def test_a_module_that_is_no_python_is_told(self, project):
        project.write("skills/bad.py", "def f(:\n")
        (finding,) = project.check("steps: [{name: a, uses: 'skills.bad:f'}]\n")
        assert finding.code == "V-A05"
        assert finding.message.startswith("skills/bad.py:1 can't be parsed: ")

    def test_a_package_that_is_no_python_is_told(self, project):
        project.write("skills/deep/__init__.py", "def f(:\n")
        project.write("skills/deep/good.py", "def f(x): ...\n")
        (finding,) = project.check("steps: [{name: a, uses: 'skills.deep.good:f'}]\n")
        assert finding.message.startswith("skills/deep/__init__.py:1 can't be parsed: ")

    def test_checking_and_loading_say_the_same_of_a_module_that_is_no_python_and_say_it_once(self, project):
        project.write("skills/bad.py", "def f(:\n")
        text = "steps: [{name: a, uses: 'skills.bad:f'}, {name: b, uses: 'skills.bad:g'}]\n"
        assert project.check(text) == project.findings(text)
        assert len(project.check(text)) == 1

    def test_nothing_is_assumed_of_a_function_that_is_not_imported(self, project):
        limited = "uses: 'skills.h:f', config: {timeout_s: 3}"
        project.kinds["threaded"] = KindSpec("threaded", ThreadedSpec, build_threaded, "in a thread")
        threaded = "kind: threaded, blocking: true, uses: 'skills.h:f'"
        assert project.check(f"steps: [{{name: a, {limited}}}, {{name: b, {threaded}}}]\n") == ()


class ThreadedSpec(StepSpec):
    uses: str
    blocking: bool


def build_threaded(spec, context):
    return Step(run=context.resolve(spec.uses), blocking=spec.blocking, **context.common(spec))


def test_a_path_that_is_none_is_told_where_it_stands_beside_what_else_is_wrong(project):
    found = project.check("steps:\n  - {name: a, sink_to: 'a b', effects: odd}\n")
    assert [(each.code, each.location.line, each.location.column) for each in found] == [
        ("V-S03", 2, 24),
        ("V-S03", 2, 40),
    ]
    assert found[0].message.startswith("'a b' is no path in the context: name a field of the context")
