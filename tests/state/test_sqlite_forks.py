"""A state that is open while the process forks belongs to the parent."""

import subprocess
import sys
import textwrap

PREAMBLE = """
import asyncio, os, sys
from pathlib import Path
from flujo.domain.interfaces import JournalRecord, NewRun
from flujo.exceptions import FlujoError
from flujo_state_sqlite.backend import SqliteBackend

path = Path(sys.argv[1])
backend = SqliteBackend(path)
new = NewRun("run-1", "p", "1", "{}", b"d", b"1", b"2", created_at=1.0)

def attempt(call):
    try:
        print("did", asyncio.run(call), flush=True)
    except FlujoError as error:
        print(type(error).__name__, error, flush=True)

def child(*calls):
    if not os.fork():
        for call in calls:
            attempt(call())
        sys.exit()
    os.wait()
"""


def run_script(path, script):
    text = PREAMBLE + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", text, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_child_can_not_use_what_its_parent_has_open(path):
    """Neither the parent's backend nor one of its own; closing is harmless, and the parent goes on."""
    lines = run_script(
        path,
        """
        claim = asyncio.run(backend.create_run(new))
        child(
            lambda: backend.append(claim, JournalRecord("child")),
            lambda: backend.get("run-1"),
            lambda: SqliteBackend(path).claim("run-1", force=True),
            lambda: SqliteBackend(path).list(),
            lambda: backend.close(),
        )
        attempt(backend.append(claim, JournalRecord("parent")))
        attempt(backend.close())
        attempt(SqliteBackend(path).load("run-1"))
        """,
    )
    refused = f"StateUnavailable the state {str(path)!r} was open when this process was forked, and can't be used in it"
    assert lines[:4] == [refused] * 4
    assert lines[4:7] == ["did None"] * 3
    assert lines[7].count("JournalRecord(") == 1
    assert "path='parent'" in lines[7]


def test_a_pool_of_processes_can_not_use_what_its_parent_has_open_and_can_what_it_has_not(path):
    lines = run_script(
        path,
        """
        import multiprocessing

        def work(name):
            attempt(SqliteBackend(path.with_name(name)).create_run(new))

        asyncio.run(backend.create_run(new))
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(work, ["state.db"])
            pool.map(work, ["other.db"])
        attempt(backend.claim("run-1", force=True))
        """,
    )
    assert lines[0].startswith("StateUnavailable the state 'TMP/state.db' was open".replace("TMP", str(path.parent)))
    assert lines[1:] == [f"did Claim(run_id='run-1', number=1, epoch={epoch})" for epoch in (1, 2)]


def test_child_can_use_what_its_parent_has_closed(path):
    lines = run_script(
        path,
        """
        asyncio.run(backend.create_run(new))
        asyncio.run(backend.close())
        child(lambda: SqliteBackend(path).claim("run-1"))
        """,
    )
    assert lines == ["did Claim(run_id='run-1', number=1, epoch=2)"]


def test_child_can_use_a_backend_that_was_not_used_before(path):
    lines = run_script(path, "child(lambda: backend.create_run(new), lambda: backend.close())")
    assert lines == ["did Claim(run_id='run-1', number=1, epoch=1)", "did None"]


def test_run_is_free_when_the_owner_died_and_its_child_lives(path):
    """The owner's lock does not live on in the child."""
    lines = run_script(
        path,
        """
        here, there = os.pipe()
        owner = os.fork()
        if not owner:
            asyncio.run(backend.create_run(new))
            if os.fork():
                os.kill(os.getpid(), 9)
            os.close(there)
            os.read(here, 1)
            print("child ends", flush=True)
            os._exit(0)
        os.waitpid(owner, 0)
        attempt(backend.claim("run-1"))
        attempt(backend.close())
        os.close(there)
        """,
    )
    assert lines == ["did Claim(run_id='run-1', number=1, epoch=2)", "did None", "child ends"]


def test_child_closes_no_file_that_has_the_number_of_a_closed_one(path):
    """A worker that has left may still be remembered when the process forks."""
    lines = run_script(
        path,
        """
        asyncio.run(backend.create_run(new))
        kept = backend._writer._file.worker
        number = kept._lock_file
        asyncio.run(backend.close())
        taken = os.open(os.devnull, os.O_RDONLY)
        os.dup2(taken, number)
        if not os.fork():
            os.fstat(number)
            print("open", flush=True)
            sys.exit()
        os.wait()
        """,
    )
    assert lines == ["open"]
