"""What a run is given: its input from the one place that wins, its first context, answers."""

import json
import os
import select
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from flujo.exceptions import ConfigurationError
from flujo_cli.streams import CommandError

__all__ = [
    "INPUT_LIMIT",
    "read_context",
    "read_file",
    "read_json",
    "read_object",
    "read_pairs",
    "read_stdin",
    "read_text",
    "resolve_input",
]

#: Bytes that an input may have.
INPUT_LIMIT = 64 * 1024 * 1024

_CHUNK = 1024 * 1024

#: What is shorter may be meant as a text.
_WORDS = 60

_LIKE = """write it like '{"name": "Ann", "limit": 3}'"""

#: Seconds without anything from standard input after which the user is told what is waited for.
_PATIENCE_S = 1.0


def resolve_input(flag: str | None, env: str | None, stdin: Callable[[], str]) -> str:
    """The run's input: `--input`, else a non-empty FLUJO_INPUT, else what is piped in, else empty text.

    `flag` is a text, `-` for standard input, `@file` for a file's text, or `@@text` for text that begins with
    `@`. `stdin` is called at most once, and not at all when the input comes from elsewhere. Raises
    `ConfigurationError` for bytes that aren't UTF-8, for a file that can't be read and for too much of it.
    """
    if flag is None:
        return read_text(env, "FLUJO_INPUT") if env else stdin()
    if flag == "-":
        return stdin()
    if flag.startswith("@@"):
        return read_text(flag[1:], "--input")
    if flag.startswith("@"):
        return read_file(Path(flag[1:]), f"input file {flag[1:]!r}", f"for text that begins with '@', write '@{flag}'")
    return read_text(flag, "--input")


def read_stdin(stream: TextIO | None, *, explicit: bool = False, waiting: Callable[[], object] = lambda: None) -> str:
    """Everything that is piped in; empty text from a terminal or a closed stream, which are never read.

    `explicit` says that the user asked for standard input by `-`: then a terminal is an error. `waiting` is called
    once when nothing comes for a second.
    """
    if stream is None or stream.closed:
        return ""
    if not stream.isatty():
        return _decoded(_drain(stream.fileno(), waiting), "standard input")
    if explicit:
        raise ConfigurationError(
            "--input - needs something piped in, but standard input is a terminal",
            suggestion="pipe the input in, or give it as --input TEXT or --input @FILE",
        )
    return ""


def read_context(file: Path | None, data: str | None, pairs: Sequence[str]) -> dict[str, Any]:
    """The first context: the JSON object in `file`, over it that in `data`, over both the `key=value` pairs.

    A pair's value is JSON where it can be read as such, else text. Raises `ConfigurationError` for anything
    that is no JSON object or no pair.
    """
    context: dict[str, Any] = {}
    if file is not None:
        what = f"--context-file {str(file)!r}"
        context.update(read_object(read_file(file, what), what))
    if data is not None:
        context.update(read_object(data, "--context-data"))
    return {**context, **read_pairs(pairs, "--context")}


def read_pairs(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """The `key=value` pairs of an option; a value is JSON where it can be read as such. Raises `CommandError`."""
    return dict(_pair(pair, option) for pair in pairs)


def _drain(descriptor: int, waiting: Callable[[], object]) -> bytes:
    chunks: list[bytes] = []
    size = 0
    told = False
    while True:
        if not told and not select.select([descriptor], [], [], _PATIENCE_S)[0]:
            waiting()
            told = True
        chunk = _read_chunk(descriptor)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
        _refuse_over_limit(size, "standard input")


def _read_chunk(descriptor: int) -> bytes:
    """The next bytes, b"" at the end. A pipe that was made non-blocking elsewhere is waited for."""
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            select.select([descriptor], [], [])
        except OSError as error:
            raise ConfigurationError(f"standard input can't be read: {error.strerror}") from error


def read_file(file: Path, what: str, advice: str | None = None) -> str:
    """The text of the file, which messages call `what`. Raises `CommandError` for one that can't be read."""
    try:
        with file.open("rb") as stream:
            data = stream.read(INPUT_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason, way = (error.strerror, advice) if isinstance(error, OSError) else (error, None)
        raise CommandError(f"{what} can't be read: {reason}", suggestion=way) from error
    _refuse_over_limit(len(data), what)
    return _decoded(data, what)


def _refuse_over_limit(size: int, what: str) -> None:
    if size > INPUT_LIMIT:
        raise ConfigurationError(
            f"{what} has more than {INPUT_LIMIT // _CHUNK} MiB",
            suggestion="give the file's path as the input, and let a step read it",
        )


def _decoded(data: bytes, what: str) -> str:
    """The text without a mark of its encoding and without its last line's end; white space inside is kept."""
    text = _from_utf8(data, what).removeprefix("\ufeff")
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _from_utf8(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{what} is not UTF-8: byte {data[error.start]:#04x} at offset {error.start}",
            suggestion="convert it (iconv -t UTF-8), or give a file's path as the input and let a step read it",
        ) from error


def read_text(text: str, what: str) -> str:
    """`text`, whose bytes the shell may have handed over undecoded: in a locale of another encoding, all of them.

    Raises `ConfigurationError`, which calls it `what`, for bytes that aren't UTF-8.
    """
    return _from_utf8(os.fsencode(text), what) if any("\udc80" <= char <= "\udcff" for char in text) else text


def read_json(text: str, what: str, advice: str | None = None) -> Any:
    """The JSON value of an option, which messages call `what`. Raises `CommandError`."""
    try:
        return json.loads(read_text(text, what), parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{what} is not JSON: {_reason(error)}", suggestion=advice or _quoted(text)) from error


def _quoted(text: str) -> str | None:
    """How to write what was probably meant as a text."""
    is_word = text[:1].isalpha() and len(text) <= _WORDS and text.isprintable()
    return f"a text stands in double quotes: {shlex.quote(json.dumps(text, ensure_ascii=False))}" if is_word else None


def read_object(text: str, what: str) -> Mapping[str, Any]:
    """The JSON object of an option or a file, which messages call `what`. Raises `CommandError`."""
    value = read_json(text, what, _LIKE)
    if not isinstance(value, dict):
        raise CommandError(f"{what} is a JSON {type(value).__name__}, expected an object", suggestion=_LIKE)
    return value


def _pair(pair: str, option: str) -> tuple[str, Any]:
    key, equals, text = pair.partition("=")
    if not equals or not key:
        raise CommandError(f"{option} {pair!r} is no key=value pair", suggestion=f"write it as {option} name=value")
    key, text = read_text(key, option), read_text(text, f"{option} {key}")
    try:
        return key, json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return key, text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(name for name, _ in pairs if made.pop(name, made) is made)
        raise ValueError(f"key {twice!r} is given twice")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[:1].lower()}{error.msg[1:]} at line {error.lineno} column {error.colno}"
    return str(error)
