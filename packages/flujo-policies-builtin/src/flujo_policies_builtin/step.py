"""One call of a function, a skill or an agent: `kind: step`."""

from dataclasses import fields, replace
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from flujo.blueprint.agents import DeclaredAgent
from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import Spec, StepSpec
from flujo.domain.agents import AgentResult
from flujo.domain.callables import Call
from flujo.domain.config import StepConfig
from flujo.domain.outcomes import Failure, StepOutcome, Success
from flujo.domain.steps import Pipeline, Step
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.exceptions import ConfigurationError, PausedException
from flujo_policies_builtin.asking import answered
from flujo_policies_builtin.calls import invoke

__all__ = ["AgentSpec", "CallSpec", "FunctionPolicy", "build_step"]


class FunctionPolicy(StepPolicy[Step[Any, Any]]):
    """Calls what the step runs, once. Without anything to run, the step hands on its data."""

    @property
    def handles_type(self) -> type[Step[Any, Any]]:
        """`Step` itself."""
        return Step

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """Call with the step's data and what the function asks for by name; an awaitable answer is awaited."""
        call = frame.step.call
        if call is None:
            return Success(frame.data)
        if call.direct:
            try:
                value = await call.target(frame.data)
            except PausedException as signal:
                value = await answered(frame, signal)
        else:
            value = await invoke(call, frame, frame.data)
        return _counted(frame, call, value) if type(value) is AgentResult else Success(value)


def _counted(frame: ExecutionFrame, call: Call, answer: AgentResult[Any]) -> StepOutcome[Any]:
    """The output of a function that tells what it has used."""
    quotas, model = frame.run.quotas, answer.model or call.reference
    usage = quotas.charge(frame.quota, model, answer.usage)
    refusal = quotas.refusal(frame.quota, model, usage)
    return Success(answer.output, usage) if refusal is None else Failure(refusal, usage=usage)


class AgentSpec(Spec):
    """`agent:` of a step. Plain text stands for the `id`."""

    id: str = Field(validation_alias=AliasChoices("id", "path"), description="A skill's id, or module:attr")
    params: dict[str, Any] = Field(default_factory=dict, description="Arguments by name")


def _as_mapping(value: Any) -> Any:
    return AgentSpec(id=value) if isinstance(value, str) else value


class CallSpec(StepSpec):
    """A step of kind `step`."""

    #: One of the [agents](#agents), the id of a [skill](skills.md) or `module:attr`; or a mapping, see below.
    agent: Annotated[AgentSpec | None, BeforeValidator(_as_mapping, json_schema_input_type=str | AgentSpec | None)] = (
        Field(default=None, description="What the step calls")
    )
    #: An agent is `agents.NAME`. Give `agent` or `uses`.
    uses: str | None = Field(default=None, description="The same, with `params` beside it")
    #: They are not templates.
    params: dict[str, Any] = Field(default_factory=dict, description="Arguments by name, for what `uses` calls")
    #: For one that waits or computes for long, and for one with a `timeout_s`.
    blocking: bool = Field(default=False, description="Run a plain function in a thread of its own")


def build_step(spec: CallSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`. Raises `ConfigurationError` for what can't be called."""
    options = context.common(spec)
    reference, params = _reference(spec)
    if reference is None:
        return Step(**options)
    declared = context.agent(reference)
    if declared is not None:
        return _asking(declared, spec, params, options)
    target = context.resolve(reference)
    if isinstance(target, Step):
        return _adapted(target, spec, {**options, "params": {**target.params, **params}})
    return Step(run=target, params=params, blocking=spec.blocking, **options)


def _asking(declared: DeclaredAgent, spec: CallSpec, params: dict[str, Any], options: dict[str, Any]) -> Step[Any, Any]:
    if params:
        raise ConfigurationError(
            f"step {spec.name!r} has params for agent {declared.declaration.name!r}, which is made once for all steps",
            suggestion="write them where the agent is declared",
        )
    return declared.step(blocking=spec.blocking, **options)


def _reference(spec: CallSpec) -> tuple[str | None, dict[str, Any]]:
    """What the step calls, if anything, and with which arguments."""
    if spec.agent is not None and (spec.uses is not None or spec.params):
        raise ConfigurationError(
            f"step {spec.name!r} has both 'agent' and {'uses' if spec.uses is not None else 'params'!r}",
            suggestion="name what it calls once: agent: {id, params}, or uses and params",
        )
    if spec.agent is not None:
        return spec.agent.id, spec.agent.params
    if spec.uses is None and spec.params:
        raise ConfigurationError(f"step {spec.name!r} has params, but nothing to call", suggestion="say what it 'uses'")
    return spec.uses, spec.params


def _adapted(step: Step[Any, Any], spec: CallSpec, options: dict[str, Any]) -> Step[Any, Any]:
    """A step made in Python, under the file's name: what the file says wins, the rest is as the code has it."""
    said = spec.model_fields_set | {"name", "params"}
    changes = {key: value for key, value in options.items() if key in said}
    if "blocking" in said:
        changes["blocking"] = spec.blocking
    if "config" in changes:
        changes["config"] = _merged(step.config, changes["config"], spec)
    if not isinstance(step, Pipeline):
        return replace(step, **changes)
    own = {each.name: getattr(step, each.name) for each in fields(Step) if each.init and each.name != "run"}
    return Pipeline(step.steps, **{**own, **changes})  # which is not made of its fields, as `replace` would


def _merged(own: StepConfig, file: StepConfig, spec: CallSpec) -> StepConfig:
    return own.model_copy(update={name: getattr(file, name) for name in spec.config.model_fields_set})
