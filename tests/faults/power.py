"""A disk that can be looked at as it would be after a power cut, at any moment of a life.

Everything that SQLite does to its files passes a VFS, which notes it: writes, lengths, deletions, and when a file was
synced. What was synced is on the disk. Of what came after, any part may be there and any other missing, whatever was
written first; a write of several sectors may be torn between them. Files are written in place, so that the rest of the
process sees them as ever.
"""

import random
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import apsw

SECTOR = 512


class Event(NamedTuple):
    """What was done to a file: `write`, `truncate`, `sync` or `delete`; or what the run was told, as `told`."""

    what: str
    name: str
    offset: int = 0
    data: bytes = b""


class Disk(apsw.VFS):
    """A file system whose `events` are kept; `close` takes it away."""

    def __init__(self, name: str) -> None:
        self.name, self.events = name, []
        # No locks: only this process is at work, and SQLite's own library keeps no other locks here.
        super().__init__(name, "unix-none")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.note("delete", filename, int(syncdir))

    def note(self, what: str, name: str, offset: int = 0, data: bytes = b"") -> None:
        self.events.append(Event(what, Path(name).name, offset, data))

    def told(self, what: str) -> None:
        """Take note of what was acknowledged."""
        self.events.append(Event("told", what))

    def connect(self, uri: str, *, log: bool) -> "Connection":
        """A connection as `sqlite3` makes them; with `log` it can have a write-ahead log, which takes one writer."""
        return Connection(self.name, uri, log=log)


class File(apsw.VFSFile):
    """One open file of the disk."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("unix-none", name, flags)
        self.disk = disk
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else name

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self.disk.note("write", self.path, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self.disk.note("truncate", self.path, newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self.disk.note("sync", self.path)


class Rows(NamedTuple):
    """What came of a statement."""

    rows: list[Any]
    rowcount: int
    lastrowid: int

    def fetchone(self) -> Any:
        return self.rows[0] if self.rows else None

    def fetchall(self) -> list[Any]:
        return self.rows

    def __iter__(self) -> Any:
        return iter(self.rows)


class Connection:
    """As much of `sqlite3.Connection` as the backend uses, on a disk."""

    def __init__(self, disk: str, uri: str, *, log: bool) -> None:
        flags = apsw.SQLITE_OPEN_URI | (apsw.SQLITE_OPEN_READONLY if "mode=ro" in uri else apsw.SQLITE_OPEN_READWRITE)
        self.inner = apsw.Connection(uri, flags=flags, vfs=disk)
        if log:
            self.execute("PRAGMA locking_mode = EXCLUSIVE")  # a VFS in Python shares no memory

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> Rows:
        try:
            rows = list(self.inner.execute(statement, values))
        except apsw.Error as error:
            told = sqlite3.OperationalError(str(error))
            told.sqlite_errorcode = error.extendedresult
            raise told from error
        return Rows(rows, self.inner.changes(), self.inner.last_insert_rowid())

    @property
    def in_transaction(self) -> bool:
        return self.inner.in_transaction

    def close(self) -> None:
        self.inner.close()


class _Kept:
    """A file on the disk: what it surely holds, None for no file, and what was done to it since."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content, self.pending = content, []

    def settle_deletion(self) -> None:
        """The folder was synced: a deletion is on the disk."""
        last = max((number for number, event in enumerate(self.pending, 1) if event.what == "delete"), default=0)
        if last:
            self.content, self.pending = None, self.pending[last:]

    def do(self, event: Event) -> None:
        if event.what == "sync" or (event.what == "delete" and event.offset):
            self.content = self._after([*self.pending, event])
            self.pending = []
        else:
            self.pending.append(event)

    def cut(self, chance: random.Random) -> bytes | None:
        """What may be left: nothing of what is pending, all of it, or any part."""
        how = chance.choice(("none", "all", "part", "part"))
        if how != "part":
            return self._after(self.pending if how == "all" else [])
        if self.content is None and chance.random() < 0.5:
            return None  # its name has not reached the disk
        return self._after([part for event in self.pending for part in _torn(event, chance)])

    def _after(self, events: list[Event]) -> bytes | None:
        content = None if self.content is None else bytearray(self.content)
        for event in events:
            if event.what == "delete":
                content = None
                continue
            content = bytearray() if content is None else content
            if event.what == "truncate":
                del content[event.offset :]
            elif event.what == "write":
                content.extend(bytes(max(0, event.offset - len(content))))
                content[event.offset : event.offset + len(event.data)] = event.data
        return None if content is None else bytes(content)


def _torn(event: Event, chance: random.Random) -> list[Event]:
    """The parts of an event that have reached the disk: whole sectors, in which nobody else's bytes are touched."""
    if event.what != "write":
        return [event] * chance.randrange(2)
    first = SECTOR - event.offset % SECTOR
    starts = [0, *range(first, len(event.data), SECTOR)]
    ends = [*starts[1:], len(event.data)]
    return [
        event._replace(offset=event.offset + start, data=event.data[start:end])
        for start, end in zip(starts, ends, strict=True)
        if chance.random() < 0.5
    ]


def after_cut(name: str, made: bytes, events: list[Event], chance: random.Random) -> dict[str, bytes]:
    """The files after a cut behind `events`, which began with `made` as the file `name`."""
    files = {name: _Kept(made)}
    for event in events:
        if event.what == "told":
            continue
        file = files.setdefault(event.name, _Kept())
        if event.what == "sync" and file.content is None:
            # SQLite syncs the folder with the first sync of a new journal or log.
            for other in files.values():
                other.settle_deletion()
        file.do(event)
    left = {each: file.cut(chance) for each, file in files.items()}
    return {each: content for each, content in left.items() if content is not None}
