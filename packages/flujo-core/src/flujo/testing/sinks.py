"""An event sink that remembers."""

from typing import TypeVar

from flujo.domain.events import Event

__all__ = ["RecordingSink"]

E = TypeVar("E")


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
