"""docs/reference/pipeline-files.md has the keys that files have, with their defaults."""

import pytest

from flujo.blueprint import nodes
from flujo.blueprint.schema import AgentPart, BackoffSpec, ConfigSpec, DocumentSpec, StepSpec
from flujo.domain.steps import MAX_DEPTH
from flujo.infra.config_manager import Settings
from flujo.plugins import create_plugin_manager
from flujo.runner.pipeline_resolver import PipelineResolver
from flujo_policies_builtin.agentic_loop import AgenticLoopPart, AgenticLoopSpec
from flujo_policies_builtin.cache import CachePart, CacheSpec
from flujo_policies_builtin.conditional import ConditionalSpec
from flujo_policies_builtin.hitl import HitlSpec
from flujo_policies_builtin.imports import ImportConfig, ImportSpec
from flujo_policies_builtin.loop import LoopPart, LoopSpec
from flujo_policies_builtin.map import FilePart, MapPart, MapSpec
from flujo_policies_builtin.parallel import MergingSpec, ParallelSpec
from flujo_policies_builtin.router import RouterPart, RouterSpec
from flujo_policies_builtin.sequence import SequenceSpec
from flujo_policies_builtin.state_machine import StateMachineSpec, TransitionPart
from flujo_policies_builtin.step import AgentSpec, CallSpec

PAGE = "pipeline-files"
TABLES = {
    "## The document": (DocumentSpec, None),
    "## Every step": (StepSpec, None),
    "### config": (ConfigSpec, None),
    "### config.backoff": (BackoffSpec, None),
    "## kind: step": (CallSpec, StepSpec),
    "## kind: pipeline": (SequenceSpec, StepSpec),
    "## kind: agentic_loop": (AgenticLoopSpec, StepSpec),
    "## kind: cache": (CacheSpec, StepSpec),
    "## kind: conditional": (ConditionalSpec, StepSpec),
    "## kind: parallel": (ParallelSpec, StepSpec),
    "## kind: dynamic_router": (RouterSpec, MergingSpec),
    "## kind: hitl": (HitlSpec, StepSpec),
    "## kind: import": (ImportSpec, StepSpec),
    "## kind: loop": (LoopSpec, StepSpec),
    "## kind: map": (MapSpec, StepSpec),
    "## kind: state_machine": (StateMachineSpec, StepSpec),
}
PARTS = {
    "agent": AgentSpec,
    "agentic_loop": AgenticLoopPart,
    "agents": AgentPart,
    "cache": CachePart,
    "config": ImportConfig,
    "iterable_input": FilePart,
    "loop": LoopPart,
    "map": MapPart,
    "router": RouterPart,
    "transitions": TransitionPart,
}
WORDS = {"foreground": "foreground", "none": None, "empty": None, "false": False, "0": 0, "1": 1, "2": 2, "60": 60}


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_has_exactly_the_keys_of_its_model(page, heading):
    model, base = TABLES[heading]
    own = set(model.model_fields) - set(base.model_fields if base else ())
    assert page(PAGE).since(heading).names("key") == own


@pytest.mark.parametrize("key", PARTS)
def test_the_mapping_behind_a_key_has_exactly_the_keys_of_its_model(page, key):
    common = set(ConfigSpec.model_fields) if key == "config" else set()
    aliases = {name: field.validation_alias for name, field in PARTS[key].model_fields.items()}
    keys = {alias.choices[0] if alias else name for name, alias in aliases.items()}
    assert page(PAGE).names(f"key of {key}") == keys - common


@pytest.mark.parametrize("heading", ["### config", "### config.backoff"])
def test_the_defaults_are_those_of_the_model(page, heading):
    table = page(PAGE).since(heading).table("key")
    shown = {key: WORDS[cells[0].strip("`")] for key, cells in table.items() if key != "backoff"}
    model = TABLES[heading][0]
    assert shown == {key: field.default for key, field in model.model_fields.items() if key != "backoff"}


def test_keys_without_a_default_are_said_to_be_required(page):
    for heading, (model, base) in TABLES.items():
        required = {key for key, field in model.model_fields.items() if field.is_required()}
        shown = {key for key, cells in page(PAGE).since(heading).table("key").items() if cells[0] == "required"}
        assert shown == required - set(base.model_fields if base else ())


def test_every_installed_kind_has_its_section(page):
    kinds = create_plugin_manager().contributions.kinds
    text = page(PAGE).text
    assert {f"## kind: {name}" in text for name in kinds} == {True}
    assert text.count("## kind: ") == len(kinds)


def test_the_limits_are_those_of_the_loader(page):
    limits = {name: cells[0] for name, cells in page(PAGE).table("limit").items()}
    numbers = [nodes.MAX_PLAIN, nodes.MAX_DEPTH, MAX_DEPTH, nodes.MAX_ALIASES, nodes.MAX_NODES]
    assert list(limits.values())[1:] == [f"{number:,}" for number in numbers]


def test_the_examples_are_valid(page, tmp_path):
    examples = page(PAGE).blocks("yaml")
    assert len(examples) == 13
    (tmp_path / "answers.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/summary.yaml").write_text("steps: [{name: shorten}]\n", encoding="utf-8")
    for number, text in enumerate(examples):
        file = tmp_path / f"example_{number}.yaml"
        file.write_text(text, encoding="utf-8")
        assert PipelineResolver(create_plugin_manager(), Settings(tmp_path)).check(file) == ()
