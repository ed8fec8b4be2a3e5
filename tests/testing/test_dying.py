"""The backend that dies at a chosen record: a record is there or not, and nothing is after it."""

import asyncio
import os
import signal

import pytest

from flujo.domain.caching import CachingBackend
from flujo.domain.interfaces import Claim, JournalRecord, NewRun, RecordKind
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import StateUnavailable
from flujo.infra.memory import InMemoryBackend
from flujo.testing import DyingBackend
from flujo.testing.dying import kill_this_process

RUN = NewRun("r", "p", "", "{}", b"", None, None, 0.0)


class Heard:
    """What stands for the death of a process in a test."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def inner() -> InMemoryBackend:
    return InMemoryBackend(encodes=False)


async def paths(inner: InMemoryBackend) -> list[str]:
    return [record.path for record in await inner.load("r")]


async def write(state: DyingBackend, count: int) -> int:
    """Write records until the state is dead; how many were acknowledged to the writer."""
    claim = await state.create_run(RUN)
    for number in range(count):
        await state.append(claim, JournalRecord(f"s{number + 1}"))
    return state.records


@pytest.mark.parametrize(("at", "written"), [("before", ["s1"]), ("after", ["s1", "s2"])])
async def test_it_dies_before_or_after_the_record_is_written(inner, at, written):
    died = Heard()
    state = DyingBackend(inner, die_after=2, at=at, die=died)
    with pytest.raises(StateUnavailable, match="the process that used this state has died"):
        await write(state, 5)
    assert (died.times, await paths(inner), state.records) == (1, written, len(written))


async def test_the_beginning_of_a_call_is_written_and_no_record_of_what_was_done(inner):
    state = DyingBackend(inner, die_after=1, at="before", die=Heard())
    await state.append(await state.create_run(RUN), JournalRecord("s1^c1", RecordKind.CALL))
    assert (state.records, await paths(inner)) == (0, ["s1^c1"])


@pytest.mark.parametrize(("at", "there"), [("before", False), ("after", True)])
async def test_record_zero_is_the_row_of_the_run(inner, at, there):
    state = DyingBackend(inner, die_after=0, at=at, die=Heard())
    with pytest.raises(StateUnavailable):
        await write(state, 1)
    assert (await inner.get("r") is not None) is there


async def test_without_a_number_it_lives_and_counts(inner):
    assert await write(DyingBackend(inner), 3) == 3
    assert await paths(inner) == ["s1", "s2", "s3"]


async def test_a_dead_state_reaches_nothing_and_leaves_the_inner_one_open(inner):
    state = DyingBackend(inner, die_after=1, die=Heard())
    with pytest.raises(StateUnavailable):
        await write(state, 1)
    claim = Claim("r", 1, 1)
    for call in (
        lambda: state.finish(claim, RunStatus.COMPLETED, at=0.0),
        lambda: state.claim("r", force=True),
        lambda: state.load("r"),
        lambda: state.get("r"),
        state.list,
        state.waits,
        lambda: state.cancel("r", at=0.0),
        lambda: state.is_cancelled(claim),
        lambda: state.delete("r"),
        lambda: state.gc(ended_before=0.0),
        lambda: state.append(claim, JournalRecord("late")),
        lambda: state.answer("r", JournalRecord("q!1")),
    ):
        with pytest.raises(StateUnavailable):
            await call()
    await state.close()
    assert (await inner.get("r")).status is RunStatus.RUNNING


async def test_writes_that_were_under_way_at_the_death_are_not_heard_of(inner):
    state = DyingBackend(inner, die_after=1, die=Heard())
    claim = await state.create_run(RUN)
    ends = await asyncio.gather(
        *(state.append(claim, JournalRecord(f"s{n}")) for n in range(3)), return_exceptions=True
    )
    assert [type(end) for end in ends] == [StateUnavailable] * 3


async def test_it_shows_what_the_inner_state_has(inner):
    state = DyingBackend(inner)
    claim = await state.create_run(RUN)
    assert state.encodes is False
    assert isinstance(state, CachingBackend)
    assert state.cache is inner.cache
    await state.finish(claim, RunStatus.COMPLETED, at=1.0)
    assert [row.run_id for row in await state.list()] == ["r"]
    assert (await state.get("r")).status is RunStatus.COMPLETED
    assert (await state.claim("r", force=True)).epoch == 2


def test_a_process_dies_by_sigkill():
    pid = os.fork()
    if not pid:
        kill_this_process()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
