"""A step that asks an agent: the kind `agent`. Data only."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from flujo.domain.agents import Estimates, Priced
from flujo.domain.callables import UNKNOWN, Call, inspect_call
from flujo.domain.steps import In, Out, Step

__all__ = ["AgentStep"]


@dataclass(frozen=True, eq=False, kw_only=True)
class AgentStep(Step[In, Out]):
    """Asks an agent, counts what the answer has used, and checks it against `output`.

    `run` is the agent: see `AgentObject`. `output` is a pydantic model, another type that pydantic can check, or a
    JSON Schema as a mapping; an answer that does not fit fails the attempt, and the next one is told why. `model` is
    the name in the price table, by default what the agent itself says. `agent` is the agent's name: the calls of one
    name are counted together. `system_prompt` and `settings` are what the agent was made with, and part of the step's
    definition; a run goes on with another prompt. Raises `ConfigurationError` for what can't be asked.
    """

    output: Any = None
    model: str = ""
    agent: str = ""
    system_prompt: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    kind: ClassVar[str] = "agent"
    soft: ClassVar[tuple[str, ...]] = ("system_prompt",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.call is None:
            self._refuse("has no agent to ask", "give it an object with a method 'run', or a function")
        if not self.model and isinstance(self._owner, Priced) and isinstance(self._owner.model, str):
            object.__setattr__(self, "model", self._owner.model)

    @property
    def _owner(self) -> Any:
        """The agent itself, of which `call` holds the method; it was made of a class, maybe."""
        target = self.call.target if self.call is not None else self.run
        return target.__self__ if inspect.ismethod(target) else self.run

    @cached_property
    def estimate(self) -> Call | None:
        """How to ask the agent what a call can use; None for one that doesn't know."""
        return inspect_call(self._owner.estimate) if isinstance(self._owner, Estimates) else None

    @property
    def agent_key(self) -> str:
        """The agent whose calls are counted: its name, else its model's, else that of its code."""
        return self.agent or self.model or (self.call.reference if self.call is not None else self.name)

    @property
    def output_type(self) -> Any:
        """What `output` declares, else what the agent does; `Any` for a JSON Schema."""
        if self.output is None:
            return super().output_type
        return UNKNOWN if isinstance(self.output, Mapping) else self.output
