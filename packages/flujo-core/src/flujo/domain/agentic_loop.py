"""A planner that picks what is done next, until it is done: the kind `agentic_loop`. Data only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from flujo.domain.composite import WENT_ON, CompositeStep
from flujo.domain.human import HumanInTheLoopStep
from flujo.domain.steps import In, Out, Step

__all__ = ["ASK", "AgenticLoopStep"]

#: What asks a person. The question is the step's data: what a planner says is never taken for a template.
ASK: Step[Any, Any] = HumanInTheLoopStep("ask", message="{{ previous_step }}")

#: The planner's own places and that of a question, in the path of a turn.
_PLACES = ("planner", "ask")


@dataclass(frozen=True, eq=False, kw_only=True)
class AgenticLoopStep(CompositeStep[In, Out]):
    """Asks `planner` (a step) again and again what to do, and does it, until it says that it is done.

    Every turn the planner gets {"goal": the step's data, "history": [{"turn", "command", "result"}, ...], "agents":
    [name, ...]} and answers with one command, as a mapping, a model or JSON text:

    - {"action": "run_agent", "agent": name, "input": ...}: the steps of that one of `agents` run on the input;
    - {"action": "ask_human", "question": text}: the run pauses; the answer is the turn's result;
    - {"action": "finish", "output": ...}: the step is done, with this output.

    The result of an agent that fails is {"error": text}, and so is that of a command that is none; a second such
    command in the next turn fails the step, and so do `max_turns` turns without an end.
    """

    planner: Any = None
    agents: Mapping[str, Any] = field(default_factory=dict)
    max_turns: int = 10

    kind: ClassVar[str] = "agentic_loop"
    prefix: ClassVar[str] = "agentic_loop"

    def places(self) -> Iterable[tuple[str, Step[Any, Any]]]:
        """The planner, a question and each agent stand under the number of each turn."""
        agents = ((f"[]/{name}", body) for name, body in self.agents.items())
        return (("[]/planner", self.planner), ("[]/ask", ASK), *agents, ("[]/on:failure", WENT_ON["failure"]))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.planner, Step):
            self._wrong("has no planner", "give it the step that picks what is done next")
        self._set("agents", self._branches(self.agents, what="an agent", plural="agents"))
        for name in _PLACES:
            if name in self.agents:
                self._wrong(f"has an agent {name!r}", "that place is taken in paths: give the agent another name")
        if self.max_turns < 1:
            self._wrong(f"has max_turns {self.max_turns}", "the planner has at least one turn")
        self._check_depth(self.depth)
