"""What every step policy has to keep, as tests to subclass."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeAlias

import pytest

from flujo.domain.outcomes import Aborted, Failure, Paused, PipelineResult, RunStatus, Success
from flujo.domain.quota import UsageLimits
from flujo.domain.steps import Step
from flujo.engine.policy import StepPolicy
from flujo.engine.policy_registry import PolicyRegistry
from flujo.exceptions import PausedException, PipelineAbortSignal
from flujo.infra.codec import JsonCodec
from flujo.plugins import create_default_registry
from flujo.runner.flujo import Flujo
from flujo.testing.conformance import Conformance
from flujo.testing.turns import HELD_S, longest_turn, some_turns
from flujo.testing.watched import Call, WatchedPolicy

__all__ = ["StepPolicyConformance"]

#: User code that a step of the kind calls with its data.
Calls: TypeAlias = Callable[[Any], Awaitable[Any]]

#: Far more than any step uses: there is a quota to keep books on.
_PLENTY = UsageLimits(10**6, 10**9, 10**6, "count")

#: Who does not end in this time when it is cancelled does not end, in seconds.
_PATIENCE_S = 10.0

#: How often what differs is tried, to tell a state that is kept from chance.
_TRIES = 5


class StepPolicyConformance(Conformance):
    """Tests of the `StepPolicy` contract: subclass it as `Test...`, with `handles_type` and `policy`.

    A kind whose steps call code of the user's overrides `calling`; everything else follows from that. One that calls
    none overrides `succeeds`, `fails` and `waits`; one whose result is a question sets `pauses`: its `succeeds` gives a
    step that pauses the run, and no step of it waits in the process. `data` is what the steps are given, `failure` the
    class of the error that a failing one is expected to have. The tests are coroutines, for pytest-asyncio or anyio in
    their automatic modes.
    """

    handles_type: ClassVar[type[Step[Any, Any]]]
    data: ClassVar[Any] = "x"
    failure: ClassVar[type[BaseException]] = Exception
    pauses: ClassVar[bool] = False

    def policy(self) -> StepPolicy[Any]:
        """A new policy."""
        raise TypeError("override 'policy'")

    def calling(self, function: Calls) -> Step[Any, Any] | None:
        """A step that calls `function`, directly or in a step within, and hands on any value it gives."""
        return None

    def succeeds(self) -> Step[Any, Any]:
        """A step that comes to a result."""
        return self._calling(_echo)

    def fails(self) -> Step[Any, Any]:
        """A step that fails in a way that is to be expected."""
        return self._calling(_refuse)

    def waits(self) -> Step[Any, Any]:
        """A step that is at work until it is cancelled."""
        return self._calling(_wait)

    def _calling(self, function: Calls) -> Step[Any, Any]:
        step = self.calling(function)
        if step is None:
            raise TypeError("override 'calling', or 'succeeds', 'fails' and 'waits'")
        return step

    def _signalling(self, signal: BaseException) -> Step[Any, Any]:
        async def call(data: Any) -> Any:
            raise signal

        step = self.calling(call)
        if step is None:
            pytest.skip("steps of this kind call no code of the user's")
        return step

    def _registry(self, policy: StepPolicy[Any]) -> PolicyRegistry:
        registry = create_default_registry()
        registry.register(policy)
        return registry

    async def _run(
        self, step: Step[Any, Any], policy: StepPolicy[Any] | None = None
    ) -> tuple[PipelineResult[Any, Any], list[Call]]:
        """Run `step` in memory, by a new policy unless one is given; what the run came to, and every call of it."""
        watched = WatchedPolicy(policy or self.policy())
        async with Flujo(step, registry=self._registry(watched), usage_limits=_PLENTY) as flujo:
            result = await asyncio.create_task(flujo.run(self.data))
        assert watched.calls, "the policy was never called"
        return result, watched.calls

    @asynccontextmanager
    async def _waiting(self) -> AsyncIterator[tuple[Call, "asyncio.Task[Any]"]]:
        """A run whose step waits, and the first call of the policy; it is cancelled in the end."""
        if self.pauses:
            pytest.skip("steps of this kind pause the run, and do not wait in the process")
        watched = WatchedPolicy(self.policy())
        async with Flujo(self.waits(), registry=self._registry(watched), usage_limits=_PLENTY) as flujo:
            task = asyncio.create_task(flujo.run(self.data))
            called = asyncio.create_task(watched.called.wait())
            await asyncio.wait({task, called}, return_when=asyncio.FIRST_COMPLETED)
            try:
                yield watched.calls[0], task
            finally:
                task.cancel()
                await asyncio.wait({task, called}, timeout=_PATIENCE_S)

    async def _cancelled(self) -> Call:
        """The call of a policy whose step is cancelled while it waits."""
        async with self._waiting() as (call, task):
            await some_turns()
            assert not call.is_over(), f"the step did not wait until it was cancelled: {call.outcome or call.raised!r}"
            task.cancel()
            await asyncio.wait({task}, timeout=_PATIENCE_S)
            assert call.is_over(), "the step is still at work after it was cancelled"
        return call

    async def _ends(self) -> list[Call]:
        """Calls of the policy that end in every way there is."""
        calls = [*(await self._run(self.succeeds()))[1], *(await self._run(self.fails()))[1]]
        return calls if self.pauses else [*calls, await self._cancelled()]

    async def _twice(self, *policies: StepPolicy[Any]) -> list[bytes]:
        """What one step comes to by each of the policies, one after the other."""
        step = self.succeeds()
        return [_stored((await self._run(step, policy))[0]) for policy in policies]

    def test_policy_names_the_type_it_runs(self) -> None:
        """A registry that has it runs steps of its type by it, and `prepare` lets good ones pass."""
        policy, step = self.policy(), self.succeeds()
        assert isinstance(policy, StepPolicy)
        assert policy.handles_type is self.handles_type
        assert issubclass(self.handles_type, Step)
        assert self._registry(policy).require(step) is policy
        policy.prepare(step)

    async def test_result_is_an_outcome(self) -> None:
        """A step that comes to a result that can be stored is a `Success`, and the run completes; one that asks pauses
        it."""
        result, calls = await self._run(self.succeeds())
        assert result.error is None, result.error
        assert result.status is (RunStatus.PAUSED if self.pauses else RunStatus.COMPLETED)
        expected = PausedException | Paused if self.pauses else Success
        assert [call for call in calls if not isinstance(call.raised or call.outcome, expected)] == []
        assert _stored(result)

    async def test_nothing_is_kept_between_calls(self) -> None:
        """The second run by one policy comes to what the first did, as by two policies; chance is no part of that."""
        first, second = await self._twice(*[self.policy()] * 2)
        for _ in range(_TRIES if first != second else 0):
            kept = await self._twice(*[self.policy()] * 2) == [first, second]
            if not kept or await self._twice(self.policy(), self.policy()) != [first, first]:
                return
        assert first == second, "the policy keeps something from one call to the next"

    async def test_expected_failure_is_an_outcome(self) -> None:
        """It is a `Failure`, or an exception that the engine makes one of; never a `Success`, and nothing else."""
        result, calls = await self._run(self.fails())
        assert result.status is RunStatus.FAILED, "the step was to fail"
        assert isinstance(result.exception, self.failure)
        for call in calls:
            assert isinstance(call.raised or call.outcome, Exception | Failure)

    async def test_failure_leaves_the_context_as_it_was(self) -> None:
        """What a failed attempt has done to the context is not the next one's: the engine puts it back for a step that
        `reads_context`, and the policy of any other does not touch it."""
        result, calls = await self._run(self.fails())
        assert result.final_pipeline_context.model_dump() == calls[0].context

    async def test_pause_goes_through(self) -> None:
        """`PausedException` is neither a failure nor a result: the run waits for a person."""
        result, calls = await self._run(self._signalling(PausedException("sure?")))
        assert result.status is RunStatus.PAUSED
        assert isinstance(calls[0].raised or calls[0].outcome, PausedException | Paused)

    async def test_abort_goes_through(self) -> None:
        """`PipelineAbortSignal` ends the run: nothing takes its place."""
        result, calls = await self._run(self._signalling(PipelineAbortSignal("enough")))
        assert result.status not in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.PAUSED)
        assert isinstance(calls[0].raised or calls[0].outcome, PipelineAbortSignal | Aborted)

    async def test_cancellation_goes_through(self) -> None:
        """`CancelledError` leaves the policy; it is no outcome, and nothing goes on."""
        call = await self._cancelled()
        assert isinstance(call.raised, asyncio.CancelledError)

    async def test_nothing_is_left_at_work(self) -> None:
        """No task that the policy has begun outlives its call, however that ends."""
        before = asyncio.all_tasks()
        await self._ends()
        await some_turns()
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        assert left == set()

    async def test_quota_is_given_back(self) -> None:
        """What a policy reserves it settles or releases, and parts of the quota it takes back, however it ends."""
        for call in await self._ends():
            assert call.left == call.owed

    async def test_replay_comes_to_the_same(self) -> None:
        """What is decided depends on what is recorded: not on chance, time, or what other runs did."""
        registry = self._registry(self.policy())
        async with Flujo(self.succeeds(), registry=registry) as flujo:
            result = await flujo.run(self.data)
            again = await flujo.replay(result)
        assert (again.status, again.output) == (result.status, result.output)
        assert [line.path for line in again.step_history] == [line.path for line in result.step_history]

    async def test_others_have_their_turn_while_the_step_waits(self) -> None:
        """The event loop goes round while the step is at work: nothing in the policy blocks it."""
        async with self._waiting() as (call, _):
            await some_turns()
            assert not call.is_over(), "the step held the event loop, or did not wait until it was cancelled"

    async def test_nobody_waits_long_for_their_turn(self) -> None:
        """No turn of a step takes more than 50 ms, in the best of some tries: what is slow once has been imported."""
        held = await longest_turn(self._ends)
        assert held <= HELD_S, f"the step kept the event loop to itself for {held:.3f} s"


def _stored(result: PipelineResult[Any, Any]) -> bytes:
    """The output of a run as it is written down. Raises for what can't be."""
    return JsonCodec().encode(result.output, where="the output")


async def _echo(data: Any) -> Any:
    return data


async def _refuse(data: Any) -> Any:
    raise ValueError(f"{data!r} is refused")


async def _wait(data: Any) -> Any:
    await asyncio.Event().wait()
