"""Files under the project's folder, read an item at a time; errors name them by their path from there."""

import csv
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from flujo.exceptions import ConfigurationError, ExecutionError, ValidationError
from flujo_policies_builtin.skills.values import parse_json

__all__ = ["Malformed", "csv_rows", "inside", "jsonl_values", "told"]


class Malformed(NamedTuple):
    """Stands for an item that can't be read; the items after it can."""

    error: ValidationError


def inside(root: Path | None, path: Any, who: str) -> tuple[Path, str]:
    """The file at `path`, and its path from the project's folder `root`. Symbolic links are followed first.

    Raises `ConfigurationError`, which names `who`, for a path that leads out of the project.
    """
    if root is None:
        raise ConfigurationError(
            f"{who} needs a project's folder, and this run has none", suggestion="pass Flujo(root=...)"
        )
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"{who} got {path!r} as its path, expected the path of a file")
    real = Path(os.path.realpath(root))
    file = Path(os.path.realpath(real / path))
    if not file.is_relative_to(real):
        raise ConfigurationError(
            f"path {path!r} is outside the project", suggestion=f"{who} stays under the project's folder"
        )
    return file, file.relative_to(real).as_posix()


@contextmanager
def told(verb: str, shown: str) -> Iterator[None]:
    """Tell what went wrong with a file by its path in the project."""
    try:
        yield
    except OSError as error:
        advice = "name a file" if isinstance(error, IsADirectoryError) else "paths start from the project's folder"
        raise ExecutionError(
            f"can't {verb} {shown!r}: {(error.strerror or str(error)).lower()}", suggestion=advice, cause=error
        ) from error
    except UnicodeDecodeError as error:
        raise ValidationError(f"{shown!r} is not utf-8 text: byte {error.start} is wrong", cause=error) from error


def jsonl_values(file: Path, shown: str) -> Generator[Any, None, None]:
    """The values of a file with one JSON value a line, read as they are asked for; empty lines are skipped."""
    with told("read", shown), file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _value(line, "utf-8-sig" if number == 1 else "utf-8", f"{shown!r} line {number}")


def csv_rows(file: Path, shown: str, delimiter: str = ",", *, needs_header: bool = True) -> Generator[Any, None, None]:
    """The rows of a CSV file as mappings by the names in its first row, read as they are asked for.

    Raises `ValidationError` for a name given twice, and unless `needs_header` is false for an empty file.
    """
    with told("read", shown), file.open(newline="", encoding="utf-8-sig") as lines:
        rows = _rows(csv.reader(lines, delimiter=delimiter, strict=True), shown)
        names, _ = next(rows, ([], ""))
        if isinstance(names, Malformed):
            raise names.error
        if needs_header and not names:
            raise ValidationError(f"{shown!r} has no header", suggestion="its first line must name the columns")
        if len(set(names)) < len(names):
            raise ValidationError(f"{shown!r} names a column twice: {', '.join(names)}")
        for row, where in rows:
            yield row if isinstance(row, Malformed) else _named(names, row, where)


def _value(line: bytes, encoding: str, where: str) -> Any:
    try:
        return parse_json(line.decode(encoding).rstrip("\r\n"), where, is_line=True)
    except UnicodeDecodeError as error:
        return Malformed(ValidationError(f"{where} is not utf-8 text: byte {error.start} is wrong", cause=error))
    except ValidationError as error:
        return Malformed(error)


def _rows(reader: Any, shown: str) -> Iterator[tuple[Any, str]]:
    """Each row that isn't empty, or why it is none, and where it stands."""
    while True:
        try:
            row: Any = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            where = f"{shown!r} line {reader.line_num}"
            row = Malformed(ValidationError(f"{where} is not csv: {error}", cause=error))
        if row:
            yield row, f"{shown!r} line {reader.line_num}"


def _named(names: list[str], row: list[str], where: str) -> Any:
    if len(row) == len(names):
        return dict(zip(names, row, strict=True))
    return Malformed(
        ValidationError(
            f"{where} has {len(row)} values, its header has {len(names)} names",
            suggestion="a value with a delimiter or a line break in it stands in double quotes",
        )
    )
