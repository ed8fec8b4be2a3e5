"""Skills that read and write files, under the project's folder and nowhere else."""

import asyncio
import os
import secrets
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from flujo.engine.step_run import StepRun
from flujo.exceptions import ConfigurationError, ValidationError
from flujo_policies_builtin.files import Malformed, csv_rows, inside, jsonl_values, told
from flujo_policies_builtin.skills.arguments import MISSING, gather, required

__all__ = ["read_csv", "read_jsonl", "read_text", "write_text"]

T = TypeVar("T")

#: Where a project keeps its runs: no place for a pipeline's own files.
_STATE = ".flujo"


async def read_text(data: Any = None, *, path: Any = MISSING, run: StepRun) -> str:
    """Give the text of the UTF-8 file at `path`, exactly."""
    given = gather("read_text", data, "path", path=path)
    return await asyncio.to_thread(_read, "read_text", given, run, _text)


async def read_csv(
    data: Any = None, *, path: Any = MISSING, delimiter: Any = MISSING, run: StepRun
) -> list[dict[str, str]]:
    """Give the rows of the CSV file at `path` as mappings by the names in its first row; every value is text.

    Raises `ValidationError` for a row with more or fewer values than there are names, and for a name given twice.
    """
    given = gather("read_csv", data, "path", path=path, delimiter=delimiter)
    mark = given.get("delimiter", ",")
    if not isinstance(mark, str) or len(mark) != 1:
        raise ConfigurationError(f"skill 'read_csv' got {mark!r} as its delimiter, expected one character")
    return await asyncio.to_thread(
        _read, "read_csv", given, run, lambda file, shown: _sound(csv_rows(file, shown, mark, needs_header=False))
    )


async def read_jsonl(data: Any = None, *, path: Any = MISSING, run: StepRun) -> list[Any]:
    """Give the values of the file at `path`, which has one JSON value a line; empty lines are skipped."""
    given = gather("read_jsonl", data, "path", path=path)
    return await asyncio.to_thread(
        _read, "read_jsonl", given, run, lambda file, shown: _sound(jsonl_values(file, shown))
    )


async def write_text(data: Any = None, *, path: Any = MISSING, text: Any = MISSING, run: StepRun) -> dict[str, Any]:
    """Write `text` to the file at `path` as UTF-8, and give `{path, bytes}`; folders are made as needed.

    The file is there whole, or as it was before: the text is written beside its place and then moved there.
    """
    given = gather("write_text", data, "text", path=path, text=text)
    content = required("write_text", given, "text")
    if not isinstance(content, str):
        raise ConfigurationError(
            f"skill 'write_text' got {type(content).__name__!r}, expected text",
            suggestion="make it text with flujo.builtins.to_json, or with a template",
        )
    return await asyncio.to_thread(_write, given, content, run)


def _read(skill: str, given: dict[str, Any], run: StepRun, parse: Callable[[Path, str], T]) -> T:
    file, shown = _inside(skill, given, run)
    with told("read", shown):
        return parse(file, shown)


def _text(file: Path, _: str) -> str:
    return file.read_bytes().decode("utf-8-sig")


def _sound(items: Generator[Any, None, None]) -> list[Any]:
    """All of `items`. Raises `ValidationError` for the first that can't be read."""
    found = []
    with closing(items):  # whoever keeps the error would keep the file open
        for item in items:
            if isinstance(item, Malformed):
                raise item.error
            found.append(item)
    return found


def _write(given: dict[str, Any], content: str, run: StepRun) -> dict[str, Any]:
    file, shown = _inside("write_text", given, run)
    if shown.partition("/")[0] == _STATE:
        raise ConfigurationError(f"path {shown!r} is inside the project's state", suggestion="choose another folder")
    payload = _encoded(content, shown)
    beside = file.with_name(f".{secrets.token_hex(8)}.tmp")
    with told("write", shown):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as out:
                out.write(payload)
                out.flush()
                os.fsync(out.fileno())
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
    return {"path": shown, "bytes": len(payload)}


def _encoded(content: str, shown: str) -> bytes:
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        raise ValidationError(
            f"{shown!r} can't hold the text: character {error.start} is a lone surrogate", cause=error
        ) from error


def _inside(skill: str, given: dict[str, Any], run: StepRun) -> tuple[Path, str]:
    """The file that is meant, and its path from the project's folder."""
    return inside(run.root, required(skill, given, "path"), f"skill {skill!r}")
