"""A life of a state in which everything is written that can be, and connections that fail while it is."""

import asyncio
import json
import os
import signal
import sqlite3

from flujo.domain.caching import CacheEntry
from flujo.domain.interfaces import JournalRecord, NewRun, RecordKind, Sync
from flujo.domain.outcomes import RunStatus
from flujo_state_sqlite.backend import SqliteBackend

LARGE = 70_000
STEPS = [
    JournalRecord(f"step-{n}", out=b'"%s"' % (b"%d" % n * (1, LARGE)[n % 4 == 3]), sync=list(Sync)[n % 2])
    for n in range(8)
]
BATCH = [JournalRecord(f"map[{n}]", out=b'"%s"' % (b"x" * 3000 * n), sync=Sync.FULL) for n in range(5)]
QUESTION = JournalRecord("ask?", RecordKind.WAIT, out=b'{"token": "t", "message": "how?"}', sync=Sync.FULL)
ANSWER = JournalRecord("ask!1", RecordKind.ANSWER, out=b'{"value": "so", "by": "somebody"}', sync=Sync.FULL)
RESULT = JournalRecord("ask", out=b'"done"', sync=Sync.FULL)
JOURNAL = [record.path for record in (*STEPS, *BATCH, QUESTION, ANSWER, RESULT)]


def new_run(run_id, **fields):
    return NewRun(run_id, "p", "1", "{}", b"d", b"1", b"{}", created_at=1.0, **fields)


async def live(backend, told):
    """Go on with run-1 from where its record ends, to its end; `told` hears what was acknowledged."""
    row = await backend.get("run-1")
    if row is not None and row.status is RunStatus.COMPLETED:
        return
    if row is None:
        claim = await backend.create_run(new_run("run-1", key="k", files={"a.yaml": "x" * 500}))
    else:
        claim = await backend.claim("run-1")
    told("run-1")
    known = set() if row is None else {record.path for record in await backend.load("run-1")}

    async def append(record):
        if record.path not in known:
            await backend.append(claim, record)
            told(record.path)

    for record in STEPS:
        await append(record)
    await backend.cache.put(CacheEntry(b"k", "s", b'"v"', None, {}, 1.0))
    outcomes = await asyncio.gather(*map(append, BATCH), return_exceptions=True)
    for error in filter(None, outcomes):
        raise error
    await append(QUESTION)
    await backend.finish(claim, RunStatus.PAUSED, at=2.0)
    if ANSWER.path not in known:
        assert await backend.answer("run-1", ANSWER) is True
        told(ANSWER.path)
    claim = await backend.claim("run-1")
    await append(RESULT)
    await backend.finish(claim, RunStatus.COMPLETED, output=b'"done"', at=3.0)
    told("completed")


async def forget(backend):
    """Make runs that share large values, and forget some in every way there is."""
    for number in range(4):
        if await backend.get(f"old-{number}") is None:
            claim = await backend.create_run(new_run(f"old-{number}", files={"a.yaml": "x" * 500}))
            await backend.append(claim, STEPS[3])
            await backend.finish(claim, RunStatus.PAUSED if number == 3 else RunStatus.FAILED, at=2.0)
    await backend.cancel("old-3", at=2.5)
    await backend.delete("old-0")
    assert [await backend.gc(ended_before=9.0, limit=2, trust_clock=True) for _ in range(2)] == [2, 1]


class Faulty:
    """Opens connections that call `fault(number, statement)` before or after every statement, counted from 1."""

    def __init__(self, before=None, after=None, log=True):
        self.before, self.after, self.log = before, after, log
        self.count = 0

    def __call__(self, uri):
        faulty = self

        class Connection(sqlite3.Connection):
            def execute(self, statement, values=()):
                faulty.count += 1
                number = faulty.count
                if faulty.before:
                    faulty.before(self, number, statement.strip())
                if statement == "PRAGMA journal_mode = WAL" and not faulty.log:
                    statement = "PRAGMA journal_mode = DELETE"
                cursor = super().execute(statement, values)
                if faulty.after:
                    faulty.after(self, number, statement.strip())
                return cursor

        return sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=0, factory=Connection
        )


def dying_at(number):
    """A fault that kills its process before this statement."""

    def die(connection, count, statement):
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return die


def in_child(path, work, **options):
    """Do `work` on a backend in a process of its own: what it acknowledged, and how it ended.

    That is None for a death, "" for a good end, or the name and text of an error.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        try:
            _child(path, work, options, lambda what: os.write(writing, json.dumps(what).encode() + b"\n"))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        told = [json.loads(line) for line in lines]
    os.waitpid(pid, 0)
    ended = told.pop() if told and isinstance(told[-1], list) else None
    return told, ended


def _child(path, work, options, tell):
    async def main():
        backend = SqliteBackend(path, **options)
        try:
            await (work(backend, tell) if work is live else work(backend))
            return []
        except Exception as error:  # noqa: BLE001 - the parent looks at it
            return [type(error).__name__, str(error)]
        finally:
            await backend.close()

    import threading

    # A thread of its own has no event loop that is running already.
    thread = threading.Thread(target=lambda: tell(asyncio.run(main())))
    thread.start()
    thread.join()
