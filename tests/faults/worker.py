"""A server that loads pipelines once and forks a process for every life of a run: each line asks for one thing.

`start` forks a life and answers with its process id, `wait` answers with how a life ended and what it told. A life
kills itself at the n-th pass of a named point, if it is told to.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from flujo import Flujo, OpenContext
from flujo.domain.events import StepFinished
from flujo.domain.interfaces import JournalRecord, NewRun, Sync
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import StateError
from flujo.infra.clock import SystemClock
from flujo.infra.config_manager import get_config_manager
from flujo.plugins import create_plugin_manager
from flujo.runner.pipeline_resolver import PipelineResolver
from flujo_state_sqlite.backend import SqliteBackend

PROJECT = Path(__file__).with_name("project")
ANSWER = 10

#: Which statement belongs to which point.
STATEMENTS = {
    "BEGIN": "begin",
    "COMMIT": "commit",
    "INSERT INTO journal": "insert",
    "INSERT INTO run": "start",
    "UPDATE run SET epoch": "claim",
    "UPDATE run SET status": "finish",
    "INSERT OR REPLACE INTO cache": "cache",
    "PRAGMA wal_checkpoint": "checkpoint",
}

#: The methods of the backend whose acknowledgement is a point.
WRITES = {"create_run", "claim", "append", "answer", "finish"}


class Crash:
    """Where this life ends: at the n-th pass of `point`, or of `point@path`. Counts every pass of every point."""

    def __init__(self, point=None, number=0):
        self.point, self.number = point, number
        self.passes = Counter()

    def pass_(self, point, path=None):
        self.passes[point] += 1
        if self.point == f"{point}@{path}" or (point == self.point and self.passes[point] == self.number):
            os.kill(os.getpid(), signal.SIGKILL)


def connecting(crash):
    """Opens connections whose statements are points, before and after they are carried out."""

    class Connection(sqlite3.Connection):
        def execute(self, statement, *values):
            point = next((point for start, point in STATEMENTS.items() if statement.lstrip().startswith(start)), None)
            if point is None:
                return super().execute(statement, *values)
            path = values[0][0] if point == "insert" else None
            if path is not None:
                point = "pause" if path.endswith("?") else "answer" if "!" in path else "insert"
            crash.pass_(f"before_{point}", path)
            cursor = super().execute(statement, *values)
            crash.pass_(f"after_{point}", path)
            return cursor

    def connect(uri):
        return sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=0, factory=Connection
        )

    return connect


class Watched:
    """A backend whose acknowledgements are points: the write is safe, and nobody has heard of it yet."""

    def __init__(self, inner, crash):
        self._inner, self._crash = inner, crash

    def __getattr__(self, name):
        method = getattr(self._inner, name)
        if name not in WRITES:
            return method

        async def watched(*arguments, **options):
            status = arguments[1] if name == "finish" else None
            self._crash.pass_("in_pause" if status is RunStatus.PAUSED else f"before_{name}")
            value = await method(*arguments, **options)
            self._crash.pass_("before_ack", arguments[1].path if name == "append" else None)
            return value

        return watched


class Acks:
    """Notes in the ledger which results the engine knows to be safe."""

    def __init__(self, crash):
        self._crash = crash
        self._ledger = os.open("ledger.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def handle(self, event):
        if isinstance(event, StepFinished) and event.result.success and not event.result.recalled:
            os.write(self._ledger, f"ack {event.run_id} {event.path or '.'} - {os.getpid()}\n".encode())
            self._crash.pass_("after_ack")


class Clock(SystemClock):
    """The system's clock, set ahead."""

    def __init__(self, ahead_s):
        self._ahead_s = ahead_s

    def now(self):
        return super().now() + self._ahead_s

    def monotonic(self):
        return super().monotonic() + self._ahead_s


class Server:
    """Loads pipelines, forks lives, and waits for them."""

    def __init__(self):
        settings = get_config_manager(PROJECT).settings()
        self.manager = create_plugin_manager()
        self.settings = settings
        self.pipelines = {}
        self.told = {}

    def pipeline(self, name):
        if name not in self.pipelines:
            self.pipelines[name] = PipelineResolver(self.manager, self.settings).resolve(PROJECT / name)
        return self.pipelines[name]

    def start(self, folder, **request):
        request["pipeline"] = self.pipeline(request["pipeline"])
        return self.fork(folder, self.live, request)

    def load(self, folder, **request):
        return self.fork(folder, self.write, request)

    def fork(self, folder, life, request):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            self.told[pid] = reading
            return pid
        os.close(reading)
        code = 1
        try:
            os.chdir(folder)
            told = asyncio.run(life(Path(folder, "state.db"), **request))
            os.write(writing, json.dumps(told).encode())
            code = 0
        except BaseException:  # noqa: BLE001 - nobody else would hear of it
            traceback.print_exc()
        finally:
            os._exit(code)  # nothing of the server's is this process's to end

    async def live(self, state, pipeline, runs, *, crash=None, force=False, by_key=False, ahead_s=0.0, sync="auto"):
        """Start or go on with `runs`, all at once, until each has ended; what each came to."""
        dying = Crash(*crash or ())
        inner = SqliteBackend(state, connect=connecting(dying), sync=sync)
        settings = {"plugins": self.manager, "root": PROJECT, "context_model": OpenContext, "clock": Clock(ahead_s)}
        try:
            async with Flujo(pipeline, state_backend=Watched(inner, dying), sinks=[Acks(dying)], **settings) as flujo:
                lives = (drive(flujo, run_id, force=force, by_key=by_key) for run_id in runs)
                results = await asyncio.gather(*lives)
        finally:
            await inner.close()
        return {"results": dict(zip(runs, results, strict=True)), "passes": dict(dying.passes)}

    async def write(self, state, prefix, runs, seconds):
        """Write to `runs` runs at the same time for so many seconds; how often, and the longest wait for a commit."""
        backend = SqliteBackend(state, sync="full")
        until = time.monotonic() + seconds
        done = await asyncio.gather(*(write(backend, f"{prefix}-{number}", until) for number in range(runs)))
        await backend.close()
        return {"commits": sum(count for count, _ in done), "longest": max(longest for _, longest in done)}

    def wait(self, pid):
        with os.fdopen(self.told.pop(pid)) as told:
            text = told.read()
        _, status = os.waitpid(pid, 0)
        return [os.waitstatus_to_exitcode(status), json.loads(text) if text else None]


async def drive(flujo, run_id, *, force, by_key):
    """Start the run or go on with it, and answer whatever it asks."""
    try:
        if force:
            result = await flujo.resume(run_id, force=True)
        else:
            name = {"idempotency_key" if by_key else "run_id": run_id}
            result = await flujo.run({"n": 1, "run": run_id}, **name)
        while result.status is RunStatus.PAUSED:
            result = await flujo.resume(run_id, ANSWER)
    except StateError as error:
        return {"error": type(error).__name__, "message": str(error), "advice": error.suggestion}
    scratchpad = result.final_pipeline_context.scratchpad
    return {"status": str(result.status), "output": result.output, "scratchpad": scratchpad}


async def write(backend, run_id, until):
    """Record step after step of a run of its own; how many, and the longest wait for one."""
    claim = await backend.create_run(NewRun(run_id, "load", "1", "{}", b"d", b"1", b"2", created_at=1.0))
    count, longest = 0, 0.0
    while time.monotonic() < until:
        began = time.monotonic()
        await backend.append(claim, JournalRecord(f"step-{count}", out=b"x" * 700, sync=Sync.FULL))
        longest = max(longest, time.monotonic() - began)
        count += 1
    await backend.finish(claim, RunStatus.COMPLETED, at=2.0)
    return count, longest


def main():
    server = Server()
    for line in sys.stdin:
        name, request = json.loads(line)
        print(json.dumps(getattr(server, name)(**request)), flush=True)


if __name__ == "__main__":
    main()
