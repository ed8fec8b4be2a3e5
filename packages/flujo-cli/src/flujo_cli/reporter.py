"""Who tells the user of a run: output to stdout, everything else to stderr, `--json` and `--quiet` respected."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from flujo.domain.callables import THREAD
from flujo.domain.outcomes import PipelineResult, RunStatus
from flujo.exceptions import FlujoError
from flujo.infra.config_manager import Settings
from flujo.infra.logging import Logger
from flujo_cli.options import Options
from flujo_cli.output import Console, show_error, show_trace
from flujo_cli.progress import Progress
from flujo_cli.questions import show_pending
from flujo_cli.report import (
    describe_refusal,
    describe_result,
    describe_stop,
    show_background,
    show_failure,
    show_output,
    show_summary,
)

__all__ = ["Reporter"]

#: How a run ends that somebody is to go on with: the run's id and the command are a part of the answer.
_WITH_A_WAY_ON = (RunStatus.PAUSED, RunStatus.STOPPED)

_WAITING = "waiting for {}; once more stops at once"

#: As many steps are named that are waited for.
_MOST = 5


class Reporter:
    """The voice of one command that runs a pipeline.

    `run_id` is the run's id as far as it is known before the run has begun.
    """

    def __init__(self, options: Options, *, quiet: bool = False) -> None:
        self.console = Console()
        self.progress = Progress(self.console, quiet=quiet)
        self.run_id: str | None = None
        self.options = options
        self._quiet = quiet
        self.log = Logger(options.log_format or "human", self.console.stderr, options.log_level or "warning")

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Keep stdout for the output: what the project's code prints inside goes to stderr.

        With `--json`, what ends the command inside also becomes the object for a run that could not begin, or that
        was interrupted before.
        """
        try:
            with redirect_stdout(self.console.stderr):
                yield
        except FlujoError as error:
            self._answer(describe_refusal(error, self._known_id))
            raise
        except KeyboardInterrupt:
            self._answer(describe_stop(self._known_id, self.progress.finished))
            raise

    def ended(self, result: PipelineResult[Any, Any], following: str | None) -> None:
        """Tell of a run that came to an end, and of the command that may follow. Raises `OutputError`."""
        if self.options.owes_json:
            self._answer(describe_result(result))
        else:
            show_output(self.console, result.output)
        if self.options.debug and result.exception is not None:
            show_trace(self.console, result.exception)
        show_pending(self.console, result.pending)
        if result.error is not None and not (result.pending and result.status is RunStatus.PAUSED):
            show_failure(self.console, result.error)
        show_background(self.console, result.background)
        if self._quiet and result.status not in _WITH_A_WAY_ON:
            return
        if result.success and self.progress.run_id is None:
            self.console.note("this run was completed before: nothing ran, this is its recorded result")
        show_summary(self.console, result, following)

    def stopped(self, last_words: str) -> None:
        """Tell of a run that was interrupted."""
        self.console.note(last_words)
        self._answer(self._stop())

    def tell_of_threads(self) -> None:
        """Say for which steps' threads the process still waits: nothing can stop one from outside."""
        for thread in threading.enumerate():
            if thread.name.startswith(THREAD):
                self.console.note(_WAITING.format(f"the thread of step {thread.name.removeprefix(THREAD)!r}"))

    def tell_of_steps(self) -> Iterator[tuple[int, str]]:
        """What to say of the steps that have not stopped."""
        return ((2, _WAITING.format(f"step {path!r}")) for path in self.progress.at_work[:_MOST])

    def broken_off(self, error: FlujoError, last_words: str) -> None:
        """Tell of a run that had begun when its record could not be written any more."""
        show_error(self.console, error, trace=self.options.debug)
        self.console.note(last_words)
        self._answer(describe_stop(self._known_id, self.progress.finished, error))

    def farewell(self, last_words: str) -> Iterator[tuple[int, str]]:
        """What a process that is about to end writes to its descriptors, past streams that may be locked."""
        yield from ((2, line) for line in self.progress.left_behind())
        yield 2, last_words
        if self.options.owes_json:
            yield 1, json.dumps(self._stop(), indent=2)

    def _stop(self) -> dict[str, Any]:
        ended = self.progress.result
        return describe_result(ended) if ended else describe_stop(self._known_id, self.progress.finished)

    @property
    def _known_id(self) -> str | None:
        return self.progress.run_id or self.run_id

    def _answer(self, described: dict[str, Any]) -> None:
        """Write the one object that `--json` asks for, unless something has written it."""
        if self.options.owes_json:
            self.options.owes_json = False
            self.console.json(described)

    def begin(self, settings: Settings) -> None:
        """Log as `settings` say, but for what the command line says."""
        log_format, level = self.options.log_format, self.options.log_level
        self.log = Logger(log_format or settings.log_format, self.console.stderr, level or settings.log_level)
