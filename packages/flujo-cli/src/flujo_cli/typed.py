"""The text of an input as the type that a pipeline takes."""

from typing import Any, NamedTuple

from flujo.domain.hints import show
from flujo.domain.steps import Pipeline
from flujo.domain.validation import Refusal
from flujo.exceptions import ConfigurationError, SchemaMismatchError
from flujo_cli.input import read_json

__all__ = ["Given"]


class Given(NamedTuple):
    """An input as the command line has it: text, or JSON if `is_json`, from what messages call `origin`."""

    text: str
    is_json: bool = False
    origin: str = "the input"

    def fitting(self, pipeline: Pipeline[Any, Any]) -> Any:
        """The value that the pipeline is given: the text itself where a first step takes text, or anything.

        Else the text is read as JSON, and as what the step declares. Raises `ConfigurationError` when it can't be.
        """
        refusal = next(iter(pipeline.refusals(str, maybe=True)), None)
        value = read_json(self.text, self.origin) if self.is_json else self.text
        if refusal is None:
            if not self.is_json or isinstance(value, str):
                return value
            refusal = next(iter(pipeline.refusals(type(value), maybe=True)), None)
        return value if refusal is None else self._as_declared(value, refusal)

    def _as_declared(self, value: Any, refusal: Refusal) -> Any:
        from flujo.infra.schemas import OutputSchema  # noqa: PLC0415 - it loads pydantic's schemas, and most take text

        (name,) = show(refusal.wanted)
        what = f"{self.origin} of step {refusal.step.name!r}, which takes {name!r},"
        try:
            schema = OutputSchema.of(refusal.wanted)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{what} can't be given on a command line", suggestion="run the pipeline from Python"
            ) from error
        try:
            if self.is_json:
                return schema.check(value, what=what)
            plain = schema.fit(self.text or None)  # as an int, a date, or nothing; else it is JSON
            if not plain.problems:
                return plain.value
            return schema.check(read_json(self.text, what), what=what)
        except SchemaMismatchError as error:
            raise ConfigurationError(error.message, suggestion="give JSON of that type", cause=error) from error
