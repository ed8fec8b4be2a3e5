"""From where a pipeline is written to the pipeline itself."""

from pathlib import Path
from typing import Any

from flujo.blueprint.builder import Sources, check_pipeline, load_pipeline
from flujo.blueprint.texts import Texts
from flujo.domain.steps import Pipeline
from flujo.domain.validation import Finding
from flujo.infra.config_manager import Settings
from flujo.infra.templates import Templates
from flujo.plugins import PluginManager

__all__ = ["check_file", "resolve_pipeline"]


def resolve_pipeline(
    path: Path, *, manager: PluginManager, settings: Settings, texts: Texts | None = None
) -> Pipeline[Any, Any]:
    """The pipeline in the file at `path`, with the kinds and skills of `manager` and the project's own code.

    `texts` give what is in the files, and know afterwards which ones they were. Raises `BlueprintError` with every
    finding at once.
    """
    return load_pipeline(path, _sources(manager, settings), texts)


def check_file(path: Path, *, manager: PluginManager, settings: Settings) -> tuple[Finding, ...]:
    """Everything that is wrong with the file at `path`, found without importing any of the project's code."""
    return check_pipeline(path, _sources(manager, settings))


def _sources(manager: PluginManager, settings: Settings) -> Sources:
    there = manager.contributions
    allowed = settings.blueprint_allowed_imports
    return Sources(there.kinds, there.skills, Templates(), allowed, settings.root, there.agents)
