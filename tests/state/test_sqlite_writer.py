"""How records get into the file: together, whole, once, and never acknowledged before they are safe."""

import asyncio
import logging
import os
import sqlite3
import threading
from contextlib import ExitStack, closing

import pytest

from flujo.domain.interfaces import JournalRecord, RecordKind, Sync
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import (
    RunOwnedElsewhere,
    StateBackendBusy,
    StateCorrupt,
    StateError,
    StateStorageFull,
    StateUnavailable,
)
from flujo_state_sqlite.opening import connect, open_state
from flujo_state_sqlite.records import INSERT_ROWS


def safe(path, size=10):
    """A record that goes through the writer's thread."""
    return JournalRecord(path, out=b"x" * size, sync=Sync.FULL)


class Watched:
    """Opens connections that note every statement, and raise what `fault` says after or before one."""

    def __init__(self, *setup):
        self.setup = setup
        self.statements = []
        self.before = self.after = lambda statement: None

    def __call__(self, uri):
        watched = self

        class Connection(sqlite3.Connection):
            def execute(self, statement, values=()):
                watched.statements.append(statement)
                watched.before(statement)
                cursor = super().execute(statement, values)
                watched.after(statement)
                return cursor

        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, timeout=0, factory=Connection
        )
        for statement in self.setup:
            sqlite3.Connection.execute(connection, statement)
        return connection

    def count(self, statement):
        return self.statements.count(statement)


def once(expected, error=None):
    """A fault at the first statement that starts like `expected`."""
    left = [True]

    def fault(statement):
        if left and statement.strip().startswith(expected):
            left.clear()
            raise error or sqlite3.OperationalError("disk I/O error")

    return fault


@pytest.fixture
def watched():
    return Watched()


@pytest.fixture
def observed(opened, path, watched):
    """A backend whose connections are watched."""
    return opened(path, connect=watched)


async def append_all(backend, claim, records):
    """What came of appending `records` at once: None or an error for each."""
    return await asyncio.gather(*(backend.append(claim, record) for record in records), return_exceptions=True)


async def recorded(backend, run_id="run-1"):
    return [record.path for record in await backend.load(run_id)]


async def test_what_waits_is_committed_together(observed, watched, run):
    """While one commit is under way others queue up, and go in one transaction after it."""
    claim = await observed.create_run(run())
    watched.statements.clear()
    gate = threading.Event()
    watched.before = lambda statement: statement == "COMMIT" and gate.wait()
    appending = asyncio.ensure_future(append_all(observed, claim, [safe(f"s{n}") for n in range(50)]))
    await asyncio.sleep(0.01)
    gate.set()
    assert await appending == [None] * 50
    assert watched.count("COMMIT") <= 2
    assert len(await recorded(observed)) == 50


async def test_nobody_is_told_before_the_commit(observed, watched, run):
    """Not even when the record stands in the open transaction already."""
    claim = await observed.create_run(run())
    while await observed.get("run-1") is None:  # nor of the run: its commit is not the one to look at
        pass
    reached, gate = threading.Event(), threading.Event()
    watched.before = lambda statement: statement == "COMMIT" and (reached.set(), gate.wait())
    appending = [asyncio.ensure_future(observed.append(claim, safe(f"s{n}"))) for n in range(20)]
    await asyncio.to_thread(reached.wait)
    for _ in range(100):
        await asyncio.sleep(0)  # what was told would be heard of
    told = [each.done() for each in appending]
    gate.set()
    await asyncio.gather(*appending)
    assert not any(told)


async def test_batch_is_synced_if_one_of_it_asks(observed, watched, run):
    """Records that do not ask ride along, and one such alone goes unsynced."""
    claims = [await observed.create_run(run(f"run-{n}")) for n in range(3)]
    connection, levels = observed._writer._file.connection, []

    def look(statement):
        if statement == "COMMIT":
            levels.extend(sqlite3.Connection.execute(connection, "PRAGMA synchronous").fetchone())

    watched.before = look
    await observed.append(claims[0], JournalRecord("a"))
    await append_all(observed, claims[0], [JournalRecord("b"), safe("c"), JournalRecord("d")])
    await observed.append(claims[0], JournalRecord("e"))
    assert (levels[0], max(levels[1:-1]), levels[-1]) == (1, 3, 1)


@pytest.mark.parametrize(("sync", "level"), [("auto", 1), ("normal", 1), ("full", 3)])
async def test_lone_record_is_written_at_the_level_that_was_asked_for(opened, path, watched, run, sync, level):
    """1 is NORMAL: no sync to disk; 3 is EXTRA: FULL, and the folder is synced, too, where that takes part."""
    backend = opened(path, sync=sync, connect=watched)
    await backend.append(await backend.create_run(run()), JournalRecord("a"))
    ((found,),) = backend._writer._file.connection.execute("PRAGMA synchronous").fetchall()
    assert found == level


async def test_lone_small_record_takes_one_statement_in_the_callers_thread(observed, watched, run):
    claim = await observed.create_run(run())
    await observed.append(claim, JournalRecord("a"))
    watched.statements.clear()
    threads = set()
    watched.before = lambda statement: threads.add(threading.current_thread())
    await observed.append(claim, JournalRecord("b"))
    assert len(watched.statements) == 1
    assert threads == {threading.current_thread()}


async def test_large_value_does_not_ride_with_others(observed, watched, run):
    claim = await observed.create_run(run())
    gate = threading.Event()
    watched.before = lambda statement: statement == "COMMIT" and gate.wait()
    records = [safe("a"), safe("b"), safe("large", 100_000), safe("c"), safe("larger", 200_000), safe("d")]
    watched.statements.clear()
    appending = asyncio.ensure_future(append_all(observed, claim, records))
    await asyncio.sleep(0.01)
    gate.set()
    assert await appending == [None] * 6
    assert await recorded(observed) == ["a", "b", "large", "c", "larger", "d"]
    assert watched.count("COMMIT") >= 5


async def test_refused_record_leaves_its_batch_alone(backend, run):
    """Of a batch only the second result at a path, the fenced one and the unwritable one are refused."""
    old = await backend.create_run(run("run-2"))
    await backend.claim("run-2", force=True)
    claim = await backend.create_run(run())
    outcomes = await asyncio.gather(
        backend.append(claim, safe("a")),
        backend.append(claim, safe("a")),
        backend.append(old, safe("a")),
        backend.append(claim, safe("\ud800")),
        backend.append(claim, safe("b")),
        return_exceptions=True,
    )
    kinds = [type(outcome).__name__ for outcome in outcomes]
    assert kinds == ["NoneType", "StateError", "RunOwnedElsewhere", "ValueNotStorable", "NoneType"]
    assert await recorded(backend) == ["a", "b"]


async def append_plain(observed, watched, claims):
    """Append three records of each claim while a commit holds up the writer, so that they wait; what came of them."""
    gate = threading.Event()
    watched.before = lambda statement: statement == "COMMIT" and gate.wait()
    held = asyncio.ensure_future(observed.append(claims[0], safe("held")))
    await asyncio.sleep(0.01)
    records = [(claim, JournalRecord(path, out=path.encode())) for path in "abc" for claim in claims]
    appending = asyncio.gather(*(observed.append(*each) for each in records), return_exceptions=True)
    await asyncio.sleep(0.01)
    gate.set()
    await held
    return dict(zip(((claim.run_id, record.path) for claim, record in records), await appending, strict=True))


async def test_many_plain_records_take_few_statements_and_keep_their_order(observed, watched, run):
    claims = [await observed.create_run(run(f"run-{n}")) for n in range(16)]
    watched.statements.clear()
    outcomes = await append_plain(observed, watched, claims)
    assert set(outcomes.values()) == {None}
    assert sum(statement.strip().startswith("INSERT") for statement in watched.statements) == 4
    for claim in claims[1:]:
        loaded = await observed.load(claim.run_id)
        assert [(each.path, each.out, each.sync) for each in loaded] == [
            (path, path.encode(), Sync.NORMAL) for path in "abc"
        ]


async def test_of_many_plain_records_only_those_are_refused_that_must_be(observed, watched, run):
    """One run was taken over, another has a record at the path; nothing else is held against the records beside."""
    claims = [await observed.create_run(run(f"run-{n}")) for n in range(16)]
    await observed.claim("run-3", force=True)
    await observed.append(claims[5], safe("b"))
    outcomes = await append_plain(observed, watched, claims)
    refused = {place: type(outcome) for place, outcome in outcomes.items() if outcome is not None}
    taken = {("run-3", path): RunOwnedElsewhere for path in "abc"}
    assert refused == {**taken, ("run-5", "b"): StateError}
    assert await recorded(observed, "run-3") == []
    assert await recorded(observed, "run-5") == ["b", "a", "c"]
    assert await recorded(observed, "run-15") == ["a", "b", "c"]


async def test_error_after_many_plain_records_whose_effect_is_unknown_is_settled(observed, watched, run):
    claims = [await observed.create_run(run(f"run-{n}")) for n in range(16)]
    watched.after = once(INSERT_ROWS.strip()[:130])
    assert set((await append_plain(observed, watched, claims)).values()) == {None}
    assert await recorded(observed, "run-7") == ["a", "b", "c"]


async def test_refused_write_leaves_nothing_of_itself(path, backend, run):
    """A run whose id is taken does not leave its definition behind."""
    await backend.create_run(run())
    with pytest.raises(StateError, match="there is a run 'run-1' already"):
        await backend.create_run(run(definition="other", digest=b"other"))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT document FROM definition").fetchall() == [("{}",)]


@pytest.mark.parametrize("where", ["INSERT", "RELEASE", "COMMIT"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_error_whose_effect_is_unknown_is_settled(observed, watched, run, where, when):
    """Whether the statement took place or not: the record is there once, and its writer is told so."""
    claim = await observed.create_run(run())
    setattr(watched, when, once(where))
    assert await append_all(observed, claim, [safe(name) for name in "abc"]) == [None] * 3
    assert await recorded(observed) == ["a", "b", "c"]


async def test_inline_error_whose_effect_is_unknown_is_settled(observed, watched, run):
    claim = await observed.create_run(run())
    watched.after = once("INSERT")
    await observed.append(claim, JournalRecord("a"))
    assert await recorded(observed) == ["a"]


async def test_start_claim_and_end_of_unknown_effect_are_settled(observed, watched, run):
    """The commit took place, its acknowledgement was lost: one run, one claim, one end."""
    await observed.create_run(run("first"))
    watched.after = once("COMMIT")
    claim = await observed.create_run(run())
    assert claim.epoch == 1
    watched.after = once("COMMIT")
    claim = await observed.claim("run-1", force=True)
    assert claim.epoch == 2
    watched.after = once("COMMIT")
    await observed.finish(claim, RunStatus.COMPLETED, output=b"1", at=2.0)
    row = await observed.get("run-1")
    assert (row.status, row.epoch, row.output) == (RunStatus.COMPLETED, 2, b"1")


async def test_answer_and_removal_of_unknown_effect_are_settled(observed, watched, run):
    """The commit took place, its acknowledgement was lost: each is done once, and counted once."""
    for number in range(3):
        claim = await observed.create_run(run(f"run-{number}"))
        await observed.finish(claim, RunStatus.FAILED, at=2.0)
    watched.after = once("COMMIT")
    assert await observed.answer("run-0", JournalRecord("a!1", RecordKind.ANSWER)) is True
    watched.after = once("COMMIT")
    await observed.delete("run-0")
    watched.after = once("COMMIT")
    assert await observed.gc(ended_before=9.0, limit=1, trust_clock=True) == 1
    assert [row.run_id for row in await observed.list()] == ["run-2"]


async def test_fault_that_stays_is_reported(observed, watched, run):
    claim = await observed.create_run(run())

    def fault(statement):
        if statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")

    watched.before = fault
    with pytest.raises(StateUnavailable, match="disk I/O error"):
        await observed.append(claim, safe("a"))
    watched.before = lambda statement: None
    await observed.append(claim, safe("b"))
    assert await recorded(observed) == ["b"]


async def test_full_database_keeps_what_was_acknowledged_and_nothing_else(path, opened, run):
    """SQLite undoes a whole transaction when it runs full: no record of a batch is left half or unannounced."""
    limited = opened(path, connect=Watched("PRAGMA max_page_count = 40"))
    claim = await limited.create_run(run())
    records = [safe(f"step-{n}", 500 + n * 37 % 3000) for n in range(120)]
    outcomes = await append_all(limited, claim, records)
    kept = [record.path for record, outcome in zip(records, outcomes, strict=True) if outcome is None]
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert 0 < len(kept) < 120
    assert {type(outcome) for outcome in refused} == {StateStorageFull}
    assert str(path) in str(refused[0])
    assert await recorded(limited) == kept
    await limited.close()
    roomy = opened(path)
    assert await recorded(roomy) == kept
    await roomy.append(await roomy.claim("run-1"), safe("more", 50_000))


async def test_lone_record_into_a_full_database_is_refused(path, opened, run):
    limited = opened(path, connect=Watched("PRAGMA max_page_count = 40"))
    claim = await limited.create_run(run())
    written = []

    async def fill():
        while True:
            await limited.append(claim, JournalRecord(f"step-{len(written)}", out=b"x" * 3000))
            written.append(f"step-{len(written)}")

    with pytest.raises(StateStorageFull) as caught:
        await fill()
    assert (
        caught.value.suggestion
        == "make room, then resume the run, or do this again: it is not recorded, and what is recorded is intact"
    )
    assert await recorded(limited) == written


async def test_run_that_found_no_room_to_begin_is_not_to_be_resumed(path, opened, run):
    limited = opened(path, connect=Watched("PRAGMA max_page_count = 1"))
    await opened(path).create_run(run())
    with pytest.raises(StateStorageFull) as caught:
        await limited.create_run(run("run-2", input=b"x" * 50_000))
    assert caught.value.suggestion == "make room"


def test_limit_on_the_size_of_files_is_a_full_disk(process):
    writer, reader = process(), process()
    writer.ask("create run-1")
    writer.ask("limit 200000")
    answers = []
    while not answers or answers[-1].startswith("ok"):
        answers.append(writer.ask(f"append step-{len(answers)} 3000 {'full' if len(answers) % 2 else 'normal'}"))
    assert answers[-1].startswith("StateStorageFull")
    writer.kill()
    assert reader.ask("claim_run run-1") == "ok 2"
    reader.tell("go_on 1")
    assert reader.answer() == f"ok step-{len(answers) - 1}"


@pytest.fixture
def foreign(path):
    """Opens another program's connection, once there is a file."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(connect(path.as_uri())))


async def test_lock_of_another_program_is_waited_for(backend, foreign, run):
    """Both ways to write wait, and lose nothing."""
    claim = await backend.create_run(run())
    other = foreign()
    for record in (safe("a"), JournalRecord("b")):
        other.execute("BEGIN IMMEDIATE")
        appending = asyncio.ensure_future(backend.append(claim, record))
        await asyncio.sleep(0.02)
        assert not appending.done()
        other.execute("COMMIT")
        await appending
    assert await recorded(backend) == ["a", "b"]


async def test_lock_that_is_kept_for_too_long_is_reported(opened, path, run, foreign):
    """The error names the file; the run goes on when the lock is gone."""
    backend = opened(path, busy_s=0.02)
    claim = await backend.create_run(run())
    other = foreign()
    other.execute("BEGIN IMMEDIATE")
    for record in (safe("a"), JournalRecord("b")):
        with pytest.raises(StateBackendBusy, match=r"state\.db"):
            await backend.append(claim, record)
    other.execute("COMMIT")
    await backend.append(claim, safe("c"))
    assert await recorded(backend) == ["c"]


async def test_reader_in_the_way_of_the_log_stops_nobody(path, backend, foreign, run):
    """While somebody reads an old state the log grows; afterwards it is emptied."""
    claim = await backend.create_run(run())
    other = foreign()
    other.execute("BEGIN")
    other.execute("SELECT * FROM run").fetchall()
    log = path.with_name("state.db-wal")
    for number in range(300):
        await backend.append(claim, JournalRecord(f"step-{number}", out=b"x" * 60_000))
    assert log.stat().st_size > 17 * 2**20
    other.execute("COMMIT")
    for number in range(300, 600):
        await backend.append(claim, JournalRecord(f"step-{number}", out=b"x" * 60_000))
    assert log.stat().st_size < 12 * 2**20
    assert len(await backend.load("run-1")) == 600


async def test_the_log_is_emptied_after_the_commit_that_another_process_is_at(path, backend, foreign, run):
    """A checkpoint that does not wait for it would run beside that commit."""
    await backend.create_run(run())
    other = foreign()
    with closing(open_state(path)) as file:
        file.connection.execute("INSERT INTO meta VALUES ('much', hex(zeroblob(50000)))")
        other.execute("BEGIN IMMEDIATE")
        committing = threading.Timer(0.05, other.execute, ["COMMIT"])
        committing.start()
        file.checkpoint()
        committing.join()
        assert path.with_name("state.db-wal").stat().st_size == 0
        assert file.connection.execute("PRAGMA busy_timeout").fetchone() == (0,)  # the caller waits otherwise


async def go_on_until_noticed(backend, claim):
    """Append unsynced records until one is refused."""
    for number in range(50):
        await backend.append(claim, JournalRecord(f"more-{number}"))


@pytest.mark.parametrize("instead", ["nothing", "another state"])
@pytest.mark.parametrize("sync", [Sync.NORMAL, Sync.FULL])
async def test_file_that_is_taken_away_is_noticed(path, opened, backend, run, tmp_path, instead, sync):
    """A synced record that went into a deleted file is not acknowledged; of others few are."""
    claim = await backend.create_run(run())
    await backend.append(claim, JournalRecord("a"))
    os.rename(path, tmp_path / "away.db")
    if instead == "another state":
        other = opened(tmp_path / "other.db")
        await other.create_run(run("run-2"))
        await other.close()
        os.rename(tmp_path / "other.db", path)
    with pytest.raises(StateUnavailable, match="deleted or replaced"):
        await (go_on_until_noticed(backend, claim) if sync is Sync.NORMAL else backend.append(claim, safe("b")))


@pytest.mark.parametrize("instead", [None, b"another log"])
@pytest.mark.parametrize("sync", [Sync.NORMAL, Sync.FULL])
async def test_log_that_is_taken_away_is_noticed(path, backend, run, sync, instead):
    """Other processes would begin a log of their own, and never see what goes into this one."""
    claim = await backend.create_run(run())
    await backend.append(claim, safe("a"))
    log = path.with_name("state.db-wal")
    log.unlink()
    if instead is not None:
        log.write_bytes(instead)
    with pytest.raises(StateUnavailable, match=r"the log '.*state.db-wal' was deleted or replaced"):
        await (go_on_until_noticed(backend, claim) if sync is Sync.NORMAL else backend.append(claim, safe("b")))


@pytest.mark.parametrize("mode", ["wb", "r+b"])
@pytest.mark.parametrize("sync", [Sync.NORMAL, Sync.FULL])
async def test_file_that_is_overwritten_is_noticed(path, backend, run, mode, sync):
    """No run ends well in a file that another program has written over, shorter or as long as it was."""
    claim = await backend.create_run(run())
    await backend.append(claim, JournalRecord("a"))
    with path.open(mode) as file:
        file.write(b"not a database " * 50)
    with pytest.raises(StateCorrupt, match="overwritten by another program"):
        await (go_on_until_noticed(backend, claim) if sync is Sync.NORMAL else backend.append(claim, safe("b")))
    with pytest.raises(StateCorrupt, match=r"overwritten by another program|can't be read as a state"):
        await backend.finish(claim, RunStatus.COMPLETED, at=2.0)


async def test_log_is_not_copied_over_a_file_that_was_overwritten(path, backend, run):
    """A good first page would hide that the others are gone."""
    claim = await backend.create_run(run())
    await backend.append(claim, safe("a", 3_000_000))
    path.write_bytes(b"not a database " * 5000)
    with pytest.raises(StateCorrupt):
        await backend.append(claim, safe("b", 3_000_000))
    assert path.read_bytes().startswith(b"not a database")


async def test_checkpoint_of_another_process_is_no_damage(path, opened, run, foreign):
    """The file changes under the log, and is the state that it was."""
    backend = opened(path)
    claim = await backend.create_run(run())
    await backend.append(claim, safe("a"))
    before = path.read_bytes()
    assert foreign().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    assert path.read_bytes() != before
    await backend.append(claim, safe("b"))
    assert await recorded(backend) == ["a", "b"]


async def test_state_without_a_log_is_synced_at_every_record(path, opened, run, caplog):
    """A file system that can't share memory gets the older journal, and the reader is told once."""

    def without_shared_memory(uri):
        return connect(f"{uri}&vfs=unix-dotfile")

    with caplog.at_level(logging.WARNING):
        backend = opened(path, connect=without_shared_memory)
        claim = await backend.create_run(run())
        for name in "abc":
            await backend.append(claim, JournalRecord(name))
        assert await recorded(backend) == ["a", "b", "c"]
        await backend.close()
    assert ["no write-ahead log" in message for message in caplog.messages] == [True]


async def test_cancelled_append_is_written_before_the_cancel_is_seen(observed, watched, run):
    claim = await observed.create_run(run())
    gate = threading.Event()
    watched.before = lambda statement: statement == "COMMIT" and gate.wait()
    task = asyncio.ensure_future(observed.append(claim, safe("a")))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await recorded(observed) == ["a"]


async def test_second_cancellation_does_not_wait(observed, watched, run):
    claim = await observed.create_run(run())
    gate = threading.Event()
    watched.before = lambda statement: statement == "COMMIT" and gate.wait()
    task = asyncio.ensure_future(observed.append(claim, safe("a")))
    for _ in range(2):
        await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await observed.append(claim, safe("b"))
    assert await recorded(observed) == ["a", "b"]


def test_loop_that_is_gone_does_not_stop_the_writer(path, opened, run, watched):
    """A program may use one backend in one loop after another."""
    backend = opened(path, connect=watched)
    claim = asyncio.run(backend.create_run(run()))
    gate = threading.Event()
    watched.before = lambda statement: statement == "COMMIT" and gate.wait()

    async def leave_behind():
        asyncio.get_running_loop().call_later(0.01, asyncio.get_running_loop().stop)
        await backend.append(claim, safe("a"))

    loop = asyncio.new_event_loop()
    task = loop.create_task(leave_behind())
    loop.run_forever()
    loop.close()
    gate.set()
    asyncio.run(backend.append(claim, safe("b")))
    assert asyncio.run(recorded(backend)) == ["a", "b"]
    task._log_destroy_pending = False
    asyncio.run(backend.close())


async def test_several_threads_may_write(backend, run):
    """Each has its own loop; every record is there once."""
    claim = await backend.create_run(run())

    async def write(name):
        for number in range(30):
            await backend.append(claim, JournalRecord(f"{name}-{number}", sync=list(Sync)[number % 2]))

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, write(name)) for name in "abc"))
    paths = await recorded(backend)
    assert sorted(paths) == sorted(f"{name}-{n}" for name in "abc" for n in range(30))


async def test_closing_writes_what_waits(backend, opened, path, run):
    """Records that were handed over before are written; the thread and its files are gone afterwards."""
    claim = await backend.create_run(run())
    appending = asyncio.ensure_future(append_all(backend, claim, [safe(f"s{n}") for n in range(20)]))
    await asyncio.sleep(0)
    thread = backend._writer._thread
    await asyncio.gather(backend.close(), backend.close())
    assert await appending == [None] * 20
    assert not thread.is_alive()
    assert [row.status for row in await opened(path).list()] == [RunStatus.INTERRUPTED]


async def test_closing_lets_go_only_of_what_is_still_owned(path, opened, run):
    first, second = opened(path), opened(path)
    await first.create_run(run())
    await second.claim("run-1", force=True)
    await first.close()
    assert (await second.get("run-1")).status is RunStatus.RUNNING


async def test_closing_does_not_fail_when_nothing_can_be_written(opened, path, run, foreign):
    """The run is free all the same, also for others of the same process."""
    backend, bystander = opened(path, busy_s=0.02), opened(path)
    await backend.create_run(run())
    await bystander.create_run(run("run-2"))
    other = foreign()
    other.execute("BEGIN IMMEDIATE")
    await backend.close()
    other.execute("COMMIT")
    assert (await bystander.claim("run-1")).epoch == 2


async def test_fenced_record_is_refused_on_both_ways(backend, run):
    old = await backend.create_run(run())
    await backend.claim("run-1", force=True)
    for record in (safe("a"), JournalRecord("a")):
        with pytest.raises(RunOwnedElsewhere):
            await backend.append(old, record)
    assert await recorded(backend) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_nobody_waits_for_a_thread_that_has_broken(observed, watched, opened, path, run):
    """Who waited, and who comes later, is told; the run can be taken on by another backend."""
    claim = await observed.create_run(run())
    gate = threading.Event()

    def fault(statement):
        if statement == "COMMIT":
            gate.wait()
            raise MemoryError

    watched.before = fault
    appending = asyncio.ensure_future(append_all(observed, claim, [safe("a"), safe("b", 100_000), safe("c")]))
    await asyncio.sleep(0.01)
    gate.set()
    assert {type(error) for error in await appending} == {StateUnavailable}
    watched.before = lambda statement: None
    with pytest.raises(StateUnavailable, match="has failed"):
        await observed.append(claim, safe("d"))
    await observed.close()
    assert (await opened(path).claim("run-1")).epoch == 2
