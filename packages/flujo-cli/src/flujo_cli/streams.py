"""The process's standard streams, made so that one which can't be written costs nothing but itself."""

import io
import os
import select
import sys
from typing import Any, TextIO

from flujo.exceptions import ConfigurationError, FlujoError

__all__ = ["CommandError", "OutputError", "guard_streams", "guarded_stream"]


class OutputError(FlujoError, code="FLUJO-700"):
    """A result could not be written to stdout."""


class CommandError(ConfigurationError, code="FLUJO-701"):
    """A command line can't be understood, or the value of an option can't be."""


class _Descriptor(io.FileIO):
    """A descriptor for writing that fails once at most; what comes after that goes nowhere.

    A reader that goes away is no failure. Of a `vital` descriptor any other failure is an `OutputError`.
    """

    def __init__(self, descriptor: int, *, vital: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._vital = vital
        self._lost = False

    def write(self, data: Any, /) -> int:
        """Write what fits. A pipe that was made non-blocking elsewhere is waited for."""
        try:
            while not self._lost:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self.fileno()], [])
        except OSError as error:
            self._lost = True
            if self._vital and not isinstance(error, BrokenPipeError):
                raise OutputError(f"the result could not be written to stdout: {error.strerror}") from error
        return memoryview(data).nbytes


def guarded_stream(descriptor: int, encoding: str = "utf-8", *, vital: bool) -> TextIO:
    """A text stream on `descriptor`, which stays open when the stream is closed.

    What can't be written is dropped, or an `OutputError` where it is `vital`: the first time, and only then. Lines are
    written at once where nothing is vital, or to a terminal.
    """
    raw = io.BufferedWriter(_Descriptor(descriptor, vital=vital))
    return io.TextIOWrapper(raw, encoding, errors="backslashreplace", line_buffering=not vital or raw.isatty())


def guard_streams() -> None:
    """Put guarded streams in the place of stdout and stderr; a descriptor that is closed gives and takes nothing.

    To write to one fails as it does where a step has closed it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:  # the lowest free number is always the next
        pass
    os.close(descriptor)
    sys.stdout = guarded_stream(1, sys.stdout.encoding if sys.stdout else "utf-8", vital=True)
    sys.stderr = guarded_stream(2, sys.stderr.encoding if sys.stderr else "utf-8", vital=False)
