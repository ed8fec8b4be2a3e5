"""How steps that never wait let others have their turn."""

import asyncio

from flujo.engine.frame import Pulse


async def test_runs_of_one_loop_share_a_pulse_and_those_of_another_have_their_own():
    async def other():
        return Pulse.of_loop()

    own = Pulse.of_loop()
    assert own is Pulse.of_loop()
    assert await asyncio.to_thread(asyncio.run, other()) is not own


async def test_beat_gives_the_loop_its_turn_and_says_when_the_next_is_due():
    pulse, turns = Pulse(), []
    asyncio.get_running_loop().call_soon(turns.append, "another's")
    await pulse.beat(100.0)
    assert turns == ["another's"]
    assert pulse.due == 100.0 + Pulse.interval_s


async def test_runs_whose_steps_never_wait_take_turns():
    """Each lets the other in when the time has come, although they share the pulse."""
    pulse, seen = Pulse.of_loop(), []

    async def work(name):
        for turn in range(1, 4):
            now = turn * (1 + Pulse.interval_s) + pulse.due
            seen.append(name)
            await pulse.beat(now)

    await asyncio.gather(work("a"), work("b"))
    assert seen == ["a", "b"] * 3
