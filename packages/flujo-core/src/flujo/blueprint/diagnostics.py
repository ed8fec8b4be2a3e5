"""Findings about pipeline files: how they are gathered, and how they are shown."""

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from flujo.blueprint.document import Place, split_lines
from flujo.domain.foreign import visible
from flujo.domain.validation import Finding, Location
from flujo.exceptions import BlueprintError, FlujoError

__all__ = ["MOST", "Report", "blueprint_error", "brief", "finding_of", "in_order", "read_sources", "render"]

#: As many findings are gathered about one file; nobody reads more, and a hostile file could hold thousands.
MOST = 100

_WIDTH = 120


class Report:
    """Gathers the findings about one file, at most `MOST`."""

    def __init__(self, file: str) -> None:
        self.findings: list[Finding] = []
        self._file = file

    @property
    def full(self) -> bool:
        """Whether nothing more is noted."""
        return len(self.findings) >= MOST

    def note(self, code: str, message: str, place: Place, advice: str | None = None) -> None:
        """Note a mistake at `place`."""
        self.add(Finding(code, message, help=advice, location=Location(self._file, *place)))

    def add(self, finding: Finding) -> None:
        """Note `finding`."""
        if not self.full:
            self.findings.append(finding)

    def add_once(self, finding: Finding) -> None:
        """Note `finding`, unless it says again that some code fails while it is loaded: one of its users is enough."""
        if finding.code != "V-A05" or finding.message not in {other.message for other in self.findings}:
            self.add(finding)

    def error(self) -> BlueprintError:
        """One error that holds everything noted."""
        return blueprint_error(self.findings)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, by file, line and column; those without a place come first."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda f: (f.location or Location("", 0, 0), f.code, f.message)))


def blueprint_error(findings: Iterable[Finding]) -> BlueprintError:
    """One error that holds all of `findings`."""
    ordered = in_order(findings)
    first = ordered[0]
    place = f"{_place(first.location)}: " if first.location else ""
    count = f"{len(ordered)} errors, the first: " if len(ordered) > 1 else ""
    return BlueprintError(f"{count}{place}{first.message}", findings=ordered, suggestion=first.help)


def finding_of(error: FlujoError, code: str, path: str, at: Location | None) -> Finding:
    """The finding that `error` amounts to: of its own code if that is a finding's, else of `code`."""
    code = error.code if error.code.startswith("V-") else code
    return Finding(code, error.message, path=path, help=error.suggestion, location=at)


def brief(value: object) -> str:
    """`value` named in a message: a scalar in short, a mapping or list by its shape."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, str) and len(value) > 60:
        return f"{value[:57]!r}..."
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:20]}..."


def read_sources(findings: Iterable[Finding]) -> dict[str, str]:
    """The texts of the files that `findings` point into, as far as they can still be read."""
    sources = {}
    for file in dict.fromkeys(f.location.file for f in findings if f.location):
        path = Path(file)
        if path.is_file():
            sources[file] = path.read_text(encoding="utf-8-sig", errors="replace")
    return sources


def render(findings: Iterable[Finding], sources: Mapping[str, str]) -> str:
    """The findings as a compiler shows them: place, line and caret, and advice; a blank line between two.

    `sources` maps the files in the findings' locations to their texts; without a text the line is left out.
    """
    lines = {file: split_lines(text) for file, text in sources.items()}
    return "\n\n".join(_shown(finding, lines) for finding in in_order(findings))


def _shown(finding: Finding, sources: Mapping[str, list[str]]) -> str:
    at = finding.location
    place = f" {_place(at)}:" if at else f" {finding.path}:" if finding.path else ":"
    parts = [f"{finding.severity}[{finding.code}]{place} {visible(finding.message)}"]
    source = sources.get(at.file, []) if at else []
    if at is not None and at.line <= len(source):
        parts += _excerpt(source[at.line - 1], at)
    if finding.help:
        parts.append(f"help: {visible(finding.help)}")
    return "\n".join(parts)


def _place(at: Location) -> str:
    return f"{at.file}:{at.line}:{at.column}"


def _excerpt(line: str, at: Location) -> list[str]:
    """The line and a caret under the column; of a long line the part around it, nothing that a terminal obeys."""
    begin = max(0, at.column - 1 - _WIDTH // 2) if len(line) > _WIDTH else 0
    part = "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line[begin:][:_WIDTH])
    before = part[: at.column - 1 - begin]
    pad = "".join(c if c == "\t" else " " * _columns(c) for c in before)
    number = str(at.line).rjust(5)
    return [f"{number} | {part}".rstrip(), f"      | {pad}^"]


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
