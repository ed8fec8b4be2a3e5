"""What the steps of a run log by themselves: log lines like flujo's own, with the run and the step, without secrets."""

import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from flujo.domain.events import Event, StepFinished, StepStarted
from flujo.domain.masking import masked
from flujo.infra.logging import LOG_LEVELS, Logger

__all__ = ["PlaceSink", "step_logs"]


class _Place(NamedTuple):
    run_id: str
    path: str
    around: "_Place | None"


_PLACE: ContextVar[_Place | None] = ContextVar("place", default=None)

#: What every record of `logging` has; the rest are the fields of one line.
_USUAL = {*vars(logging.makeLogRecord({})), "asctime", "message", "taskName"}


class PlaceSink:
    """An event sink that notes which step is at work in its task, and for structlog, if the program has loaded it.

    What steps log by structlog goes to `log`, too, unless the program has configured structlog.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log

    def handle(self, event: Event, /) -> None:
        """Note where a step begins, and what is around it where it ends."""
        place, structlog = _PLACE.get(), sys.modules.get("structlog")
        if structlog is not None and not structlog.is_configured():
            told = (structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info)
            structlog.configure([*told, _Written(self._log)])
        if isinstance(event, StepStarted):
            _note(_Place(event.run_id, event.path, place))
        elif isinstance(event, StepFinished) and place is not None and place.path == event.path:
            _note(place.around)


class _Written(NamedTuple):
    """Structlog's last processor: writes to the log, and leaves nothing to print."""

    log: Logger

    def __call__(self, _: object, level: str, line: MutableMapping[str, Any]) -> str:
        event = str(line.pop("event", ""))
        _log(self.log, logging.getLevelNamesMapping().get(level.upper(), logging.ERROR), event, line)
        raise sys.modules["structlog"].DropEvent


def _log(log: Logger, level: int, event: str, fields: MutableMapping[str, Any]) -> None:
    """Write a line of a step, of a level of `logging`, with the fields that it has and where it comes from."""
    place = _PLACE.get()
    run_id, path = (None, None) if place is None else (place.run_id, place.path or None)
    name = LOG_LEVELS[min(max(level // 10 - 1, 0), len(LOG_LEVELS) - 1)]
    log.log(name, event, **{"logger": None, "run_id": run_id, "path": path, **fields})


def _note(place: _Place | None) -> None:
    _PLACE.set(place)
    structlog = sys.modules.get("structlog")
    if structlog is not None and place is not None:
        structlog.contextvars.bind_contextvars(run_id=place.run_id, path=place.path)
    elif structlog is not None:
        structlog.contextvars.unbind_contextvars("run_id", "path")


class _Lines(logging.Handler):
    """Writes to the log that there is now."""

    def __init__(self, log: Callable[[], Logger]) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in vars(record).items() if name not in _USUAL}
        event = fields.pop("event", None)  # the line's own text has that name
        _log(self._log(), record.levelno, self.format(record), {"logger": record.name, **fields, "event_": event})


class _Masked(logging.LogRecord):
    """A record whose message has no secrets, whoever writes it."""

    def getMessage(self) -> str:  # noqa: N802 - the name is that of `logging`
        return masked(super().getMessage())


@contextmanager
def step_logs(log: Callable[[], Logger]) -> Iterator[None]:
    """Write to `log` what is logged inside, unless the program has handlers of its own: those go before."""
    last, made = logging.lastResort, logging.getLogRecordFactory()
    logging.lastResort = _Lines(log)
    logging.setLogRecordFactory(_Masked)
    try:
        yield
    finally:
        logging.lastResort = last
        logging.setLogRecordFactory(made)
        structlog = sys.modules.get("structlog")
        if structlog is not None and any(isinstance(each, _Written) for each in structlog.get_config()["processors"]):
            structlog.reset_defaults()
