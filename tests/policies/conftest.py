"""What policy tests share: runs in memory, and pipelines from files in a project's folder."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from flujo import Flujo, OpenContext, PipelineResult, Step
from flujo.blueprint.builder import Sources, load_pipeline
from flujo.infra.templates import Templates
from flujo.plugins import create_plugin_manager


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Awaitable[PipelineResult[Any, Any]]]:
    """Run a step on an input, in a project at `tmp_path`; keywords go to `Flujo`."""

    async def run_it(step: Step[Any, Any], data: Any = "x", **options: Any) -> PipelineResult[Any, Any]:
        settings = {"root": tmp_path, "context_model": OpenContext, **options}
        async with Flujo(step, **settings) as flujo:
            return await flujo.run(data)

    return run_it


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Step[Any, Any]]:
    """Load the steps of a pipeline file, with a module `helpers` beside it."""
    manager = create_plugin_manager()

    def load_it(steps: str, helpers: str = "") -> Step[Any, Any]:
        (tmp_path / "helpers.py").write_text(helpers)
        (tmp_path / "pipeline.yaml").write_text(f"steps:\n{steps}")
        there = manager.contributions
        sources = Sources(there.kinds, there.skills, Templates(), ["helpers"], tmp_path)
        return load_pipeline(tmp_path / "pipeline.yaml", sources)

    return load_it
