"""What the fault tests share: lives that are started and ended from outside, and the figures of a session."""

import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FIGURES = pytest.StashKey[dict[str, dict[str, Any]]]()


def _load(name: str) -> ModuleType:
    """A helper of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"faults_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


harness = _load("harness")


@pytest.fixture(scope="session")
def nemesis() -> Iterator[Any]:
    nemesis = harness.Nemesis()
    yield nemesis
    nemesis.close()


class Cases:
    """Makes cases, each in a folder of its own."""

    def __init__(self, nemesis: Any, folder: Path) -> None:
        self.nemesis, self.folder, self.made = nemesis, folder, 0

    def new(self, runs: list[str] | None = None, pipeline: str = "pipeline.yaml", **options: Any) -> Any:
        self.made += 1
        return harness.Case(self.nemesis, self.folder / f"case-{self.made}", runs or ["run-01"], pipeline, **options)


@pytest.fixture
def cases(nemesis, tmp_path) -> Cases:
    return Cases(nemesis, tmp_path)


@pytest.fixture
def figures(request) -> Callable[..., None]:
    """Keep numbers for the table at the end of `nox -s faults`, with how long the test has taken so far."""
    began = time.monotonic()
    kept = request.config.stash.setdefault(FIGURES, {})

    def keep(row: str, **numbers: Any) -> None:
        kept[row] = {**numbers, "seconds": round(time.monotonic() - began, 1)}

    return keep


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    kept = config.stash.get(FIGURES, {})
    skipped = [test for test in config.pluginmanager.get_plugin("flujo-skips").skipped if "tests/faults/" in test]
    if not kept and not skipped:
        return
    terminalreporter.section("figures")
    for row, numbers in kept.items():
        terminalreporter.write_line(f"{row}: " + ", ".join(f"{value} {name}" for name, value in numbers.items()))
    for test in skipped:
        terminalreporter.write_line(f"skipped: {test}")
    terminalreporter.write_line(json.dumps({**kept, "skipped": skipped}))
