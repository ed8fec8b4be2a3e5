"""The input of a run, looked at before anything is written down."""

from typing import Any

from flujo.domain.hints import show
from flujo.domain.steps import Step
from flujo.exceptions import ConfigurationError

__all__ = ["check_input"]


def check_input(pipeline: Step[Any, Any], input: Any) -> None:
    """Raise `ConfigurationError` for an input whose class is not what the steps that get it declare.

    What is in it is not looked at, and what nobody declared takes anything.
    """
    for refusal in pipeline.refusals(type(input), maybe=True):
        given, wanted = show(refusal.given, refusal.wanted)
        raise ConfigurationError(
            f"the input is of type {given!r}, but step {refusal.path or refusal.step.name!r} takes {wanted!r}",
            suggestion="give the run what its first step takes, or declare the step's parameter as what it gets",
        )
