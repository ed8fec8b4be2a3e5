"""The files that settings are read from: where they are looked for, what became of each, and where a key stands."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flujo.exceptions import SettingsError

__all__ = ["Looked", "Table", "look", "nearest", "stamps"]

PROJECT_FILE = "flujo.toml"
PYPROJECT = "pyproject.toml"

_HEADER = re.compile(r"[ \t]*\[([^\[\]#]+)\]")
_KEY = re.compile(r"""[ \t]*(?:"([^"]*)"|'([^']*)'|([\w-]+))""")


class Table(NamedTuple):
    """The flujo part of one TOML file, and the file's text for the places of keys."""

    file: Path
    values: Mapping[str, Any]
    text: str

    def place(self, path: Sequence[str]) -> str:
        """`file:line` of the key or table at `path`, else of what it stands in, or the file."""
        table: list[str] = []
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := _HEADER.match(line):
                names = _names(header[1])
                here = table = names[2:] if names[:2] == ["tool", "flujo"] else names
            else:
                here = table + _names(line.partition("#")[0].partition("=")[0])
            if here[: len(path)] == list(path):
                return f"{self.file}:{number}"
        return self.place(path[:-1]) if len(path) > 1 else str(self.file)


class Looked(NamedTuple):
    """A file that was looked for, and what became of it: "read", "left out", "not there", or why it does not count.

    `own` says that it is the user's, not a project's.
    """

    file: Path
    state: str
    table: Table | None = None
    own: bool = False


def look(start: Path) -> tuple[Looked, ...]:
    """Each file in which settings of `start` are looked for, the one that counts most first, the user's own last.

    The nearest folder upwards that has a flujo.toml or a `[tool.flujo]` ends the search for a project's. A file that
    can't be reached is passed over. Raises `SettingsError` for one that is there and can't be read.
    """
    looked: list[Looked] = []
    for folder in (start, *start.parents):
        found = [_project_file(folder / PROJECT_FILE), _pyproject(folder / PYPROJECT)]
        looked += found
        if any(each.table for each in found):
            break
    return (*looked, *(_project_file(file, own=True) for file in _user_files()))


def nearest(start: Path) -> tuple[Looked, ...]:
    """The file that makes a folder upwards from `start` a project's, if there is one, as if it were empty."""
    for folder in (start, *start.parents):
        for file, mark in ((folder / PROJECT_FILE, b""), (folder / PYPROJECT, b"[tool.flujo")):
            if os.access(file, os.R_OK) and file.is_file() and mark in file.read_bytes():
                return (Looked(file, "left out", Table(file, {}, "")),)
    return ()


def stamps(start: Path) -> tuple[object, ...]:
    """What tells whether any of the files that matter to `start` has changed since."""
    folders = (start, *start.parents)
    files = [folder / name for folder in folders for name in (PROJECT_FILE, PYPROJECT)]
    return tuple((file, *_stamp(file)) for file in (*files, *_user_files()))


def _user_files() -> Iterator[Path]:
    """The user's own file; none for a user who has no home."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or "")
    home = Path(os.path.expanduser("~"))
    if base.is_absolute():
        yield base / "flujo" / "config.toml"
    elif home.is_absolute():
        yield home / ".config" / "flujo" / "config.toml"


def _project_file(file: Path, *, own: bool = False) -> Looked:
    text, state = _read(file, own=own)
    return Looked(file, state, None if text is None else Table(file, _parse(file, text), text), own)


def _pyproject(file: Path) -> Looked:
    text, state = _read(file)
    if text is None:
        return Looked(file, state)
    if "flujo" in text:  # other tools' files are none of our business, not even when they are broken
        tools = _parse(file, text).get("tool")
        if isinstance(tools, dict) and isinstance(tools.get("flujo"), dict):
            return Looked(file, state, Table(file, tools["flujo"], text))
    return Looked(file, "has no [tool.flujo]")


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        state = file.stat()
    except OSError:
        return (-1, -1, -1)
    return (state.st_mtime_ns, state.st_size, state.st_ino)


def _read(file: Path, *, own: bool = False) -> tuple[str | None, str]:
    """The file's text, or None when there is no such file or, of the user's `own`, none for this process to read."""
    reached = False
    try:
        file.stat()
        reached = not own
        return file.read_text(encoding="utf-8"), "read"
    except (FileNotFoundError, NotADirectoryError):
        return None, "not there"
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}") from error
    except OSError as error:
        if isinstance(error, PermissionError) and not reached:
            return None, f"can't be reached: {error.strerror}"
        raise SettingsError(f"{file} can't be read: {error.strerror}") from error


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error).replace("at end of document", f"at line {text.count(chr(10)) + 1}, the end")
        raise SettingsError(
            f"{file} is not TOML: {reason[:1].lower()}{reason[1:]}", suggestion="correct that line"
        ) from error


def _names(text: str) -> list[str]:
    return ["".join(found) for found in _KEY.findall(text)]
