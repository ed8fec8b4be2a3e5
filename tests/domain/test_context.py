"""The context's own rules."""

from datetime import UTC

import pytest
from pydantic import ValidationError

from flujo import OpenContext, PipelineContext
from flujo.domain.context import ConversationTurn, HumanInteraction


class ShopContext(PipelineContext):
    """Typed fields beside the common ones."""

    budget: int = 3


def test_a_context_starts_empty_and_shares_nothing_with_another():
    one, other = PipelineContext(), PipelineContext()
    one.scratchpad["a"] = 1
    assert other == PipelineContext()
    assert one != other


def test_a_declared_field_is_typed_and_an_undeclared_one_refused():
    assert ShopContext(budget="4").budget == 4
    with pytest.raises(ValidationError, match="bugdet"):
        ShopContext(bugdet=4)


def test_an_open_context_takes_any_further_field():
    assert OpenContext(topic="lamps").topic == "lamps"


def test_engine_fields_are_real_fields():
    assert PipelineContext.engine_fields <= set(PipelineContext.model_fields)


def test_an_interaction_knows_when_it_was_in_utc():
    assert HumanInteraction(message_to_human="ok?", human_response={"yes": True}).timestamp.tzinfo is UTC


def test_a_turn_belongs_to_one_of_three_roles():
    assert ConversationTurn(role="user", content="hi").content == "hi"
    with pytest.raises(ValidationError, match="role"):
        ConversationTurn(role="robot", content="hi")


def test_a_context_comes_back_from_json_as_it_was():
    context = ShopContext(
        scratchpad={"a": [1, None]},
        hitl_history=[HumanInteraction(message_to_human="ok?", human_response="yes")],
        conversation_history=[ConversationTurn(role="user", content="hi")],
    )
    assert ShopContext.model_validate_json(context.model_dump_json()) == context
