"""Log lines about flujo itself, through structlog; nothing of it is imported before the first line."""

import logging
import sys
from collections.abc import MutableMapping
from functools import cached_property
from typing import Any, Literal, TextIO, TypeAlias, get_args

from flujo.domain.masking import MASK, is_secret_name, masked

__all__ = ["LOG_FORMATS", "LOG_LEVELS", "LogFormat", "LogLevel", "Logger"]

LogFormat: TypeAlias = Literal["human", "json"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

LOG_FORMATS: tuple[LogFormat, ...] = get_args(LogFormat)
#: The lowest first.
LOG_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)


class Logger:
    """Writes lines of `level` and above; what is a secret in them is masked.

    With a `log_format` they go to `stream` (default: stderr): `human` is `warning: event (field=value)`, `json` one
    object a line with an ISO time in UTC. Without one they go to the logger "flujo" of Python's `logging`, as a program
    configures that, and each record has its fields as `record.flujo`. A program's own structlog configuration is
    neither used nor changed.
    """

    def __init__(
        self, log_format: LogFormat | None = "human", stream: TextIO | None = None, level: LogLevel = "debug"
    ) -> None:
        self._format = log_format
        self._stream = stream
        self._least = LOG_LEVELS.index(level)

    def hears(self, level: LogLevel) -> bool:
        """Whether a line of this level is written anywhere."""
        if LOG_LEVELS.index(level) < self._least:
            return False
        return self._format is not None or logging.getLogger("flujo").isEnabledFor(_number(level))

    def log(self, level: LogLevel, event: str, /, **fields: Any) -> None:
        """Write a line, if it is heard. Fields that are None are left out."""
        if not self.hears(level):
            return
        told = {name: _shown(name, value) for name, value in fields.items() if value is not None}
        if self._format is None:
            text = _line(masked(event), told)
            logging.getLogger("flujo").log(_number(level), text, extra={"flujo": told})
        else:
            getattr(self._writer, level)(masked(event), **told)

    @cached_property
    def _writer(self) -> Any:
        import structlog  # noqa: PLC0415 - a tenth of a second that a run without a log line never pays

        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        json = [stamp, structlog.processors.JSONRenderer(default=str)]
        return structlog.wrap_logger(
            structlog.PrintLogger(self._stream or sys.stderr),
            processors=[structlog.processors.add_log_level, *([_human] if self._format == "human" else json)],
            wrapper_class=structlog.BoundLogger,
        )


def _number(level: LogLevel) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _shown(name: str, value: Any) -> Any:
    """A field's value without secrets: numbers as they are, all else as text."""
    if is_secret_name(name):
        return MASK
    return value if isinstance(value, bool | int | float) else masked(str(value))


def _human(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    level, text = event.pop("level"), event.pop("event")
    return f"{level}: {_line(text, event)}"


def _line(event: str, fields: MutableMapping[str, Any]) -> str:
    told = ", ".join(f"{key}={value}" for key, value in fields.items())
    return f"{event} ({told})" if told else event
