"""Items of a map that are read from a file, one after the other. Data only."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError

__all__ = ["FileFormat", "FileItems"]

FileFormat: TypeAlias = Literal["jsonl", "csv"]

_FORMATS: dict[str, FileFormat] = {"jsonl": "jsonl", "csv": "csv"}


@dataclass(frozen=True)
class FileItems:
    """The items in `file`: its path from the project's folder, or a template for it.

    A "jsonl" file has one JSON value a line; a "csv" file gives mappings by the names in its first row. Without a
    `format` the file's suffix says it. Raises `ConfigurationError` for another format.
    """

    file: str
    format: FileFormat | None = None

    def __post_init__(self) -> None:
        if self.format is not None or "{{" not in self.file:
            self.format_of(self.file)

    def format_of(self, path: str) -> FileFormat:
        """The format of the file at `path`. Raises `ConfigurationError` if neither `format` nor the suffix says it."""
        told = self.format or PurePosixPath(path).suffix.lower().removeprefix(".")
        if told in _FORMATS:
            return _FORMATS[told]
        what = f"the suffix of {path!r}" if self.format is None else f"format {self.format!r}"
        raise ConfigurationError(
            f"{what} is not a format of items", suggestion=did_you_mean(told, _FORMATS, what="formats are")
        )
