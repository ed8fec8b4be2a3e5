"""Contexts that know nothing of their parent's, and how what was changed in them flows back."""

from typing import Any

import pytest
from pydantic import Field, model_validator

from flujo import OpenContext, PipelineContext
from flujo.domain.context import ConversationTurn
from flujo.engine.context_manager import ContextManager
from flujo.exceptions import ContextInheritanceError, ContextMutationError


class Needy(PipelineContext):
    """Can't be made without data."""

    who: str
    since: int


class Picky(PipelineContext):
    """Refuses its own defaults."""

    @model_validator(mode="after")
    def _refuse(self) -> "Picky":
        if not self.scratchpad:
            raise ValueError("nothing is noted")
        return self


class Counting(PipelineContext):
    """Has defaults of its own."""

    counts: dict[str, int] = Field(default_factory=lambda: {"own": 1, "same": 1})
    names: list[str] = Field(default_factory=lambda: ["first"])


def handed_back(parent: PipelineContext, change: Any) -> PipelineContext:
    """The parent after a child with a fresh context has made `change`."""
    manager = ContextManager(strict=True)
    isolation = manager.renew(parent, purpose="'import:i'")
    change(isolation.context)
    manager.hand_back(isolation)
    return parent


def test_a_fresh_context_has_its_defaults_and_the_run_s_id():
    parent = OpenContext(run_id="r", initial_prompt="p", scratchpad={"n": 1}, extra=2)
    fresh = ContextManager().renew(parent, purpose="'import:i'").context
    assert type(fresh) is OpenContext
    assert fresh == OpenContext(run_id="r")


@pytest.mark.parametrize(
    ("parent", "message"),
    [
        (
            Needy(who="me", since=1),
            "'import:i' can't begin with a fresh Needy: 'who': field required; 'since': field required",
        ),
        (
            Picky(scratchpad={"n": 1}),
            "'import:i' can't begin with a fresh Picky: 'it': value error, nothing is noted",
        ),
    ],
)
def test_a_context_that_needs_data_cannot_be_fresh(parent, message):
    with pytest.raises(ContextInheritanceError) as caught:
        ContextManager().renew(parent, purpose="'import:i'")
    assert str(caught.value) == message
    assert caught.value.suggestion.endswith("inherit_context")


def test_what_the_child_did_not_change_stays_as_it_is():
    parent = handed_back(Counting(counts={"theirs": 3}, names=["p"], scratchpad={"a": 1}), lambda context: None)
    assert parent == Counting(counts={"theirs": 3}, names=["p"], scratchpad={"a": 1})


def test_a_mapping_s_keys_are_put_into_the_parent_s():
    def change(context: Counting) -> None:
        context.scratchpad["b"] = {"deep": True}
        context.counts["own"] = 2

    parent = handed_back(Counting(counts={"same": 5}, scratchpad={"a": 1, "b": 0}), change)
    assert parent.scratchpad == {"a": 1, "b": {"deep": True}}
    assert parent.counts == {"same": 5, "own": 2}


def test_what_is_no_mapping_takes_the_place_of_the_parent_s():
    def change(context: Any) -> None:
        context.names = ["c"]
        context.other = {"k": 2}
        context.fresh = 1

    parent = handed_back(OpenContext(names=["p"], other={"k": 1, "l": 1}), change)
    assert (parent.names, parent.other, parent.fresh) == (["c"], {"k": 2, "l": 1}, 1)


def test_histories_come_after_the_parent_s():
    def say(context: Any) -> None:
        context.conversation_history.append(ConversationTurn(role="user", content="child"))

    parent = OpenContext(conversation_history=[ConversationTurn(role="user", content="parent")])
    assert [turn.content for turn in handed_back(parent, say).conversation_history] == ["parent", "child"]


def test_what_flows_back_is_shared_with_nobody():
    held: dict[str, list[int]] = {"n": [1]}
    parent = handed_back(OpenContext(), lambda context: context.scratchpad.update(held))
    held["n"].append(2)
    assert parent.scratchpad == {"n": [1]}


def test_a_change_of_the_parent_through_the_child_is_refused_in_strict_mode():
    parent = OpenContext(scratchpad={"n": [1]})
    with pytest.raises(ContextMutationError, match=r"'import:i' changed 'scratchpad\.n' in its parent's context"):
        handed_back(parent, lambda context: parent.scratchpad["n"].append(2))
