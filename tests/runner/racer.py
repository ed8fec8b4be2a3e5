"""A process that races others for runs: obeys one JSON object a line on stdin, and tells how it went on stdout."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from flujo import Flujo, OpenContext, Step, human, loop, parallel
from flujo.exceptions import FlujoError
from flujo.testing.dying import DyingBackend, kill_this_process
from flujo_state_sqlite.backend import SqliteBackend


def note(data: Any) -> Any:
    """Write what was done into the ledger, outside of the state."""
    with open("ledger.txt", "a", encoding="utf-8") as ledger:
        ledger.write(f"{data}\n")
    return data


def hold(data: Any) -> Any:
    """Keep the whole process until somebody makes the file "go"."""
    note("held")
    while not Path("go").exists():
        time.sleep(0.01)
    return data


def block(data: Any) -> Any:
    note("blocked")
    time.sleep(0.4)
    return data


async def nap(data: Any) -> Any:
    await asyncio.sleep(0.01)
    return data


PIPELINES = {
    "ask": Step("before", note) >> human("ask", "ok?") >> Step("after", note),
    "three": parallel("all", {name: human("ask", f"{name}?") >> Step("after", note) for name in "abc"}),
    "slow": Step("note", note) >> Step("nap", nap),
    "long": loop("long", Step("note", note) >> Step("nap", nap), max_loops=100_000),
    "blocked": loop("blocked", Step("block", block), max_loops=20),
    "pay": Step("hold", hold) >> Step("pay", note, effects="external") >> Step("after", note),
}


async def do(backend: Any, order: dict[str, Any]) -> dict[str, Any]:
    flujo = Flujo(PIPELINES[order["pipeline"]], state_backend=backend, context_model=OpenContext)
    match order["do"]:
        case "run":
            result = await flujo.run(order["input"], run_id=order.get("run_id"), idempotency_key=order.get("key"))
        case "answer":
            result = await flujo.resume(order["run_id"], order["value"], token=order.get("token"), by=order["by"])
        case "answer and die":
            await flujo.answer(order["run_id"], order["value"], by="ann")
            kill_this_process()
        case "resume":
            result = await flujo.resume(order["run_id"])
    pending = [{"path": asked.path, "token": asked.token} for asked in result.pending]
    return {"status": result.status, "run_id": result.run_id, "output": result.output, "pending": pending}


async def main() -> None:
    folder, die_after, at = Path(sys.argv[1]), *(sys.argv[2:] or ["", "after"])
    os.chdir(folder)
    backend: Any = SqliteBackend(folder / "state.db")
    if die_after:
        backend = DyingBackend(backend, die_after=int(die_after), at=at)
    print(json.dumps("ready"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            told = await do(backend, json.loads(line))
        except FlujoError as error:
            told = {"error": type(error).__name__, "message": str(error), "run_id": getattr(error, "run_id", None)}
        print(json.dumps(told), flush=True)
    await backend.close()


asyncio.run(main())
