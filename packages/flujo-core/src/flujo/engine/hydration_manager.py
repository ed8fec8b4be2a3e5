"""Context fields that live elsewhere: loaded when a run starts, saved whenever it ends or pauses."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, ForwardRef, NamedTuple, get_args, get_origin

from flujo.domain.context import PipelineContext
from flujo.domain.interfaces import StateProvider
from flujo.domain.state_provider import ContextReference
from flujo.domain.suggest import did_you_mean
from flujo.engine.changes import Snapshot, assign, restore, same
from flujo.exceptions import ConfigurationError, ContextFieldError, FlujoError, StateProviderError

__all__ = ["Held", "HydrationManager", "Place"]


class Place(NamedTuple):
    """A field of the context, and where its value lives."""

    field: str
    provider: str
    key: str

    def __str__(self) -> str:
        return f"context field {self.field!r} (state provider {self.provider!r}, key {self.key!r})"

    def of(self, plugin: str) -> str:
        """The same, with the plugin that brings the provider; empty for one that was given in code."""
        return f"{self}, of plugin {plugin}" if plugin else str(self)


class Held(NamedTuple):
    """What a run has from state providers: each field's place, and its value when the run started."""

    places: tuple[Place, ...]
    values: Snapshot


_NOTHING = Held((), {})


class HydrationManager:
    """Loads the fields that refer to `providers`, by name, and saves those that a run has changed.

    `blame` tells of a name that is not there which plugins may be why, `plugin_of` of one that is there which plugin
    brings it; empty for none. Holds nothing of any one run.
    """

    def __init__(
        self,
        providers: Mapping[str, StateProvider[Any]],
        blame: Callable[[str], str] = lambda name: "",
        plugin_of: Callable[[str], str] = lambda name: "",
    ) -> None:
        self._providers = providers
        self._blame = blame
        self._plugin_of = plugin_of

    def check(self, model: type[PipelineContext]) -> None:
        """Raise `ConfigurationError` for a provider that is not there, `ContextFieldError` for a key that can't be."""
        references = _references(model)
        for field, reference in references.items():
            if reference.provider not in self._providers:
                known = did_you_mean(reference.provider, self._providers, what="state providers are")
                raise ConfigurationError(
                    f"{model.__name__}.{field} refers to state provider {reference.provider!r}, which is not there",
                    suggestion="; ".join(filter(None, [self._blame(reference.provider), known])),
                )
            for name in reference.names:
                if name not in model.model_fields or name in references:
                    what = "lives elsewhere itself" if name in references else "is no field of the context"
                    raise ContextFieldError(
                        f"the key of {model.__name__}.{field} names {name!r}, which {what}",
                        suggestion=did_you_mean(name, model.model_fields.keys() - references.keys()),
                    )

    async def hydrate(self, context: PipelineContext) -> None:
        """Load every field that lives elsewhere; what a provider does not have keeps its value.

        Raises `StateProviderError` when one can't be loaded, `ContextFieldError` for a value of another type.
        """
        places = _places(context)
        loaded = await _all(places, lambda place: self._providers[place.provider].load(place.key))
        for place, value in zip(places, loaded, strict=True):
            if isinstance(value, BaseException):
                raise StateProviderError(f"can't load {self._whose(place)}: {_told(value)}", cause=value)
            if value is not None:
                _put(context, place, value)

    def hold(self, context: PipelineContext) -> Held:
        """Note where the fields of a run that starts with `context` live, and their values; it gets copies of them."""
        places = _places(context)
        if not places:
            return _NOTHING
        values = {place.field: getattr(context, place.field) for place in places}
        restore(context, values, values)
        return Held(places, values)

    async def persist(self, context: PipelineContext, held: Held, changed: Collection[str] = ()) -> None:
        """Save the fields whose value is no longer the one that is `held`, and those called `changed`.

        None is not kept: the key is deleted. Every field is tried; then `StateProviderError` is raised, which names
        all that could not be saved.
        """

        async def save(place: Place) -> None:
            value = getattr(context, place.field)
            if place.field in changed or not same(held.values[place.field], value):
                await self._save(place, value)

        done = zip(held.places, await _all(held.places, save), strict=True)
        errors = [(place, error) for place, error in done if isinstance(error, BaseException)]
        if errors:
            told = "; ".join(f"can't save {self._whose(place)}: {_told(error)}" for place, error in errors)
            raise StateProviderError(told, cause=errors[0][1])

    def _whose(self, place: Place) -> str:
        return place.of(self._plugin_of(place.provider))

    async def _save(self, place: Place, value: Any) -> None:
        provider = self._providers[place.provider]
        if value is not None:
            await provider.save(place.key, value)
        elif not await provider.delete(place.key) and await provider.exists(place.key):
            raise StateProviderError("the provider can't delete")


async def _all(places: Collection[Place], call: Callable[[Place], Awaitable[Any]]) -> list[Any]:
    """What `call` gives or raises for each place, all at the same time."""

    async def one(place: Place) -> Any:
        return await call(place)

    return await asyncio.gather(*map(one, places), return_exceptions=True) if places else []


def _put(context: PipelineContext, place: Place, value: Any) -> None:
    try:
        assign(context, place.field, value)
    except ContextFieldError as error:
        raise ContextFieldError(f"{place}: {error}", suggestion=error.suggestion, cause=error) from error


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, FlujoError) else f"{type(error).__name__}: {error}".rstrip(": ")


def _places(context: PipelineContext) -> tuple[Place, ...]:
    found = _references(type(context)).items()
    return tuple(Place(field, reference.provider, reference.key_for(context)) for field, reference in found)


@lru_cache(maxsize=512)
def _references(model: type[PipelineContext]) -> dict[str, ContextReference]:
    """The fields that live elsewhere. Annotations that name what was defined later are looked up first."""
    if any(isinstance(field.annotation, ForwardRef) for field in model.model_fields.values()):
        model.model_rebuild()
    return {
        name: what
        for name, field in model.model_fields.items()
        for what in (*field.metadata, *_inside(field.annotation))
        if isinstance(what, ContextReference)
    }


def _inside(annotation: Any) -> Iterator[Any]:
    """The metadata of a union's members, as in `Annotated[Profile, ...] | None`."""
    for member in get_args(annotation):
        yield from member.__metadata__ if get_origin(member) is Annotated else ()
