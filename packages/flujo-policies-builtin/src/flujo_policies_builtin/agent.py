"""A question to an agent: reserved before it is asked, counted afterwards, the answer checked."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from flujo.domain.agent_step import AgentStep
from flujo.domain.agents import AgentResult
from flujo.domain.events import AgentAsked
from flujo.domain.outcomes import Failure, StepOutcome, Success
from flujo.domain.usage import Usage
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.engine.recorded import calls_in
from flujo.exceptions import AgentIOValidationError, ConfigurationError, SchemaMismatchError
from flujo.infra.schemas import OutputSchema
from flujo_policies_builtin.calls import arguments_of, invoke

__all__ = ["AgentPolicy"]


class AgentPolicy(StepPolicy[AgentStep[Any, Any]]):
    """Asks the step's agent once. Keeps nothing but the compiled schemas of the steps."""

    def __init__(self) -> None:
        self._schemas: WeakKeyDictionary[AgentStep[Any, Any], OutputSchema] = WeakKeyDictionary()

    @property
    def handles_type(self) -> type[AgentStep[Any, Any]]:
        """`AgentStep`."""
        return AgentStep

    def prepare(self, step: AgentStep[Any, Any]) -> None:
        """Compile what the step's output must be. Raises `ConfigurationError` for what is no schema."""
        if step.output is not None:
            self._schemas[step] = OutputSchema.of(step.output)

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """Ask, if the budget lets it. A call that fails has been one; one that is cancelled has used all it could."""
        step = frame.step
        assert isinstance(step, AgentStep)
        assert step.call is not None
        run, data = frame.run, _with_feedback(step, frame)
        made = calls_in(run.journal.attempts(frame.path))
        run.tally.note(step.agent_key, frame.path, made)
        estimate = _estimate(step, frame, data, run.tally.total(step.agent_key))
        asked = await run.quotas.reserve(frame.quota, _model(step), estimate, timer=frame.timer)
        calls = run.tally.total(step.agent_key)
        run.tally.note(step.agent_key, frame.path, made + 1)
        if run.events.active:
            run.events.emit(AgentAsked(run.run_id, frame.path, frame.attempt, step.agent or step.name, _model(step)))
        try:
            if asked.quota is not None:
                await run.journal.record_call(frame.path, run.quotas.at_most(asked), run.clock.now())
            answer = await invoke(step.call, frame, data, calls=calls)
            result = answer if type(answer) is AgentResult else AgentResult(answer)
            usage = run.quotas.settle(asked, result.usage, result.model or None)
        except asyncio.CancelledError:
            run.tally.owe(frame.path, run.quotas.lose(asked))
            raise
        except BaseException:
            run.tally.owe(frame.path, run.quotas.settle(asked, Usage(calls=1)))
            raise
        run.tally.note(step.agent_key, frame.path, made + usage.calls)
        with run.tally.owing(frame.path, usage):
            return self._checked(step, result.output, usage)

    def _checked(self, step: AgentStep[Any, Any], output: Any, usage: Usage) -> StepOutcome[Any]:
        """The output as the step declares it; of one that does not fit, what the next attempt is told."""
        schema = self._schemas.get(step)
        if schema is None:
            return Success(output, usage)
        try:
            return Success(schema.check(output, what=f"the output of step {step.name!r}"), usage)
        except SchemaMismatchError as error:
            wrong = "\n".join(f"- {path}: {problem}" for path, problem in error.problems)
            refused = AgentIOValidationError(error.message, cause=error)
            return Failure(refused, f"The answer before does not fit:\n{wrong}", usage)


def _with_feedback(step: AgentStep[Any, Any], frame: ExecutionFrame) -> Any:
    """The data; for an agent that has no other way to hear it, with what was wrong with the answer before."""
    asks = step.call is not None and "run" in step.call.injected
    if frame.feedback is None or asks or not isinstance(frame.data, str):
        return frame.data
    return f"{frame.data}\n\n{frame.feedback}"


def _model(step: AgentStep[Any, Any]) -> str:
    return step.model or step.agent_key


def _estimate(step: AgentStep[Any, Any], frame: ExecutionFrame, data: Any, calls: int) -> Usage | None:
    if step.estimate is None:
        return None
    arguments, injected = arguments_of(step.estimate, frame, data, calls=calls)
    estimate = step.estimate.target(*arguments, **injected)
    if isinstance(estimate, Usage):
        return estimate
    raise ConfigurationError(
        f"the agent of step {step.name!r} estimates {type(estimate).__qualname__!r}, expected a Usage",
        suggestion="let its method 'estimate' return Usage(calls=1, tokens_in=..., tokens_out=...), and not wait",
    )
