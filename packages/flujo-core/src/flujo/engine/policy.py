"""The contract between the engine and a kind of step."""

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, Generic, Protocol, TypeVar

from flujo.domain.outcomes import StepOutcome
from flujo.domain.scope import Scope
from flujo.domain.steps import Step
from flujo.engine.frame import ExecutionFrame

__all__ = ["StepExecutor", "StepPolicy"]

S = TypeVar("S", bound=Step[Any, Any])


class StepExecutor(Protocol):
    """What a policy may ask of the engine: run a child step, with everything that belongs to it; and the language."""

    def render(self, template: Any, scope: Scope, /) -> Any:
        """The value of a template: text, or a mapping or list with texts. Raises `TemplateResolutionError`."""
        ...

    def evaluate(self, expression: str, scope: Scope, /) -> Any:
        """The value of an expression. Raises `TemplateResolutionError`."""
        ...

    def names(self, step: Step[Any, Any], /) -> frozenset[str]:
        """The dotted names (`steps.fetch.output`) that the templates of a step and of those under it read."""
        ...

    def execute(self, frame: ExecutionFrame, /) -> Coroutine[Any, Any, StepOutcome[Any]]:
        """Run the frame's step: record, retries, timeout, fallback and events included. Does not raise for a
        step that fails; raises `StateError` when the record can't be written."""
        ...


class StepPolicy(ABC, Generic[S]):
    """How one type of step is run.

    A policy does its kind's own work and nothing else: retries, timeouts, fallbacks, the record and events are the
    engine's. One instance serves every run at once, so it keeps no state between calls.
    """

    @property
    @abstractmethod
    def handles_type(self) -> type[S]:
        """The step type this policy runs, and its subclasses that have no policy of their own."""

    def prepare(self, step: S) -> None:
        """Look at a step before any step runs, so that what is wrong with it is found then.

        Called for each step of a pipeline when the pipeline is prepared. Raises `ConfigurationError`.
        """

    @abstractmethod
    async def execute(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any]:
        """Do the step's work once: return `Success(value)`, or what else it came to.

        An exception is a failure of this attempt. A composite runs its children by
        `await core.execute(frame.child(step, data))`, hands on any outcome that isn't a `Success`, and puts their
        results in `children`.
        """

    async def retell(self, core: StepExecutor, frame: ExecutionFrame) -> StepOutcome[Any] | None:
        """Run the children of a step whose own result is recorded, so that the history has their lines.

        For a kind that records a result of its own and holds steps: by `core.execute`, which takes their results from
        the record, and by nothing else. None, as here, for a kind that has no children to tell of.
        """
        return None
