"""Steps that may run only once: what the record says of their beginning, and what becomes of one without an end."""

import asyncio

import pytest

from flujo import Pipeline, Step, StepConfig, map_, parallel
from flujo.domain.events import StepInDoubt
from flujo.domain.interfaces import RecordKind, Sync
from flujo.engine.journal import Journal, Settlement
from flujo.engine.once import OncePolicy
from flujo.engine.step_run import idempotency_key
from flujo.exceptions import DefinitionChanged, EffectInDoubt
from flujo.infra.codec import JsonCodec

NOT_RECORDED = (
    "step 'pay' began at 2023-11-14 22:13:20+00:00, and no result of it is recorded: it may have taken effect"
)


class Till:
    """A step that pays, and remembers how often; it dies like its process as long as it is told to."""

    def __init__(self) -> None:
        self.paid = 0
        self.keys: list[str] = []
        self.dies: type[BaseException] | None = None

    def step(self, **options) -> Step:
        return Step("pay", self.pay, effects="at-most-once", **options)

    def pay(self, data: str, *, run) -> str:
        self.paid += 1
        self.keys.append(run.idempotency_key)
        if self.dies:
            raise self.dies
        return f"paid {data}"


@pytest.fixture
def till() -> Till:
    return Till()


async def settle(bench, path: str, *, output=None, again: bool = False) -> None:
    """Say what the step came to, as another process would."""
    claim = await bench.backend.claim("r", force=True)
    journal = Journal(bench.backend, claim, JsonCodec(), await bench.backend.load("r"))
    await journal.record_settlement(path, Settlement(output, again, "ann", 5.0))


async def die(bench, till, step, data="7") -> None:
    """Execute the step in a process that dies in it."""
    till.dies = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        await bench.execute(step, data)
    till.dies = None


async def test_the_beginning_is_recorded_for_the_machine_before_the_step_runs(bench, till):
    outcome = await bench.execute(till.step(), "7")

    recorded = await bench.recorded()
    assert outcome.value == "paid 7"
    assert list(recorded) == ["pay^1", "pay"]
    assert (recorded["pay^1"].kind, recorded["pay^1"].sync) == (RecordKind.INTENT, Sync.FULL)
    assert JsonCodec().decode(recorded["pay^1"].out, where="") == {"idempotency_key": till.keys[0]}
    assert recorded["pay^1"].fingerprint == recorded["pay"].fingerprint


async def test_a_beginning_without_an_end_is_not_repeated_and_says_how_to_go_on(bench, till):
    await die(bench, till, till.step())

    outcome = await bench.execute(till.step(), "7")

    assert till.paid == 1
    assert isinstance(outcome.error, EffectInDoubt)
    assert (str(outcome.error), outcome.error.code) == (NOT_RECORDED, "FLUJO-207")
    assert outcome.error.suggestion == (
        f"find out whether it did, by its idempotency key {idempotency_key('r', 'pay')}; then "
        "`flujo runs settle r pay --output JSON` takes that as its output, "
        "`flujo runs settle r pay --again` lets it run once more; "
        "in Python `await flujo.settle('r', 'pay', output)` or `await flujo.settle('r', 'pay', again=True)`"
    )
    assert bench.sink.of_type(StepInDoubt) == [StepInDoubt("r", "pay", 1_700_000_000.0)]


async def test_a_step_that_failed_is_in_doubt_as_well(bench, till):
    till.dies = ValueError
    assert isinstance((await bench.execute(till.step(), "7")).error, ValueError)

    assert isinstance((await bench.execute(till.step(), "7")).error, EffectInDoubt)
    assert till.paid == 1


async def test_a_beginning_that_can_not_be_rendered_is_none(bench, till):
    outcome = await bench.execute(till.step(input="{{ steps.nobody.output }}"), "7")
    assert "nobody" in str(outcome.error)
    assert "pay^1" not in await bench.recorded()


async def test_a_settled_output_is_used_like_the_steps_own(bench, till):
    step = till.step(sink_to="scratchpad.receipt")
    await die(bench, till, step)
    await settle(bench, "pay", output={"paid": 7})

    outcome = await bench.execute(step, "7")

    assert (outcome.value, till.paid) == ({"paid": 7}, 1)
    assert bench.context.scratchpad == {"receipt": {"paid": 7}}
    assert list(await bench.recorded()) == ["pay^1", "pay^1!", "pay"]


async def test_a_step_that_is_let_run_again_runs_once_more_with_the_same_key(bench, till):
    await die(bench, till, till.step())
    await settle(bench, "pay", again=True)
    await die(bench, till, till.step())

    assert isinstance((await bench.execute(till.step(), "7")).error, EffectInDoubt)
    await settle(bench, "pay", again=True)
    assert (await bench.execute(till.step(), "7")).value == "paid 7"

    assert (till.paid, len(set(till.keys))) == (3, 1)
    assert [path for path in await bench.recorded() if "^" in path] == ["pay^1", "pay^1!", "pay^2", "pay^2!", "pay^3"]


async def test_neither_retry_nor_fallback_answers_a_doubt(bench, till):
    fallback = Step("other", lambda data: "by other means")
    inner = till.step(fallback=fallback)
    config = StepConfig(max_retries=3, retry_on=(EffectInDoubt,))
    whole = Pipeline([inner], name="whole", config=config, fallback=fallback)
    await die(bench, till, whole)

    outcome = await bench.execute(whole, "7")

    assert isinstance(outcome.error, EffectInDoubt)
    assert (till.paid, bench.clock.slept) == (1, [])
    assert not any("fallback" in path for path in await bench.recorded())


async def test_a_step_that_failed_gives_way_to_its_fallback_which_is_gone_on_with_after_a_crash(bench, till):
    calls = []

    def other(data):
        calls.append(data)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return "by other means"

    step = till.step(fallback=Step("other", other))
    till.dies = ValueError
    with pytest.raises(KeyboardInterrupt):
        await bench.execute(step, "7")

    assert (await bench.execute(step, "7")).value == "by other means"
    assert till.paid == 1


async def test_a_composite_that_is_tried_again_does_not_repeat_it(bench, till):
    config = StepConfig(max_retries=2)
    whole = Pipeline([till.step()], name="whole", config=config)
    till.dies = ValueError

    outcome = await bench.execute(whole, "7")

    assert (till.paid, type(outcome.error)) == (1, EffectInDoubt)


async def test_every_item_and_branch_has_a_beginning_of_its_own(bench, till):
    await bench.execute(map_("each", till.step(), over="{{ previous_step }}"), [1, 2])
    await bench.execute(parallel("both", {"a": till.step(), "b": till.step()}), "x")

    assert till.paid == 4
    assert len(set(till.keys)) == 4
    assert len([path for path in await bench.recorded() if path.endswith("^1")]) == 4


async def test_a_beginning_of_another_item_is_refused(bench, till):
    each = map_("each", till.step(), over="{{ previous_step }}")
    till.dies = ValueError
    await bench.execute(each, ["7"])

    with pytest.raises(DefinitionChanged, match=r"item 0 of '.*each' is not the one it was"):
        await bench.execute(each, ["8"])


async def test_what_is_cancelled_in_the_middle_is_in_doubt(bench):
    async def slow(data):
        await asyncio.sleep(60)

    step = Step("slow", slow, effects="at-most-once")
    task = asyncio.ensure_future(bench.execute(step, "x"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert isinstance((await bench.execute(step, "x")).error, EffectInDoubt)


async def test_the_journal_names_what_is_in_doubt(bench, till):
    await die(bench, till, till.step())
    claim = await bench.backend.claim("r", force=True)

    async def doubts():
        return Journal(bench.backend, claim, JsonCodec(), await bench.backend.load("r")).doubts()

    assert await doubts() == ["pay"]
    await settle(bench, "pay", again=True)
    assert await doubts() == []


def test_its_policy_runs_the_same_steps(bench, till):
    step = till.step()
    plain = bench.core._registry.require(step)
    assert OncePolicy(plain, b"").handles_type is plain.handles_type
