"""The history of a step: what each of its children came to, and what they have used together."""

from typing import Any

from flujo.domain.outcomes import StepResult
from flujo.domain.usage import NO_USAGE, Usage

__all__ = ["StepHistoryTracker"]


class StepHistoryTracker(dict[str, StepResult[Any] | None]):
    """The results of one step's children by path, in the order in which their frames were made.

    A child that is executed again, by a retry of its parent, takes its own place: every path counts once, so that
    totals add up through loops, branches, imports, retries and fallbacks.
    """

    __slots__ = ()

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
