"""A planner that says what is done next: `kind: agentic_loop`."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel, Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import CalledStep, NestedSteps, Spec, StepSpec
from flujo.domain.agentic_loop import ASK, AgenticLoopStep
from flujo.domain.composite import branch_key
from flujo.domain.outcomes import StepOutcome, Success
from flujo.domain.steps import Step
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.engine.retry import tolerable
from flujo.exceptions import ExecutionError
from flujo.infra.repair import json_in
from flujo_policies_builtin.composites import body_of, go_on, gone_on, named_step, options_of, output_of, run_isolated

__all__ = ["AgenticLoopPart", "AgenticLoopPolicy", "AgenticLoopSpec", "build_agenticloop"]

#: Every command, with what it holds beside its `action`.
_COMMANDS = {"run_agent": ("agent", "input"), "ask_human": ("question",), "finish": ("output",)}


class AgenticLoopPolicy(StepPolicy[AgenticLoopStep[Any, Any]]):
    """Asks the planner, does what it says, and tells it at the next turn what came of that."""

    @property
    def handles_type(self) -> type[AgenticLoopStep[Any, Any]]:
        """`AgenticLoopStep`."""
        return AgenticLoopStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """The output that the planner finishes with; a failure when it has not within `max_turns`."""
        step: AgenticLoopStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        history: list[dict[str, Any]] = []
        mistake: str | None = None
        for turn in range(step.max_turns):
            asked = {"goal": frame.data, "history": list(history), "agents": list(step.agents)}
            at, purpose = f"[{turn}]/planner", f"the planner in turn {turn}"
            answer = await run_isolated(core, frame, step.planner, asked, at=at, purpose=purpose)
            if not isinstance(answer, Success):
                return answer
            command = _command(answer.value)
            before, mistake = mistake, _mistake(step, command)
            if before is not None and mistake is not None:
                raise ExecutionError(
                    f"the planner of {step.name!r} {mistake}, and was wrong in the turn before, too",
                    suggestion="its history holds what was wrong: {'error': text} as the turn's result",
                )
            if mistake is None and _action(command) == "finish":
                return Success(command["output"])
            outcome = await _obey(core, frame, step, command, turn) if mistake is None else _told(mistake)
            if not isinstance(outcome, Success):
                return outcome
            history.append({"turn": turn, "command": command, "result": outcome.value})
        raise ExecutionError(
            f"agentic_loop {step.name!r} did not finish within {step.max_turns} turns",
            suggestion="raise max_turns, or let the planner finish earlier",
        )


async def _obey(
    core: StepExecutor, frame: ExecutionFrame, step: AgenticLoopStep[Any, Any], command: Mapping[str, Any], turn: int
) -> StepOutcome[Any]:
    """What an agent or a person says; of an agent that fails, {"error": text}, and that for good."""
    at = f"[{turn}]"
    if _action(command) == "ask_human":
        purpose = f"the question of turn {turn}"
        return await run_isolated(core, frame, ASK, command["question"], at=f"{at}/ask", purpose=purpose)
    told = None
    name = branch_key(command["agent"])
    body, purpose = step.agents[name], f"agent {name!r} in turn {turn}"
    if await gone_on(core, frame, at, (body, command["input"], f"{at}/{name}")) is None:
        outcome = await run_isolated(core, frame, body, command["input"], at=f"{at}/{name}", purpose=purpose)
        if not tolerable(outcome):
            return outcome
        told = output_of(outcome)
    return await go_on(core, frame, at, "failure", told)


def _told(mistake: str) -> Success[Any]:
    return Success({"error": f"the planner {mistake}"})


def _command(answer: Any) -> Any:
    """The planner's answer as a mapping, if it is one, or stands for one: a model, a data class, JSON text."""
    if isinstance(answer, BaseModel):
        return {name: getattr(answer, name) for name in type(answer).model_fields}
    if is_dataclass(answer):
        return {each.name: getattr(answer, each.name) for each in fields(answer)}
    if isinstance(answer, str):
        try:
            return json_in(answer)
        except ValueError:
            return answer.strip()
    return answer


def _action(command: Mapping[str, Any]) -> str:
    return branch_key(command.get("action"))


def _mistake(step: AgenticLoopStep[Any, Any], command: Any) -> str | None:
    """What is wrong with a command, and what was expected."""
    if not isinstance(command, Mapping):
        return f"answered {type(command).__name__!r}, expected a mapping with an 'action'"
    action = _action(command)
    if action not in _COMMANDS:
        return f"gave the action {action[:80]!r}, expected {', '.join(_COMMANDS)}"
    for key in _COMMANDS[action]:
        if key not in command:
            return f"gave the action {action!r} without {key!r}"
    if action == "run_agent" and branch_key(command["agent"]) not in step.agents:
        return f"named the agent {branch_key(command['agent'])[:80]!r}, expected {', '.join(step.agents)}"
    if action == "ask_human" and not isinstance(command["question"], str):
        return f"asked {type(command['question']).__name__!r}, expected a question as text"
    return None


class AgenticLoopPart(Spec):
    """`agentic_loop:` of such a step."""

    planner: CalledStep = Field(
        description="What says what is done next: an agent, module:attr, a skill's id, or a step"
    )
    agents: dict[str, CalledStep | NestedSteps] = Field(
        description="What each agent is, by name: one of the same, or a list of steps"
    )
    #: One more is an error.
    max_turns: int = Field(default=10, ge=1, description="How many turns the planner has at most")


class AgenticLoopSpec(StepSpec):
    """A step of kind `agentic_loop`."""

    agentic_loop: AgenticLoopPart = Field(description="The planner and its agents")


def build_agenticloop(spec: AgenticLoopSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    part = spec.agentic_loop
    return AgenticLoopStep(
        **options_of(spec, context),
        planner=named_step(part.planner, "planner", context, what="planner"),
        agents={name: _agent(name, raw, context) for name, raw in part.agents.items()},
        max_turns=part.max_turns,
    )


def _agent(name: str, raw: Any, context: BuildContext) -> Any:
    if isinstance(raw, list):
        return body_of(raw, context)
    return named_step(raw, name if name[0].isalpha() else f"_{name}", context, what=f"agent {name!r}")
