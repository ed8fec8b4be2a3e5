"""What the fault tests share: lives that are started and ended from outside, and the figures of a session."""

import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
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


class Mounts:
    """Small file systems in a folder of this process: not in that of pytest, whose removal a mount would break."""

    PREFIX = "flujo-mounts-"

    def __init__(self, pid: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.PREFIX}{pid}-"))

    def mount(self, kib: int) -> Path:
        place = self.folder / f"tmpfs-{kib}"
        place.mkdir()
        self._mount(place, f"size={kib}k")
        return place

    def grow(self, place: Path, kib: int) -> None:
        self._mount(place, f"remount,size={kib}k")

    def _mount(self, place: Path, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("only root can mount a small file system; the limit on a file's size is tested in tests/state")

    @staticmethod
    def clear(folder: Path) -> None:
        """Unmount what is in it, in use or not, and remove it."""
        for place in folder.iterdir():
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)

    @classmethod
    def clear_left(cls) -> None:
        """The same for what processes left that were killed."""
        for folder in Path(tempfile.gettempdir()).glob(f"{cls.PREFIX}*-*"):
            if not Path("/proc", folder.name.split("-")[2]).exists():
                cls.clear(folder)


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    """Where small file systems can be mounted; what killed processes left mounted is cleared away."""
    Mounts.clear_left()
    mounts = Mounts(os.getpid())
    yield mounts
    mounts.clear(mounts.folder)


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
