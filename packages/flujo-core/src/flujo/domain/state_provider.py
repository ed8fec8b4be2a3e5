"""Fields of the context that live elsewhere: how they say so, and providers that can only load and save."""

from collections.abc import Iterator
from string import Formatter
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from flujo.exceptions import ContextFieldError

__all__ = ["ContextReference", "LegacyStateProvider", "StateProviderAdapter"]

T = TypeVar("T")

_ADVICE = "a key is text with other fields' names in braces, such as 'user-{user_id}'; a brace itself is written twice"


class ContextReference(NamedTuple):
    """Says of a field of the context that its value lives with the state provider `provider`.

    `key` is where it stands there: text with the names of other fields in braces. Written into the annotation, with a
    default for what the provider doesn't have:

        profile: Annotated[Profile | None, ContextReference("profiles", "user-{initial_prompt}")] = None
    """

    provider: str
    key: str

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that the key names. Raises `ContextFieldError` for a key that is not written so."""
        return tuple(name for _, name in self._parts() if name is not None)

    def key_for(self, context: Any) -> str:
        """The key with the values of `context` in it.

        Raises `ContextFieldError` for a value that is neither text nor a whole number, and for empty text: many
        contexts would share what is kept there.
        """
        return "".join(text + ("" if name is None else self._shown(context, name)) for text, name in self._parts())

    def _parts(self) -> Iterator[tuple[str, str | None]]:
        """Text, and the field that stands after it."""
        try:
            for text, name, form, conversion in Formatter().parse(self.key):
                if name is not None and (not name.isidentifier() or form or conversion):
                    raise ContextFieldError(f"key {self.key!r} has {name!r} in braces", suggestion=_ADVICE)
                yield text, name
        except ValueError as error:
            raise ContextFieldError(f"key {self.key!r} is not one: {error}", suggestion=_ADVICE, cause=error) from error

    def _shown(self, context: Any, name: str) -> str:
        value = getattr(context, name)
        if value == "" or isinstance(value, bool) or not isinstance(value, str | int):
            raise ContextFieldError(
                f"key {self.key!r} needs a value of {name!r}, which is {value!r}",
                suggestion="give the field text or a whole number when the run starts: initial_context_data={...}",
            )
        return str(value)


class LegacyStateProvider(Protocol[T]):
    """A state provider of the older form, which can load and save and nothing else."""

    async def load(self, key: str, /) -> T | None:
        """The value at `key`, None for no value."""
        ...

    async def save(self, key: str, data: T, /) -> None:
        """Keep `data` at `key`."""
        ...


@runtime_checkable
class _Closable(Protocol):
    async def close(self) -> None: ...


class StateProviderAdapter(Generic[T]):
    """Makes a `StateProvider` of one that can only load and save; it is closed if it can be."""

    def __init__(self, legacy: LegacyStateProvider[T]) -> None:
        self._legacy = legacy

    async def load(self, key: str, /) -> T | None:
        """The value at `key`, None for no value."""
        return await self._legacy.load(key)

    async def save(self, key: str, data: T, /) -> None:
        """Keep `data` at `key`."""
        await self._legacy.save(key, data)

    async def delete(self, key: str, /) -> bool:
        """False: nothing can be deleted there."""
        return False

    async def exists(self, key: str, /) -> bool:
        """Whether there is a value at `key`: it is loaded to know."""
        return await self.load(key) is not None

    async def close(self) -> None:
        """Close the provider if it has such a method."""
        if isinstance(self._legacy, _Closable):
            await self._legacy.close()
