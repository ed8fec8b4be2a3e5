"""Who tells the user of a run: output to stdout, everything else to stderr, `--json` and `--quiet` respected."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from flujo.domain.outcomes import PipelineResult
from flujo.exceptions import FlujoError
from flujo.infra.codec import jsonable
from flujo.infra.logging import get_logger
from flujo.plugins import PluginManager
from flujo.runner.flujo import Flujo
from flujo_cli.options import Options
from flujo_cli.output import Console
from flujo_cli.progress import Progress
from flujo_cli.report import describe_refusal, describe_result, describe_stop, show_failure, show_summary

__all__ = ["Reporter"]


class Reporter:
    """The voice of one command that runs a pipeline."""

    def __init__(self, options: Options, *, as_json: bool = False, quiet: bool = False) -> None:
        self.console = Console()
        self.progress = Progress(self.console, quiet=quiet)
        self._options = options
        self._as_json = as_json
        self._quiet = quiet

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Keep stdout for the output: what the project's code prints inside goes to stderr.

        With `--json`, an error inside also becomes the object for a run that could not begin or be recorded.
        """
        try:
            with redirect_stdout(self.console.stderr):
                yield
        except FlujoError as error:
            if self._as_json:
                self.console.json(describe_refusal(error, self.progress.run_id))
            raise

    def ended(self, result: PipelineResult[Any, Any], following: str | None) -> None:
        """Tell of a run that came to an end, and of the command that may follow."""
        if self._as_json:
            self.console.json(describe_result(result))
        elif isinstance(result.output, str):
            self.console.out(result.output)
        elif result.output is not None:
            self.console.json(jsonable(result.output))
        if result.error is not None:
            show_failure(self.console, result.error)
        if self._quiet:
            return
        if result.success and self.progress.run_id is None:
            self.console.note("this run was completed before: nothing ran, this is its recorded result")
        show_summary(self.console, result, following)

    def stopping(self) -> None:
        """Say that a signal has arrived."""
        self.console.note("stopping; once more stops at once")

    def stopped(self, last_words: str) -> None:
        """Tell of a run that a signal has stopped."""
        if self._as_json:
            self.console.json(describe_stop(self.progress.run_id, self.progress.finished))
        self.console.note(last_words)

    def warn_of_plugins(self, manager: PluginManager) -> None:
        """Log each installed plugin that is broken; the command goes on without it."""
        for problem in manager.problems():
            self._logger().warning(problem, see="flujo plugins")

    def warn_of_sinks(self, flujo: Flujo[Any, Any, Any]) -> None:
        """Log each listener that failed and heard nothing of the rest of the run."""
        for sink, error in flujo.broken_sinks:
            self._logger().warning("an event sink failed and was detached", sink=type(sink).__name__, error=error)

    def _logger(self) -> Any:
        return get_logger(self._options.log_format, self.console.stderr)
