"""The same steps again and again: `kind: loop`."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from flujo.blueprint.kinds import BuildContext
from flujo.blueprint.schema import NestedSteps, Spec, StepSpec
from flujo.domain.kinds import LoopStep, operations
from flujo.domain.outcomes import StepOutcome, Success
from flujo.domain.scope import Scope
from flujo.domain.steps import Step
from flujo.engine.changes import sink, unshared
from flujo.engine.frame import ExecutionFrame
from flujo.engine.policy import StepExecutor, StepPolicy
from flujo.exceptions import ContextFieldError, ExecutionError
from flujo_policies_builtin.composites import body_of, called, options_of, run_isolated

__all__ = ["LoopPart", "LoopPolicy", "LoopSpec", "build_loop"]


class LoopPolicy(StepPolicy[LoopStep[Any, Any]]):
    """Runs the body in a context of its own, lets what it changed flow back, and asks whether that was enough."""

    @property
    def handles_type(self) -> type[LoopStep[Any, Any]]:
        """`LoopStep`."""
        return LoopStep

    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """The last iteration's output; a failure when the loop has not ended within `max_loops`."""
        step: LoopStep[Any, Any] = frame.step  # type: ignore[assignment]  # the registry dispatches by type
        data = output = frame.data
        if step.initial_input_mapper is not None:
            data = unshared(await called(step.initial_input_mapper, data, frame.context))
        _operate(core, frame, step.init, frame.scope())
        for index in range(step.max_loops):
            extras = {**frame.extras, "loop": _Counter(index)}
            outcome = await run_isolated(
                core, frame, step.body, data, at=f"[{index}]", purpose=f"iteration {index}", extras=extras
            )
            if not isinstance(outcome, Success):
                return outcome
            output = outcome.value
            scope = _scope(frame, output, index)
            _operate(core, frame, step.state, scope)
            if await self._ends(core, step, scope):
                break
            if index + 1 < step.max_loops:
                data = unshared(await self._next(core, step, scope, index))
        else:
            _check_end(step)
        if step.loop_output_mapper is not None:
            output = unshared(await called(step.loop_output_mapper, output, frame.context))
        return Success(output)

    async def _ends(self, core: StepExecutor, step: LoopStep[Any, Any], scope: Scope) -> bool:
        if step.exit_expression is not None:
            return bool(core.evaluate(step.exit_expression, scope))
        if step.exit_condition is not None:
            return bool(await called(step.exit_condition, scope.previous, scope.context))
        return False

    async def _next(self, core: StepExecutor, step: LoopStep[Any, Any], scope: Scope, index: int) -> Any:
        if step.iteration_input_mapper is not None:
            return await called(step.iteration_input_mapper, scope.previous, scope.context, index + 1)
        if step.propagation is not None:
            return scope.context if step.propagation == "context" else core.render(step.propagation, scope)
        return scope.previous


def _check_end(step: LoopStep[Any, Any]) -> None:
    """Raise `ExecutionError` if reaching `max_loops` is not how the loop may end."""
    if step.counted or step.on_max == "take_last":
        return
    raise ExecutionError(
        f"loop {step.name!r} did not end within {step.max_loops} iterations",
        suggestion="raise max_loops, mend the exit test, or take the last output: on_max: take_last",
    )


class _Counter(dict[str, int]):
    """`loop` in templates: `loop.index` counts from 1, `loop.index0` from 0."""

    def __init__(self, index: int) -> None:
        super().__init__(index=index + 1, index0=index)


def _scope(frame: ExecutionFrame, output: Any, index: int) -> Scope:
    """What an exit test and the operations after an iteration can see."""
    extras = {**frame.extras, "output": output, "loop": _Counter(index)}
    return Scope(output, frame.outputs, frame.context, frame.run.input, extras)


def _operate(core: StepExecutor, frame: ExecutionFrame, written: Any, scope: Scope) -> None:
    """Do the operations on the context, each with its value rendered once."""
    for action, target, template in operations(written):
        value = core.render(template, scope)
        path = str(target).removeprefix("context.")
        if action == "append":
            value = [*_held(frame, path, list, []), value]
        elif action == "merge":
            value = {**_held(frame, path, dict, {}), **_mapping(path, value)}
        sink(frame.context, path, value)


def _held(frame: ExecutionFrame, path: str, kind: type, empty: Any) -> Any:
    """The list or mapping at `path` in the context, `empty` if there is nothing yet."""
    holder: Any = frame.context
    for key in path.split("."):
        holder = holder.get(key) if isinstance(holder, dict) else getattr(holder, key, None)
        if holder is None:
            return empty
    if not isinstance(holder, kind):
        raise ContextFieldError(
            f"context field {path!r} holds {type(holder).__name__!r}, expected {kind.__name__!r}",
            suggestion="append to lists, merge into mappings, or set it anew",
        )
    return holder


def _mapping(path: str, value: Any) -> Any:
    """A mapping, or one in JSON text: templates inside quotes give text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = str(value)
    if not isinstance(value, Mapping):
        raise ContextFieldError(
            f"what is merged into context field {path!r} is {type(value).__name__!r}, expected a mapping",
            suggestion="merge a mapping, or set the field",
        )
    return value


class LoopPart(Spec):
    """`loop:` of a loop."""

    #: `loop.index` in their templates counts from 1.
    body: NestedSteps = Field(description="The steps that are repeated")
    max_loops: int = Field(default=5, ge=1, description="How many iterations there are at most")
    #: It sees the iteration's output as `previous_step`.
    exit_expression: str | None = Field(default=None, description="Expression that ends the loop when it holds")
    #: Give one of the two; without either the loop runs `max_loops` times.
    exit_condition: str | None = Field(default=None, description="module:attr of a function of output and context")
    #: `take_last`: the last output is the step's.
    on_max: Literal["fail", "take_last"] = Field(default="fail", description="What max_loops without an end means")
    #: It gives the first iteration's data.
    initial_input_mapper: str | None = Field(default=None, description="module:attr of a function of input and context")
    #: It gives the next iteration's data.
    iteration_input_mapper: str | None = Field(
        default=None, description="module:attr of a function of output, context and iterations done"
    )
    #: It gives the step's output.
    loop_output_mapper: str | None = Field(default=None, description="module:attr of a function of output and context")
    #: `{path: template}`, or lists of `{target, value}` under `set`, `append` and `merge`.
    init: Any = Field(default_factory=dict, description="Operations on the context before the first iteration")
    #: The same as in `init`.
    state: Any = Field(default_factory=dict, description="Operations on the context after every iteration")
    #: By default the iteration's output.
    propagation: Any = Field(default=None, description="Template of the next input, or {next_input: ...}, or `context`")


class LoopSpec(StepSpec):
    """A step of kind `loop`."""

    loop: LoopPart = Field(description="The body and when to stop")


def build_loop(spec: LoopSpec, context: BuildContext) -> Step[Any, Any]:
    """Make the step of a validated `spec`."""
    part = spec.loop
    mappers = ("exit_condition", "initial_input_mapper", "iteration_input_mapper", "loop_output_mapper")
    propagation = part.propagation
    return LoopStep(
        **options_of(spec, context),
        **{name: context.resolve(value) for name in mappers if (value := getattr(part, name)) is not None},
        body=body_of(part.body, context),
        max_loops=part.max_loops,
        exit_expression=part.exit_expression,
        on_max=part.on_max,
        init=part.init,
        state=part.state,
        propagation=propagation.get("next_input") if isinstance(propagation, Mapping) else propagation,
    )
