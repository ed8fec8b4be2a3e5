"""A process of its own at a state: obeys one command a line on stdin, and answers each with one line on stdout."""

import asyncio
import os
import resource
import sys
from pathlib import Path

from flujo.domain.caching import CacheEntry
from flujo.domain.interfaces import Claim, JournalRecord, NewRun, RecordKind, Sync
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import FlujoError
from flujo_state_sqlite.backend import SqliteBackend


class Obeying:
    def __init__(self, path: Path) -> None:
        self.backend = SqliteBackend(path)
        self.claim: Claim

    async def create(self, run_id: str) -> str:
        run = NewRun(run_id, "p", "1", "{}", b"d", b"1", b"2", created_at=1.0)
        self.claim = await self.backend.create_run(run)
        return str(self.claim.epoch)

    async def claim_run(self, run_id: str, force: str = "") -> str:
        self.claim = await self.backend.claim(run_id, force=bool(force))
        return str(self.claim.epoch)

    async def append(self, path: str, size: str = "10", sync: str = "normal") -> str:
        await self.backend.append(self.claim, JournalRecord(path, out=b"x" * int(size), sync=Sync(sync)))
        return path

    async def ask(self, path: str) -> str:
        await self.backend.append(self.claim, JournalRecord(f"{path}?", RecordKind.WAIT, sync=Sync.FULL))
        return path

    async def go_on(self, count: str) -> str:
        """Append step after step, from the first that isn't recorded, telling each as soon as it is safe."""
        done = len(await self.backend.load(self.claim.run_id))
        for number in range(done, done + int(count)):
            record = JournalRecord(f"step-{number}", out=b"x" * 100, sync=(Sync.NORMAL, Sync.FULL)[number % 5 == 0])
            await self.backend.append(self.claim, record)
            os.write(1, f"ok step-{number}\n".encode())
        return "all"

    async def finish(self) -> str:
        await self.backend.finish(self.claim, RunStatus.INTERRUPTED, at=2.0)
        return "finished"

    async def cache(self, key: str, value: str) -> str:
        parts = {"input": value}
        await self.backend.cache.put(CacheEntry(key.encode(), "scope", value.encode(), None, parts, created_at=1.0))
        return key

    async def cached(self, key: str) -> str:
        entry = await self.backend.cache.get(key.encode())
        return entry.value.decode() if entry else "nothing"

    async def limit(self, size: str) -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
        return size

    async def close(self) -> str:
        await self.backend.close()
        return "closed"


async def main() -> None:
    obeying = Obeying(Path(sys.argv[1]))
    print("ok ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, *arguments = line.split()
        try:
            print("ok", await getattr(obeying, command)(*arguments), flush=True)
        except FlujoError as error:
            print(type(error).__name__, error, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
