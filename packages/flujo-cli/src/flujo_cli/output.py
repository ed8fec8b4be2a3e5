"""Where words go: results to stdout, everything else to stderr, and errors in one form."""

import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

import click

from flujo.exceptions import BlueprintError, FlujoError

__all__ = ["Console", "one_line", "show_error"]

#: Signs of how something ended, and what stands for them where the stream can't encode them.
_GLYPHS = {"ok": ("✓", "ok"), "failed": ("✗", "FAILED"), "again": ("↻", "retry"), "recalled": ("•", "-")}


class Console:
    """The two streams of a command.

    A reader that goes away is quiet: what would follow is dropped, and the command still ends as it would have.
    Colour is for terminals; NO_COLOR, TERM=dumb and FORCE_COLOR are honoured.
    """

    def __init__(
        self, stdout: TextIO | None = None, stderr: TextIO | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self.stdout = sys.stdout if stdout is None else stdout
        self.stderr = sys.stderr if stderr is None else stderr
        self._environ = os.environ if environ is None else environ
        for stream in (self.stdout, self.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")

    def out(self, text: str) -> None:
        """Write `text` and a newline to stdout: a result."""
        _write(self.stdout, text)

    def note(self, text: str = "") -> None:
        """Write `text` and a newline to stderr: progress, warnings, advice."""
        _write(self.stderr, text)

    def json(self, value: object) -> None:
        """Write plain data to stdout as one JSON value, indented."""
        self.out(json.dumps(value, indent=2, ensure_ascii=not _is_utf8(self.stdout), allow_nan=False))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write rows under a head to stdout, in columns as wide as they need to be; the last one isn't padded."""
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
        for row in (head, *rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            self.out("  ".join([*cells, row[-1]]).rstrip())

    def glyph(self, name: str) -> str:
        """The sign for `ok`, `failed`, `again` or `recalled`, coloured where stderr shows colour."""
        sign, plain = _GLYPHS[name]
        colour = {"ok": "green", "failed": "red", "again": "yellow"}.get(name)
        return self.paint(sign if _can_encode(self.stderr, sign) else plain, colour)

    def paint(self, text: str, colour: str | None = None, *, bold: bool = False) -> str:
        """`text` for stderr, in colour where that is wanted."""
        return click.style(text, fg=colour, bold=bold or None) if self._coloured(self.stderr) else text

    def _coloured(self, stream: TextIO | None) -> bool:
        if self._environ.get("NO_COLOR"):
            return False
        if self._environ.get("FORCE_COLOR"):
            return True
        return stream is not None and stream.isatty() and self._environ.get("TERM") != "dumb"


def show_error(console: Console, error: FlujoError) -> None:
    """Say on stderr what is wrong, where, and what helps."""
    findings = error.findings if isinstance(error, BlueprintError) else ()
    if findings and any(finding.location for finding in findings):
        # Only commands that read pipeline files get here, and those have it loaded.
        from flujo.blueprint.diagnostics import read_sources, render  # noqa: PLC0415

        console.note(render(findings, read_sources(findings)))
        return
    console.note(f"{console.paint(f'error[{error.code}]', 'red', bold=True)} {one_line(str(error))}")
    if error.suggestion:
        console.note(f"  help: {error.suggestion}")


def one_line(text: str, limit: int = 2000) -> str:
    """`text` with its control characters made visible, cut off at `limit` characters."""
    cut = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in cut)


def _write(stream: TextIO | None, text: str) -> None:
    """Write a line at once; a stream that was closed from the start takes nothing."""
    if stream is None:
        return
    try:
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        # The reader is gone: the rest goes nowhere, so that the interpreter's last flush is quiet as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as error:
        raise FlujoError(f"output can't be written: {error.strerror}") from error


def _can_encode(stream: TextIO | None, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _is_utf8(stream: TextIO | None) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
