"""Read a git diff and look at what it adds. Plain functions: nothing here knows what runs them."""

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel

Severity = Literal["high", "medium", "low"]

_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)")
LONGEST_LINE = 110
RISKS: dict[str, tuple[Severity, str]] = {
    r"\bexcept( BaseException| Exception)?( as \w+)?:": ("high", "handles every exception"),
    r"\b(eval|exec)\(": ("high", "runs text as code"),
    r"\bgc\.disable\(\)": ("medium", "turns the garbage collector off"),
    r"\bpickle\b": ("high", "reads pickles"),
}


class Line(BaseModel):
    """A line that the change adds, by its number in the new file."""

    number: int
    text: str


class Change(BaseModel):
    """A changed file and the lines it gets."""

    path: str
    added: list[Line]


class Finding(BaseModel):
    """What a reviewer has to say about a line; line 0 is the whole file."""

    path: str
    line: int
    severity: Severity
    rule: str
    message: str


def parse(diff: str) -> list[Change]:
    """The changed files of a diff as git writes it. Raises `ValueError` for text that is none."""
    changes: list[Change] = []
    number = 0
    for line in diff.splitlines():
        if line.startswith("+++ "):
            changes.append(Change(path=line.removeprefix("+++ b/"), added=[]))
        elif hunk := _HUNK.match(line):
            number = int(hunk[1])
        elif line.startswith("+") and changes:
            changes[-1].added.append(Line(number=number, text=line[1:]))
            number += 1
        elif line.startswith(" "):
            number += 1
    if not changes:
        raise ValueError("the input is no diff: it changes no file")
    return changes


def security(changes: list[Change]) -> list[Finding]:
    """Lines of code, not of tests, that do something risky."""
    return [
        Finding(path=change.path, line=line.number, severity=severity, rule="security", message=message)
        for change in changes
        if not _is_test(change.path)
        for line in change.added
        for pattern, (severity, message) in RISKS.items()
        if re.search(pattern, line.text)
    ]


def style(changes: list[Change]) -> list[Finding]:
    """Lines that are too long, and functions without a docstring."""
    return [
        Finding(path=change.path, line=number, severity="low", rule="style", message=message)
        for change in changes
        for number, message in _style(change)
    ]


def _style(change: Change) -> Iterator[tuple[int, str]]:
    added = {line.number: line.text for line in change.added}
    for number, text in added.items():
        if len(text) > LONGEST_LINE:
            yield number, f"is {len(text)} characters long"
        opens = re.match(r"\s*(?:async )?def (\w+)\(.*:$", text)
        if opens and not _is_test(change.path) and '"""' not in added.get(number + 1, '"""'):
            yield number, f"{opens[1]} has no docstring"


def tests(changes: list[Change]) -> list[Finding]:
    """Code that changes while its tests do not."""
    tested = {change.path.rpartition("/")[2].removeprefix("test_") for change in changes if _is_test(change.path)}
    return [
        Finding(path=change.path, line=0, severity="medium", rule="tests", message="changes, but its tests do not")
        for change in changes
        if not _is_test(change.path) and change.path.rpartition("/")[2] not in tested
    ]


def merge(found: dict[str, list[Finding]]) -> list[Finding]:
    """What all reviewers found, the worst first."""
    severities = ("high", "medium", "low")
    together = [finding for findings in found.values() for finding in findings]
    return sorted(together, key=lambda each: (severities.index(each.severity), each.path, each.line))


def report(findings: list[Finding]) -> str:
    """One line for each finding, and how many there are."""
    lines = [f"{each.severity:6} {each.rule:8} {each.path}:{each.line} {each.message}" for each in findings]
    return "\n".join([*lines, f"{len(findings)} findings"])


def _is_test(path: str) -> bool:
    return path.startswith("tests/")
