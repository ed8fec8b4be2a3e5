"""docs/reference/pipeline-files.md has all that files can say; test_generated.py compares its tables with the models.

The tables are made from the models that a file is checked with when it is loaded: the document's, the one of each
registered kind, and those in them. What is compared here is that none is left out.
"""

import pytest
from pydantic import AliasChoices

from flujo.blueprint import nodes
from flujo.blueprint.schema import Spec
from flujo.domain.steps import MAX_DEPTH
from flujo.plugins import create_plugin_manager

PAGE = "pipeline-files"


def models_under(model):
    return {model, *(found for each in model.__subclasses__() for found in models_under(each))}


@pytest.fixture(scope="module")
def kinds():
    """The registered kinds that are flujo's own, by their names."""
    kinds = create_plugin_manager().contributions.kinds
    return {name: kind for name, kind in kinds.items() if kind.provider.startswith("flujo-policies-builtin ")}


def test_every_key_of_every_model_is_in_a_table(page, kinds):
    assert {kind.model for kind in kinds.values()} < models_under(Spec)
    own = [model for model in models_under(Spec) if model.__module__.startswith(("flujo.", "flujo_policies_builtin."))]
    shown = set().union(*(table for table in page(PAGE).tables("key")))
    for model in own:
        for name, field in model.model_fields.items():
            alias = field.validation_alias
            first, *others = alias.choices if isinstance(alias, AliasChoices) else [name]
            assert first in shown
            assert all(f"`{other}` is another name of this key" in page(PAGE).text for other in others)


def test_every_registered_kind_has_its_section(page, kinds):
    text = page(PAGE).text
    assert {f"## kind: {name}" in text for name in kinds} == {True}
    assert text.count("## kind: ") == len(kinds)


def test_every_section_of_a_kind_has_an_example_unless_it_is_another_name_of_one(page):
    _, *sections = page(PAGE).text.partition("\n## YAML\n")[0].split("\n## kind: ")
    bare = {section.partition("\n")[0] for section in sections if "```yaml\n" not in section}
    assert bare == {"switch", "StateMachine"}


def test_the_limits_are_those_of_the_loader(page):
    limits = {name: cells[0] for name, cells in page(PAGE).table("limit").items()}
    numbers = [nodes.MAX_PLAIN, nodes.MAX_DEPTH, MAX_DEPTH, nodes.MAX_ALIASES, nodes.MAX_NODES]
    assert list(limits.values())[1:] == [f"{number:,}" for number in numbers]
