"""`flujo schema` writes the JSON Schema of pipeline files, with the kinds of whatever plugins are there."""

import pytest
from jsonschema import Draft7Validator

KIND = """
    from flujo import Step
    from flujo.plugins import NestedSteps, StepSpec

    class Twice(StepSpec):
        body: NestedSteps

    def build(spec, context):
        return Step(**context.common(spec))

    @hookimpl
    def flujo_register_step_kinds(registrar):
        registrar.kind("twice", Twice, build, summary="run it twice")
"""


def told(ran):
    assert ran.code == 0
    Draft7Validator.check_schema(ran.json)
    return Draft7Validator(ran.json)


def test_the_schema_is_what_stdout_gets(flujo):
    ran = flujo("schema")
    assert told(ran).is_valid({"steps": [{"name": "a", "agent": "skills:one"}]})
    assert not told(ran).is_valid({"steps": [{"name": "a", "agnet": "skills:one"}]})
    assert ran.err == ""


def test_a_plugins_kind_is_among_them_with_its_plugin_and_steps(flujo, fake_dist):
    fake_dist("acme-pol", KIND)
    schema = told(flujo("schema"))
    (offered,) = (
        each for each in schema.schema["$defs"]["step"]["properties"]["kind"]["anyOf"] if each["const"] == "twice"
    )
    assert offered["description"] == "run it twice (acme-pol 1.0)"
    assert schema.is_valid({"steps": [{"name": "t", "kind": "twice", "body": [{"name": "a"}]}]})
    assert not schema.is_valid({"steps": [{"name": "t", "kind": "twice", "body": [{"title": "a"}]}]})
    assert not schema.is_valid({"steps": [{"name": "t", "kind": "twice"}]})


@pytest.mark.usefixtures("project")
def test_a_kind_that_two_plugins_claim_is_left_out_and_told_of(flujo, fake_dist):
    fake_dist("acme-one", KIND)
    fake_dist("acme-two", KIND)
    ran = flujo("schema")
    assert not told(ran).is_valid({"steps": [{"name": "t", "kind": "twice", "body": []}]})
    assert ran.err == ("warning: kind 'twice' is left out: kind 'twice' is claimed by acme-one 1.0 and acme-two 1.0\n")


def test_a_model_that_has_no_schema_is_an_error_of_its_plugin(flujo, fake_dist):
    fake_dist("acme-pol", KIND.replace("body: NestedSteps", 'model_config = {"json_schema_extra": lambda _: 1 / 0}'))
    ran = flujo("schema")
    assert (ran.code, ran.out) == (2, "")
    assert "the schema of kind 'twice' of plugin acme-pol 1.0 can't be told as a JSON Schema" in ran.err
