"""How a step is run: retries, time, place."""

import random
import sys
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticError

from flujo.domain.suggest import did_you_mean
from flujo.exceptions import ConfigurationError

__all__ = ["AS_USUAL", "Backoff", "StepConfig"]

ExceptionTypes: TypeAlias = tuple[type[BaseException], ...]


class _Settings(BaseModel):
    """Settings that are named by their class when they can't be so."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, **given: Any) -> None:
            try:
                super().__init__(**given)
            except PydanticError as error:
                first, owner = error.errors()[0], type(self)
                named = ".".join(str(part) for part in first["loc"])
                if first["type"] == "extra_forbidden":
                    near = did_you_mean(named, owner.model_fields, what="fields are")
                    raise ConfigurationError(f"{owner.__name__} has no field {named!r}", suggestion=near) from error
                told = f"{named} is {first['input']!r}: {first['msg'].lower()}"
                raise ConfigurationError(f"{owner.__name__}: {told}", cause=error) from error


class Backoff(_Settings):
    """How long to wait before attempt n + 1: `initial_s * factor ** (n - 1)`, at most `max_s`, in seconds.

    `jitter` is the share of the wait that is left to chance (0 to 1): 0.1 gives 90 to 100 % of it.
    """

    initial_s: float = Field(default=0.0, ge=0)
    factor: float = Field(default=2.0, ge=1)
    max_s: float = Field(default=60.0, ge=0)
    jitter: float = Field(default=0.0, ge=0, le=1)

    def delay(self, attempt: int, seed: str) -> float:
        """Seconds to wait after failed attempt number `attempt`; the same for the same seed, on any machine."""
        wait = min(self.max_s, self.initial_s * _power(self.factor, attempt - 1))
        if not self.jitter or not wait:
            return wait
        chance = random.Random(f"{seed}#{attempt}").random()  # noqa: S311 - spreads load, guards nothing
        return wait * (1 - self.jitter * chance)


def _power(factor: float, exponent: int) -> float:
    """`factor ** exponent`, at most the greatest float there is."""
    try:
        return min(factor**exponent, sys.float_info.max)
    except OverflowError:
        return sys.float_info.max


class StepConfig(_Settings):
    """How a step is run. Frozen; unknown names are refused.

    `max_retries` counts attempts after the first. `timeout_s` bounds each attempt, in seconds. `retry_on` limits
    retries to these exceptions, `no_retry_on` excludes some; without them everything is retried but what can't
    change from one attempt to the next (control flow, configuration, context and validation errors). With
    `execution_mode` "background" the pipeline goes on at once with the step's input; the run's end waits for it.
    """

    max_retries: int = Field(default=0, ge=0, strict=True)
    timeout_s: float | None = Field(default=None, gt=0, strict=True)
    backoff: Backoff = Backoff()
    retry_on: ExceptionTypes = ()
    no_retry_on: ExceptionTypes = ()
    execution_mode: Literal["foreground", "background"] = "foreground"


#: How a step is run that says nothing of it: one object for all of them, since a pipeline may have many thousands.
AS_USUAL = StepConfig()
