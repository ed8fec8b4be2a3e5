"""The history of a step: what each of its children came to, and what they have used together."""

from collections.abc import Mapping
from typing import Any

from flujo.domain.outcomes import StepResult
from flujo.domain.scope import NOTHING
from flujo.domain.usage import NO_USAGE, Usage
from flujo.exceptions import ExecutionError

__all__ = ["PlaceTaken", "StepHistoryTracker"]


class PlaceTaken(ExecutionError):
    """A policy has two steps at one path, or one step twice: the record knows one result of each."""

    def __init__(self, name: str, path: str, parent: str) -> None:
        advice = 'let the policy give each a place of its own, such as frame.child(step, data, at=f"[{n}]")'
        super().__init__(
            f"the policy of {parent} runs {name!r} at {path!r}, where it has run a step", suggestion=advice
        )


class StepHistoryTracker(dict[str, StepResult[Any] | None]):
    """The results of one step's children by path, in the order in which their frames were made.

    A child that is executed again, by a retry of its parent, takes its own place: every path counts once, so that
    totals add up through loops, branches, imports, retries and fallbacks.
    """

    __slots__ = ()

    #: The lines that there were when this attempt began: another step may be run in their places, once.
    earlier: Mapping[str, StepResult[Any] | None] = NOTHING

    def is_taken(self, path: str) -> bool:
        """Whether a step at `path` is at work or has succeeded in this attempt; one that failed may be tried again."""
        line = self[path]
        return (line is None or line.success) and self.earlier.get(path, self) is not line

    def again(self) -> "StepHistoryTracker":
        """The history with which the next attempt begins."""
        return _Again(self)

    @property
    def results(self) -> tuple[StepResult[Any], ...]:
        """What has been executed so far."""
        return tuple(filter(None, self.values()))

    @property
    def usage(self) -> Usage:
        """What the children have used, with everything under them."""
        total = NO_USAGE
        for result in self.values():
            if result is not None and result.usage is not NO_USAGE:
                total += result.usage
        return total


class _Again(StepHistoryTracker):
    """The history of an attempt after the first; what most steps never need costs nothing at each of them."""

    __slots__ = ("earlier",)

    def __init__(self, before: StepHistoryTracker) -> None:
        super().__init__(before)
        self.earlier = dict(before)
