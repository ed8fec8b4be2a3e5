"""Where the texts of pipeline files come from: the disk, or what a run has kept of them."""

from collections.abc import Mapping
from pathlib import Path

from flujo.blueprint.encoding import read_bytes
from flujo.domain.scope import NOTHING

__all__ = ["Texts"]


class Texts:
    """The pipeline files of the project at `root`; those `stored`, by path from there, are not read from the disk."""

    def __init__(self, root: Path, stored: Mapping[str, str] = NOTHING) -> None:
        self._root = root.resolve()
        self._stored = stored
        self._read: dict[str, bytes] = {}

    def has(self, file: Path) -> bool:
        """Whether there is the file at the resolved path `file`. Raises `OSError` for what is no path."""
        return self._name(file) in self._stored or file.is_file()

    def read(self, path: Path) -> bytes:
        """The bytes of a file. Raises `BlueprintError` when it can't be read."""
        name = self._name(path.resolve())
        data = self._stored[name].encode() if name in self._stored else read_bytes(path)
        self._read[name] = data
        return data

    def kept(self) -> dict[str, str]:
        """The texts that were read, by path from the root, the first one first. They have been understood."""
        return {name: data.decode("utf-8-sig") for name, data in self._read.items()}

    def _name(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix() if file.is_relative_to(self._root) else str(file)
