"""The port of cached results, and the entries that cross it."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

__all__ = ["CacheBackend", "CacheEntry", "CachingBackend"]


class CacheEntry(NamedTuple):
    """A cached result: `value` and `delta`, what the step changed in the context (None for nothing), as encoded.

    `scope` names the step that made it and `parts` the digests that went into its `key`, in hexadecimal, by name: how
    they differ from another entry's says why this one doesn't serve. `created_at` is in seconds since the epoch.
    """

    key: bytes
    scope: str
    value: bytes
    delta: bytes | None
    parts: Mapping[str, str]
    created_at: float


class CacheBackend(Protocol):
    """Keeps cached results as bytes, and may forget any of them at any time. Methods may raise a `StateError`."""

    async def get(self, key: bytes, /) -> CacheEntry | None:
        """The entry with this key, which is then the one used last."""
        ...

    async def put(self, entry: CacheEntry, /) -> None:
        """Keep `entry`, in place of an earlier one with its key. Raises `PayloadTooLarge`."""
        ...

    async def nearest(self, scope: str, /) -> Mapping[str, str] | None:
        """The parts of the newest entry of `scope`, None if there is none."""
        ...


@runtime_checkable
class CachingBackend(Protocol):
    """What a `StateBackend` can be beside: the home of cached results, which are closed with it.

    For a backend that is not, a runner keeps cached results in memory, for as long as it lives itself.
    """

    @property
    def cache(self) -> CacheBackend:
        """Where the results are."""
        ...
