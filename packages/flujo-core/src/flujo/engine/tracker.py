"""Which recorded results a run uses that goes on."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property

from flujo.domain.interfaces import JournalRecord
from flujo.engine.asides import Asides

__all__ = ["Tracker"]

#: Where the path of a step, or of one that it stands in, ends in a path.
_END = re.compile(r"[/\[]|$")


class Tracker:
    """Knows the paths with results, and those that the run has come by.

    It looks for results that ended at `since` or later, in seconds since the epoch. `asides` know the steps that were
    tried again: what is recorded in such a step may be of an attempt that went elsewhere.
    """

    def __init__(self, results: Iterable[JournalRecord], since: float, asides: Asides) -> None:
        self._results = tuple(results)
        self._since = since
        self._tried = frozenset(asides.tried_again())
        self._beside = asides.noted() if asides.has_given_up() else None
        self._reached: set[str] = set()
        #: Note that what is recorded at a path and under it is used, or owed to nobody.
        self.reach: Callable[[str], None] = self._reached.add

    @cached_property
    def _paths(self) -> list[str]:
        """The paths that are looked at, found when one is: who goes on with a run does not wait for it."""
        tried, own = self._tried, (each.path for each in self._results if each.ended_at >= self._since)
        return [path for path in own if not tried or tried.isdisjoint(_ends(path)[:-1])]

    @cached_property
    def _inside(self) -> dict[str, list[str]]:
        """The paths with results in each step, and its own."""
        inside = defaultdict(list)
        for path in self._paths:
            for end in _ends(path):
                inside[end].append(path)
        return inside

    @cached_property
    def _begun(self) -> frozenset[str]:
        """The steps with results at their paths or under them, and where a step gave up with anything recorded."""
        paths = [*(self._beside or ()), *(each.path for each in self._results)]
        return frozenset(end for path in paths for end in _ends(path))

    def has_begun(self, path: str) -> bool:
        """Whether any result was recorded of the step at `path`, or of one in it, when the record was read."""
        return path in self._begun

    def went_on(self, path: str, later: Iterable[str]) -> bool:
        """Whether one of the steps at the paths `later` had begun when the record was read, as well as that at `path`.

        Then what has failed at `path` or under it was gone on from. False where no step gave up: it is all the same.
        """
        return self._beside is not None and path in self._begun and not self._begun.isdisjoint(later)

    def unused(self, under: str, but: str | None = None) -> str | None:
        """The first result that is not used of the step at the path `under`, or of the steps in it except `but`."""
        for path in self._inside.get(under, ()) if under else self._paths:
            if path not in self._reached and but not in (ends := _ends(path)) and self._reached.isdisjoint(ends):
                return path
        return None


def _ends(path: str) -> list[str]:
    return [path[: found.start()] for found in _END.finditer(path)]
