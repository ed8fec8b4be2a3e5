"""Turns of tasks are timed, and the tasks notice nothing."""

import asyncio
import inspect
import time

from flujo.testing.turns import turns_timed


async def test_each_turn_of_each_task_is_timed_until_it_is_over():
    async def work():
        time.sleep(0.02)  # noqa: ASYNC251 - what is timed
        await asyncio.sleep(0)
        return "done"

    with turns_timed() as turns:
        task = asyncio.create_task(work(), name="worker")
        assert (inspect.getcoroutinestate(task.get_coro()), task.get_name()) == (inspect.CORO_CREATED, "worker")
        assert await task == "done"
    await asyncio.create_task(work())

    assert len(turns) == 2
    assert turns[0] >= 0.01


async def test_a_task_that_is_cancelled_before_it_begins_leaves_no_warning():
    with turns_timed() as turns:
        task = asyncio.create_task(asyncio.sleep(1))
        task.cancel()
        await asyncio.wait({task})

    assert (task.cancelled(), len(turns)) == (True, 1)


async def test_what_is_timed_is_a_coroutine_as_any_other():
    async def answer():
        return 42

    with turns_timed():
        task, other = asyncio.create_task(answer()), asyncio.create_task(answer())
    other.get_coro().close()
    assert await task.get_coro() == 42
    for each in (task, other):
        each.cancel()
    await asyncio.wait({task, other})
