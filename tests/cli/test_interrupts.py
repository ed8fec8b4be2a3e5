"""Signals while something runs."""

import asyncio
import os
import signal

import pytest

from flujo_cli.interrupts import Interrupts


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def killed(monkeypatch) -> list[int]:
    codes: list[int] = []

    def die(code: int) -> None:
        codes.append(code)
        raise Killed

    monkeypatch.setattr(os, "_exit", die)
    return codes


def interrupts(said: list[str], grace_s: float = 60.0) -> Interrupts:
    return Interrupts(on_first=lambda: said.append("stopping"), last_words=lambda: "bye", grace_s=grace_s)


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_cancels_the_task_and_says_so(number):
    said: list[str] = []
    watcher = interrupts(said)
    with watcher.installed():
        assert asyncio.run(wait_under(watcher, number)) == "cancelled"
    assert (watcher.signum, said) == (number, ["stopping"])


def test_the_second_signal_ends_the_process_at_once(killed, capfd):
    watcher = interrupts([])
    with watcher.installed(), pytest.raises(Killed):
        asyncio.run(wait_under(watcher, signal.SIGTERM, signal.SIGINT))
    assert killed == [143]
    assert capfd.readouterr().err == "bye\n"


def test_a_signal_before_there_is_a_task_cancels_it_when_it_comes():
    watcher = interrupts([])
    with watcher.installed():
        os.kill(os.getpid(), signal.SIGINT)
        assert asyncio.run(wait_under(watcher)) == "cancelled"


def test_a_step_that_does_not_stop_is_left_behind_after_the_grace_period(monkeypatch):
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)

    async def stubborn() -> None:
        for _ in range(500):
            if ended:
                return
            await asyncio.sleep(0.01)

    async def body(watcher: Interrupts) -> None:
        task = asyncio.create_task(stubborn())
        watcher.watch(asyncio.create_task(asyncio.sleep(0)))
        os.kill(os.getpid(), signal.SIGINT)
        await task

    watcher = interrupts([], grace_s=0.01)
    with watcher.installed():
        asyncio.run(body(watcher))
    assert ended == [130]


def test_handlers_are_put_back_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with interrupts([]).installed():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
