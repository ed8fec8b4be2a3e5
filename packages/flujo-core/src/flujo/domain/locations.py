"""The port of states that lie in files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

__all__ = ["LocatedBackend"]


@runtime_checkable
class LocatedBackend(Protocol):
    """What a `StateBackend` can be beside: one that lies in files or folders of this machine."""

    @property
    def locations(self) -> Mapping[str, Path]:
        """The files and folders, whether they are there yet or not, by what they hold: "state", "workers"."""
        ...
