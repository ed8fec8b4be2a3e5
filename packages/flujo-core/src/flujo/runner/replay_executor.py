"""A run once more, from its record alone: nothing is executed, nothing is written, and what differs is an error."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from flujo.domain.canonical import canonical
from flujo.domain.composite import WENT_ON
from flujo.domain.interfaces import JournalRecord, RunRow
from flujo.domain.outcomes import (
    Aborted,
    ErrorInfo,
    Failure,
    Paused,
    PipelineResult,
    RecordedError,
    RunStatus,
    StepOutcome,
    Success,
)
from flujo.domain.usage import NO_USAGE
from flujo.engine.cancelling import cancelled
from flujo.engine.changes import restore, same
from flujo.engine.event_stream import EventStream
from flujo.engine.executor_core import ExecutorCore
from flujo.engine.frame import ExecutionFrame
from flujo.engine.plan import StepPlan
from flujo.engine.recall import recalled
from flujo.engine.recorded import is_in
from flujo.engine.retelling import parts_of
from flujo.engine.work import Work, is_own_abort, render_again
from flujo.exceptions import ReplayMismatchError
from flujo.runner.definitions import describe_change, misfits
from flujo.runner.ending import Ending, Progress, with_questions
from flujo.runner.replay_record import CANCELLED, ReplayRecord, order_of
from flujo.runner.run_session import RunSession
from flujo.runner.turns import LAST, Stuck, Turns

__all__ = ["OnInput", "ReplayExecutor", "replay"]

#: What waits for no answer any more.
_FOR_GOOD = (RunStatus.COMPLETED, RunStatus.CANCELLED)

#: What a run can fail with after all of its steps: its output can't be written, or a field that lives elsewhere saved.
_AT_THE_END = ("ValueNotStorable", "PayloadTooLarge", "StateProviderError")

#: So much of an error's text is compared, as a state may cut longer ones, and shown.
_COMPARED, _SHOWN = 10_000, 200

#: What may be the reason where the pipeline is as it was.
_UNTOLD = (
    "; no record tells which of two failures came first: docs/how-to/replay-diff-why.md says what else it does not"
)

Result = PipelineResult[Any, Any]

#: Is told the path of each step that keeps a record, and what the step is given, before anything can change that.
OnInput = Callable[[str, Any], None]


class ReplayExecutor(ExecutorCore):
    """Runs the steps of a pipeline again on what a run has recorded: of each, its end is taken from the record.

    No function, agent or validator of a step is called, no cache looked into, and nobody asked. What steps that are
    made of others do with the results is done again: conditions, mappers, merges, templates, invariants. It does so in
    the places that `ExecutorCore` names for it.
    """

    def __init__(self, core: ExecutorCore, record: ReplayRecord, turns: Turns, on_input: OnInput | None = None) -> None:
        super().__init__(**core.parts())
        self._record = record
        self._turns = turns
        self._on_input = on_input

    async def _launch(self, frame: ExecutionFrame, plan: StepPlan) -> StepOutcome[Any]:
        if not self._record.has_begun(frame.path):
            with self._turns.under_way():
                await self._turns.later(LAST)  # its branch can have been cancelled before it came to the launch
        return await super()._launch(frame, plan)

    async def _run(self, frame: ExecutionFrame, plan: StepPlan) -> StepOutcome[Any]:
        self._record.begin(frame.path)
        try:
            with self._turns.under_way(alone=plan.background):
                outcome = await (self._made_again(frame, plan) if plan.records else super()._run(frame, plan))
                if isinstance(outcome, Failure | Aborted) and self._was_first(frame, outcome) is False:
                    await self._later(frame, outcome)  # what came first then can take longer to this place now
                return outcome
        except asyncio.CancelledError:
            self._record.cut_short.add(frame.path)
            raise

    async def _made_again(self, frame: ExecutionFrame, plan: StepPlan) -> StepOutcome[Any]:
        self._turns.reached.add(frame.path)
        if self._on_input is not None:
            given = Work(frame, plan, 0.0)
            render_again(given)
            self._on_input(frame.path, given.frame.data)
        if self._record.recall(frame.path, frame.item) is not None:
            return await self._handed_out(frame, plan)
        work = Work(frame, plan, frame.run.clock.monotonic(), self._record.spent_on(frame.path))
        try:
            outcome = await self._guarded(work)
            if isinstance(outcome, Success):  # of its fallback: it was cancelled before that was its own
                outcome = await self._turns.never(frame.path, stops=False)
            return outcome if self._record.stopped_before(frame.path) else await self._finish(work, outcome)
        except asyncio.CancelledError as error:
            await cancelled(work, error)
            raise

    async def _handed_out(self, frame: ExecutionFrame, plan: StepPlan) -> StepOutcome[Any]:
        """The step's result. One that is cancelled now was cancelled then, when it had come to its end."""
        try:
            parts = await parts_of(self, frame, plan, frame.run) if plan.parts else ()
            await self._turns.take(frame.path)
        except asyncio.CancelledError:
            recalled(frame, plan)
            raise
        self._pass_over(frame)
        outcome = recalled(frame, plan, parts)
        assert outcome is not None
        return outcome

    def _pass_over(self, note: ExecutionFrame) -> None:
        """Take what failed or paused out of the history, if the last attempt of the whole went on by the `note`."""
        if note.siblings is None or note.step not in WENT_ON.values():
            return
        lines, at = note.siblings, note.path.rpartition("/on:")[0]
        if not self._is_passed_over(note, note.path, at.rpartition("[")[0]):
            return
        below = [(path, line) for path, line in lines.items() if path == at or path.startswith(f"{at}/")]
        for path, line in below:
            if line is not None and not line.success:
                del lines[path]

    def _is_passed_over(self, frame: ExecutionFrame, written: str, path: str) -> bool:
        aside = (each for each in frame.run.background.lines if is_in(path, each))
        return self._record.is_passed_over(written, path, max(aside, key=len, default=""))

    async def _guarded(self, work: Work) -> StepOutcome[Any]:
        outcome = await super()._guarded(work)
        path, fallback = work.frame.path, work.frame.step.fallback
        if not isinstance(outcome, Failure) or fallback is None:
            return outcome
        end = self._record.end(path)
        if end is None:
            return await self._turns.never(path, stops=False)
        if not end.fallback:
            return outcome
        earlier = NO_USAGE
        if work.frame.history and self._is_passed_over(work.frame, end.path, path):
            work.frame.history.clear()  # the last attempt of what is around it began with the fallback
            earlier = self._fallbacks.spent_before(work.frame, fallback)
        return await self._fall_back(work, fallback, earlier)

    async def _attempts(self, work: Work) -> StepOutcome[Any]:
        """What the attempts came to that the record has; of a step made of others, what they come to now."""
        path = work.frame.path
        outcome = await (self._ended(work) if work.plan.records else self._attempt(work))
        if isinstance(outcome, Failure) and work.before is not None:
            restore(work.frame.context, work.before)
        end = self._record.end(path)
        if isinstance(outcome, Failure) and not work.plan.records:
            if end is None and work.plan.tries:
                return await self._turns.never(path, stops=False)  # it was cancelled before it was tried again
            if end is not None:
                await self._in_turn(work, outcome)
        has_ended = end is not None and isinstance(outcome, Failure)
        work.attempt = end.attempt if end and has_ended else 1 + self._record.retries_used(path)
        return outcome

    async def _settle(self, work: Work, outcome: Success[Any]) -> StepOutcome[Any]:
        settled = await super()._settle(work, outcome)
        if isinstance(settled, Failure):
            await self._in_turn(work, settled)
        return settled

    async def _finish(self, work: Work, outcome: StepOutcome[Any]) -> StepOutcome[Any]:
        if is_own_abort(outcome, work) and self._record.aborted(work.frame.path) is not None:
            work.outcome = outcome  # should it be cancelled now, it was so when it had come to its end
            await self._turns.take(work.frame.path)
        if work.plan.records:
            return await super()._finish(work, outcome)
        if isinstance(outcome, Failure):
            await self._in_turn(work, outcome)
        finished = await super()._finish(work, outcome)
        self._turns.skip(work.frame.path)
        return finished

    async def _in_turn(self, work: Work, outcome: Failure[Any]) -> None:
        """Let a step that is made of others fail by itself when it did: no step in it has, nor any before its fallback.

        Older journals have no record of that.
        """
        frame, record = work.frame, self._record
        if outcome.step_result is not None or work.error is not None:
            self._turns.skip(frame.path)
            return
        work.outcome = outcome  # should it be cancelled now, it was so when it had come to its end
        end = record.end(frame.path)
        if end is not None and end.error is not None and end.error[:2] == ErrorInfo.of(outcome.error)[:2]:
            await self._turns.take(frame.path, cancels=True)
        else:
            await self._later(frame, outcome)
        work.outcome = None

    async def _later(self, frame: ExecutionFrame, ended: Failure[Any] | Aborted[Any]) -> None:
        """Let what came first then come first: of what did not, what is nearest to where the run failed."""
        rank = 0 if self._was_first(frame, ended) else LAST if isinstance(ended, Aborted) else 1
        await self._turns.later(rank, self._record.nearness(frame.path))

    def _was_first(self, frame: ExecutionFrame, ended: Failure[Any] | Aborted[Any]) -> bool | None:
        told = ErrorInfo("Aborted", ended.reason) if isinstance(ended, Aborted) else ErrorInfo.of(ended.error)
        return self._record.was_first(frame.path, told)

    async def _ended(self, work: Work) -> StepOutcome[Any]:
        """How a step ended that has no result."""
        render_again(work)
        frame, record = work.frame, self._record
        if record.stopped_before(frame.path):
            return await self._turns.never(frame.path)
        parts = await work.plan.policy.retell(self, frame)
        if parts is not None and not isinstance(parts, Success):
            return parts
        if (aborted := record.aborted(frame.path)) is not None:
            return aborted
        end, asked = record.end(frame.path), record.question(frame.path, frame.item)
        if end is not None and end.error is not None:
            failure: Failure[Any] = Failure(RecordedError(end.error), record.feedback(frame.path))
            work.outcome = failure  # should it be cancelled now, it was so when it had come to its end
            await self._turns.take(frame.path, cancels=True)
            return failure
        if asked is not None:
            await self._turns.take(frame.path)
            return Paused(asked.message, asked.token, schema=asked.schema)
        return await self._turns.never(frame.path, stops=frame.step not in WENT_ON.values())

    def _limit(self, frame: ExecutionFrame) -> asyncio.Timeout:
        """Time does not count: the limit is over when nothing else can have ended the attempt."""
        limit = self._turns.timers[frame.path] = asyncio.timeout(None)
        return limit

    async def _timed(self, work: Work) -> StepOutcome[Any]:
        try:
            return await super()._timed(work)
        finally:
            self._turns.timers.pop(work.frame.path, None)


async def replay(session: RunSession, run_id: str, on_input: OnInput | None = None) -> Result:
    """What a run came to, made again of its record. Raises `RunNotFound` and `ReplayMismatchError`."""
    row = await session.find(run_id)
    records = await session.backend.load(run_id)
    one = _Replay(session, row, records, on_input)
    try:
        return await one.result()
    except ReplayMismatchError:
        if one.record.last is None:
            raise
    # It has no record. Whether it was faster than what would have cancelled it shows in the end.
    return await _Replay(session, row, records, on_input, hurries=True).result()


class _Replay:
    """One replay of one run."""

    def __init__(
        self,
        session: RunSession,
        row: RunRow,
        records: Sequence[JournalRecord],
        on_input: OnInput | None,
        *,
        hurries: bool = False,
    ) -> None:
        self._row = row
        self.record = ReplayRecord(session.backend, session.codec, row, records)
        self._wrong = misfits(session.pipeline, records)
        last = self.record.last if hurries else None
        order = order_of(session.pipeline, records)
        self._turns = Turns(order, self._stand_still, last)
        core = ReplayExecutor(session.core, self.record, self._turns, on_input)
        self._session = session.but(core=core, events=EventStream(), resources=None)

    async def result(self) -> Result:
        """What the run came to."""
        record, row, session = self.record, self._row, self._session
        if self._wrong:
            raise self._described(", ".join(self._wrong.values()), next(iter(self._wrong)))
        input = session.decoded(row.input, "input")
        context = session.recorded_context(row, input)
        progress = Progress.begin()
        try:
            ending = await self._turns.lead(session.execute(record, context, input, progress))
        except asyncio.CancelledError:
            if not self._turns.broken_off:
                raise
            ending = Ending.cancelled(progress, record.spent())
        for path in record.results:
            if path not in self._turns.reached and not record.is_left_out(path):
                raise self._described(f"the result of {path!r} is not used", path)
        result = ending.result(row.run_id, context, 0.0)._replace(exception=None)
        waits = () if result.status in _FOR_GOOD else record.waits()
        return self._checked(_as_it_ended(with_questions(result, waits), record))

    def _stand_still(self, stuck: Stuck) -> None:
        """Say what became of steps whose end is not recorded, when nothing else is left to do."""
        path, stopped = next(iter(stuck)), stuck.keys() - self._turns.harmless
        if self.record.broken_off:
            self._turns.break_off(CANCELLED.message)
        elif stopped and (last := self.record.ended_before(stopped)) is not None:
            for each in stopped:
                stuck[each].set_result(last)
        elif not self._turns.time_out(path):
            stuck[path].set_exception(self._described(f"{path!r} has no result", path))

    def _checked(self, result: Result) -> Result:
        """The result, if it is what the run came to."""
        row, session = self._row, self._session
        if not self.record.broken_off and _told(result.status, result.error) != _told(row.status, row.error):
            came_to, was = (_words(each.status, each.error) for each in (result, row))
            raise self._described(
                f"it comes to {came_to}, and the run came to {was}", result.error and result.error.path
            )
        if result.success and not same(result.output, session.decoded(row.output, "output")):
            raise self._described("its output is another than the run's", "")
        return result

    def _described(self, what: str, path: str | None) -> ReplayMismatchError:
        """The error that ends the replay, with what differs between the pipelines, if they do."""
        pipeline, row = self._session.pipeline, self._row
        if row.digest == pipeline.fingerprint:
            return self.record.mismatch(what, path or "", _UNTOLD)
        what += f"; the pipeline has changed: {describe_change(row.definition, canonical(pipeline.definition()))}"
        return self.record.mismatch(what, path or "")


def _told(status: RunStatus, error: ErrorInfo | None) -> tuple[object, ...]:
    return (status, error.type, error.path, error.message[:_COMPARED]) if error else (status,)


def _words(status: RunStatus, error: ErrorInfo | None) -> str:
    where = f" at {error.path!r}" if error and error.path else ""
    return f"{str(status)!r}" + (f" ({error.type}{where}: {error.message[:_SHOWN]})" if error else "")


def _as_it_ended(result: Result, record: ReplayRecord) -> Result:
    """The result, with what only the run's row tells of its end."""
    row, error = record.row, record.row.error
    if record.broken_off:
        stopped = CANCELLED if row.status is RunStatus.CANCELLED else error
        return result._replace(status=row.status, output=None, error=stopped, pending=())
    if row.status is RunStatus.PAUSED and result.status is RunStatus.PAUSED:
        return result._replace(error=error)  # also when its questions were answered since
    if row.status is RunStatus.FAILED and error is not None:
        own = result.error.message if result.error else ""
        if error.type in _AT_THE_END or (own and error.message.startswith(f"{own}; then ")):
            return result._replace(status=row.status, output=None, error=error, pending=())
    return result
