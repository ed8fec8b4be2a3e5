"""What a state that outlives its process keeps of a process that is killed."""

import asyncio
import os
import select
import signal
import warnings
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

from flujo.domain.interfaces import JournalRecord
from flujo.testing.state_base import StateTests, journal_of, new_run, stored

__all__ = ["DeathTests"]

#: So many records are acknowledged before the process is killed.
_RECORDS = 25

#: A process that acknowledges nothing for so many seconds has come to a standstill.
_HUNG_S = 60.0


class DeathTests(StateTests):
    """The test of a process that is killed while it writes, skipped for a backend whose runs do not outlive it."""

    def test_what_was_acknowledged_outlives_a_kill(self, tmp_path: Path) -> None:
        """Every record is there, in its order and whole, and the run can be gone on with by another process."""
        if not self.durable:
            pytest.skip("the backend is not durable")
        acknowledged = self._kill_at_work(tmp_path)
        assert acknowledged >= _RECORDS, f"only {acknowledged} records were acknowledged"
        asyncio.run(self._go_on(tmp_path, acknowledged))

    def _kill_at_work(self, folder: Path) -> int:
        """How many records a process had acknowledged when it was killed."""
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: this one uses none of them
            child = os.fork()
        if child == 0:
            self._write_on(folder, writing)
        os.close(writing)
        told = b""
        while len(told) < _RECORDS and select.select([reading], [], [], _HUNG_S)[0] and (more := os.read(reading, 1)):
            told += more
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(reading, 1024):
            told += more
        os.close(reading)
        return len(told)

    def _write_on(self, folder: Path, writing: int) -> NoReturn:
        """Append records until the process is killed, and write a byte for each that is acknowledged."""
        try:
            asyncio.run(self._append(folder, writing))
        finally:
            os._exit(1)

    async def _append(self, folder: Path, writing: int) -> None:
        backend = self.open(folder)
        claim = await backend.create_run(new_run(backend))
        for number in count():
            await backend.append(claim, JournalRecord(f"step{number}", out=stored(backend, {"number": number})))
            os.write(writing, b".")

    async def _go_on(self, folder: Path, acknowledged: int) -> None:
        backend = self.open(folder)
        try:
            assert await backend.get("run-1") is not None, "the run is lost"
            found = await journal_of(backend)
            assert len(found) >= acknowledged
            outs = [(f"step{number}", stored(backend, {"number": number})) for number in range(len(found))]
            assert [(record.path, record.out) for record in found] == outs
            claim = await backend.claim("run-1", force=True)
            await backend.append(claim, JournalRecord("after"))
            assert (await journal_of(backend))[-1].path == "after"
        finally:
            await backend.close()
