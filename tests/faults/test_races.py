"""Several processes at one state: a run has one owner, who writes as long as nobody takes the run from him."""

import os
import signal
import sqlite3
import time
from contextlib import closing

import pytest

RACERS = 4


def _stands_still(case):
    """A process that has come to the step that waits."""
    case.tell("hold")
    owner = case.start()
    case.await_begin("wait", [owner])
    return owner


def _race(cases):
    """Four processes resume the run of a dead one; the longest that a loser took to hear of it."""
    case = cases.new(pipeline="race.yaml")
    owner = _stands_still(case)
    os.kill(owner, signal.SIGKILL)
    case.nemesis.wait(owner)
    began = time.monotonic()
    racers = {case.start() for _ in range(RACERS)}
    winner = case.await_begin("wait", racers)
    told = [case.nemesis.wait(pid)[1]["results"]["run-01"] for pid in racers - {winner}]
    longest = time.monotonic() - began
    for each in told:
        assert each["error"] == "RunOwnedElsewhere"
        assert f"pid {winner}" in each["message"]
        assert "host " in each["message"]
    case.untell("hold")
    assert case.nemesis.wait(winner)[1]["results"]["run-01"]["status"] == "completed"
    assert case.begun() == ["first", "wait", "wait", "last"]
    return longest


def test_of_four_processes_that_resume_a_dead_one_s_run_one_wins(cases):
    for _ in range(10):
        _race(cases)


@pytest.mark.slow
def test_of_four_processes_that_resume_a_dead_one_s_run_one_wins_two_hundred_times(cases, figures):
    longest = max(_race(cases) for _ in range(200))
    figures("17 races to resume", rounds=200, winners=200, **{"ms at most until a loser knew": round(longest * 1000)})


def test_an_owner_that_was_stopped_and_taken_over_from_writes_nothing_more(cases):
    case = cases.new(pipeline="race.yaml")
    owner = _stands_still(case)
    os.kill(owner, signal.SIGSTOP)
    refused = case.nemesis.wait(case.start())[1]["results"]["run-01"]
    assert refused["error"] == "RunOwnedElsewhere"
    assert f"pid {owner}" in refused["message"]
    assert "--force" in refused["advice"]

    case.untell("hold")
    taken = case.nemesis.wait(case.start(force=True))[1]["results"]["run-01"]
    kept = case.query("SELECT * FROM journal"), case.query("SELECT * FROM run")
    os.kill(owner, signal.SIGCONT)
    lost = case.nemesis.wait(owner)[1]["results"]["run-01"]
    assert (taken["status"], lost["error"]) == ("completed", "RunOwnedElsewhere")
    assert (case.query("SELECT * FROM journal"), case.query("SELECT * FROM run")) == kept


def test_a_run_is_its_owner_s_however_long_a_step_takes(cases):
    """For the others ten minutes have passed; nobody asks the clock whether an owner lives."""
    case = cases.new(pipeline="race.yaml")
    owner = _stands_still(case)
    for ahead_s in (0.0, 600.0, 86_400.0):
        told = case.nemesis.wait(case.start(ahead_s=ahead_s))[1]["results"]["run-01"]
        assert told["error"] == "RunOwnedElsewhere"
    case.untell("hold")
    assert case.nemesis.wait(owner)[1]["results"]["run-01"]["status"] == "completed"
    assert case.begun() == ["first", "wait", "last"]


def _share(cases, seconds):
    """What eight processes came to that wrote to sixteen runs each, in one file and safe from the machine's death."""
    case = cases.new()
    pids = [case.nemesis.load(case.folder, f"p{number}", runs=16, seconds=seconds) for number in range(8)]
    told = [case.nemesis.wait(pid) for pid in pids]
    assert [code for code, _ in told] == [0] * 8
    commits = [each["commits"] for _, each in told]
    assert case.query("SELECT COUNT(*) FROM journal") == [(sum(commits),)]
    assert case.query("PRAGMA integrity_check") == [("ok",)]
    return commits, max(each["longest"] for _, each in told)


def test_eight_processes_share_one_file_and_none_fails_or_starves(cases):
    commits, _ = _share(cases, 2.0)
    assert min(commits) > 0


@pytest.mark.slow
def test_a_reader_that_keeps_an_old_state_open_for_a_minute_makes_no_write_fail(cases, figures):
    """23: the log grows as long as it reads, and is emptied by whoever writes then."""
    case = cases.new()
    assert case.nemesis.wait(case.nemesis.load(case.folder, "before", runs=1, seconds=0.1))[0] == 0
    log = case.folder / "state.db-wal"
    with closing(sqlite3.connect(case.folder / "state.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT COUNT(*) FROM journal").fetchone()
        code, told = case.nemesis.wait(case.nemesis.load(case.folder, "beside", runs=4, seconds=60.0))
        grown = log.stat().st_size
        assert (code, reader.execute("SELECT COUNT(*) FROM journal").fetchone()) == (0, before)
        reader.execute("COMMIT")
        assert case.nemesis.wait(case.nemesis.load(case.folder, "after", runs=1, seconds=2.0))[0] == 0
        left = log.stat().st_size
    figures("23 a reader for a minute", records=told["commits"], **{"MiB of log": grown >> 20, "MiB then": left >> 20})
    assert case.query("PRAGMA integrity_check") == [("ok",)]
    assert left <= 64 << 20
    assert left < grown


@pytest.mark.slow
def test_eight_processes_share_one_file_fairly_for_a_minute(cases, figures):
    commits, longest = _share(cases, 60.0)
    figures(
        "22 eight processes, one file",
        records=sum(commits),
        **{
            "times the least of the most": round(max(commits) / min(commits), 2),
            "s the longest wait": round(longest, 2),
        },
    )
    assert max(commits) <= 4 * min(commits)
    assert longest <= 2.0
