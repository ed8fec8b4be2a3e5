"""What policy tests share: runs in memory, and pipelines from files in a project's folder."""

import importlib.util
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flujo import Flujo, OpenContext, PipelineResult, Step
from flujo.blueprint.builder import Sources, load_pipeline
from flujo.engine.executor_core import ExecutorCore
from flujo.infra.memory import InMemoryBackend
from flujo.infra.templates import Templates
from flujo.plugins import create_default_registry, create_plugin_manager


@pytest.fixture(autouse=True)
def clean(nothing_left: None) -> None:
    """No test leaves anything behind."""


@pytest.fixture
def run(tmp_path: Path, crashes: Any) -> Callable[..., Awaitable[PipelineResult[Any, Any]]]:
    """Run a step on an input, in a project at `tmp_path`; keywords go to `Flujo`."""

    async def run_it(step: Step[Any, Any], data: Any = "x", **options: Any) -> PipelineResult[Any, Any]:
        settings = {"root": tmp_path, "context_model": OpenContext, **options}

        async def live(backend: Any, sink: Any) -> Any:
            async with Flujo(step, **{**settings, "state_backend": backend, "sinks": [sink]}) as flujo:
                return _told(await (flujo.resume("r") if await backend.get("r") else flujo.run(data, run_id="r")))

        again = all(each.effects != "at-most-once" for each in step.walk())
        check = crashes.compare(live) if crashes and again and "state_backend" not in options else None
        async with Flujo(step, **settings) as flujo:
            result = await flujo.run(data)
        if check:
            check(_told(result))
        return result

    return run_it


def _told(result: PipelineResult[Any, Any]) -> list[Any]:
    """What a run came to, in words that are the same for every run that came to it."""
    fields = result.final_pipeline_context.model_dump()
    context = {name: value for name, value in fields.items() if name not in ("run_id", "hitl_history")}
    error = result.error and [result.error.type, result.error.message, result.error.path]
    asked = [[wait.path, wait.message, wait.schema] for wait in result.pending]
    history = [[line.path, line.success, line.paused] for line in (*result.step_history, *result.background)]
    return [str(result.status), repr(result.output), repr(context), error, asked, history]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Step[Any, Any]]:
    """Load the steps of a pipeline file, with a module `helpers` beside it."""
    manager = create_plugin_manager()

    def load_it(steps: str, helpers: str = "") -> Step[Any, Any]:
        (tmp_path / "helpers.py").write_text(helpers)
        (tmp_path / "pipeline.yaml").write_text(f"steps:\n{steps}")
        there = manager.contributions
        sources = Sources(there.kinds, there.skills, Templates(), ["helpers"], tmp_path, there.agents)
        return load_pipeline(tmp_path / "pipeline.yaml", sources)

    return load_it


class Resumed:
    """Runs a step that fails once, then goes on with the same run; `ran` names the calls of both in their order."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def calls(self, name: str, label: str = "{name}", **options: Any) -> Step[Any, Any]:
        """A step that notes that it ran, by `label` with its data in it, and hands its data on."""

        def note(data: Any) -> Any:
            self.ran.append(label.format(name=name, data=data))
            return data

        return Step(name, note, **options)

    def flaky(self, name: str, label: str = "{name}", *, on: Any = None, **options: Any) -> Step[Any, Any]:
        """Such a step that fails at its first call, or its first call on the data `on`."""
        failed: list[Any] = []

        def note(data: Any) -> Any:
            self.ran.append(label.format(name=name, data=data))
            if not failed and on in (None, data):
                failed.append(data)
                raise ValueError("not yet")
            return data

        return Step(name, note, **options)

    async def __call__(self, step: Step[Any, Any], data: Any = "x", **context: Any) -> PipelineResult[Any, Any]:
        backend = InMemoryBackend()
        async with Flujo(step, state_backend=backend, context_model=OpenContext) as flujo:
            first = await flujo.run(data, run_id="r", initial_context_data=context)
            assert first.status == "failed"
        async with Flujo(step, state_backend=backend, context_model=OpenContext) as flujo:
            return await flujo.resume("r")


@pytest.fixture
def resumed() -> Resumed:
    return Resumed()


@pytest.fixture
def prepare() -> Callable[[Step[Any, Any]], None]:
    """Plan a step as a run would, without running it."""
    return lambda step: ExecutorCore(policy_registry=create_default_registry(), templates=Templates()).prepare(step)


@pytest.fixture(scope="session")
def programs() -> ModuleType:
    """Random programs and their pipelines: `programs.py` of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location("policies_programs", Path(__file__).with_name("programs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
