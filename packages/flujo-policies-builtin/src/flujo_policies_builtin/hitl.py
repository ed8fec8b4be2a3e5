"""A question to a person: `kind: hitl`."""

import copy
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from inspect import isroutine
from typing import Any

from pydantic import Field

from flujo.blueprint.durations import Duration
from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import PLAIN_TYPES, StepSpec
from flujo.domain.context import ConversationTurn, HumanInteraction, PipelineContext
from flujo.domain.human import HumanInTheLoopStep
from flujo.domain.outcomes import Paused, PendingAnswer, StepOutcome, Success
from flujo.domain.steps import Step
from flujo.engine.frame import ExecutionFrame
from flujo.engine.journal import Answer
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.exceptions import ExecutionError
from flujo.infra.questions import as_text, check_question, fitting, json_schema
from flujo_policies_builtin.composites import options_of

__all__ = ["HitlSpec", "HumanPolicy", "build_hitl"]


class HumanPolicy(StepPolicy[HumanInTheLoopStep[Any, Any]]):
    """Asks once, and waits: without an answer in the record the step pauses the run."""

    @property
    def handles_type(self) -> type[HumanInTheLoopStep[Any, Any]]:
        """`HumanInTheLoopStep`."""
        return HumanInTheLoopStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """The answer, once it is there. The question is recorded before the pause is told, and keeps its token."""
        step: HumanInTheLoopStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        journal = frame.run.journal
        asked = journal.wait(frame.path, frame.item)
        if asked is None:
            asked = _question(core, frame, step)
            item = frame.item.digest if frame.item else b""
            await journal.record_wait(asked, step.fingerprint + item)
        answer = journal.answer(frame.path) or await _late(frame, step, asked)
        if answer is None:
            return Paused(asked.message, asked.token, schema=asked.schema)
        answer = answer._replace(value=_typed(step, answer.value, frame.path))
        _remember(frame.context, asked, answer)
        return Success(answer.value)


def _question(core: StepExecutor, frame: ExecutionFrame, step: HumanInTheLoopStep[Any, Any]) -> PendingAnswer:
    now = frame.run.clock.now()
    message = as_text(core.render(step.message, frame.scope()))
    deadline = None if step.deadline_s is None else now + step.deadline_s
    return PendingAnswer(frame.path, secrets.token_hex(6), message, json_schema(step.input_schema), now, deadline)


def _typed(step: HumanInTheLoopStep[Any, Any], value: Any, path: str) -> Any:
    """The answer as the step's type has it: who wrote it down may have had no more than the JSON Schema."""
    schema = step.input_schema
    return value if schema is None or isinstance(schema, Mapping) else fitting(schema, value, path)


async def _late(frame: ExecutionFrame, step: HumanInTheLoopStep[Any, Any], asked: PendingAnswer) -> Answer | None:
    """What `on_deadline` says, once the deadline is over."""
    now, journal = frame.run.clock.now(), frame.run.journal
    if not asked.is_over(now):
        return None
    if await journal.catch_up() and (answer := journal.answer(frame.path)) is not None:
        return answer  # somebody was in time, since this process has read the record
    if not isinstance(step.on_deadline, Mapping):
        raise ExecutionError(
            f"nobody has answered step {step.name!r} within {step.deadline_s:g} s",
            suggestion=f"the question is still open: resume the run with an answer, token {asked.token!r}",
        )
    answer = Answer(fitting(step.input_schema, step.on_deadline["answer"], frame.path), "on_deadline", now)
    await journal.record_answer(frame.path, answer)
    return journal.answer(frame.path)  # a copy: the definition's own value must stay as it is


def _remember(context: PipelineContext, asked: PendingAnswer, answer: Answer) -> None:
    """Add the question and its answer to what the context knows of people."""
    when = datetime.fromtimestamp(answer.at, UTC)
    context.hitl_history.append(
        HumanInteraction(message_to_human=asked.message, human_response=copy.deepcopy(answer.value), timestamp=when)
    )
    context.conversation_history.extend(
        (
            ConversationTurn(role="assistant", content=asked.message),
            ConversationTurn(role="user", content=as_text(answer.value)),
        )
    )


class HitlSpec(StepSpec):
    """A step of kind `hitl`."""

    message: str = Field(min_length=1, description="Template of what the person is asked")
    #: By default any answer will do. It is checked before the answer is taken.
    input_schema: dict[str, Any] | str | None = Field(
        default=None,
        description="What an answer must be: a JSON Schema, module:attr of a type, or a plain type such as int",
    )
    #: By default for ever.
    deadline: Duration | None = Field(
        default=None, description="How long to wait for the answer: seconds, or text like 15m, 2h, 7d"
    )
    on_deadline: Any = Field(
        default="fail", description="What a run does that is resumed after that: `fail`, or {answer: value}"
    )


def build_hitl(spec: HitlSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    schema: Any = spec.input_schema
    if isinstance(schema, str):
        schema = PLAIN_TYPES.get(schema) or context.resolve(schema)
    step: HumanInTheLoopStep[Any, Any] = HumanInTheLoopStep(
        **options_of(spec, context),
        message=spec.message,
        input_schema=schema,
        deadline_s=spec.deadline,
        on_deadline=spec.on_deadline,
    )
    if not isroutine(schema):  # which also stands in for what is not imported
        check_question(step)
    return step
