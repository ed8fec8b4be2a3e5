"""Which recorded results a run uses that goes on."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import cached_property

__all__ = ["Tracker"]

#: Where the path of a step, or of one that it stands in, ends in a path.
_END = re.compile(r"[/\[]|$")


class Tracker:
    """Knows the paths with results, and those that the run has come by.

    `tried` are the paths with failed attempts: what is recorded in such a step may be of one that went elsewhere.
    """

    def __init__(self, paths: Iterable[str], tried: Collection[str] = ()) -> None:
        self._paths = [path for path in paths if not tried or not any(end in tried for end in _ends(path)[:-1])]
        self._reached: set[str] = set()

    @cached_property
    def _inside(self) -> dict[str, list[str]]:
        """The paths with results in each step, and its own."""
        inside = defaultdict(list)
        for path in self._paths:
            for end in _ends(path):
                inside[end].append(path)
        return inside

    def reach(self, path: str) -> None:
        """Note that what is recorded at `path` and under it is used, or owed to nobody."""
        self._reached.add(path)

    def unused(self, under: str, but: str | None = None) -> str | None:
        """The first result that is not used of the step at the path `under`, or of the steps in it except `but`."""
        for path in self._inside.get(under, ()) if under else self._paths:
            if path not in self._reached and but not in (ends := _ends(path)) and self._reached.isdisjoint(ends):
                return path
        return None


def _ends(path: str) -> list[str]:
    return [path[: found.start()] for found in _END.finditer(path)]
