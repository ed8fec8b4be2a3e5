"""Contexts of their own, and how what was changed in them flows back."""

from copy import deepcopy
from threading import Lock
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, PrivateAttr

from flujo import OpenContext, PipelineContext
from flujo.domain.context import ConversationTurn
from flujo.engine.changes import fields_of
from flujo.engine.context_manager import ContextManager, Isolation
from flujo.exceptions import ContextIsolationError, ContextMergeError, ContextMutationError


class Typed(PipelineContext):
    """Has a field without a default, one with, and something private."""

    who: str
    notes: list[str] = Field(default_factory=lambda: ["none"])
    _secret: str = PrivateAttr("")


def isolate_all(parent: PipelineContext, *names: str, **options: Any) -> dict[str, Isolation]:
    manager = ContextManager(**options)
    return {name: manager.isolate(parent, purpose=f"branch {name!r} of 'fan'") for name in names}


def merged(strategy: Any, parent: dict[str, Any], *changes: Any, **options: Any) -> dict[str, Any]:
    """What `parent` becomes when each of `changes` (functions of a context) is a branch a, b, c, ..."""
    context = OpenContext(**deepcopy(parent))
    branches = isolate_all(context, *"abcdef"[: len(changes)])
    for branch, do in zip(branches.values(), changes, strict=True):
        do(branch.context)
    ContextManager(strict=False).merge(context, branches, strategy, **options)
    return {name: getattr(context, name, None) for name in parent} | (context.model_extra or {})


def put(**fields: Any) -> Any:
    return lambda context: [setattr(context, name, value) for name, value in fields.items()]


def at(*path: str, value: Any) -> Any:
    """Set a key deep in a mapping of the context."""

    def do(context: Any) -> None:
        holder = getattr(context, path[0])
        for key in path[1:-1]:
            holder = holder[key]
        holder[path[-1]] = value

    return do


def drop(*path: str) -> Any:
    return lambda context: getattr(context, path[0]).pop(path[1])


def test_a_child_changes_nothing_in_its_parent_however_deep():
    parent = OpenContext(run_id="r", initial_prompt="p", items=[{"tags": ["a"]}])
    child = ContextManager().isolate(parent, purpose="x").context

    child.items[0]["tags"].append("b")
    child.scratchpad["new"] = 1
    child.extra = 1

    assert (parent.items, parent.scratchpad, hasattr(parent, "extra")) == ([{"tags": ["a"]}], {}, False)
    assert (child.run_id, child.initial_prompt) == ("r", "p")


def test_what_cannot_change_is_shared():
    text = "long" * 1000
    parent = OpenContext(text=text)

    assert ContextManager().isolate(parent, purpose="x").context.text is text


def test_a_typed_child_is_of_its_parent_s_class_with_its_private_parts():
    parent = Typed(who="me")
    parent._secret = "s"

    child = ContextManager().isolate(parent, purpose="x").context

    assert (type(child), child.who, child._secret) == (Typed, "me", "s")


def test_what_a_child_changed_is_adopted_and_the_rest_left_alone():
    manager, parent = ContextManager(), OpenContext(a=1, gone=2, log=["x"])
    isolation = manager.isolate(parent, purpose="x")
    isolation.context.a = 2
    isolation.context.log.append("y")
    del isolation.context.gone

    manager.adopt(isolation)

    assert parent.model_extra == {"a": 2, "log": ["x", "y"]}
    isolation.context.log.append("z")
    assert parent.log == ["x", "y"]


def test_include_keys_narrow_what_flows_in_and_out_and_leave_the_rest_as_it_is():
    manager, parent = ContextManager(strict=True), OpenContext(a=[1], b=[2], scratchpad={"kept": 1})
    isolation = manager.isolate(parent, purpose="x", include_keys=["a"])

    assert (isolation.context.a, hasattr(isolation.context, "b"), isolation.context.scratchpad) == ([1], False, {})
    isolation.context.a.append(3)
    isolation.context.scratchpad["more"] = 2
    isolation.context.new = 2
    manager.adopt(isolation)
    assert (parent.a, parent.b, parent.scratchpad, hasattr(parent, "new")) == ([1, 3], [2], {"kept": 1}, False)


@pytest.mark.parametrize("strategy", ["context_update", "overwrite", "keep_first", "error_on_conflict"])
def test_what_is_not_included_flows_back_by_no_strategy(strategy):
    parent = OpenContext(a=1, b=1)
    branches = {
        name: ContextManager().isolate(parent, purpose=name, include_keys=["a", "later"]) for name in ("one", "two")
    }
    branches["one"].context.a = 2
    branches["one"].context.b = 2
    branches["two"].context.later = 3

    ContextManager().merge(parent, branches, strategy)

    assert parent.model_extra == {"a": 2, "b": 1, "later": 3}


def test_a_context_that_cannot_be_copied_is_named_with_its_field_and_its_user():
    with pytest.raises(ContextIsolationError, match=r"^branch 'a' of 'fan' can't have .*: context field 'lock' can't"):
        isolate_all(OpenContext(lock=Lock()), "a")


def test_overwriting_takes_only_what_the_mapping_lets_flow_back():
    result = merged(
        "overwrite",
        {"pad": {"d": {"old": 0}}},
        at("pad", "d", value=5),
        lambda context: context.pad["d"].update(y=2, z=3),
        field_mapping={"b": ["pad.d.y"]},
    )

    assert result == {"pad": {"d": {"old": 0, "y": 2}}}


def test_all_that_may_have_changed_the_parent_are_named():
    manager, parent = ContextManager(strict=True), OpenContext()
    branches = [manager.isolate(parent, purpose=name) for name in ("a", "b", "c")]
    parent.scratchpad["x"] = 1

    with pytest.raises(ContextMutationError, match=r"^a or c changed 'scratchpad\.x' in"):
        manager.verify(branches[0], [branches[2]])


class Odd:
    """Says nothing of equality."""


@pytest.mark.parametrize("value", [float("nan"), Odd(), [Odd()]])
@pytest.mark.parametrize("strict", [False, True])
def test_values_that_are_not_equal_to_themselves_have_not_changed(value, strict):
    manager, parent = ContextManager(strict=strict), OpenContext(value=value)
    branches = {name: manager.isolate(parent, purpose=name) for name in ("a", "b")}
    branches["a"].context.x = 1
    branches["b"].context.y = 2

    manager.merge(parent, branches, "error_on_conflict")

    assert (parent.value, parent.x, parent.y) == (value, 1, 2) or parent.value is value


def handed_back(parent: dict[str, Any], given: dict[str, Any], do: Any) -> dict[str, Any]:
    """What `parent` becomes when a fresh child is `given` something and does something."""
    manager, context = ContextManager(strict=False), OpenContext(**deepcopy(parent))
    own = manager.renew(context, purpose="child")
    for name, value in given.items():
        setattr(own.context, name, deepcopy(value))
    do(own.context)
    before = OpenContext(**deepcopy(given))
    manager.hand_back(own._replace(before=fields_of(before)))
    return context.model_extra or {}


@pytest.mark.parametrize(
    ("parent", "given", "do", "after"),
    [
        ({"e": {"a": {"b": 1}}}, {}, put(e={"a": {"c": 2}}), {"e": {"a": {"b": 1, "c": 2}}}),
        ({"e": {"a": 1}}, {"e": {"in": 0}}, at("e", "b", value=2), {"e": {"a": 1, "b": 2}}),
        ({}, {"e": {"in": 0}}, at("e", "b", value=2), {"e": {"b": 2}}),
        ({"e": 1}, {"e": 0}, put(f=2), {"e": 1, "f": 2}),
        ({"e": {"a": 1}}, {"e": {"a": 1}}, drop("e", "a"), {"e": {}}),
        ({"e": {"a": 5}}, {"e": {"a": 1}}, drop("e", "a"), {"e": {"a": 5}}),
        ({"e": 1}, {"e": 1}, lambda context: delattr(context, "e"), {}),
        ({"e": [1]}, {}, put(e={"a": 1}), {"e": {"a": 1}}),
    ],
)
def test_a_fresh_child_hands_back_what_it_changed_and_not_what_it_was_given(parent, given, do, after):
    assert handed_back(parent, given, do) == after


def test_a_typed_child_has_the_defaults_of_what_is_left_out():
    isolation = ContextManager().isolate(Typed(who="me", notes=["n"]), purpose="x", include_keys=["who"])

    assert (isolation.context.who, isolation.context.notes) == ("me", ["none"])


@pytest.mark.parametrize(
    ("keys", "message", "advice"),
    [
        (["notes"], "branch 'b' leaves out context field 'who', which has no default", "add 'who'"),
        (["who", "note"], "branch 'b' includes 'note', which is no field of the context", "did you mean 'notes'?"),
    ],
)
def test_include_keys_that_cannot_be_are_refused(keys, message, advice):
    with pytest.raises(ContextIsolationError) as caught:
        ContextManager().isolate(Typed(who="me"), purpose="branch 'b'", include_keys=keys)

    assert str(caught.value) == message
    assert advice in caught.value.suggestion


@pytest.mark.parametrize(
    ("mutate", "place"),
    [
        (lambda c: c.items[0]["tags"].append("b"), "items"),
        (lambda c: c.scratchpad.setdefault("deep", {}).update(x=1), "scratchpad.deep"),
        (put(flag=1), "flag"),
        (put(fresh=1), "fresh"),
        (lambda c: delattr(c, "flag"), "flag"),
    ],
)
@pytest.mark.parametrize("keys", [(), ("items",)])
def test_strict_mode_finds_any_change_of_the_parent(mutate, place, keys):
    manager = ContextManager(strict=True)
    parent = OpenContext(items=[{"tags": ["a"]}], flag=True)
    isolation = manager.isolate(parent, purpose="branch 'legal' of 'parallel:fan'", include_keys=keys)
    mutate(parent)

    with pytest.raises(ContextMutationError) as caught:
        manager.merge(parent, {"legal": isolation}, "context_update")
    assert str(caught.value) == f"branch 'legal' of 'parallel:fan' changed {place!r} in its parent's context"


def test_strict_mode_is_asked_for_or_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("FLUJO_STRICT_CONTEXT", raising=False)
    assert not ContextManager().strict
    monkeypatch.setenv("FLUJO_STRICT_CONTEXT", "1")
    assert ContextManager().strict
    assert not ContextManager(strict=False).strict


def test_without_strict_mode_nobody_looks_at_the_parent():
    manager, parent = ContextManager(strict=False), OpenContext(a=1)
    isolation = manager.isolate(parent, purpose="x")
    parent.a = 2

    manager.verify(isolation)


def test_what_different_branches_changed_flows_back():
    both = merged("context_update", {"scratchpad": {"x": {}}, "n": 1}, at("scratchpad", "x", "a", value=1), put(n=2))
    assert both == {"scratchpad": {"x": {"a": 1}}, "n": 2}


def test_branches_that_made_the_same_change_agree():
    assert merged("context_update", {"n": 1, "log": ["a"]}, *[lambda c: (put(n=2)(c), c.log.append("b"))] * 2) == {
        "n": 2,
        "log": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("first", "second", "place"),
    [
        (put(n=2), put(n=3), "n"),
        (put(n=1), put(n=True), "n"),
        (at("d", "k", value=2), put(d=[1]), "d"),
        (put(d=[1]), at("d", "k", value=2), "d.k"),
        (drop("d", "k"), at("d", "k", value=2), "d.k"),
    ],
)
@pytest.mark.parametrize("strategy", ["context_update", "error_on_conflict"])
def test_a_conflict_names_both_branches_and_the_field_and_changes_nothing(strategy, first, second, place):
    context = OpenContext(n=0, d={"k": 1})
    branches = isolate_all(context, "legal", "cost")
    first(branches["legal"].context)
    second(branches["cost"].context)

    with pytest.raises(ContextMergeError) as caught:
        ContextManager().merge(context, branches, strategy)
    assert str(caught.value) == f"branch 'legal' and branch 'cost' both changed {place!r} in the context"
    assert context.model_extra == {"n": 0, "d": {"k": 1}}


def test_error_on_conflict_does_not_even_let_branches_agree():
    with pytest.raises(ContextMergeError):
        merged("error_on_conflict", {"n": 1}, put(n=2), put(n=2))


MEETINGS = [
    # what they start with, what branch a and branch b do, what is left when the later wins, when the earlier does
    ({"n": 1}, put(n=2), put(n=3), {"n": 3}, {"n": 2}),
    ({"d": {"k": 1, "m": 2}}, put(d=[1]), drop("d", "k"), {"d": {"m": 2}}, {"d": [1]}),
    ({"d": {"k": 1, "m": 2}}, drop("d", "k"), drop("d", "k"), {"d": {"m": 2}}, {"d": {"m": 2}}),
    ({"d": {"k": {"x": 1}}}, at("d", "k", "x", value=2), drop("d", "k"), {"d": {}}, {"d": {"k": {"x": 2}}}),
    ({"d": {"k": 1}}, drop("d", "k"), at("d", "k", value=2), {"d": {"k": 2}}, {"d": {}}),
    (
        {"d": {"l": [1], "k": 1}},
        put(d=0),
        lambda c: (c.d.update(k=2), c.d["l"].append(2)),
        {"d": {"l": [1, 2], "k": 2}},
        {"d": 0},
    ),
    ({"d": {"l": [1]}}, at("d", "l", value=[0]), put(d=7), {"d": 7}, {"d": {"l": [0]}}),
]


@pytest.mark.parametrize(("parent", "first", "second", "later", "earlier"), MEETINGS)
def test_where_branches_meet_one_of_them_wins(parent, first, second, later, earlier):
    assert merged("overwrite", parent, first, second) == later
    assert merged("keep_first", parent, first, second) == earlier


def test_a_third_branch_meets_what_the_second_left():
    changes = (at("d", "a", value=1), at("d", "b", value=1), put(d=3))
    assert merged("overwrite", {"d": {}}, *changes) == {"d": 3}


def test_nothing_flows_back_without_merging():
    assert merged("no_merge", {"n": 1}, put(n=2)) == {"n": 1}


def test_a_callable_merges_as_it_likes():
    def total(parent: Any, branches: dict[str, Any]) -> None:
        parent.n = [name for name, context in branches.items() for _ in range(context.n)]

    assert merged(total, {"n": 1}, put(n=2), put(n=1)) == {"n": ["a", "a", "b"]}


def test_field_mapping_narrows_what_flows_back_from_a_branch():
    changes = lambda c: (at("scratchpad", "x", value=1)(c), at("scratchpad", "xy", value=1)(c), put(n=2)(c))  # noqa: E731
    kept = merged("context_update", {"scratchpad": {}, "n": 1}, changes, field_mapping={"a": ["scratchpad.x"]})
    assert kept == {"scratchpad": {"x": 1}, "n": 1}
    assert merged("context_update", {"n": 1}, put(n=2), field_mapping={"a": []}) == {"n": 1}


KEYS = st.sampled_from("abc")
TREES = st.recursive(st.integers(0, 3), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6)


@given(st.dictionaries(KEYS, TREES), st.lists(st.dictionaries(KEYS, TREES), min_size=1, max_size=4))
def test_merging_any_branches_never_fails_and_a_lone_branch_wins(start, branches):
    parents = {strategy: OpenContext(scratchpad=start) for strategy in ("overwrite", "keep_first", "context_update")}
    for strategy, parent in parents.items():
        own = isolate_all(parent, *"abcd"[: len(branches)], strict=True)
        for each, held in zip(own.values(), branches, strict=False):
            each.context.scratchpad = held
        try:
            ContextManager().merge(parent, own, strategy)
        except ContextMergeError:
            assert strategy == "context_update"
            assert parent.scratchpad == start
        if len(branches) == 1 or strategy != "keep_first":
            assert parent.scratchpad in (start, *branches) or len(branches) > 1
        if len(branches) == 1:
            assert parent.scratchpad == branches[0]


@pytest.mark.parametrize("strategy", ["context_update", "error_on_conflict", "overwrite", "keep_first"])
@pytest.mark.parametrize("known", [[], ["before"]])
def test_what_branches_add_to_the_histories_follows_in_their_order(strategy, known):
    turns = [ConversationTurn(role="user", content=text) for text in known]

    def says(text: str) -> Any:
        return lambda context: context.conversation_history.append(ConversationTurn(role="user", content=text))

    after = merged(strategy, {"conversation_history": turns}, says("a"), put(), says("c"))

    assert [turn.content for turn in after["conversation_history"]] == [*known, "a", "c"]
