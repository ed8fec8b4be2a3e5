"""Taking samples in turn, and what they come to."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Comparison", "Subject", "compare"]

#: One sample of a subject, in the comparison's unit. Raises `AssertionError` when the work came out wrong.
Subject = Callable[[], float]


@dataclass(frozen=True)
class Comparison:
    """The samples of `ours` and `bare`, taken in turn, and the goal for their ratio or for ours alone."""

    name: str
    unit: str
    goal: str
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
        return f"{'  '.join(parts)} {self.unit}  ratio {self.ratio:.2f}  goal {self.goal}"

    def record(self) -> dict[str, object]:
        """The comparison as plain data."""
        subjects = {
            name: {"median": self.median(name), "quartiles": self.spread(name), "minimum": min(taken), "samples": taken}
            for name, taken in self.samples.items()
        }
        return {"name": self.name, "unit": self.unit, "goal": self.goal, "ratio": self.ratio, "subjects": subjects}


def compare(name: str, *, unit: str, goal: str, ours: Subject, bare: Subject, rounds: int) -> Comparison:
    """Take `rounds` samples of each, after one that does not count; who goes first changes from round to round."""
    subjects = {"ours": ours, "bare": bare}
    samples: dict[str, list[float]] = {"ours": [], "bare": []}
    for subject in subjects.values():
        subject()
    for turn in range(rounds):
        for key in ("ours", "bare") if turn % 2 else ("bare", "ours"):
            samples[key].append(subjects[key]())
    return Comparison(name, unit, goal, samples)
