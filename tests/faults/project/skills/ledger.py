"""Steps that leave a trace outside flujo's state, safe from any kill: when they begin, and when they are through."""

import asyncio
import os
import signal
from pathlib import Path

PAUSE_S = 0.004


def note(*words):
    """One line for the ledger in the working directory, whole whatever happens to this process."""
    ledger = os.open("ledger.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(ledger, (" ".join((*words, str(os.getpid()))) + "\n").encode())
        os.fsync(ledger)
    finally:
        os.close(ledger)


async def work(data, *, context, run):
    """The next number, or a text's length; what it was is kept in the context under the step's path."""
    note("begin", run.run_id, run.path, run.idempotency_key)
    await asyncio.sleep(PAUSE_S)
    value = len(data) if isinstance(data, str) else data + 1
    context.scratchpad.setdefault("done", {})[run.path] = value
    note("end", run.run_id, run.path, run.idempotency_key)
    return value


def told(name):
    """What the file `name` in the working directory says, None without one."""
    try:
        return Path(name).read_text()
    except FileNotFoundError:
        return None


def die():
    """Die as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


async def last(data, *, run):
    """The next number; if the file `fatal` names the step, the others beside it get through and the process dies."""
    note("begin", run.run_id, run.path, run.idempotency_key)
    if run.path in (told("fatal") or "").splitlines():
        await asyncio.sleep(0.3)
        die()
    note("end", run.run_id, run.path, run.idempotency_key)
    return data + 1


async def stamp(data, *, run):
    """Which process has run the step."""
    note("begin", run.run_id, run.path, run.idempotency_key)
    note("end", run.run_id, run.path, run.idempotency_key)
    return os.getpid()


async def held(data, *, run):
    """The next number, once there is no file `hold` any more."""
    note("begin", run.run_id, run.path, run.idempotency_key)
    while told("hold") is not None:  # noqa: ASYNC110 - another process says when
        await asyncio.sleep(0.005)
    note("end", run.run_id, run.path, run.idempotency_key)
    return data + 1


async def deadly(data):
    """Takes its process with it, unless there is a file `mended`."""
    if told("mended") is None:
        die()
    return data
