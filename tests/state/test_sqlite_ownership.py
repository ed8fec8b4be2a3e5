"""Who may write to a run: one process at a time, for as long as it lives."""

import asyncio
import gc
import os
import signal
from pathlib import Path

import pytest

from flujo.domain.interfaces import JournalRecord, RecordKind
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import RunOwnedElsewhere
from flujo_state_sqlite import workers
from flujo_state_sqlite.backend import SqliteBackend


def test_living_owner_is_not_disturbed(process):
    """The refusal names the process, its host and since when it is at work, and how to take over."""
    owner, other = process(), process()
    assert owner.ask("create run-1") == "ok 1"
    refusal = other.ask("claim_run run-1")
    assert refusal.startswith("RunOwnedElsewhere run 'run-1' is at work in ")
    assert f"pid {owner.pid}" in refusal
    assert "at work since 20" in refusal
    assert owner.ask("append a") == "ok a"


def test_stopped_owner_is_alive_until_it_is_replaced_by_force(process):
    """The old owner, woken up, records nothing more and is told who took over."""
    owner, other = process(), process()
    owner.ask("create run-1")
    owner.ask("append a")
    os.kill(owner.pid, signal.SIGSTOP)
    assert other.ask("claim_run run-1").startswith("RunOwnedElsewhere")
    assert other.ask("claim_run run-1 force") == "ok 2"
    os.kill(owner.pid, signal.SIGCONT)
    fenced = owner.ask("append b")
    assert fenced.startswith("RunOwnedElsewhere run 'run-1' was taken over by")
    assert f"pid {other.pid}" in fenced
    assert owner.ask("finish").startswith("RunOwnedElsewhere")
    assert other.ask("append b") == "ok b"


async def test_killed_owner_is_replaced_at_once(process, backend):
    """Until then its run is shown as interrupted, and what it acknowledged is there."""
    owner = process()
    owner.ask("create run-1")
    assert owner.ask("append a") == "ok a"
    assert (await backend.get("run-1")).status is RunStatus.RUNNING
    owner.kill()
    row = await backend.get("run-1")
    assert (row.status, row.owner, row.recorded) == (RunStatus.INTERRUPTED, None, 1)
    assert (await backend.claim("run-1")).epoch == 2


async def test_killed_owner_that_was_asked_to_stop_leaves_a_cancelled_run(process, backend):
    """As of when it was asked. It asks nothing, takes no answer, is forgotten in time, and can be gone on with."""
    owner = process()
    for run_id in ("run-1", "run-2", "run-3"):
        owner.ask(f"create {run_id}")
        owner.ask("ask a")
    os.kill(owner.pid, signal.SIGSTOP)
    for run_id in ("run-1", "run-2"):
        assert await backend.cancel(run_id, at=2.0) is RunStatus.RUNNING
    assert [wait.run_id for wait in await backend.waits()] == ["run-1", "run-2", "run-3"]
    owner.kill()
    told = [(row.status, row.owner, row.ended_at) for row in await backend.list()]
    cancelled = (RunStatus.CANCELLED, None, 2.0)
    assert told == [(RunStatus.INTERRUPTED, None, None), cancelled, cancelled]
    assert [wait.run_id for wait in await backend.waits(limit=1)] == ["run-3"]
    assert list(await backend.waits(run_id="run-1")) == []
    assert await backend.answer("run-1", JournalRecord("a!1", RecordKind.ANSWER)) is False
    assert await backend.cancel("run-1", at=4.0) is RunStatus.CANCELLED
    assert (await backend.get("run-1")).ended_at == 2.0
    await backend.append(await backend.claim("run-1"), JournalRecord("a"))
    assert await backend.gc(ended_before=3.0, trust_clock=True) == 1
    assert [row.run_id for row in await backend.list()] == ["run-3", "run-1"]


def test_owner_that_ends_without_closing_is_replaced_at_once(process):
    owner, other = process(), process()
    owner.ask("create run-1")
    owner.leave()
    assert other.ask("claim_run run-1") == "ok 2"


def test_one_of_many_processes_gets_an_orphaned_run(process):
    owner, *others = [process() for _ in range(4)]
    for number in range(10):
        owner.ask(f"create run-{number}")
    owner.kill()
    for number in range(10):
        for other in others:
            other.tell(f"claim_run run-{number}")
        answers = sorted(other.answer().split()[0] for other in others)
        assert answers == ["RunOwnedElsewhere", "RunOwnedElsewhere", "ok"]


async def test_dead_workers_leave_nothing_behind(process, path, backend, run):
    owner = process()
    owner.ask("create run-1")
    owner.kill()
    folder = workers.folder_of(path)
    assert len(list(folder.iterdir())) == 1
    await backend.create_run(run("run-2"))
    (mine,) = folder.iterdir()
    assert f"-{os.getpid()}-" in mine.name


async def test_worker_of_another_user_is_left_alone(unprivileged, opened, run):
    """A file that can't be opened may be a living worker's."""
    folder = unprivileged / "state.db.workers"
    folder.mkdir()
    (folder / "host-1-other").touch(mode=0)
    backend = opened(unprivileged / "state.db")
    await backend.create_run(run())
    await backend.close()
    assert [file.name for file in folder.iterdir()] == ["host-1-other"]


async def test_worker_file_that_tells_nothing_still_counts(path, process, backend):
    owner = process()
    owner.ask("create run-1")
    (file,) = workers.folder_of(path).iterdir()
    file.write_text("garbage")
    with pytest.raises(RunOwnedElsewhere, match=rf"{file.name}.*host unknown, pid 0"):
        await backend.claim("run-1")


async def test_two_backends_of_one_process_share_its_worker(path, opened, run):
    """The second one's end does not make the first one look dead."""
    first, second = opened(path), opened(path)
    await first.create_run(run("run-1"))
    await second.create_run(run("run-2"))
    assert len(list(workers.folder_of(path).iterdir())) == 1
    await second.close()
    third = opened(path)
    with pytest.raises(RunOwnedElsewhere, match=str(os.getpid())):
        await third.claim("run-1")
    assert (await third.claim("run-2")).epoch == 2


async def test_run_that_was_taken_over_in_one_process_stays_with_the_new_owner(path, opened, run):
    first, second, third = opened(path), opened(path), opened(path)
    await first.create_run(run())
    claim = await second.claim("run-1", force=True)
    await first.close()
    with pytest.raises(RunOwnedElsewhere):
        await third.claim("run-1")
    await second.append(claim, JournalRecord("a"))


async def test_fenced_owner_learns_of_a_successor_that_is_gone(path, opened, run):
    first, second = opened(path), opened(path)
    old = await first.create_run(run())
    new = await second.claim("run-1", force=True)
    await second.finish(new, RunStatus.COMPLETED, at=2.0)
    with pytest.raises(RunOwnedElsewhere, match="a process that has let go of it since"):
        await first.append(old, JournalRecord("a"))


async def test_fenced_owner_learns_of_a_successor_that_died(process, backend, run):
    old = await backend.create_run(run())
    other = process()
    other.ask("claim_run run-1 force")
    other.kill()
    with pytest.raises(RunOwnedElsewhere, match="which has ended"):
        await backend.append(old, JournalRecord("a"))


async def test_runs_of_a_forgotten_backend_are_free(path, opened, run):
    """A backend that was never closed lets go when it is collected."""
    forgotten = SqliteBackend(path)
    await forgotten.create_run(run())
    with pytest.raises(RunOwnedElsewhere):
        await opened(path).claim("run-1")
    thread = forgotten._writer._thread
    del forgotten
    gc.collect()
    assert (await opened(path).claim("run-1")).epoch == 2
    await asyncio.to_thread(thread.join)


async def test_backend_that_was_never_used_is_forgotten_without_a_trace(path):
    forgotten = SqliteBackend(path)
    del forgotten
    gc.collect()
    assert list(path.parent.iterdir()) == []


def test_worker_file_that_is_buried_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Between making the file and locking it, somebody who cleans up takes it for a dead worker's."""
    lock, buried = workers.fcntl.lockf, []

    def slow(handle, operation):
        if not buried:
            buried.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
            buried[0].unlink()
        lock(handle, operation)

    monkeypatch.setattr(workers.fcntl, "lockf", slow)
    worker, deaths = workers.join(tmp_path / "state.db.workers")
    assert (worker.folder / worker.name).exists()
    assert not deaths
    worker.leave()
