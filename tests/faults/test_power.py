"""The power goes, at any moment of a life, also within a commit; then the run goes on from what is on the disk."""

import importlib.util
import itertools
import random
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from flujo.domain.interfaces import Sync
from flujo.domain.outcomes import RunStatus
from flujo_state_sqlite import statefile
from flujo_state_sqlite.backend import SqliteBackend
from flujo_state_sqlite.schema import MIGRATIONS

pytest.importorskip("apsw", reason="apsw can't be installed here, and nothing else shows what SQLite syncs and when")


def _load(name):
    spec = importlib.util.spec_from_file_location(f"faults_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


history, power = _load("history"), _load("power")

SEED = 20_261_126

#: What survives the machine once it is acknowledged, whatever `sync` says of the others.
FULL = {
    *("run-1", "completed"),
    *(
        record.path
        for record in (*history.STEPS, *history.BATCH, history.QUESTION, history.ANSWER, history.RESULT)
        if record.sync is Sync.FULL
    ),
}


@pytest.fixture
async def life(tmp_path, monkeypatch, request):
    """The state before a life, everything that was done to its files in that life, and its journal's paths in order."""
    sync, log = request.param
    monkeypatch.setattr(statefile, "_CHECKPOINT_BYTES", 200_000)  # several of them, in a short life
    path = tmp_path / "life" / "state.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in itertools.chain.from_iterable(MIGRATIONS):
            connection.execute(statement)
    made = path.read_bytes()
    disk = power.Disk(f"power-{sync}-{log}")
    backend = SqliteBackend(path, sync=sync, connect=partial(disk.connect, log=log))
    await history.live(backend, disk.told)
    await backend.close()
    disk.unregister()
    other = SqliteBackend(path)
    order = [record.path for record in await other.load("run-1")]
    await other.close()
    return sync, log, made, disk.events, order


def safe(events, sync):
    """What was acknowledged and has to survive: all of it, or all up to the last that asks for it, or nothing."""
    told = [event.name for event in events if event.what == "told"]
    if sync == "auto":
        last = max((number for number, what in enumerate(told, 1) if what in FULL), default=0)
        return told[:last]
    return told if sync == "full" else []


async def goes_on(path, order, told):
    """Check what is left: it is whole, what was recorded first, and has all of `told`; the run comes to its end."""
    backend = SqliteBackend(path)
    row = await backend.get("run-1")
    assert row is not None or not told
    known = [record.path for record in await backend.load("run-1")] if row else []
    assert known == order[: len(known)]
    assert {what for what in told if what in order} <= {*known}
    assert "completed" not in told or row.status is RunStatus.COMPLETED
    assert row is None or row.status is not RunStatus.COMPLETED or known == order
    assert row is None or row.status is not RunStatus.PAUSED or history.QUESTION.path in known
    assert await backend.check() == []
    await history.live(backend, lambda what: None)
    row = await backend.get("run-1")
    assert (row.status, row.output) == (RunStatus.COMPLETED, b"done")
    assert sorted(record.path for record in await backend.load("run-1")) == sorted(order)
    assert await backend.check() == []
    await backend.close()


@pytest.mark.parametrize("cuts", [12, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "life",
    [("normal", True), ("auto", True), ("full", True), ("full", False)],
    indirect=True,
    ids=["normal", "auto", "full", "no log"],
)
async def test_power_cut_leaves_what_was_recorded_first_and_all_that_has_to_be_safe(tmp_path, life, cuts, figures):
    """15: never damaged; with `full` nothing that was acknowledged is lost, with `auto` nothing that asks for it."""
    sync, log, made, events, order = life
    chance = random.Random(f"{SEED}{sync}{len(events)}{cuts}")
    within = 0
    for number in range(cuts):
        cut = events[: chance.randrange(1, len(events) + 1)]
        left = power.after_cut("state.db", made, cut, chance)
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in left.items():
            (folder / name).write_bytes(content)
        await goes_on(folder / "state.db", order, safe(cut, sync))
        shutil.rmtree(folder)
        within += cut[-1].what != "told"
    figures(
        f"15 power cuts, sync {sync}{'' if log else ', no log'}", cuts=cuts, events=len(events), within_a_write=within
    )
