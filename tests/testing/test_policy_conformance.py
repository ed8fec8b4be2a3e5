"""Each promise of a policy can be broken, and the test of that promise notices."""

import asyncio
import itertools
import time
import uuid

import pytest

from flujo import Step, Success, Usage, branch
from flujo.domain.kinds import ConditionalStep
from flujo.engine.policy import StepPolicy
from flujo.exceptions import FlujoError, PausedException, PipelineAbortSignal
from flujo.testing import stub_policy
from flujo.testing.policy import StepPolicyConformance


class Calling(StepPolicy):
    """A policy that keeps every promise."""

    @property
    def handles_type(self):
        return Step

    async def execute(self, core, frame):
        return Success(await frame.step.call.target(frame.data))


class OfAnother(Calling):
    @property
    def handles_type(self):
        return ConditionalStep


class Bare(Calling):
    async def execute(self, core, frame):
        return await frame.step.call.target(frame.data)


class Swallowing(Calling):
    """Makes a value of everything that goes wrong, as `caught` says."""

    caught = (Exception,)

    async def execute(self, core, frame):
        try:
            return await super().execute(core, frame)
        except self.caught as error:
            return Success(str(error))


class SwallowingSignals(Swallowing):
    caught = (PausedException, PipelineAbortSignal)


class SwallowingCancellation(Swallowing):
    caught = (asyncio.CancelledError,)


class Scribbling(Calling):
    async def execute(self, core, frame):
        frame.context.scratchpad["tried"] = True
        return await super().execute(core, frame)


class Leaking(Calling):
    async def execute(self, core, frame):
        self.task = asyncio.create_task(asyncio.sleep(3600))
        return await super().execute(core, frame)


class Keeping(Calling):
    async def execute(self, core, frame):
        frame.quota.reserve(Usage(calls=1))
        return await super().execute(core, frame)


class Blocking(Calling):
    async def execute(self, core, frame):
        time.sleep(0.001)  # noqa: ASYNC251 - that is what is wrong with it
        return Success(frame.data)


class Dozing(Calling):
    """Sleeps where nobody looks: in a task of its own."""

    async def execute(self, core, frame):
        async def call():
            time.sleep(0.4)  # noqa: ASYNC251 - that is what is wrong with it
            return await frame.step.call.target(frame.data)

        return Success(await asyncio.create_task(call()))


class Gambling(Calling):
    """Runs another branch at each call."""

    def __init__(self):
        self.turns = itertools.count()

    @property
    def handles_type(self):
        return ConditionalStep

    async def execute(self, core, frame):
        branches = list(frame.step.branches.values())
        return await core.execute(frame.child(branches[next(self.turns) % len(branches)], frame.data))


class Repeating(Calling):
    """Runs its part again and again at one path."""

    @property
    def handles_type(self):
        return ConditionalStep

    async def execute(self, core, frame):
        [part] = frame.step.branches.values()
        for number in range(3):
            outcome = await core.execute(frame.child(part, f"{frame.data}{number}"))
        return outcome


class Unstorable(Calling):
    async def execute(self, core, frame):
        return Success(lambda: 1)


class Counting(Calling):
    """Keeps from one call to the next how many there were."""

    def __init__(self):
        self.calls = itertools.count()

    async def execute(self, core, frame):
        return Success(next(self.calls))


class Unique(Calling):
    async def execute(self, core, frame):
        return Success(uuid.uuid4().hex)


class Good(StepPolicyConformance):
    handles_type = Step
    policy = Calling

    def calling(self, function):
        return Step("call", function)


class Silent(StepPolicyConformance):
    handles_type = Step

    def policy(self):
        return stub_policy(Step, "x")


def suite(policy):
    return type(f"With{policy.__name__}", (Good,), {"policy": policy})()


class TestGood(Good):
    """A policy that breaks nothing passes."""


PROMISES = [
    (OfAnother, "test_policy_names_the_type_it_runs"),
    (Bare, "test_result_is_an_outcome"),
    (Counting, "test_nothing_is_kept_between_calls"),
    (Swallowing, "test_expected_failure_is_an_outcome"),
    (Scribbling, "test_failure_leaves_the_context_as_it_was"),
    (SwallowingSignals, "test_pause_goes_through"),
    (SwallowingSignals, "test_abort_goes_through"),
    (SwallowingCancellation, "test_cancellation_goes_through"),
    (Leaking, "test_nothing_is_left_at_work"),
    (Keeping, "test_quota_is_given_back"),
    (Blocking, "test_others_have_their_turn_while_the_step_waits"),
    (Dozing, "test_nobody_waits_long_for_their_turn"),
]


@pytest.mark.parametrize(("policy", "promise"), PROMISES, ids=[promise for _, promise in PROMISES])
async def test_a_broken_promise_fails_its_test(policy, promise):
    with pytest.raises(AssertionError):
        await _try(suite(policy), promise)


async def test_a_result_that_can_not_be_stored_is_noticed():
    with pytest.raises(FlujoError, match="the output"):
        await suite(Unstorable).test_result_is_an_outcome()


async def test_what_comes_by_chance_or_from_outside_is_not_kept_by_the_policy():
    class Outer(Good):
        def succeeds(self):
            calls = itertools.count()

            async def call(data):
                return next(calls)

            return Step("call", call)

    await suite(Unique).test_nothing_is_kept_between_calls()
    await Outer().test_nothing_is_kept_between_calls()


async def test_a_policy_that_decides_by_chance_is_noticed():
    class Faulty(Good):
        handles_type = ConditionalStep
        policy = Gambling

        def calling(self, function):
            return branch("either", on="previous_step", branches={"a": Step("a", function), "b": Step("b", function)})

    with pytest.raises(Exception, match="either"):
        await Faulty().test_replay_comes_to_the_same()


async def test_a_policy_that_runs_a_part_again_at_one_path_is_noticed():
    class Faulty(Good):
        handles_type = ConditionalStep
        policy = Repeating

        def calling(self, function):
            return branch("again", on="previous_step", branches={"a": Step("a", function)})

    with pytest.raises(AssertionError, match="where it has run a step"):
        await Faulty().test_result_is_an_outcome()


def test_every_promise_is_shown_to_be_breakable():
    every = {name for name in dir(StepPolicyConformance) if name.startswith("test_")}
    assert every == {promise for _, promise in PROMISES} | {"test_replay_comes_to_the_same"}


async def test_a_kind_that_calls_no_code_of_the_users_has_no_signals():
    with pytest.raises(pytest.skip.Exception):
        await Silent().test_pause_goes_through()
    with pytest.raises(TypeError, match="override 'calling', or 'succeeds', 'fails' and 'waits'"):
        await Silent().test_result_is_an_outcome()
    with pytest.raises(TypeError, match="override 'policy'"):
        StepPolicyConformance().policy()


async def test_a_kind_that_pauses_neither_comes_to_a_result_nor_waits():
    class Pausing(Good):
        pauses = True

    with pytest.raises(AssertionError, match="paused"):
        await Pausing().test_result_is_an_outcome()
    with pytest.raises(pytest.skip.Exception):
        await Pausing().test_cancellation_goes_through()


async def _try(tests, promise):
    done = getattr(tests, promise)()
    if done is not None:
        await done
