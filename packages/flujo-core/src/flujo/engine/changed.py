"""What is recorded in a run that goes on with another pipeline: all of it is used, or the run does not go on."""

from typing import Any, NoReturn

from flujo.domain.outcomes import StepOutcome, Success
from flujo.engine.frame import ExecutionFrame
from flujo.exceptions import DefinitionChanged

__all__ = ["check_used", "pass_over", "refuse"]

_AS_IT_WAS = "put the pipeline back as it was"


def refuse(frame: ExecutionFrame, what: str, path: str, advice: str = _AS_IT_WAS) -> NoReturn:
    """Raise `DefinitionChanged`, which ends the run and has the `path` of what does not fit."""
    try:
        frame.run.journal.refuse(what, advice)
    except DefinitionChanged as error:
        error.path = path
        raise


def check_used(frame: ExecutionFrame, outcome: StepOutcome[Any]) -> None:
    """Look, in a run that goes on with another pipeline, whether what is recorded of a step's parts was used.

    A part that has not succeeded owes nothing. What has is looked at where little is lost by breaking off: at the end
    of the pipeline and of its own steps.
    """
    tracker = frame.run.journal.tracker
    if tracker is None or not frame.step.holds_steps:
        return
    if type(outcome) is not Success:
        tracker.reach(frame.path)
    elif frame.level <= 2 and (unused := tracker.unused(frame.path)) is not None:
        refuse(frame, f"the result of {unused!r} would not be used any more", unused)


def pass_over(frame: ExecutionFrame, at: str = "") -> None:
    """Note that nothing recorded under the step's path, or its part `at`, is waited for: something is in its place."""
    if frame.run.journal.tracker is not None:
        frame.run.journal.tracker.reach(frame.path + at)
