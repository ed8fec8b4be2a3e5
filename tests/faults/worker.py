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
import traceback
from collections import Counter
from pathlib import Path

from flujo import Flujo, OpenContext
from flujo.domain.events import StepFinished
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import StateError
from flujo.infra.config_manager import get_config_manager
from flujo.plugins import create_plugin_manager
from flujo.runner.pipeline_resolver import resolve_pipeline
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
    """Where this life ends: at the n-th pass of `point`. Counts every pass of every point."""

    def __init__(self, point=None, number=0):
        self.point, self.number = point, number
        self.passes = Counter()

    def pass_(self, point):
        self.passes[point] += 1
        if point == self.point and self.passes[point] == self.number:
            os.kill(os.getpid(), signal.SIGKILL)


def connecting(crash):
    """Opens connections whose statements are points, before and after they are carried out."""

    class Connection(sqlite3.Connection):
        def execute(self, statement, *values):
            point = next((point for start, point in STATEMENTS.items() if statement.lstrip().startswith(start)), None)
            if point is None:
                return super().execute(statement, *values)
            if point == "insert":
                path = values[0][0]
                point = "pause" if path.endswith("?") else "answer" if "!" in path else "insert"
            crash.pass_(f"before_{point}")
            cursor = super().execute(statement, *values)
            crash.pass_(f"after_{point}")
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
            self._crash.pass_("before_ack")
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
            self.pipelines[name] = resolve_pipeline(PROJECT / name, manager=self.manager, settings=self.settings)
        return self.pipelines[name]

    def start(self, **request):
        pipeline = self.pipeline(request.pop("pipeline"))
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            self.told[pid] = reading
            return pid
        os.close(reading)
        code = 1
        try:
            os.chdir(request["folder"])
            told = asyncio.run(self.live(pipeline, Path(request.pop("folder"), "state.db"), **request))
            os.write(writing, json.dumps(told).encode())
            code = 0
        except BaseException:  # noqa: BLE001 - nobody else would hear of it
            traceback.print_exc()
        finally:
            os._exit(code)  # nothing of the server's is this process's to end

    async def live(
        self, pipeline, state, runs, crash=None, force=False, busy_s=30.0, number=1, sync="auto", repeat=False
    ):
        """Start or go on with `runs`, all at once, until each has ended; what each came to."""
        dying = Crash(*crash or ())
        inner = SqliteBackend(state, connect=connecting(dying), sync=sync)
        settings = {"state_backend": Watched(inner, dying), "sinks": [Acks(dying)], "context_model": OpenContext}
        try:
            async with Flujo(pipeline, plugins=self.manager, root=PROJECT, **settings) as flujo:
                results = await asyncio.gather(*(drive(flujo, run_id, force=force) for run_id in runs))
        finally:
            await inner.close()
        return {"results": dict(zip(runs, results, strict=True)), "passes": dict(dying.passes)}

    def wait(self, pid):
        with os.fdopen(self.told.pop(pid)) as told:
            text = told.read()
        _, status = os.waitpid(pid, 0)
        return [os.waitstatus_to_exitcode(status), json.loads(text) if text else None]


async def drive(flujo, run_id, *, force):
    """Start the run or go on with it, and answer whatever it asks."""
    try:
        if force:
            result = await flujo.resume(run_id, force=True)
        else:
            result = await flujo.run({"n": 1, "run": run_id}, run_id=run_id)
        while result.status is RunStatus.PAUSED:
            result = await flujo.resume(run_id, ANSWER)
    except StateError as error:
        return {"error": type(error).__name__, "message": str(error)}
    scratchpad = result.final_pipeline_context.scratchpad
    return {"status": str(result.status), "output": result.output, "scratchpad": scratchpad}


def main():
    server = Server()
    for line in sys.stdin:
        name, request = json.loads(line)
        print(json.dumps(getattr(server, name)(**request)), flush=True)


if __name__ == "__main__":
    main()
