"""The power goes, at any moment of a life, also within a commit; then the run goes on from what is on the disk."""

import importlib.util
import itertools
import random
import shutil
import sqlite3
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from flujo import Flujo, OpenContext, Pipeline, Step, agent, human
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


def fresh(path):
    """Make a state without any run; its bytes."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in itertools.chain.from_iterable(MIGRATIONS):
            connection.execute(statement)
    return path.read_bytes()


@pytest.fixture
async def life(tmp_path, monkeypatch, request):
    """The state before a life, everything that was done to its files in that life, and its journal's paths in order."""
    sync, log = request.param
    monkeypatch.setattr(statefile, "_CHECKPOINT_BYTES", 200_000)  # several of them, in a short life
    path = tmp_path / "life" / "state.db"
    made = fresh(path)
    disk = power.Disk(f"power-{sync}-{log}")
    backend = SqliteBackend(path, sync=sync, connect=partial(disk.connect, log=log))
    await history.live(backend, disk.told)
    await backend.close()
    disk.unregister()
    other = SqliteBackend(path)
    order = [record.path for record in await other.load("run-1")]
    await other.close()
    return sync, log, made, disk.events, order


def safe(events, sync, full=FULL):
    """What was acknowledged and has to survive: all of it, or all up to the last that asks for it, or nothing."""
    told = [event.name for event in events if event.what == "told"]
    if sync == "auto":
        last = max((number for number, what in enumerate(told, 1) if what in full), default=0)
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
    assert (row.status, row.output) == (RunStatus.COMPLETED, b'"done"')
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


#: What must survive the machine of the pipeline below, by what the documentation says and not by what was asked for.
PROMISED = {"r", "said", "local", "once^1", "once", "ask?", "ask!1", "completed"}


class Says:
    async def run(self, data):
        return "yes"


def same(data):
    return data


def everything():
    """A pipeline with every kind of record, and plain steps before, between and after."""
    return Pipeline(
        [
            Step("plain", same),
            agent("said", Says()),
            Step("between", same),
            Step("local", same, effects="local"),
            Step("once", same, effects="at-most-once"),
            human("ask", "go on with {{ previous_step }}?"),
            Step("last", same),
        ]
    )


class Telling(SqliteBackend):
    """Tells a disk what it has acknowledged. What is read is read from a copy: the disk takes one connection."""

    disk = copies = None

    async def _elsewhere(self, read):
        folder = Path(tempfile.mkdtemp(dir=self.copies))
        for file in self.path.parent.glob("state.db*"):
            if file.is_file():
                shutil.copy(file, folder)
        backend = SqliteBackend(folder / "state.db")
        found = await read(backend)
        await backend.close()
        return found

    async def get(self, run_id, /):
        return await self._elsewhere(lambda backend: backend.get(run_id))

    async def load(self, run_id, /):
        return await self._elsewhere(lambda backend: backend.load(run_id))

    async def is_cancelled(self, claim, /):
        return False

    async def create_run(self, run, /):
        claim = await super().create_run(run)
        self.disk.told(run.run_id)
        return claim

    async def append(self, claim, record, /):
        await super().append(claim, record)
        self.disk.told(record.path)

    async def answer(self, run_id, record, /):
        given = await super().answer(run_id, record)
        self.disk.told(record.path)
        return given

    async def finish(self, claim, status, /, **how):
        await super().finish(claim, status, **how)
        if status is RunStatus.COMPLETED:
            self.disk.told("completed")


async def whole_run(path, disk):
    """Run the pipeline on a disk, from its start to its end."""
    backend = Telling(path, connect=partial(disk.connect, log=True))
    backend.disk, backend.path, backend.copies = disk, path, path.parent.parent
    flujo = Flujo(everything(), state_backend=backend, context_model=OpenContext)
    assert (await flujo.run("x", run_id="r")).status == "paused"
    assert (await flujo.resume("r", "yes")).output == "yes"
    await backend.close()


@pytest.mark.parametrize("cuts", [30, pytest.param(1000, marks=pytest.mark.slow)])
async def test_power_cut_leaves_a_run_of_the_engine_all_that_is_promised(tmp_path, cuts, figures):
    """15: what the engine itself asks for is enough for every kind of record that must survive the machine."""
    path = tmp_path / "life" / "state.db"
    made, disk = fresh(path), power.Disk(f"power-engine-{cuts}")
    await whole_run(path, disk)
    disk.unregister()
    promised = [
        number for number, event in enumerate(disk.events, 1) if event.what == "told" and event.name in PROMISED
    ]
    assert {disk.events[number - 1].name for number in promised} == PROMISED
    chance = random.Random(f"{SEED}{cuts}")
    # The most can be lost right after what is promised was acknowledged: before the next write.
    places = [*promised, *(chance.randrange(1, len(disk.events) + 1) for _ in range(cuts))]
    for number, place in enumerate(places):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in power.after_cut("state.db", made, disk.events[:place], chance).items():
            (folder / name).write_bytes(content)
        await has_all(folder / "state.db", safe(disk.events[:place], "auto", PROMISED))
        shutil.rmtree(folder)
    figures("15 power cuts of a run of the engine", cuts=len(places), events=len(disk.events))


async def has_all(path, told):
    """Check that `told` is there, and that the run can come to its end from what is."""
    backend = SqliteBackend(path)
    row = await backend.get("r")
    known = [record.path for record in await backend.load("r")] if row else []
    assert {*told} <= {*known, *(["r"] if row else []), *(["completed"] if row and row.status == "completed" else [])}
    assert await backend.check() == []
    if row is not None:
        flujo = Flujo(everything(), state_backend=backend, context_model=OpenContext)
        result = await flujo.resume("r")
        if "once^1" in known and "once" not in known:
            assert result.error.code == "FLUJO-207"
        elif result.status == "paused":
            assert (await flujo.resume("r", "yes")).output == "yes"
        else:
            assert result.output == "yes"
    await backend.close()
