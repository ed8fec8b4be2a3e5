"""The files that a pipeline file imports: found under the project's root, loaded once, never in a circle."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flujo.blueprint.diagnostics import brief
from flujo.blueprint.texts import Texts
from flujo.domain.steps import Pipeline
from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError

__all__ = ["IMPORTED", "MAX_STEPS", "Child", "Imports"]

#: What a step's `uses` begins with that names an import.
IMPORTED = "imports."

#: How many steps a pipeline may have, those of a file that is imported twice counted twice.
MAX_STEPS = 20_000


class Child(NamedTuple):
    """What a file came to: its pipeline, None when something is wrong with it, and how many steps it has."""

    pipeline: Pipeline[Any, Any] | None
    size: int


class Imports:
    """The imports of the file at `file`, which stands in `around` at `level`; `loaded` and `texts` are a whole build's.

    Its methods raise `ConfigurationError` with the code of a finding.
    """

    def __init__(
        self, file: Path, root: Path, texts: Texts, *, around: "Imports | None" = None, level: int = 0
    ) -> None:
        self.texts = texts
        self.file = file.resolve()
        self.loaded: dict[Path, Child] = around.loaded if around else {}
        self._root = root.resolve()
        self._chain: tuple[Path, ...] = (*(around._chain if around else ()), self.file)
        self.level = level

    def find(self, text: str, *, code: str = "V-I02", like: str = "*.y*ml") -> Path:
        """The file at `text`, a path relative to this file. It lies under the root, wherever links lead.

        Errors have the `code`; a file that isn't there may have been meant as one of those beside it `like` this.
        """
        advice = f"write a path relative to this file, to a file under {str(self._root)!r}"
        try:
            file = (self.file.parent / text).resolve()
            is_file = self.texts.has(file)
        except (OSError, ValueError, RuntimeError) as error:  # too long, with a NUL in it, a circle of links
            raise ConfigurationError(f"{brief(text)} is no path", suggestion=advice, code=code, cause=error) from error
        if Path(text).is_absolute() or not file.is_relative_to(self._root):
            raise ConfigurationError(f"{brief(text)} lies outside the project", suggestion=advice, code=code)
        if not is_file:
            message = f"{brief(text)} is a folder" if text and file.is_dir() else f"there is no file {brief(text)}"
            beside = [each.name for each in file.parent.glob(like)]
            near = did_you_mean(file.name, beside, what="there is") if beside else advice
            raise ConfigurationError(message, suggestion=near, code=code)
        return file

    def name(self, reference: str, declared: Mapping[str, Any]) -> str:
        """The key in `declared`, the document's imports, that the `uses` of a step names."""
        name = reference.removeprefix(IMPORTED)
        if name == reference:
            raise ConfigurationError(
                f"{brief(reference)} names no import", suggestion=f"write {IMPORTED}NAME", code="V-I01"
            )
        if name not in declared:
            advice = did_you_mean(name, declared, what="this file imports")
            if not declared:
                advice = f"say at the top of the file where it is: imports: {{{name}: FILE}}"
            raise ConfigurationError(f"there is no import {brief(name)}", suggestion=advice, code="V-I01")
        return name

    def enter(self, file: Path, depth: int) -> "Imports":
        """The imports of `file`, which a step imports that stands `depth` deep in this one."""
        if file in self._chain:
            circle = (*self._chain[self._chain.index(file) :], file)
            raise ConfigurationError(
                f"the imports go in a circle: {' -> '.join(map(self._told, circle))}",
                suggestion="let one of the files do without the next",
                code="V-I03",
            )
        return Imports(file, self._root, self.texts, around=self, level=self.level + depth)

    def shown(self, file: Path, document: str) -> str:
        """How findings call `file`, which this file imports that they call `document`."""
        beside = Path(document).parent / os.path.relpath(file, self.file.parent)
        tidy = Path(os.path.normpath(beside))
        return str(tidy if tidy.resolve() == file else file)

    def _told(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix() if file.is_relative_to(self._root) else str(file)
