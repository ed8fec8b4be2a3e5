"""Taking samples in turn, and what they come to."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from flujo.domain.events import Event

__all__ = ["Comparison", "Quiet", "Subject", "Target", "compare", "cpu"]

#: One sample of a subject, in the comparison's unit. Raises `AssertionError` when the work came out wrong.
Subject = Callable[[], float]


class Quiet:
    """A sink that listens and does nothing."""

    def handle(self, event: Event, /) -> None:
        """Hear of it."""


class Target(NamedTuple):
    """At most so much, of the ratio to `bare` or of `ours` in the comparison's unit."""

    of: Literal["ratio", "ours"]
    at_most: float


@dataclass(frozen=True)
class Comparison:
    """The samples of `ours` and `bare`, taken in turn; the `limit` that must hold now, and the `goal`."""

    name: str
    unit: str
    limit: Target | None
    goal: Target | None
    samples: Mapping[str, list[float]] = field(default_factory=dict)

    def median(self, subject: str) -> float:
        """The middle sample."""
        return statistics.median(self.samples[subject])

    def spread(self, subject: str) -> tuple[float, float]:
        """The samples between which the middle half lies."""
        low, _, high = statistics.quantiles(self.samples[subject], n=4)
        return low, high

    @property
    def ratio(self) -> float:
        """How many times as much ours costs: the median over the pairs, so that a slow minute hits both."""
        pairs = zip(self.samples["ours"], self.samples["bare"], strict=True)
        return statistics.median(ours / bare for ours, bare in pairs)

    def line(self) -> str:
        """The comparison in one line."""
        parts = [f"{self.name:<22}"]
        for subject in ("ours", "bare"):
            low, high = self.spread(subject)
            parts.append(f"{subject} {self.median(subject):9.2f} ({low:.2f} .. {high:.2f})")
        parts[-1] += f" {self.unit}  ratio {self.ratio:.2f}"
        for what, target in (("limit", self.limit), ("goal", self.goal)):
            if target is not None:
                verdict = "met" if self.meets(target) else "MISSED"
                parts.append(f"{what} {target.of} <= {target.at_most:g} {verdict}")
        return "  ".join(parts)

    def meets(self, target: Target | None) -> bool:
        """Whether the medians keep to `target`; without one there is nothing to miss."""
        if target is None:
            return True
        return (self.ratio if target.of == "ratio" else self.median("ours")) <= target.at_most

    def record(self) -> dict[str, object]:
        """The comparison as plain data."""
        subjects = {
            name: {"median": self.median(name), "quartiles": self.spread(name), "minimum": min(taken), "samples": taken}
            for name, taken in self.samples.items()
        }
        return {
            "name": self.name,
            "unit": self.unit,
            "limit": self.limit,
            "goal": self.goal,
            "ratio": self.ratio,
            "subjects": subjects,
        }


def compare(
    name: str,
    *,
    unit: str,
    ours: Subject,
    bare: Subject,
    rounds: int,
    limit: Target | None = None,
    goal: Target | None = None,
) -> Comparison:
    """Take `rounds` samples of each, after one that does not count; who goes first changes from round to round."""
    subjects = {"ours": ours, "bare": bare}
    samples: dict[str, list[float]] = {"ours": [], "bare": []}
    for subject in subjects.values():
        subject()
    for turn in range(rounds):
        for key in ("ours", "bare") if turn % 2 else ("bare", "ours"):
            samples[key].append(subjects[key]())
    return Comparison(name, unit, limit, goal, samples)


def cpu(runner: asyncio.Runner, work: Callable[[], Awaitable[object]], expected: object, times: int) -> float:
    """Microseconds of CPU that `work` takes for each of the `times` that it does its thing; checks what it gives."""

    async def timed() -> float:
        gc.collect()
        start = time.thread_time()
        result = await work()
        spent = time.thread_time() - start
        assert result == expected, result
        return spent / times * 1e6

    return runner.run(timed())
