"""What a forked child must not touch: SQLite's connections, and files whose locks the parent holds.

https://www.sqlite.org/howtocorrupt.html, 2.6: a connection must not be carried across a fork. SQLite also remembers
a process's locks by file, so in the child even a new connection would believe in locks it doesn't have.
"""

import os
import threading
from collections import Counter
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from flujo.exceptions import StateUnavailable

__all__ = ["Handle", "check", "forked", "hold", "keep", "release"]


class Handle(Protocol):
    """Something that has to be dropped in a forked child."""

    def abandon(self) -> None:
        """Forget what belongs to the parent, without closing it."""
        ...


_lock = threading.Lock()
_held: Counter[Path] = Counter()
_inherited: set[Path] = set()
_handles: WeakSet[Handle] = WeakSet()


def keep(handle: Handle) -> None:
    """Have `handle.abandon` called in every child that is forked while the handle lives."""
    _handles.add(handle)


def hold(path: Path) -> None:
    """Note that this process opens the file at `path`. Raises `StateUnavailable` if its parent had it open."""
    check(path)
    with _lock:
        _held[path] += 1


def release(path: Path) -> None:
    """Note that one handle on the file at `path` was closed."""
    with _lock:
        _held[path] -= 1


def check(path: Path) -> None:
    """Raise `StateUnavailable` if this process inherited the file at `path` open."""
    if path in _inherited:
        raise forked(path)


def forked(path: Path) -> StateUnavailable:
    """The error for using a state that was open when this process was forked."""
    return StateUnavailable(
        f"the state {str(path)!r} was open when this process was forked, and can't be used in it",
        suggestion="start processes with multiprocessing's 'spawn', or close the state before forking",
    )


def _drop_inherited() -> None:
    _inherited.update(+_held)
    _held.clear()
    for handle in _handles:
        handle.abandon()


# The lock is held across a fork, so that no child inherits it locked by a thread it doesn't have.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
os.register_at_fork(after_in_child=_drop_inherited)
