"""Fields that live elsewhere are loaded, compared and saved."""

from typing import Annotated

import pytest
from pydantic import BaseModel

from flujo import PipelineContext
from flujo.domain.state_provider import ContextReference, StateProviderAdapter
from flujo.engine.hydration_manager import HydrationManager
from flujo.exceptions import ConfigurationError, ContextFieldError, StateProviderError
from flujo.testing import InMemoryStateProvider


class Shop(PipelineContext):
    user: str = "ann"
    profile: Annotated["Profile | None", ContextReference("profiles", "user-{user}")] = None
    visits: Annotated[int, ContextReference("numbers", "visits")] = 0
    cart: Annotated[list[str], ContextReference("carts", "{user}")] | None = None


class Late(PipelineContext):
    profile: "Annotated[Profile | None, ContextReference('profils', 'all')]" = None


class Profile(BaseModel):
    name: str
    tags: list[str] = []


@pytest.fixture
def stores():
    return {name: InMemoryStateProvider() for name in ("profiles", "numbers", "carts")}


@pytest.fixture
def manager(stores):
    return HydrationManager(stores)


async def test_what_providers_have_is_loaded_and_the_rest_keeps_its_default(stores, manager):
    stores["profiles"].values["user-ann"] = Profile(name="Ann")
    stores["carts"].values["ann"] = ["pen"]
    context = Shop()
    await manager.hydrate(context)

    assert (context.profile, context.visits, context.cart) == (Profile(name="Ann"), 0, ["pen"])
    assert stores["numbers"].calls == [("load", "visits")]


async def test_a_loaded_value_takes_the_type_of_its_field(stores, manager):
    stores["profiles"].values["user-ann"] = {"name": "Ann"}
    context = Shop()
    await manager.hydrate(context)

    assert context.profile == Profile(name="Ann")


async def test_a_value_of_another_type_is_refused_with_its_place(stores, manager):
    stores["profiles"].values["user-ann"] = {"tags": ["a"]}

    with pytest.raises(ContextFieldError) as caught:
        await manager.hydrate(Shop())

    assert str(caught.value) == (
        "context field 'profile' (state provider 'profiles', key 'user-ann'): "
        "Shop.profile.name refuses the value: field required"
    )


async def test_a_provider_that_fails_to_load_is_told_of(stores, manager):
    stores["carts"].broken["load", "ann"] = OSError("no route")

    with pytest.raises(StateProviderError) as caught:
        await manager.hydrate(Shop())

    assert str(caught.value) == (
        "can't load context field 'cart' (state provider 'carts', key 'ann'): OSError: no route"
    )
    assert isinstance(caught.value.__cause__, OSError)


async def test_only_what_has_changed_is_saved_even_in_place(stores, manager):
    stores["profiles"].values["user-ann"] = Profile(name="Ann")
    context = Shop()
    await manager.hydrate(context)
    held = manager.hold(context)
    context.profile.tags.append("new")
    await manager.persist(context, held)

    assert stores["profiles"].values == {"user-ann": Profile(name="Ann", tags=["new"])}
    assert [store.calls for store in stores.values()] == [
        [("load", "user-ann"), ("save", "user-ann")],
        [("load", "visits")],
        [("load", "ann")],
    ]


async def test_what_is_said_to_have_changed_is_saved_although_it_is_as_it_was(stores, manager):
    context = Shop(visits=3)
    await manager.persist(context, manager.hold(context), {"visits", "user"})

    assert [store.values for store in stores.values()] == [{}, {"visits": 3}, {}]


async def test_the_key_is_the_one_that_the_run_started_with(stores, manager):
    context = Shop()
    held = manager.hold(context)
    context.user, context.cart = "bob", ["ink"]
    await manager.persist(context, held)

    assert stores["carts"].values == {"ann": ["ink"]}


async def test_none_is_not_kept_but_deleted(stores, manager):
    stores["carts"].values["ann"] = ["pen"]
    context = Shop()
    await manager.hydrate(context)
    held = manager.hold(context)
    context.cart = None
    await manager.persist(context, held)

    assert stores["carts"].values == {}


@pytest.mark.parametrize("there", [False, True])
async def test_none_for_a_provider_that_cannot_delete_is_an_error_if_there_is_a_value(stores, there):
    manager = HydrationManager({**stores, "carts": StateProviderAdapter(stores["carts"])})
    context = Shop(cart=["pen"])
    held = manager.hold(context)
    context.cart = None
    if not there:
        await manager.persist(context, held)
        return
    stores["carts"].values["ann"] = ["pen"]
    with pytest.raises(StateProviderError, match=r"'cart' \(.*\): the provider can't delete"):
        await manager.persist(context, held)


async def test_a_field_that_cannot_be_saved_does_not_keep_others_from_it(stores, manager):
    context = Shop()
    held = manager.hold(context)
    context.profile, context.visits, context.cart = Profile(name="Ann"), 1, ["pen"]
    stores["profiles"].broken["save", "user-ann"] = OSError("full")
    stores["carts"].broken["save", "ann"] = TimeoutError()

    with pytest.raises(StateProviderError) as caught:
        await manager.persist(context, held)

    assert str(caught.value) == (
        "can't save context field 'profile' (state provider 'profiles', key 'user-ann'): OSError: full; "
        "can't save context field 'cart' (state provider 'carts', key 'ann'): TimeoutError"
    )
    assert isinstance(caught.value.__cause__, OSError)
    assert stores["numbers"].values == {"visits": 1}


def test_a_model_whose_providers_and_fields_are_there_is_fine(manager):
    manager.check(Shop)
    HydrationManager({}).check(PipelineContext)


def test_a_provider_that_is_not_there_is_refused_with_those_that_are(stores):
    with pytest.raises(ConfigurationError) as caught:
        HydrationManager({"profile": stores["profiles"]}).check(Shop)

    assert str(caught.value) == "Shop.profile refers to state provider 'profiles', which is not there"
    assert caught.value.suggestion == "did you mean 'profile'?"


def test_a_reference_counts_although_its_annotation_names_what_is_defined_later(manager):
    with pytest.raises(ConfigurationError, match=r"Late\.profile refers to state provider 'profils'"):
        manager.check(Late)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("{usr}", "the key of Own.own names 'usr', which is no field of the context"),
        ("{visits}", "the key of Own.own names 'visits', which lives elsewhere itself"),
        ("{own}", "the key of Own.own names 'own', which lives elsewhere itself"),
        ("{user.name}", "key '{user.name}' has 'user.name' in braces"),
    ],
)
def test_a_key_names_other_fields_of_the_context(manager, key, message):
    class Own(Shop):
        own: Annotated[int, ContextReference("numbers", key)] = 0

    with pytest.raises(ContextFieldError) as caught:
        manager.check(Own)

    assert str(caught.value) == message
