"""One state after another: `kind: state_machine`."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import AliasChoices, Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import NestedSteps, Spec, StepSpec
from flujo.domain.composite import branch_key
from flujo.domain.context import PipelineContext
from flujo.domain.outcomes import ErrorInfo, Paused, StepOutcome, Success
from flujo.domain.scope import Scope
from flujo.domain.state_machine import ANY_STATE, StateMachineStep, Transition
from flujo.domain.steps import Step
from flujo.domain.suggest import did_you_mean
from flujo.engine.changes import assign, sink, unshared
from flujo.engine.frame import ExecutionFrame
from flujo.engine.journal import Answer
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.engine.retry import tolerable
from flujo.exceptions import ExecutionError
from flujo_policies_builtin.composites import body_of, go_on, gone_on, options_of, run_isolated

__all__ = ["StateMachinePolicy", "StateMachineSpec", "TransitionPart", "build_statemachine"]

#: How many of the last states are named when there is no end.
_SHOWN = 6

_Machine = StateMachineStep[Any, Any]


class _Visit(NamedTuple):
    """A state that the machine enters, its data, and how many visits were before."""

    state: str
    data: Any
    number: int = 0

    @property
    def at(self) -> str:
        """Its place in the path."""
        return f"[{self.number}]"

    def then(self, state: str, data: Any) -> "_Visit":
        """The visit after this one."""
        return _Visit(state, data, self.number + 1)


class StateMachinePolicy(StepPolicy[_Machine]):
    """Runs the steps of each state in a context of their own, and looks where that leads."""

    @property
    def handles_type(self) -> type[_Machine]:
        """`StateMachineStep`."""
        return StateMachineStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """The output of the end state; a failure when there was none within `max_transitions`."""
        step: _Machine = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        visit = _Visit(step.start_state, frame.data)
        visited: list[str] = []
        _taken(frame.context, "next_state")  # left there before
        while visit.number <= step.max_transitions:
            visited.append(visit.state)
            came_to = await self._enter(core, frame, step, visit)
            if not isinstance(came_to, _Visit):
                return came_to
            visit = came_to
        raise ExecutionError(
            f"state_machine {step.name!r} did not end within {step.max_transitions} transitions:"
            f" its last states were {', '.join(visited[-_SHOWN:])}",
            suggestion="mend the transitions, or raise max_transitions",
        )

    async def _enter(
        self, core: StepExecutor, frame: ExecutionFrame, step: _Machine, visit: _Visit
    ) -> _Visit | StepOutcome[Any]:
        """Run the steps of a state: the next visit, or what the machine comes to here."""
        state, data, _ = visit
        _write(frame.context, "current_state", state)
        on = await gone_on(core, frame, visit.at, (step.states[state], data, visit.at))
        if on is not None:
            return await _left(core, frame, visit, on, {})
        purpose = f"state {state!r}"
        outcome = await run_isolated(core, frame, step.states[state], unshared(data), at=visit.at, purpose=purpose)
        if not isinstance(outcome, Success):
            return await _caught(core, frame, step, visit, outcome)
        _write(frame.context, "current_state", state)  # a machine among its steps has written its own
        if state in step.end_states:
            _taken(frame.context, "next_state")  # nobody goes on from here
            return outcome
        return visit.then(_after(core, frame, step, state, outcome.value), outcome.value)


async def _caught(
    core: StepExecutor, frame: ExecutionFrame, step: _Machine, visit: _Visit, outcome: StepOutcome[Any]
) -> _Visit | StepOutcome[Any]:
    """The visit that a transition leads to from a state that failed or paused; without one, what that came to."""
    error = None
    if tolerable(outcome):
        on, error = "failure", ErrorInfo.of(outcome.error).message
    elif isinstance(outcome, Paused):
        on = "pause"
    else:
        return outcome
    to = _leads_to(core, step, visit.state, on, _scope(frame, visit.data, error))
    return outcome if to is None else await _left(core, frame, visit, on, {"to": to, "error": error})


async def _left(
    core: StepExecutor, frame: ExecutionFrame, visit: _Visit, on: str, note: Mapping[str, Any]
) -> _Visit | StepOutcome[Any]:
    """Go on from a state that failed or paused, with its data, as `note` or what is written already says."""
    written = await go_on(core, frame, visit.at, on, note)
    if not isinstance(written, Success):
        return written
    told: Any = written.value
    if on == "pause":
        await _withdraw(frame, visit.at)
    if told["error"] is not None:
        _write(frame.context, "last_error", told["error"])
    return visit.then(told["to"], visit.data)


async def _withdraw(frame: ExecutionFrame, at: str) -> None:
    """Close the questions of a state that the machine did not wait for: the run shall not ask for their answers."""
    journal, now = frame.run.journal, frame.run.clock.now()
    for asked in () if journal.closed else journal.waits():
        if asked.path.startswith(f"{frame.path}{at}/"):
            await journal.record_answer(asked.path, Answer(None, "a transition on pause", now))


def _after(core: StepExecutor, frame: ExecutionFrame, step: _Machine, state: str, output: Any) -> str:
    """The state after one that succeeded. Raises `ExecutionError` when nothing says it, or no such state is there."""
    to = _leads_to(core, step, state, "success", _scope(frame, output))
    asked = _taken(frame.context, "next_state")
    if to is not None:
        return to
    if isinstance(output, Mapping) and output.get("next_state") is not None:
        asked = output["next_state"]
    if asked is None:
        known = "; ".join(_described(each) for each in step.transitions if each.from_ in (state, ANY_STATE))
        raise ExecutionError(
            f"state {state!r} of {step.name!r} succeeded, but nothing says which state is next",
            suggestion=f"its transitions are {known}" if known else "add a transition from it, or give next_state",
        )
    if branch_key(asked) not in step.states:
        raise ExecutionError(
            f"after state {state!r} of {step.name!r} next_state is {asked!r}, which is no state",
            suggestion=did_you_mean(str(asked), step.states, what="its states are"),
        )
    return branch_key(asked)


def _leads_to(core: StepExecutor, step: _Machine, state: str, on: str, scope: Scope) -> str | None:
    """Where the first transition that fits leads from `state`. No state that fails is entered again by "*"."""
    for each in step.transitions:
        any_state = each.from_ == ANY_STATE and (on == "success" or each.to != state)
        if (
            each.on == on
            and (any_state or each.from_ == state)
            and (each.when is None or core.evaluate(each.when, scope))
        ):
            return each.to
    return None


def _scope(frame: ExecutionFrame, output: Any, error: str | None = None) -> Scope:
    """What a transition's `when` can see."""
    extras = {**frame.extras, "output": output, "error": error}
    return Scope(output, frame.outputs, frame.context, frame.run.input, extras)


def _described(transition: Transition) -> str:
    _, on, to, when = transition
    return f"on {on} to {to!r}" + (f" when {when}" if when else "")


def _is_field(context: PipelineContext, name: str) -> bool:
    model = type(context)
    return name in model.model_fields or model.model_config.get("extra") == "allow"


def _write(context: PipelineContext, name: str, value: str) -> None:
    """Set the context's field, or the scratchpad's key in a context that has no such field."""
    sink(context, name if _is_field(context, name) else f"scratchpad.{name}", value)


def _taken(context: PipelineContext, name: str) -> Any:
    """The value of the field or key, which is there no more."""
    if not _is_field(context, name):
        return context.scratchpad.pop(name, None)
    value = getattr(context, name, None)
    if value is not None and name in type(context).model_fields:
        assign(context, name, None)
    elif value is not None:
        delattr(context, name)
    return value


class TransitionPart(Spec):
    """One of the `transitions:` of a state machine."""

    from_: str = Field(validation_alias=AliasChoices("from"), description="The state it leads on from, `*` for any")
    #: `pause`: it waits for a person.
    on: Literal["success", "failure", "pause"] = Field(description="What that state must have come to")
    to: str = Field(description="The state it leads to")
    #: It sees what the state gave as `output` and `previous_step`, `context`, and the `steps` before the machine; after
    #: a failure `error` is its text.
    when: str | None = Field(default=None, description="Expression that must hold, too")


class StateMachineSpec(StepSpec):
    """A step of kind `state_machine`."""

    #: A state without steps (`[]`) hands on its data.
    states: dict[str, NestedSteps | None] = Field(description="The steps of each state, by name; there may be none")
    start_state: str = Field(description="The state that is entered first")
    end_states: list[str] = Field(min_length=1, description="The states after whose steps the machine is done")
    transitions: list[TransitionPart] = Field(default_factory=list, description="Which state is next; the first counts")
    #: After so many, one more is an error.
    max_transitions: int = Field(default=100, ge=1, description="How many times it goes on at most")


def build_statemachine(spec: StateMachineSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    return StateMachineStep(
        **options_of(spec, context),
        states={name: body_of([] if body is None else body, context) for name, body in spec.states.items()},
        start_state=spec.start_state,
        end_states=spec.end_states,
        transitions=[Transition(each.from_, each.on, each.to, each.when) for each in spec.transitions],
        max_transitions=spec.max_transitions,
    )
