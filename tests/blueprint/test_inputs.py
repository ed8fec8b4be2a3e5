"""The names in templates are looked up when a file is loaded."""

import pytest

FIRST = "steps:\n  - {name: fetch}\n"


def found(project, text):
    return [(f.code, f.location.line, f.location.column) for f in project.check(text)]


@pytest.mark.parametrize(
    "template",
    [
        "{{ steps.fetch }}",
        "{{ steps.fetch.output.rows[0] }}",
        "{{ steps['fetch'].rows | length }} rows",
        "{% for steps_ in steps.fetch %}{{ steps_.nope }}{% endfor %}",
        "{{ steps.get('nope') }}",
        "{{ steps[input] }}",
        "{{ previous_step }} {{ input }} {{ context.x }} {{ steps }}",
        "steps.nope",
    ],
)
def test_names_that_are_there_or_cannot_be_known_are_let_be(project, template):
    assert found(project, FIRST + f'  - {{name: a, input: "{template}"}}\n') == []


def test_a_step_that_is_nowhere_is_told_wherever_the_template_reads_it(project):
    text = FIRST + (
        "  - name: a\n"
        "    input:\n"
        "      rows: ['{{ 1 }}', '{{ steps.fecth.rows }}']\n"
        "      text: |\n"
        "        first\n"
        '        {% if steps["nope"] %}{{ input }}{% endif %}\n'
    )
    assert found(project, text) == [("V-T03", 5, 35), ("V-T03", 8, 22)]


def test_each_unknown_step_of_a_text_is_told(project):
    text = FIRST + "  - {name: a, input: '{{ steps.b.x }}{{ steps.c }}{{ steps.b.y }}'}\n"
    findings = project.check(text)
    assert [f.message for f in findings] == [f"there is no step {name!r} before this one" for name in "bc"]
    assert findings[0].help == "steps before it are fetch"


def test_of_the_first_step_it_is_said_what_it_has(project):
    (finding,) = project.check("steps: [{name: a, input: '{{ steps.b }}'}]\n")
    assert finding.help == "it is the first step: its data is previous_step, and the run's input is input"


def test_a_step_has_no_output_while_it_runs_itself(project):
    assert found(project, "steps:\n  - {name: a, input: '{{ steps.a }}'}\n") == [("V-T04", 2, 32)]


def test_a_step_in_a_nested_sequence_sees_what_stands_before_it_and_around_it(project):
    text = FIRST + (
        "  - name: inner\n"
        "    steps:\n"
        "      - {name: one, input: '{{ steps.fetch }}'}\n"
        "      - {name: two, input: '{{ steps.one }}{{ steps.fetch }}'}\n"
        "  - {name: end, input: '{{ steps.inner }}'}\n"
    )
    assert found(project, text) == []


def test_a_nested_sequence_does_not_see_later_steps_and_nobody_sees_into_it(project):
    text = FIRST + (
        "  - name: inner\n"
        "    steps:\n"
        "      - {name: one, input: '{{ steps.inner }}{{ steps.end }}{{ steps.two }}'}\n"
        "      - {name: two}\n"
        "  - {name: end, input: '{{ steps.one }}'}\n"
    )
    assert [code for code, *_ in found(project, text)] == ["V-T04", "V-T04", "V-T04", "V-T03"]


def test_a_fallback_and_a_branch_see_what_their_step_sees(project):
    text = FIRST + (
        "  - {name: a, fallback: {name: b, input: '{{ steps.fetch }}{{ steps.a }}'}}\n"
        "  - {name: e, kind: either, yes: {name: y, input: '{{ steps.a }}{{ steps.nope }}'}}\n"
    )
    assert [code for code, *_ in found(project, text)] == ["V-T04", "V-T03"]


def test_a_name_with_dots_is_one_name(project):
    text = "steps:\n  - {name: v1.2}\n  - {name: a, input: \"{{ steps['v1.2'].x }}\"}\n"
    assert found(project, text) == []


@pytest.mark.parametrize("name", ["previous_stepp", "previuos_step", "stpes", "step", "inputs", "inptu", "contxt"])
def test_a_slip_in_a_name_that_every_template_has_is_told(project, name):
    text = f"steps:\n  - {{name: a, input: '{{{{ {name} | default(1) }}}}'}}\n"
    assert found(project, text) == [("V-T05", 2, 26)]


@pytest.mark.parametrize("name", ["content", "stops", "previous", "item", "output", "text", "contents", "Steps"])
def test_any_other_name_may_be_a_field_of_the_context(project, name):
    assert found(project, f"steps:\n  - {{name: a, input: '{{{{ {name} }}}}'}}\n") == []


def test_a_field_that_a_step_sets_is_no_slip(project):
    text = "steps:\n  - {name: a, sink_to: inputs.first}\n  - {name: b, input: '{{ inputs.first }}'}\n"
    assert found(project, text) == []


def test_a_name_that_is_not_found_in_the_text_is_told_at_its_beginning(project):
    text = FIRST + "  - {name: a, input: '{{ steps[\"no\\x70e\"] }}'}\n"
    assert found(project, text) == [("V-T03", 3, 22)]


def test_every_expression_of_a_template_that_can_not_be_read_is_told(project):
    text = FIRST + (
        "  - name: a\n    input: |\n      {{ 1 + }} and {{ input }}\n      {{ input | uper }}\n      {{ steps.nope }}\n"
    )
    assert found(project, text) == [("V-T02", 5, 14), ("V-T02", 6, 18), ("V-T03", 7, 16)]


def test_after_a_mistake_outside_of_expressions_nothing_more_is_told(project):
    text = FIRST + "  - {name: a, input: '{% if %}{{ 1 + }}{% endif %}'}\n"
    assert [code for code, _, _ in found(project, text)] == ["V-T02"]
