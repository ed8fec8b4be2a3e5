"""The port of states that know which process wrote what."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

__all__ = ["LivesBackend"]


@runtime_checkable
class LivesBackend(Protocol):
    """What a `StateBackend` can be beside: one that knows under which claim each record was written."""

    async def lives(self, run_id: str, /) -> Mapping[str, int]:
        """The epoch of each record of the run, by the record's path in the order of writing. Raises `RunNotFound`."""
        ...
