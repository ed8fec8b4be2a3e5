"""What plugin tests share: distributions that look installed, without being."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from flujo.plugins import PluginManager, PluginRecord

HEAD = "from flujo.plugins import hookimpl\n"


@pytest.fixture
def fake_dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Write a distribution with one entry point and its module: `fake_dist(name, source, version=, entry=)`."""
    modules: list[str] = []

    def write(name: str, source: str, *, version: str = "1.0", entry: str | None = None) -> None:
        folder = tmp_path / name
        module = name.replace("-", "_")
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[flujo.plugins]\n{entry or name} = {module}\n")
        (folder / f"{module}.py").write_text(HEAD + dedent(source))
        modules.append(module)
        monkeypatch.syspath_prepend(folder)
        importlib.invalidate_caches()

    yield write
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def record_of() -> Callable[[PluginManager, str], PluginRecord]:
    """Find the record of a distribution."""

    def find(manager: PluginManager, dist: str) -> PluginRecord:
        return next(record for record in manager.records if record.dist == dist)

    return find
