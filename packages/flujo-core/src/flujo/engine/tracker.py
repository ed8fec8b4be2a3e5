"""Which recorded results a run uses that goes on with another pipeline than it began with."""

import re
from collections.abc import Iterable

__all__ = ["Tracker"]

#: Where the path of a step, or of one that it stands in, ends in a path.
_END = re.compile(r"[/\[]|$")


class Tracker:
    """Knows the paths with results, and those that the run has come by."""

    __slots__ = ("_paths", "_reached")

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)
        self._reached: set[str] = set()

    def reach(self, path: str) -> None:
        """Note that what is recorded at `path` and under it is used, or owed to nobody."""
        self._reached.add(path)

    def unused(self, under: str) -> str | None:
        """The first result of the step at the path `under`, or of the steps in it, that is not used."""
        for path in self._paths:
            ends = (found.start() for found in _END.finditer(path))
            if path.startswith(under) and not any(path[:end] in self._reached for end in ends):
                return path
        return None
