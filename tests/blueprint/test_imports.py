"""Files that import files: where they are found, what is loaded, and everything that is wrong with it."""

import os

import pytest

from flujo.blueprint import imports
from flujo.domain.imports import ImportOutput, ImportStep
from flujo.domain.steps import Step
from flujo.exceptions import BlueprintError

MAIN = "imports: {child: child.yaml}\nsteps: [{name: run_child, uses: imports.child}]\n"
CHILD = "steps: [{name: c}]\n"


def only(pipeline):
    (step,) = pipeline.steps
    return step


def codes(findings):
    return [(finding.code, finding.path) for finding in findings]


@pytest.mark.parametrize(
    "step",
    [
        "{name: i, uses: imports.child}",
        "{name: i, kind: step, uses: imports.child}",
        "{name: i, kind: import, uses: imports.child}",
        "{name: i, kind: import, path: child.yaml}",
    ],
)
def test_a_step_names_an_import_or_a_file(project, step):
    project.write("child.yaml", CHILD)
    made = only(project.load(f"imports: {{child: child.yaml}}\nsteps: [{step}]\n"))
    assert type(made) is ImportStep
    assert (made.name, made.pipeline.name, [each.name for each in made.children()]) == ("i", "child", ["c"])


def test_an_import_has_its_own_options_beside_those_of_every_step(project):
    project.write("child.yaml", CHILD)
    config = "{max_retries: 2, input_to: scratchpad, inherit_context: true, on_failure: skip, outputs: [*o]}"
    made = only(
        project.load(
            "imports: {child: child.yaml}\n"
            "x-o: &o {child: scratchpad.a, parent: scratchpad.b}\n"
            f"steps: [{{name: i, uses: imports.child, updates_context: true, config: {config}}}]\n"
        )
    )
    assert (made.config.max_retries, made.input_to, made.inherit_context, made.on_failure) == (
        2,
        "scratchpad",
        True,
        "skip",
    )
    assert made.outputs == (ImportOutput("scratchpad.a", "scratchpad.b"),)
    assert made.updates_context


def test_an_import_is_not_retried_as_a_whole_and_hands_nothing_back_unless_the_file_says_so(project):
    project.write("child.yaml", CHILD)
    made = only(project.load(MAIN))
    assert (made.config.max_retries, made.outputs, made.updates_context) == (0, (), False)


def test_an_empty_list_of_outputs_means_that_nothing_flows_back(project):
    project.write("child.yaml", CHILD)
    made = only(project.load(MAIN.replace("child}]", "child, updates_context: true, config: {outputs: []}}]")))
    assert (made.outputs, made.updates_context) == ((), False)


def test_a_child_looks_beside_itself_for_its_code_and_its_own_imports(project):
    project.write(
        "sub/child.yaml", "steps:\n  - {name: f, uses: 'skills.h:f'}\n  - {kind: import, name: g, path: g.yaml}\n"
    )
    project.write("sub/g.yaml", CHILD)
    project.write("sub/skills/h.py", "def f(data): return 'in sub'\n")
    project.write("skills/h.py", "def f(data): return 'at the root'\n")
    pipeline = project.load(
        "steps:\n  - {name: own, uses: 'skills.h:f'}\n  - {kind: import, name: i, path: sub/child.yaml}\n"
    )
    own, child = pipeline.steps
    f, g = child.children()
    assert (own.run(""), f.run("")) == ("at the root", "in sub")
    assert [step.name for step in g.children()] == ["c"]


def test_a_file_may_be_imported_from_a_folder_beside_the_importing_one(project):
    project.base = "a"
    (project.root / "b").mkdir()
    (project.root / "b/child.yaml").write_text(CHILD)
    assert only(project.load("steps: [{kind: import, name: i, path: ../b/child.yaml}]\n")).pipeline.name == "child"


def test_a_file_that_is_imported_twice_is_loaded_once(project):
    project.write("child.yaml", CHILD)
    first, second = project.load(
        "imports: {a: child.yaml, b: ./child.yaml}\nsteps: [{name: x, uses: imports.a}, {name: y, uses: imports.b}]\n"
    ).steps
    assert first.pipeline is second.pipeline


def test_an_import_that_no_step_uses_is_fine(project):
    project.write("child.yaml", "not: [a, pipeline]\n")
    assert type(only(project.load("imports: {child: child.yaml}\nsteps: [{name: a}]\n"))) is Step


def test_what_is_wrong_in_a_child_is_told_with_the_child_s_line_by_loading_and_by_checking(project):
    project.write("sub/child.yaml", "steps:\n  - {name: c, input: '{{ a b }}'}\n  - {name: d, knd: x}\n")
    text = "imports: {child: sub/child.yaml}\nsteps:\n  - {name: i, uses: imports.child}\n  - {name: j, knd: x}\n"
    for findings in (project.findings(text), project.check(text)):
        shown = [(os.path.relpath(f.location.file, project.root), f.location.line, f.code, f.path) for f in findings]
        assert shown == [
            ("pipeline.yaml", 4, "V-S02", "j"),
            ("sub/child.yaml", 2, "V-T02", "c"),
            ("sub/child.yaml", 3, "V-S02", "d"),
        ]


def test_a_child_s_mistakes_are_told_once_however_often_it_is_imported(project):
    project.write("child.yaml", "steps: [{name: c, knd: x}]\n")
    text = "imports: {a: child.yaml}\nsteps: [{name: x, uses: imports.a}, {name: y, uses: imports.a}]\n"
    assert codes(project.findings(text)) == [("V-S02", "c")]


def test_a_child_that_is_no_yaml_is_told_once_too(project):
    project.write("child.yaml", "steps: [\n")
    text = "imports: {a: child.yaml}\nsteps: [{name: x, uses: imports.a}, {name: y, uses: imports.a}]\n"
    (finding,) = project.findings(text)
    assert (finding.code, os.path.basename(finding.location.file)) == ("V-Y02", "child.yaml")


def test_a_child_s_templates_see_no_step_of_the_parent(project):
    project.write("child.yaml", "steps: [{name: c, input: '{{ steps.before }}'}]\n")
    text = "steps: [{name: before}, {kind: import, name: i, path: child.yaml}]\n"
    assert codes(project.findings(text)) == [("V-T03", "c")]


def test_the_types_of_a_child_are_those_of_its_step(project):
    project.write("skills/h.py", "def f(x: int) -> int: ...\ndef g(x: str) -> str: ...\n")
    project.write("child.yaml", "steps: [{name: c, uses: 'skills.h:g'}]\n")
    text = "steps: [{name: f, uses: 'skills.h:f'}, {kind: import, name: i, path: child.yaml}]\n"
    (finding,) = project.findings(text)
    assert finding.message == "step 'f' gives int, but step 'i/c' takes str"


@pytest.mark.parametrize(
    ("text", "line", "message", "advice"),
    [
        (
            "imports: {child: child.yaml}\nsteps:\n- {name: i, uses: imports.chlid}\n",
            3,
            "there is no import 'chlid'",
            "did you mean 'child'?",
        ),
        (
            "steps:\n- {name: i, uses: imports.child}\n",
            2,
            "there is no import 'child'",
            "say at the top of the file where it is: imports: {child: FILE}",
        ),
        (
            "imports: {child: child.yaml}\nsteps:\n- {name: i, kind: import, uses: child}\n",
            3,
            "'child' names no import",
            "write imports.NAME",
        ),
        (
            "steps:\n- {name: i, kind: import}\n",
            2,
            "import 'i' needs one file",
            "write uses: imports.NAME, or path: FILE",
        ),
        (
            "imports: {child: child.yaml}\nsteps:\n- {name: i, kind: import, uses: imports.child, path: child.yaml}\n",
            3,
            "import 'i' needs one file",
            "write uses: imports.NAME, or path: FILE",
        ),
        (
            "imports:\n  child: chlid.yaml\nsteps:\n- {name: i, uses: imports.child}\n",
            2,
            "there is no file 'chlid.yaml'",
            "did you mean 'child.yaml'?",
        ),
        (
            "steps:\n- {name: i, kind: import, path: skills}\n",
            2,
            "'skills' is a folder",
            "there is child.yaml, pipeline.yaml",
        ),
        (
            "imports: {child: 3}\nsteps:\n- {name: i, uses: imports.child}\n",
            1,
            "'child' should be text, not 3",
            "quote it: '3'",
        ),
        ("imports: child.yaml\nsteps:\n- {name: i}\n", 1, "'imports' should be a mapping, not 'child.yaml'", None),
    ],
)
def test_an_import_that_names_no_file_is_told_where_it_stands(project, text, line, message, advice):
    project.write("child.yaml", CHILD)
    project.write("skills/h.py", "")
    for findings in (project.findings(text), project.check(text)):
        assert [(f.location.line, f.message, f.help) for f in findings] == [(line, message, advice)]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../outside.yaml", "'../outside.yaml' lies outside the project"),
        ("link.yaml", "'link.yaml' lies outside the project"),
        ("folder/outside.yaml", "'folder/outside.yaml' lies outside the project"),
        ("/etc/passwd", "'/etc/passwd' lies outside the project"),
        ("%2e%2e/outside.yaml", "there is no file '%2e%2e/outside.yaml'"),
        ("file:///etc/passwd", "there is no file 'file:///etc/passwd'"),
        ("a\\0b.yaml", "'a\\x00b.yaml' is no path"),
        ("circle.yaml", None),
        ("x" * 300, None),
        ("", "there is no file ''"),
    ],
)
def test_an_import_stays_under_the_project_s_folder_wherever_links_lead(project, tmp_path, path, message):
    home = project.root / "home"
    home.mkdir()
    (project.root / "outside.yaml").write_text(CHILD)
    project.root = home
    (home / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (home / "folder").symlink_to(tmp_path)
    (home / "circle.yaml").symlink_to(home / "circle.yaml")
    (finding,) = project.findings(f'imports: {{child: "{path}"}}\nsteps: [{{name: i, uses: imports.child}}]\n')
    assert finding.code == "V-I02"
    assert message in (finding.message, None)


def test_an_absolute_path_is_refused_even_into_the_project(project):
    child = project.write("child.yaml", CHILD)
    (finding,) = project.findings(f"steps: [{{kind: import, name: i, path: '{child}'}}]\n")
    assert finding.message.endswith("lies outside the project")
    assert finding.help == f"write a path relative to this file, to a file under {str(project.root)!r}"


def test_code_is_looked_for_where_a_link_to_a_child_leads(project):
    project.write("sub/child.yaml", "steps: [{name: f, uses: 'skills.h:f'}]\n")
    project.write("sub/skills/h.py", "def f(data): return 'in sub'\n")
    (project.root / "link.yaml").symlink_to(project.root / "sub/child.yaml")
    (f,) = only(project.load("steps: [{kind: import, name: i, path: link.yaml}]\n")).children()
    assert f.run("") == "in sub"


def test_a_circle_of_imports_is_told_with_every_file_on_it(project):
    project.write("b/b.yaml", "imports: {c: ../c.yaml}\nsteps:\n  - {name: to_c, uses: imports.c}\n")
    project.write("c.yaml", "steps:\n  - name: deep\n    steps: [{name: to_b, kind: import, path: b/b.yaml}]\n")
    (finding,) = project.findings("steps: [{kind: import, name: to_b, path: b/b.yaml}]\n")
    assert finding.message == "the imports go in a circle: b/b.yaml -> c.yaml -> b/b.yaml"
    assert (os.path.relpath(finding.location.file, project.root), finding.location.line, finding.path) == (
        "c.yaml",
        3,
        "deep/to_b",
    )


def chain(project, length):
    for number in range(length):
        project.write(f"f{number}.yaml", f"steps: [{{kind: import, name: i, path: f{number + 1}.yaml}}]\n")
    project.write(f"f{length}.yaml", CHILD)
    return project.root / "f0.yaml"


def test_files_import_one_another_as_deep_as_steps_may_stand(project):
    assert project.load_at(chain(project, 64)).depth == 64
    with pytest.raises(BlueprintError, match=r"f65\.yaml:1:9: steps stand more than 64 deep in one another, with"):
        project.load_at(chain(project, 65))


def test_steps_inside_the_last_of_many_files_count_too(project):
    body = "{name: leaf}"
    for number in range(29):
        body = f"{{name: s{number}, steps: [{body}]}}"
    path = chain(project, 60)
    project.write("f60.yaml", f"steps: [{body}]\n")
    (finding,) = project.check_at(path)
    assert (finding.code, finding.path.count("/")) == ("V-Y04", 5)


def test_a_child_counts_as_deep_as_it_is_though_it_was_loaded_before(project):
    chain(project, 40)
    body = "{kind: import, name: i, path: f0.yaml}"
    for number in range(30):
        body = f"{{name: s{number}, steps: [{body}]}}"
    text = f"steps:\n  - {{kind: import, name: first, path: f0.yaml}}\n  - {body}\n"
    assert {f.code for f in project.findings(text)} == {"V-K02"}


def test_files_that_import_each_other_twice_do_not_grow_without_bound(project):
    for number in range(40):
        step = f"kind: import, path: f{number + 1}.yaml"
        project.write(f"f{number}.yaml", f"steps: [{{name: a, {step}}}, {{name: b, {step}}}]\n")
    project.write("f40.yaml", CHILD)
    findings = project.check_at(project.root / "f0.yaml")
    assert {f.message for f in findings} == {
        f"there are more than {imports.MAX_STEPS} steps, those of imported files counted each time"
    }


def test_findings_name_a_child_as_the_importing_file_is_named(project, monkeypatch):
    project.write("sub/pipeline.yaml", "steps: [{kind: import, name: i, path: ../other/child.yaml}]\n")
    project.write("other/child.yaml", "steps: [{name: c, knd: x}]\n")
    monkeypatch.chdir(project.root)
    (finding,) = project.check_at((project.root / "sub/pipeline.yaml").relative_to(project.root))
    assert finding.location.file == "other/child.yaml"


def test_a_child_behind_links_is_named_by_where_it_is(project, monkeypatch):
    project.write("real/deep/pipeline.yaml", "steps: [{kind: import, name: i, path: ../child.yaml}]\n")
    project.write("real/child.yaml", "steps: [{name: c, knd: x}]\n")
    (project.root / "link").symlink_to(project.root / "real/deep")
    monkeypatch.chdir(project.root)
    (finding,) = project.check_at((project.root / "link/pipeline.yaml").relative_to(project.root))
    assert finding.location.file == str(project.root / "real/child.yaml")


def test_invariants_validators_and_the_mode_of_execution_reach_the_steps(project):
    project.write("skills/h.py", "def short(output): return len(output) < 9\n")
    pipeline = project.load(
        "static_invariants: ['context.n >= 0']\n"
        "steps:\n"
        "  - name: a\n"
        "    static_invariants: [\"output != 'bad'\"]\n"
        "    validators: ['skills.h:short']\n"
        "    config: {execution_mode: background}\n"
    )
    step = only(pipeline)
    assert pipeline.static_invariants == ("context.n >= 0",)
    assert step.static_invariants == ("output != 'bad'",)
    assert [validator("x") for validator in step.validators] == [True]
    assert step.is_background


def test_a_wrong_invariant_or_validator_is_told_where_it_stands(project):
    project.write("skills/h.py", "number = 3\n")
    findings = project.findings(
        "static_invariants:\n"
        "  - context.ok\n"
        "  - output !=\n"
        "steps:\n"
        "  - name: a\n"
        "    static_invariants: ['a b']\n"
        "  - name: b\n"
        "    validators:\n"
        "      - skills.h:nope\n"
        "  - name: c\n"
        "    config: {execution_mode: backgruond}\n"
        "  - name: d\n"
        "    validators: ['skills.h:number']\n"
    )
    assert [(f.code, f.path, f.location.line, f.location.column) for f in findings] == [
        ("V-T02", "", 3, 12),
        ("V-T02", "a", 6, 28),
        ("V-A04", "b", 9, 9),
        ("V-S03", "c", 11, 30),
        ("V-K02", "d", 13, 18),
    ]
