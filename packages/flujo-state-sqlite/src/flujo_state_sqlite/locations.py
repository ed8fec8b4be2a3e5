"""Where a state lies: reading URLs, and making the folder and the file."""

import os
import stat
from errno import ENOENT
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from flujo.exceptions import SettingsError, StateCorrupt, StateUnavailable

__all__ = ["SYNC_MODES", "Location", "make_folder", "parse_url", "present", "real_path"]

#: What `?sync=` takes: `auto` leaves it to each record, the others force it.
SYNC_MODES = ("auto", "full", "normal")

_PREFIX = "sqlite:///"
_EXAMPLES = "write 'sqlite:///relative/path.db' or 'sqlite:////absolute/path.db'"


class Location(NamedTuple):
    """What a state URL says."""

    path: Path
    sync: str = "auto"


def parse_url(url: str, root: Path) -> Location:
    """Read `sqlite:///path[?sync=auto|full|normal]`; a relative path starts at `root`. Raises `SettingsError`."""
    address, _, query = url.partition("?")
    name = unquote(address.removeprefix(_PREFIX), errors="replace")
    if not address.startswith(_PREFIX) or not name.strip("/") or "\0" in name:
        raise SettingsError(f"{url!r} is not the address of an sqlite state", suggestion=_EXAMPLES)
    if name == ":memory:":
        raise SettingsError(f"{url!r} would be forgotten at once", suggestion="write 'memory:' for a state in memory")
    return Location(root / name, _sync(url, query))


def _sync(url: str, query: str) -> str:
    sync = "auto"
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key != "sync":
            raise SettingsError(f"unknown option {key!r} in {url!r}, expected 'sync'")
        if value not in SYNC_MODES:
            raise SettingsError(f"sync {value!r} in {url!r} is not known, expected one of {', '.join(SYNC_MODES)}")
        sync = value
    return sync


def real_path(path: Path) -> Path:
    """`path` with the links of its folder resolved: one file has one name, on which locks and owners agree."""
    return Path(os.path.realpath(path.parent)) / path.name


def make_folder(folder: Path) -> None:
    """Make `folder`, for its owner alone and ignored by git, unless it is there. Raises `OSError`.

    The folder that it stands in must be there: a wrong address is not to leave folders behind.
    """
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        raise FileNotFoundError(ENOENT, f"there is no folder {str(folder.parent)!r}")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return  # Another process was faster, and looks after the rest.
    (folder / ".gitignore").write_text("*\n", encoding="ascii")


def present(path: Path) -> bool:
    """Whether there is a file at `path` that may be a state.

    Raises `StateUnavailable` for a link or anything else that is no plain file, `StateCorrupt` for an empty file.
    Nothing is opened: closing a second handle would drop the locks SQLite holds in this process.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(found.st_mode):
        raise StateUnavailable(
            f"the state {str(path)!r} is a symbolic link, expected a file", suggestion="name the file that it points to"
        )
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no plain file"
        raise StateUnavailable(
            f"the state {str(path)!r} is {what}, expected a file",
            suggestion="move it away, or name a file: --state sqlite:///runs.db, or state_uri in the settings",
        )
    if found.st_size == 0:
        raise StateCorrupt(
            f"{str(path)!r} is empty, expected a state",
            suggestion="delete the file if nothing was in it, or restore a backup",
        )
    return True
