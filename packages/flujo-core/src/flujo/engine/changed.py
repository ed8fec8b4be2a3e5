"""What is recorded in a run that goes on: all of it is used, or the run does not end."""

from typing import Any, NoReturn

from flujo.domain.outcomes import StepOutcome, Success
from flujo.engine.frame import ExecutionFrame
from flujo.exceptions import DefinitionChanged

__all__ = ["check_used", "check_way", "pass_over", "refuse"]

_AS_IT_WAS = "put the pipeline back as it was"


def refuse(frame: ExecutionFrame, what: str, path: str, advice: str = _AS_IT_WAS) -> NoReturn:
    """Raise `DefinitionChanged`, which ends the run and has the `path` of what does not fit."""
    try:
        frame.run.journal.refuse(what, advice)
    except DefinitionChanged as error:
        error.path = path
        raise


def check_used(frame: ExecutionFrame, outcome: StepOutcome[Any]) -> None:
    """Look, in a run that goes on, whether what is recorded of a step's parts was used.

    It is not when the pipeline is another one now, or a condition decides otherwise.

    A part that has not succeeded owes nothing. What has is looked at where little is lost by breaking off: at the end
    of the pipeline and of its own steps.
    """
    tracker = frame.run.journal.tracker
    if tracker is None or not frame.step.holds_steps:
        return
    if type(outcome) is not Success:
        tracker.reach(frame.path)
    elif frame.level <= 2 and (unused := tracker.unused(frame.path)) is not None:
        _miss(frame, unused)


def check_way(frame: ExecutionFrame, at: str) -> None:
    """Refuse, before the step goes on with its part `at`, when another part has results that are not used."""
    tracker = frame.run.journal.tracker
    if tracker is not None and (unused := tracker.unused(frame.path, but=frame.path + at)) is not None:
        _miss(frame, unused)


def _miss(frame: ExecutionFrame, unused: str) -> NoReturn:
    what = f"the result of {unused!r} would not be used any more"
    advice = "put the pipeline, and what its conditions go by, back as it was"
    refuse(frame, f"{what}: the pipeline, or a condition in it, decides otherwise than before", unused, advice)


def pass_over(frame: ExecutionFrame, at: str = "") -> None:
    """Note that nothing recorded under the step's path, or its part `at`, is waited for: something is in its place."""
    if frame.run.journal.tracker is not None:
        frame.run.journal.tracker.reach(frame.path + at)
