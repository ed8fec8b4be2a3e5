"""What a step came to before: keys, look-ups, and one execution where many ask for the same."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from flujo.domain.caching import CacheBackend, CacheEntry
from flujo.domain.callables import reference
from flujo.domain.canonical import digest
from flujo.domain.context import PipelineContext
from flujo.domain.interfaces import Clock, Codec
from flujo.engine.changes import Change
from flujo.exceptions import StateCorrupt

if TYPE_CHECKING:  # a run without such steps need not pay for them
    from flujo.domain.cached import CacheStep

__all__ = ["CacheKey", "CacheManager", "Hit", "Miss"]

#: Which iteration or item it was is no part of which step it is.
_INDEX = re.compile(r"\[\d+\]")

_Flight: TypeAlias = tuple[asyncio.AbstractEventLoop, bytes]


class CacheKey(NamedTuple):
    """What a result is kept under: `digest` is that of all `parts`, which are digests themselves; `scope` is whose."""

    digest: bytes
    scope: str
    parts: Mapping[str, str]


class Hit(NamedTuple):
    """A result of before, and what it changed in the context."""

    value: Any
    delta: Change | None


class Miss(NamedTuple):
    """There is no result to use. `changed` names the parts that differ from the step's newest entry.

    It is "ttl" for a result that is too old, "value" for one that can't be read any more; nothing is named when the
    step has no entry.
    """

    changed: tuple[str, ...] = ()


class CacheManager:
    """Finds and keeps the results of cache steps; `owner` is the pipeline, as part of what an entry's scope says.

    Values pass through the codec whatever the backend is, so that nobody can change what is kept.
    """

    def __init__(self, backend: CacheBackend, codec: Codec, clock: Clock, *, owner: str = "") -> None:
        self._backend = backend
        self._codec = codec
        self._clock = clock
        self._owner = owner
        self._flights: dict[_Flight, asyncio.Event] = {}

    def key(
        self, step: "CacheStep[Any, Any]", path: str, data: Any, context: PipelineContext, read: Mapping[str, Any]
    ) -> CacheKey:
        """The key for `step` on `data`; `read` are the other values that its result depends on, by name.

        Raises `ValueNotStorable`, naming the step and the value, for what can't be written down.
        """
        parts = {"definition": step.body_digest, "code": step.code}
        if step.reads_context:  # what is done again to a context fits that class only
            parts["context"] = digest({"class": reference(type(context))}).hex()
        for name, value in {"input": data, **read}.items():
            where = f"{name} of cache {step.name!r}"
            parts[name] = hashlib.blake2b(self._codec.encode(value, where=where), digest_size=16).hexdigest()
        scope = _INDEX.sub("", path)
        return CacheKey(digest(parts), f"{self._owner}: {scope}" if self._owner else scope, parts)

    async def look_up(self, key: CacheKey, ttl_s: float | None = None) -> Hit | Miss:
        """The result kept under `key`, if it is not older than `ttl_s` seconds."""
        entry = await self._backend.get(key.digest)
        if entry is None:
            newest = await self._backend.nearest(key.scope)
            return Miss() if newest is None else Miss(_differing(key.parts, newest))
        if ttl_s is not None and self._clock.now() - entry.created_at >= ttl_s:
            return Miss(("ttl",))
        try:
            delta = None if entry.delta is None else self._codec.decode(entry.delta, where=key.scope)
            return Hit(self._codec.decode(entry.value, where=key.scope), delta)
        except StateCorrupt:  # written when a class was another: the body runs, and its result takes this one's place
            return Miss(("value",))

    async def store(self, key: CacheKey, value: Any, delta: Change | None) -> None:
        """Keep a result. Raises `ValueNotStorable` and `PayloadTooLarge`."""
        encoded = self._codec.encode(value, where=key.scope)
        change = None if delta is None else self._codec.encode(delta, where=f"{key.scope} (context)")
        entry = CacheEntry(key.digest, key.scope, encoded, change, key.parts, self._clock.now())
        await self._backend.put(entry)

    @asynccontextmanager
    async def flight(self, key: CacheKey) -> AsyncIterator[None]:
        """Look up and execute within it: who comes second waits for the first, and finds what that has stored.

        If the first has stored nothing, those who waited go on side by side.
        """
        flight = (asyncio.get_running_loop(), key.digest)
        under_way = self._flights.get(flight)
        if under_way is not None:
            await under_way.wait()
            yield
            return
        ended = self._flights[flight] = asyncio.Event()
        try:
            yield
        finally:
            del self._flights[flight]
            ended.set()


def _differing(mine: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    """The names of parts that are not the same in both, this key's first."""
    return tuple(name for name in {**mine, **other} if mine.get(name) != other.get(name))
