"""What a kind of step made in Python takes beside its own, as type checkers see it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from flujo.domain.config import StepConfig
from flujo.domain.steps import Effects, Step

__all__ = ["AgentOptions", "BranchesOptions", "LoopOptions", "PlainFields", "StepFields"]


class PlainFields(TypedDict, total=False):
    """Fields of every step that change nothing of what it takes and gives."""

    sink_to: str | None
    updates_context: bool
    static_invariants: Sequence[str]
    validators: Sequence[Callable[..., Any]]
    effects: Effects
    version: str
    meta: Mapping[str, Any]


class StepFields(PlainFields, total=False):
    """The fields of every step made of others, which are given by name."""

    config: StepConfig
    input: Any
    fallback: Step[Any, Any] | None


class AgentOptions(StepFields, total=False):
    """What else `agent` takes."""

    agent: str
    system_prompt: str
    settings: Mapping[str, Any]
    params: Mapping[str, Any]
    blocking: bool


class LoopOptions(StepFields, total=False):
    """What else `loop` takes."""

    initial_input_mapper: Callable[[Any, Any], Any] | None
    iteration_input_mapper: Callable[[Any, Any, int], Any] | None
    loop_output_mapper: Callable[[Any, Any], Any] | None
    propagation: str | None


class BranchesOptions(StepFields, total=False):
    """What else `parallel` and `route` take."""

    field_mapping: Mapping[str, Sequence[str]]
    include_keys: Sequence[str]
    budget: Literal["shared", "split"]
