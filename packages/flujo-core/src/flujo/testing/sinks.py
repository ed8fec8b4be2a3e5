"""An event sink that remembers."""

from typing import Protocol, TypeVar

from flujo.domain.events import Event

__all__ = ["RecordingSink"]

E = TypeVar("E")


class _Placed(Protocol):
    @property
    def path(self) -> str: ...


P = TypeVar("P", bound=_Placed)


class RecordingSink:
    """Keeps every event in `events`, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def handle(self, event: Event, /) -> None:
        """Remember `event`."""
        self.events.append(event)

    def of_type(self, kind: type[E]) -> list[E]:
        """The events that are of class `kind`, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[E]) -> E:
        """The event of class `kind`. Raises `AssertionError` unless there is exactly one."""
        found = self.of_type(kind)
        assert len(found) == 1, f"there are {len(found)} events of class {kind.__name__}, expected one"
        return found[0]

    def paths(self, kind: type[P]) -> list[str]:
        """Where the events of class `kind` have happened, in order."""
        return [event.path for event in self.of_type(kind)]
