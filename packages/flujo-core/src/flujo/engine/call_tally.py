"""How often each agent of a run has been called, recorded calls included."""

from collections.abc import Iterator
from contextlib import contextmanager

from flujo.domain.usage import NO_USAGE, Usage

__all__ = ["CallTally"]


class CallTally:
    """Calls by agent and path: noting one path twice counts it once, so that a resumed run counts as the first did."""

    __slots__ = ("_calls", "_owed")

    def __init__(self) -> None:
        #: Of an agent at a path, and of an agent in all.
        self._calls: dict[tuple[str, str] | str, int] = {}
        self._owed: dict[str, Usage] = {}

    def note(self, agent: str, path: str, calls: int) -> None:
        """The step at `path` has called `agent` so many times in all."""
        before = self._calls.get((agent, path), 0)
        self._calls[agent, path] = calls
        self._calls[agent] = self.total(agent) + calls - before

    def total(self, agent: str) -> int:
        """How many times the run has called `agent`."""
        return self._calls.get(agent, 0)

    def owe(self, path: str, usage: Usage) -> None:
        """The attempt at `path` has used that, and is about to raise, or to be cancelled."""
        self._owed[path] = self.owed(path) + usage

    def owed(self, path: str) -> Usage:
        """What the attempt at `path` had used when it raised; told once."""
        return self._owed.pop(path, NO_USAGE)

    @contextmanager
    def owing(self, path: str, usage: Usage) -> Iterator[None]:
        """The attempt at `path` owes that if what follows raises or is cancelled; else its outcome tells of it."""
        self.owe(path, usage)
        yield
        self.owed(path)
