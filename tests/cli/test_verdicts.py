"""What approving and rejecting means to a question, by its schema."""

from enum import Enum
from typing import Literal

import pytest
from pydantic import BaseModel

from flujo_cli.verdicts import verdict


class Word(Enum):
    YES = "Approved"
    NO = "Rejected"


class Enumerated(BaseModel):
    decision: Word


class Spelled(BaseModel):
    decision: Literal["approve", "reject"]


class Flag(BaseModel):
    approved: bool
    note: str = ""


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        (None, True, False),
        ({"type": "boolean"}, True, False),
        ({"type": "string"}, "approve", "reject"),
        ({"enum": [1, "approved", "rejected"]}, "approved", "rejected"),
        ({"enum": ["yes", "no"]}, True, False),
        ({"properties": {"decision": {}}}, {"decision": "approve"}, {"decision": "reject"}),
        ({"properties": {"decision": True}}, {"decision": "approve"}, {"decision": "reject"}),
        (Enumerated.model_json_schema(), {"decision": "Approved"}, {"decision": "Rejected"}),
        (Spelled.model_json_schema(), {"decision": "approve"}, {"decision": "reject"}),
        (Flag.model_json_schema(), {"approved": True}, {"approved": False}),
    ],
)
def test_the_words_are_those_of_the_schema(schema, yes, no):
    assert (verdict(True, schema, {}, {}), verdict(False, schema, {}, {})) == (yes, no)
