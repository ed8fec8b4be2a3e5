"""States in temporary folders, other processes at them, and a user without rights."""

import concurrent.futures.thread  # noqa: F401 - the user without rights may not be able to read the library
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flujo.domain.interfaces import NewRun
from flujo_state_sqlite.backend import SqliteBackend

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a state may be made."""
    return tmp_path / "state.db"


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., SqliteBackend]]:
    """Makes backends that are closed after the test."""
    backends: list[SqliteBackend] = []

    def make(path: Path, **options: Any) -> SqliteBackend:
        backends.append(SqliteBackend(path, **options))
        return backends[-1]

    yield make
    for backend in backends:
        await backend.close()


@pytest.fixture
def backend(opened: Callable[..., SqliteBackend], path: Path) -> SqliteBackend:
    return opened(path)


@pytest.fixture
def run() -> Callable[..., NewRun]:
    """Makes new runs."""

    def make(run_id: str = "run-1", **fields: Any) -> NewRun:
        given = {"definition": "{}", "digest": b"d", "input": b"1", "base": b"{}", "created_at": 1.0} | fields
        return NewRun(run_id=run_id, pipeline="p", version="1", **given)

    return make


class Process:
    """Another process at a state."""

    def __init__(self, path: Path) -> None:
        script = Path(__file__).with_name("sqlite_process.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid
        assert self.answer() == "ok ready"

    def tell(self, command: str) -> None:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        self.tell(command)
        return self.answer()

    def kill(self) -> list[str]:
        """End it with SIGKILL; the answers that it had still given."""
        self.process.kill()
        rest, _ = self.process.communicate()
        return rest.splitlines()

    def leave(self) -> None:
        """Let it end by itself."""
        self.process.communicate()


@pytest.fixture
def process(path: Path) -> Iterator[Callable[[], Process]]:
    """Starts processes at the state `path`."""
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(path))
        return started[-1]

    yield start
    for process in started:
        if process.process.returncode is None:
            process.kill()


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of a user for whom permissions count; the test runs as that user."""
    folder = Path(tempfile.mkdtemp(prefix="flujo-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield folder
    if root:
        os.seteuid(0)
    for place in [folder, *folder.rglob("*")]:
        place.chmod(0o700)
    shutil.rmtree(folder)
