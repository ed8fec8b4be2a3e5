"""What runs ask people: as data for `--json`, as lines, and as a prompt at a terminal; and the answers to it."""

import getpass
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from flujo.domain.outcomes import PendingAnswer
from flujo.runner.answers import Reply, fits
from flujo_cli.input import read_file, read_json, read_text
from flujo_cli.output import Console, one_line
from flujo_cli.verdicts import verdict

__all__ = [
    "answering_words",
    "ask",
    "at_terminal",
    "deciding_words",
    "describe_pending",
    "reply_of",
    "show_pending",
    "show_time",
    "user_name",
]

#: As many questions are shown in full; `runs show` has all of them.
_SHOWN = 5


def at_terminal(console: Console) -> bool:
    """Whether somebody can be asked: standard input and stderr are terminals."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty() and console.stderr.isatty()


def describe_pending(pending: Sequence[PendingAnswer]) -> list[dict[str, Any]]:
    """Open questions as plain data."""
    return [
        {**asked._asdict(), "since": show_time(asked.since), "deadline": show_time(asked.deadline)} for asked in pending
    ]


def show_pending(console: Console, pending: Sequence[PendingAnswer]) -> None:
    """Say on stderr what is asked, and what answers are taken; of several questions the tokens as well."""
    for asked in pending[:_SHOWN]:
        token = f" [{asked.token}]" if len(pending) > 1 else ""
        console.note(f"{console.paint('?', 'yellow', bold=True)} {asked.path}{token}: {_lines(asked.message)}")
        if asked.schema is not None:
            console.note(f"    answers: {one_line(json.dumps(asked.schema, ensure_ascii=False), 400)}")
        if asked.deadline is not None:
            console.note(f"    until {show_time(asked.deadline)}")
    if len(pending) > _SHOWN:
        console.note(f"  and {len(pending) - _SHOWN} more questions: `flujo runs show` lists them")


def answering_words(pending: Sequence[PendingAnswer]) -> tuple[str, ...]:
    """The options of `resume` that answer: what is to be filled in stands in capitals."""
    token = ("--token", "TOKEN") if len(pending) > 1 else ()
    return (*token, *_answer_words(pending[0].schema))


def deciding_words(run_id: str, asked: PendingAnswer, token: str) -> tuple[str, ...]:
    """The command that answers one question: to approve, where that alone is an answer and no text is asked for."""
    schema = asked.schema
    is_text = isinstance(schema, Mapping) and schema.get("type") == "string" and "enum" not in schema
    if not is_text and fits(schema, verdict(True, schema, {}, {})):
        return ("runs", "approve", run_id, "--token", token)
    return ("resume", run_id, "--token", token, *_answer_words(schema))


def _answer_words(schema: Any) -> tuple[str, str]:
    return ("--answer", "TEXT") if _takes_text(schema) else ("--answer-json", "JSON")


def ask(console: Console, asked: PendingAnswer) -> Reply | None:
    """Ask at the terminal; None when Ctrl-C or the end of input is the answer."""
    show_pending(console, [asked])
    text = ""
    try:
        while not text:
            text = click.prompt("  answer", default="", show_default=False, err=True)
            if not text:
                console.note("  nothing is no answer: type one, or Ctrl-C leaves the run waiting")
    except click.Abort:
        console.note()
        return None
    return Reply(text, asked.token, user_name())


def reply_of(text: str | None, json_text: str | None, file: Path | None, token: str | None) -> Reply | None:
    """The answer of a command line; None where there is none. Raises `click.UsageError` for more than one.

    Raises `ConfigurationError` for a file that can't be read, and for what should be JSON and isn't.
    """
    given = [each for each in (text, json_text, file) if each is not None]
    if len(given) > 1:
        raise click.UsageError("give one answer: --answer, --answer-json or --answer-file")
    if not given:
        if token is not None:
            raise click.UsageError("--token says what is answered: give --answer, --answer-json or --answer-file too")
        return None
    if json_text is not None:
        return Reply(read_json(json_text, "--answer-json"), token, user_name())
    if file is not None:
        return Reply(read_file(file, f"--answer-file {str(file)!r}"), token, user_name())
    return Reply(read_text(str(text), "--answer"), token, user_name())


def _takes_text(schema: Any) -> bool:
    if not isinstance(schema, Mapping) or "type" not in schema:
        return not isinstance(schema, Mapping) or "properties" not in schema
    return "string" in schema["type"]


def user_name() -> str:
    """Who uses this process, as far as it is known."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return ""


def show_time(seconds: float | None) -> str | None:
    """A time for people and programs, in UTC; None for none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _lines(text: str) -> str:
    """The text with its lines, those after the first indented; nothing else in it that a terminal obeys."""
    return "\n    ".join(one_line(line, 2000) for line in text.splitlines() or [""])
