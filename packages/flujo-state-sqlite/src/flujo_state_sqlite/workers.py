"""Who is alive: a process holds a lock on a file of its own, beside the state, for as long as it works there.

The lock goes with the process, however that ends, and no clock takes part. It is POSIX `lockf`: a `flock` would
live on in forked children. Such a lock never excludes its own process and is dropped when *any* handle on the
file is closed, so a process has one worker for each state and opens that worker's file nowhere else.
"""

import fcntl
import json
import os
import re
import secrets
import socket
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from flujo.exceptions import StateCorrupt
from flujo_state_sqlite import forks

__all__ = ["Holding", "Peer", "Worker", "describe", "find", "folder_of", "is_at_work", "join"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Peer(NamedTuple):
    """A living process that works on the state."""

    name: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"{self.name!r} (host {self.host}, pid {self.pid}, at work since {self.since})"


@dataclass(slots=True, eq=False)
class Holding:
    """The runs that one backend object owns, epochs by number, and whether that object is gone."""

    epochs: dict[int, int] = field(default_factory=dict)
    abandoned: bool = False


class Worker:
    """This process, as others see it at one state; `runs` says which of its backends works on a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.users = 0
        self.runs: dict[int, Holding] = {}
        host = socket.gethostname()
        self.name = (
            f"{re.sub('[^A-Za-z0-9.]', '-', host)[:64].strip('.-') or 'host'}-{os.getpid()}-{secrets.token_hex(4)}"
        )
        self._lock_file = _create(folder / self.name)
        os.write(self._lock_file, json.dumps({"host": host, "pid": os.getpid()}).encode())

    def take(self, holding: Holding, run: int, epoch: int) -> None:
        """Note that `holding` works on `run` now."""
        holding.epochs[run] = epoch
        self.runs[run] = holding

    def drop(self, holding: Holding, run: int) -> None:
        """Note that `holding` has let go of `run`, which another one may have taken over meanwhile."""
        holding.epochs.pop(run, None)
        if self.runs.get(run) is holding:
            del self.runs[run]

    def leave(self) -> None:
        """One user less; after the last one nobody takes this process for alive."""
        with _lock:
            self.users -= 1
            if self.users:
                return
            _workers.pop(self.folder, None)
            (self.folder / self.name).unlink(missing_ok=True)
            os.close(self._lock_file)

    def abandon(self) -> None:
        """In a forked child: forget the worker, and close the handle, which leaves the parent's lock alone."""
        _workers.pop(self.folder, None)
        if self.users:  # One that has left has closed it, and its number may be another file's by now.
            os.close(self._lock_file)

    def describe(self) -> Peer:
        """This process as a peer."""
        return _peer(self.name, self._lock_file)


_workers: dict[Path, Worker] = {}
_lock = threading.Lock()
# Held across a fork, so that no child inherits it locked by a thread it doesn't have.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def folder_of(database: Path) -> Path:
    """Where the worker files of the state at `database` lie."""
    return database.with_name(f"{database.name}.workers")


def join(folder: Path) -> tuple[Worker, bool]:
    """This process's worker in `folder`, one user more, and whether a worker was found that died at work.

    What dead workers left is removed. Raises `OSError`.
    """
    with _lock:
        folder.mkdir(mode=0o700, exist_ok=True)
        worker = _workers.get(folder)
        if worker is None:
            worker = _workers[folder] = Worker(folder)
            forks.keep(worker)
        worker.users += 1
    deaths = [_bury(folder, name) for name in sorted(os.listdir(folder)) if name != worker.name]
    return worker, any(deaths)


def find(folder: Path, name: str) -> Peer | None:
    """The worker `name`, if it lives; one that this user may not look at is taken for alive.

    Raises `StateCorrupt` for a name that can't be a worker's, and `OSError`.
    """
    if not _NAME.fullmatch(name):
        raise StateCorrupt(f"{name!r} is not the name of a worker")
    worker = _workers.get(folder)
    if worker is not None and worker.name == name:
        return worker.describe()  # Opening the file again would drop the lock.
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except PermissionError:
        return Peer(name, "unknown", 0, "unknown")
    try:
        return None if _try_lock(handle) else _peer(name, handle)
    finally:
        os.close(handle)


def describe(folder: Path, name: str) -> str:
    """Which process the worker `name` is, or that it has ended. Raises as `find` does."""
    peer = find(folder, name)
    return str(peer) if peer else f"{name!r}, which has ended"


def is_at_work(folder: Path, name: str, run: int) -> bool:
    """Whether the worker `name` lives and, if it is this process, still works on run number `run`."""
    worker = _workers.get(folder)
    if worker is not None and worker.name == name:
        holding = worker.runs.get(run)
        return holding is not None and not holding.abandoned
    return find(folder, name) is not None


def _create(path: Path) -> int:
    """A handle on the new file at `path`, locked. Somebody may bury it before it is: then it is made again."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.lockf(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)


def _bury(folder: Path, name: str) -> bool:
    """Whether the worker `name` is dead; its file is removed then."""
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # Gone meanwhile, or another user's: not ours to remove.
    try:
        dead = _try_lock(handle)
        if dead:
            (folder / name).unlink(missing_ok=True)
        return dead
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _peer(name: str, handle: int) -> Peer:
    since = datetime.fromtimestamp(os.fstat(handle).st_mtime, UTC).isoformat(timespec="seconds")
    try:
        told = json.loads(os.pread(handle, 4096, 0))
        return Peer(name, str(told["host"]), int(told["pid"]), since)
    except (ValueError, KeyError, TypeError):
        return Peer(name, "unknown", 0, since)
