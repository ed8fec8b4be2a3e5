"""Signals while something runs."""

import asyncio
import os
import signal
import time

import pytest

from flujo_cli import interrupts as module
from flujo_cli.interrupts import Interrupts

STOPPING = "stopping; once more stops at once\n"


@pytest.fixture
def ended(monkeypatch) -> list[int]:
    """The codes that the process would have ended with."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def interrupts(grace_s: float = 60.0) -> Interrupts:
    return Interrupts(last_words=lambda: [(2, "bye"), (1, "{}")], grace_s=grace_s)


async def wait_under(watcher: Interrupts, *signals: int) -> str:
    task = asyncio.create_task(asyncio.sleep(60))
    watcher.watch(task)
    for number in signals:
        os.kill(os.getpid(), number)
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled"
    return "slept"


def wait_for(ended: list[int]) -> None:
    while not ended:
        time.sleep(0.001)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_cancels_the_task_and_says_so(number, capfd):
    watcher = interrupts()
    with watcher.installed():
        assert asyncio.run(wait_under(watcher, number)) == "cancelled"
    assert (watcher.signum, capfd.readouterr().err) == (number, STOPPING)


def test_the_second_signal_ends_the_process_at_once_with_the_firsts_code(ended, capfd):
    watcher = interrupts()
    with watcher.installed():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(ended)
    assert ended == [143]
    assert capfd.readouterr() == ("{}\n", f"{STOPPING}bye\n")


def test_a_signal_before_there_is_a_task_cancels_it_when_it_comes():
    watcher = interrupts()
    with watcher.installed():
        os.kill(os.getpid(), signal.SIGINT)
        while watcher.signum is None:
            time.sleep(0.001)
        assert asyncio.run(wait_under(watcher)) == "cancelled"


def test_a_signal_after_the_loop_has_closed_changes_nothing():
    watcher = interrupts()

    async def nothing() -> None:
        watcher.watch(asyncio.current_task())

    with watcher.installed():
        asyncio.run(nothing())
        os.kill(os.getpid(), signal.SIGINT)
        while watcher.signum is None:
            time.sleep(0.001)


def test_a_step_that_does_not_stop_is_left_behind_after_the_grace_period(ended):
    with interrupts(grace_s=0.01).installed():
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(ended)
    assert ended == [130]


def test_other_signals_do_not_count():
    watcher = interrupts()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    with watcher.installed():
        os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert watcher.signum is None


def test_handlers_are_put_back_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with interrupts().installed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_the_last_words_hold_nothing_up_where_nobody_reads(monkeypatch, ended):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"x" * 10_000_000)  # as much of it as fits
    watcher = Interrupts(last_words=lambda: [(writer, "bye")], grace_s=0.01)
    with watcher.installed():
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(ended)
    os.close(writer)
    os.close(reader)
    assert ended == [130]
