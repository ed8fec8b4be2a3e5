"""What a run is doing, one line for each step that ends."""

import re

from flujo.domain.events import (
    BackgroundLaunched,
    CacheMissed,
    Event,
    RunFinished,
    RunStarted,
    StepAbandoned,
    StepFinished,
    StepRetried,
    StepStarted,
)
from flujo.domain.outcomes import ErrorInfo, PipelineResult, StepResult
from flujo_cli.output import Console, one_line

__all__ = ["Progress", "brief", "elapsed"]


class Progress:
    """An event sink that writes append-only lines to stderr, and remembers what a stopped run leaves behind."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        #: The names of the steps that may run only once.
        self.once: set[str] = set()
        #: The run's id once it has started; a completed run that is only read again never starts.
        self.run_id: str | None = None
        #: The steps of the pipeline itself that have ended.
        self.finished: list[StepResult[object]] = []
        #: What the run came to, once it has ended.
        self.result: PipelineResult[object, object] | None = None
        self._at_work: dict[str, None] = {}

    @property
    def at_work(self) -> list[str]:
        """The paths of the steps that have begun and not ended, without those that such a step stands in."""
        paths = list(self._at_work)  # at once: a thread may ask
        around = {path[: each.start()] for path in paths for each in re.finditer(r"[/\[]", path)}
        return [path for path in paths if path not in around]

    def left_behind(self) -> list[str]:
        """The lines of the steps that a process leaves at work which ends at once."""
        return [] if self._quiet else [self._abandoned(path) for path in self.at_work]

    def handle(self, event: Event, /) -> None:
        """Take note of `event`."""
        if isinstance(event, StepStarted) and event.path:
            self._at_work[event.path] = None
        elif isinstance(event, StepFinished | StepAbandoned):
            self._at_work.pop(event.path, None)
        if isinstance(event, RunStarted):
            self.run_id, self.result = event.run_id, None
            self.finished.clear()
            self._say(_started(event))
        elif isinstance(event, StepFinished) and event.path:
            if "/" not in event.path:
                self.finished.append(event.result)
            self._say(self._line(event.result))
        elif isinstance(event, RunFinished):
            self.result = event.result
            self._at_work.clear()
        else:
            self._say(self._between(event))

    def _between(self, event: Event) -> str:
        """The line of what happens before a step has come to its end; empty for what needs none."""
        if isinstance(event, StepRetried):
            wait = f", again in {elapsed(event.delay_s)}" if event.delay_s else ""
            failed = f"attempt {event.attempt} failed: {brief(event.error, 200)}{wait}"
            return f"{self._console.glyph('again')} {event.path}  {failed}"
        if isinstance(event, BackgroundLaunched):
            return f"{self._console.glyph('waits')} {event.path}  goes on in the background"
        if isinstance(event, CacheMissed) and event.changed:
            why = ", ".join(event.changed)
            return f"{self._console.glyph('recalled')} {event.path}  no cached result serves: {why}"
        if isinstance(event, StepAbandoned) and event.path:
            return self._abandoned(event.path)
        return ""

    def _abandoned(self, path: str) -> str:
        what = "is to be settled" if path.rpartition("/")[2] in self.once else "runs again"
        return f"{self._console.glyph('failed')} {path}  was at work, and {what}"

    def _line(self, result: StepResult[object]) -> str:
        if result.recalled:
            return f"{self._console.glyph('recalled')} {result.path}  recorded"
        if result.paused:
            return f"{self._console.glyph('waits')} {result.path}  waits for an answer"
        sign = self._console.glyph("ok" if result.success else "failed")
        notes = [elapsed(result.duration_s)]
        if result.error is not None and not result.success and result.path.endswith("]"):
            notes.append(brief(result.error, 200))  # of an item: where failures are collected, nothing else tells
        if result.cached:
            notes.append("cached")
        if result.error is not None and result.error.type == "Cancelled":
            notes.append("cancelled")
        if result.attempts > 1:
            notes.append(f"{result.attempts} attempts")
        if result.fallback:
            notes.append(f"by fallback {result.fallback}")
        return f"{sign} {result.path}  {', '.join(notes)}"

    def _say(self, text: str) -> None:
        if text and not self._quiet:
            self._console.note(text)


def brief(error: ErrorInfo, limit: int = 2000) -> str:
    """The error's type and what it says; the type alone where it says nothing, and no type where nothing was raised."""
    if error.type == "Aborted":
        return one_line(error.message, limit)
    return error.type if error.message == error.type else f"{error.type}: {one_line(error.message, limit)}"


def elapsed(seconds: float) -> str:
    """A duration for people."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _started(event: RunStarted) -> str:
    if not event.resumed:
        return ""
    steps = "1 step is" if event.recorded == 1 else f"{event.recorded} steps are"
    return f"going on with run {event.run_id}: {steps} recorded"
