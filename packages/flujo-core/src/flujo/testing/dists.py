"""Distributions that look installed, without being."""

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

__all__ = ["FakeDists"]

_HEAD = "from flujo.plugins import hookimpl\n"


class FakeDists:
    """Writes distributions under `folder` and puts them on the path, of this process and of those it starts."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = patch
        self._modules: list[str] = []

    def __call__(
        self,
        name: str,
        source: str,
        *,
        version: str = "1.0",
        entry: str | None = None,
        api: str | None = None,
        requires: Iterable[str] = (),
        modules: Mapping[str, str] | None = None,
    ) -> Path:
        """Write the distribution `name`, whose plugin is a module with `source`; the folder that it is in.

        The module is called as the distribution, with "_" for "-", and begins with an import of `hookimpl`. `entry` is
        the name of its entry point (default: the distribution's), `api` what it announces in the group
        "flujo.plugin_api", `requires` what it depends on, `modules` the sources of further modules, by their names.
        """
        folder, module = self._folder / name, name.replace("-", "_")
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        announced = f"[flujo.plugin_api]\n{name} = {api}\n" if api else ""
        (info / "entry_points.txt").write_text(f"[flujo.plugins]\n{entry or name} = {module}\n{announced}")
        for each, text in {module: _HEAD + dedent(source), **(modules or {})}.items():
            (folder / f"{each}.py").write_text(dedent(text), encoding="utf-8")
            self._modules.append(each)
        self._patch.syspath_prepend(folder)
        self._patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        importlib.invalidate_caches()
        return folder

    def forget(self) -> None:
        """Let this process import none of it again."""
        for module in self._modules:
            sys.modules.pop(module, None)
