"""What can be wrong with the fields of any step: found when it is made, not when it runs."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias, get_args

from flujo.domain.callables import reference
from flujo.domain.config import StepConfig
from flujo.domain.context import PipelineContext
from flujo.exceptions import ConfigurationError

__all__ = ["Effects", "checked_path", "listed", "mistakes"]

#: What a second execution of a step could disturb; with the last there never is one.
Effects: TypeAlias = Literal["none", "local", "external", "at-most-once"]

_PATH_HELP = "name a field of the context, or a dotted path in one, without white space, brackets and braces"
_PATH = re.compile(r"[^\s.{}\[\]()]+(?:\.[^\s.{}\[\]()]+)*")


def checked_path(text: str) -> str:
    """`text`, if it can be a path in the context. Raises `ValueError`."""
    if _PATH.fullmatch(text):
        return text
    raise ValueError(f"{text!r} is no path in the context: {_PATH_HELP}")


def listed(steps: object, name: str) -> tuple[Any, ...]:
    """What is given as the steps of pipeline `name`. Raises `ConfigurationError` for what can't be several."""
    if isinstance(steps, str) or not isinstance(steps, Iterable):
        raise ConfigurationError(
            f"pipeline {name!r} has {steps!r} as its steps, expected a list of steps",
            suggestion="write Pipeline([first, second]), or first >> second",
        )
    return tuple(steps)


def mistakes(step: Any, base: type) -> Iterator[tuple[str, str]]:
    """What is wrong with `step`, an instance of `base`, each with advice: it would fail, or have no effect."""
    runs_a_step = isinstance(step.run, base)
    if runs_a_step:
        yield f"runs {step.run.name!r}, which is a step itself", "chain steps with '>>', or nest pipelines"
    if step.run is None and step.params:
        yield "has params, but runs nothing that could take them", "give the step something to run"
    if not isinstance(step.config, StepConfig):
        yield f"has a config of type {type(step.config).__qualname__!r}", "pass config=StepConfig(...)"
    if step.fallback is not None and not isinstance(step.fallback, base):
        yield f"has {reference(step.fallback)!r} as its fallback", "a fallback is a step: wrap it in one"
    if step.effects not in get_args(Effects):
        yield f"has effects {step.effects!r}", f"effects are {', '.join(get_args(Effects))}"
    if step.sink_to is not None:
        yield from _unsound_path(str(step.sink_to), step.sink_to)
    yield from _unsound_checks(step)
    if isinstance(step.config, StepConfig):
        yield from _unsound_effects(step)


def _unsound_path(path: str, given: object) -> Iterator[tuple[str, str]]:
    if not _PATH.fullmatch(path):
        yield f"has sink_to {given!r}", _PATH_HELP
    elif path.partition(".")[0] in PipelineContext.engine_fields:
        yield f"has sink_to {given!r}, which only the engine sets", "use a field of your own"


def _unsound_checks(step: Any) -> Iterator[tuple[str, str]]:
    """Checks that aren't any."""
    if not all(map(callable, step.validators)):
        yield "has a validator that can't be called", "a validator is a function of the step's output"
    if isinstance(step.static_invariants, str) or not all(isinstance(each, str) for each in step.static_invariants):
        yield "has static_invariants that are no list of expressions", "write a list of texts"


def _unsound_effects(step: Any) -> Iterator[tuple[str, str]]:
    """A background step whose output would reach the context at any time, and promises that can't be kept."""
    if step.is_background and (step.sink_to is not None or step.updates_context):
        yield "runs in the background, but writes to the context", "nobody could tell when: drop one of both"
    if step.effects == "at-most-once" and step.config.max_retries:
        yield "may run at most once, but has max_retries", "drop one of both"
    if step.effects == "at-most-once" and (step.holds_steps or step.asks):
        yield "may run at most once, but does nothing by itself", "say so of the steps that have effects"
