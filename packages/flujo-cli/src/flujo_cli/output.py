"""Where words go: results to stdout, everything else to stderr, and errors in one form."""

import io
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

import click

from flujo.domain.masking import masked
from flujo.exceptions import BlueprintError, FlujoError

__all__ = ["Console", "one_line", "show_error", "show_trace"]

#: Signs of how something ended, and what stands for them where the stream can't encode them.
_GLYPHS = {
    "ok": ("✓", "ok"),
    "failed": ("✗", "FAILED"),
    "again": ("↻", "retry"),
    "recalled": ("•", "-"),
    "waits": ("…", "..."),
}


class Console:
    """The two streams of a command.

    What can't be written to stderr is dropped: nothing but the words may be lost by it. Colour is for terminals;
    NO_COLOR, TERM=dumb and FORCE_COLOR are honoured.
    """

    def __init__(
        self, stdout: TextIO | None = None, stderr: TextIO | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self.stdout = sys.stdout if stdout is None else stdout
        self.stderr = sys.stderr if stderr is None else stderr
        self._coloured = _shows_colour(self.stderr, os.environ if environ is None else environ)
        for stream in (self.stdout, self.stderr):
            if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
                stream.reconfigure(errors="backslashreplace")

    def out(self, text: str) -> None:
        """Write `text` and a newline to stdout: a result. Raises `OutputError` in the process of a command."""
        _write(self.stdout, text)

    def note(self, text: str = "") -> None:
        """Write `text` and a newline to stderr: progress, warnings, advice."""
        with suppress(OSError, ValueError):  # a step may have closed it
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
        """The sign for `ok`, `failed`, `again`, `recalled` or `waits`, coloured where stderr shows colour."""
        sign, plain = _GLYPHS[name]
        colour = {"ok": "green", "failed": "red", "again": "yellow", "waits": "yellow"}.get(name)
        return self.paint(sign if _can_encode(self.stderr, sign) else plain, colour)

    def paint(self, text: str, colour: str | None = None, *, bold: bool = False) -> str:
        """`text` for stderr, in colour where that is wanted."""
        return click.style(text, fg=colour, bold=bold or None) if self._coloured else text


def show_error(console: Console, error: FlujoError, *, trace: bool = False) -> None:
    """Say on stderr what is wrong, where, and what helps; and the `trace` of it."""
    findings = error.findings if isinstance(error, BlueprintError) else ()
    if findings and any(finding.location for finding in findings):
        from flujo.blueprint.diagnostics import read_sources, render  # noqa: PLC0415 - who gets here has it loaded

        console.note(render(findings, read_sources(findings)))
        if error.suggestion and all(error.suggestion != finding.help for finding in findings):
            console.note(f"help: {masked(error.suggestion)}")
    else:
        console.note(f"{console.paint(f'error[{error.code}]', 'red', bold=True)} {one_line(masked(str(error)))}")
        if error.suggestion:
            console.note(f"  help: {masked(error.suggestion)}")
    if trace:
        show_trace(console, error)


def show_trace(console: Console, error: BaseException) -> None:
    """Write the traceback of `error` to stderr, without secrets."""
    console.note(masked("".join(traceback.format_exception(error)).rstrip()))


def one_line(text: str, limit: int = 2000) -> str:
    """`text` with its control characters made visible, cut off at `limit` characters."""
    cut = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in cut)


def _write(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()


def _shows_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return not stream.closed and stream.isatty() and environ.get("TERM") != "dumb"


def _can_encode(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _is_utf8(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
