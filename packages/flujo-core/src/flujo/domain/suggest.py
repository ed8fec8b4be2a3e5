"""The nearest known name, for errors about unknown ones."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

__all__ = ["did_you_mean", "nearest"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that is most like `name`, if any is like it at all; letter case does not count."""
    by_folded = {other.casefold(): other for other in known}
    matches = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def did_you_mean(name: str, known: Iterable[str], *, what: str = "known names are", most: int = 12) -> str:
    """Advice about an unknown `name`: the nearest known one, or else what there is, of more than `most` the nearest."""
    names = sorted(known)
    near = nearest(name, names)
    if near is not None:
        return f"did you mean {near!r}?"
    if len(names) > most:
        names = [*sorted(names, key=lambda each: -_likeness(name, each))[:most], "..."]
    listed = ", ".join(names)
    return f"{what} {listed}" if names else "there are none"


def _likeness(name: str, other: str) -> float:
    return SequenceMatcher(None, name.casefold(), other.casefold()).ratio()
