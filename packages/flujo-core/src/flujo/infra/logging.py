"""Log lines about flujo itself, through structlog; nothing of it is imported before the first logger."""

import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO, TypeAlias

__all__ = ["LogFormat", "get_logger"]

LogFormat: TypeAlias = Literal["human", "json"]


def get_logger(log_format: LogFormat = "human", stream: TextIO | None = None) -> Any:
    """A structlog logger that writes to `stream` (default: stderr): `get_logger().warning("event", field=value)`.

    `human` is `warning: event (field=value)`, `json` one object a line with an ISO time in UTC. A program's own
    structlog configuration is neither used nor changed.
    """
    import structlog  # noqa: PLC0415 - a tenth of a second that a run without a log line never pays

    finish = [_human] if log_format == "human" else [_stamp(structlog), structlog.processors.JSONRenderer(default=str)]
    return structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        processors=[structlog.processors.add_log_level, *finish],
        wrapper_class=structlog.BoundLogger,
    )


def _stamp(structlog: Any) -> Any:
    return structlog.processors.TimeStamper(fmt="iso", utc=True)


def _human(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    level, text = event.pop("level"), event.pop("event")
    fields = ", ".join(f"{key}={value}" for key, value in event.items())
    return f"{level}: {text} ({fields})" if fields else f"{level}: {text}"
