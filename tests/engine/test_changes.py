"""What steps do to the context, as data: snapshots, changes, and changes applied to another copy."""

from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from flujo.domain.context import OpenContext, PipelineContext
from flujo.engine.changes import apply, assign, change, fields_of, merge_output, restore, sink, snapshot
from flujo.exceptions import ContextFieldError

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, -0.5]) | st.sampled_from("abc")
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("pqr"), inner, max_size=3),
    max_leaves=8,
)
pads = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


class Address(BaseModel):
    city: str = "Bonn"


class Typed(PipelineContext):
    count: int = 0
    when: datetime | None = None
    address: Address = Address()


def exactly(value: Any) -> str:
    """Text that tells True from 1 and 1 from 1.0."""
    return repr(value)


@given(pads, pads)
def test_applying_a_change_to_the_old_context_gives_the_new_one(before, after):
    old, new = (OpenContext(scratchpad=deepcopy(before), **deepcopy(before)) for _ in range(2))
    seen = snapshot(new)
    new.scratchpad = after
    for name in before:
        delattr(new, name)
    for name, value in after.items():
        setattr(new, name, value)

    operations = change(seen, new)
    apply(old, operations or [])

    assert {k: exactly(v) for k, v in fields_of(old).items()} == {k: exactly(v) for k, v in fields_of(new).items()}


@given(pads, pads)
def test_restoring_gives_back_the_context_of_the_snapshot(before, after):
    context = OpenContext(scratchpad=deepcopy(before), **before)
    seen = snapshot(context)
    context.scratchpad.clear()
    context.scratchpad.update(after)
    for name, value in after.items():
        setattr(context, name, value)

    restore(context, seen)

    assert change(seen, context) is None


@given(pads)
def test_a_snapshot_stays_as_it_was_however_deep_the_context_changes_in_place(pad):
    context, text = OpenContext(scratchpad=pad), exactly(pad)
    seen = snapshot(context)
    found = [context.scratchpad]
    for each in found:
        inside = each.values() if type(each) is dict else each
        found += [item for item in inside if type(item) in (dict, list)]

    for each in found:
        each.clear()

    assert exactly(seen["scratchpad"]) == text


@given(st.lists(values, min_size=1, max_size=4), st.lists(values, min_size=1, max_size=3))
def test_of_a_list_that_grows_the_new_items_are_told_alone(began, more):
    context = OpenContext(log=began)
    seen = snapshot(context)

    context.log.extend(more)

    assert exactly(change(seen, context)) == exactly([["add", ["log"], more]])


def test_a_change_grows_with_what_changed_and_not_with_the_context():
    context = OpenContext(log=["x" * 100] * 100, other="y" * 1000)
    seen = snapshot(context)

    context.log.append("z")

    assert change(seen, context) == [["add", ["log"], ["z"]]]


def test_nothing_changed_is_no_change():
    context = Typed()

    assert change(snapshot(context), context) is None


def test_a_change_does_not_share_what_it_holds():
    context = OpenContext()
    seen = snapshot(context)
    context.scratchpad["a"] = inner = [1]

    operations = change(seen, context)
    inner.append(2)

    assert operations == [["set", ["scratchpad", "a"], [1]]]


def test_models_and_tuples_inside_the_context_are_copied_too():
    context = Typed(scratchpad={"t": ([1],)})
    seen = snapshot(context)
    context.address.city = "Ulm"
    context.scratchpad["t"][0].append(2)

    assert seen["address"].city == "Bonn"
    assert seen["scratchpad"] == {"t": ([1],)}


def test_only_the_named_fields_are_looked_at():
    context = OpenContext(a=1, b=1)
    seen = snapshot(context, {"a", "new"})
    context.a, context.b, context.new = 2, 2, 2

    assert change(seen, context, {"a", "new"}) == [["set", ["a"], 2], ["set", ["new"], 2]]
    restore(context, seen, {"a", "new"})
    assert (context.a, context.b, hasattr(context, "new")) == (1, 2, False)


def test_a_sink_makes_the_mappings_on_its_way():
    context = OpenContext()

    sink(context, "found.deep.er", 1)
    sink(context, "scratchpad.a", 2)
    sink(context, "plain", 3)

    assert context.found == {"deep": {"er": 1}}
    assert context.scratchpad == {"a": 2}
    assert context.plain == 3


def test_a_sink_into_a_model_obeys_its_type():
    context = Typed()
    sink(context, "address.city", "Ulm")

    assert context.address.city == "Ulm"
    with pytest.raises(ContextFieldError, match=r"Address has no field 'town'"):
        sink(context, "address.town.x", "Ulm")
    with pytest.raises(ContextFieldError, match=r"'count.x' leads into a int, which has no 'x' to set"):
        sink(context, "count.x", 1)
    with pytest.raises(ContextFieldError, match=r"leads into a int"):
        sink(context, "count.x.y", 1)


def test_a_path_goes_through_the_models_on_its_way():
    context = OpenContext(place={"home": Address()})

    sink(context, "place.home.city", "Ulm")
    seen = snapshot(OpenContext(place={"home": Address()}))
    operations = change(seen, context)

    assert operations == [["set", ["place", "home"], Address(city="Ulm")]]


def test_a_path_goes_on_from_a_models_own_mapping():
    class House(BaseModel):
        rooms: dict[str, int] = {}

    context = OpenContext(house=House())
    sink(context, "house.rooms.hall", 1)

    assert context.house.rooms == {"hall": 1}


def test_a_field_takes_only_what_its_type_takes():
    context = Typed()

    assign(context, "when", "2026-01-02T03:04:05")

    assert context.when == datetime.fromisoformat("2026-01-02T03:04:05")
    with pytest.raises(ContextFieldError, match=r"Typed\.count refuses the value"):
        assign(context, "count", "many")


def test_a_step_can_not_put_another_type_into_a_field():
    context = Typed()

    with pytest.raises(ValueError, match="count"):
        context.count = "many"
    assert context.count == 0


def test_an_unknown_field_is_refused_with_the_nearest_name():
    with pytest.raises(ContextFieldError) as caught:
        assign(Typed(), "cuont", 1)

    assert str(caught.value) == "Typed has no field 'cuont'"
    assert caught.value.suggestion == "did you mean 'count'?"


@pytest.mark.parametrize("name", ["run_id", "initial_prompt", "_private"])
def test_the_engines_own_fields_can_not_be_set(name):
    with pytest.raises(ContextFieldError, match="can't be set"):
        assign(OpenContext(), name, "x")


def test_a_model_output_is_merged_field_by_field():
    context = OpenContext()

    merge_output(context, Address(city="Ulm"), "s")

    assert context.city == "Ulm"


def test_an_output_that_is_no_mapping_can_not_update_the_context():
    with pytest.raises(ContextFieldError, match="step 's' updates the context with 'str', expected a mapping"):
        merge_output(OpenContext(), "text", "s")


def test_changes_inside_a_model_that_came_from_elsewhere_can_be_applied():
    context = Typed()

    apply(context, [["set", ["scratchpad", "a"], {"b": [1]}], ["add", ["scratchpad", "a", "b"], [2]]])
    apply(context, [["del", ["scratchpad", "a", "b"]]])

    assert context.scratchpad == {"a": {}}
