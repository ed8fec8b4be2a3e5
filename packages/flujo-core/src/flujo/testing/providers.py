"""A state provider that keeps what it is given in memory."""

import copy
from typing import Any, Generic, TypeVar

__all__ = ["InMemoryStateProvider"]

T = TypeVar("T")


class InMemoryStateProvider(Generic[T]):
    """A `StateProvider` over the dict `values`; `calls` holds what was asked of it, such as ("load", "user-7").

    An exception in `broken` is raised by the call that stands before it: `broken["save", "user-7"] = OSError("full")`.
    """

    def __init__(self, values: dict[str, T] | None = None) -> None:
        self.values: dict[str, T] = {} if values is None else values
        self.calls: list[tuple[Any, ...]] = []
        self.broken: dict[tuple[str, str], BaseException] = {}
        self.closed = False

    async def load(self, key: str, /) -> T | None:
        """A copy of the value at `key`, None for no value."""
        self._note("load", key)
        return copy.deepcopy(self.values.get(key))

    async def save(self, key: str, data: T, /) -> None:
        """Keep a copy of `data` at `key`."""
        self._note("save", key)
        self.values[key] = copy.deepcopy(data)

    async def delete(self, key: str, /) -> bool:
        """Keep nothing at `key` any more; whether there was something."""
        self._note("delete", key)
        return self.values.pop(key, None) is not None

    async def exists(self, key: str, /) -> bool:
        """Whether there is a value at `key`."""
        self._note("exists", key)
        return key in self.values

    async def close(self) -> None:
        """Note that it was closed; the values stay."""
        self.closed = True

    def _note(self, method: str, key: str) -> None:
        self.calls.append((method, key))
        if (method, key) in self.broken:
            raise self.broken[method, key]
