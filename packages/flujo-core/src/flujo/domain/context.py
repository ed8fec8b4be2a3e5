"""The context: what the steps of a run share beside the data they hand on."""

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ConversationTurn", "HumanInteraction", "OpenContext", "PipelineContext"]


class HumanInteraction(BaseModel):
    """One question to a person and the answer to it."""

    model_config = ConfigDict(defer_build=True)

    message_to_human: str
    human_response: Any
    timestamp: datetime = Field(default_factory=lambda: datetime.now(UTC))


class ConversationTurn(BaseModel):
    """One turn of a conversation between a person and an agent."""

    model_config = ConfigDict(defer_build=True)

    role: Literal["user", "assistant", "system"]
    content: str


class PipelineContext(BaseModel):
    """What a run's steps share. Subclass it to add typed fields; undeclared fields and other types are refused.

    `initial_prompt` is the run's input as text; `scratchpad` is free for the pipeline's own use;
    `import_artifacts` holds what imported pipelines hand back.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True, defer_build=True)

    #: Fields that the engine sets itself; they are not part of a run's stored base or of any step's changes.
    engine_fields: ClassVar[frozenset[str]] = frozenset({"run_id", "initial_prompt"})

    run_id: str = ""
    initial_prompt: str = ""
    scratchpad: dict[str, Any] = Field(default_factory=dict)
    import_artifacts: dict[str, Any] = Field(default_factory=dict)
    hitl_history: list[HumanInteraction] = Field(default_factory=list)
    conversation_history: list[ConversationTurn] = Field(default_factory=list)


class OpenContext(PipelineContext):
    """The context of a pipeline written in YAML: any further field is allowed, and plain data."""

    model_config = ConfigDict(extra="allow", defer_build=True)
