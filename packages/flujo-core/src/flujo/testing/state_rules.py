"""Histories of a state: whatever is done to it, in whatever order, it is as a plain model says."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flujo.domain.interfaces import MAX_CLAIMS, Claim, JournalRecord, RecordKind, StateBackend, Sync
from flujo.domain.lives import gets_on
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import RunKeyTaken, RunNotFound, RunOwnedElsewhere, RunPoisoned, StateError
from flujo.testing.state_base import StateTests, new_run, stored

__all__ = ["RuleTests"]

_IDS = st.sampled_from(["run-1", "run-2", "run-3"])
_KEYS = st.sampled_from([None, None, "k", "l"])
_TIMES = st.integers(1, 9).map(float)
_ENDS = [status for status in RunStatus if status is not RunStatus.RUNNING]
_FOR_GOOD = (RunStatus.COMPLETED, RunStatus.CANCELLED)
_ENDED = (*_FOR_GOOD, RunStatus.FAILED)

_RECORDS = {
    "a": RecordKind.RESULT,
    "b": RecordKind.RESULT,
    "a?": RecordKind.WAIT,
    "b?": RecordKind.WAIT,
    "a#a1": RecordKind.FAILED,
    "a#a2": RecordKind.FAILED,
    "b#a1": RecordKind.ATTEMPT,
    "b^c1": RecordKind.CALL,
}


@dataclass
class _Run:
    """What a run should be."""

    number: int
    created_at: float
    key: str | None
    epoch: int = 1
    owned: bool = True
    status: RunStatus = RunStatus.RUNNING
    claims: int = 0
    cancelled: bool = False
    asked_at: float = 0.0
    ended_at: float | None = None
    records: list[JournalRecord] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [record.path for record in self.records]

    def is_open(self, question: str) -> bool:
        """Whether the last that was heard of a question is not its answer, nor the result of its step."""
        path = question.removesuffix("?")
        heard = [p for p in self.paths if p.startswith(f"{path}!") or _RECORDS.get(p) is RecordKind.FAILED]
        heard = [p for p in heard if p[0] == path]
        answered = any("!" in p for p in heard) and "!" in heard[-1]
        return self.status not in _FOR_GOOD and path not in self.paths and not answered


class _History(RuleBasedStateMachine):
    """Does to a backend and to the model whatever a caller, several processes and their deaths may do."""

    claims = Bundle("claims")

    def __init__(self, open_backend: Callable[[], StateBackend], *, durable: bool) -> None:
        super().__init__()
        self._open, self._durable = open_backend, durable
        self._loop = asyncio.Runner()
        self._backend = open_backend()
        self._runs: dict[str, _Run] = {}
        self._asked: list[tuple[int, str]] = []
        self._given: list[Claim] = []

    def _do(self, call: Coroutine[Any, Any, Any], refused: type[StateError] | None = None) -> Any:
        """What comes of `call`, or the error that it is refused with."""
        if refused is None:
            return self._loop.run(call)
        with pytest.raises(refused) as caught:
            self._loop.run(call)
        return caught.value

    def _why_not(self, claim: Claim) -> type[StateError] | None:
        run = self._runs.get(claim.run_id)
        if run is None or run.number != claim.number:
            return RunNotFound
        if run.epoch != claim.epoch:
            return RunOwnedElsewhere
        return None if run.owned else StateError

    def _note(self, run: _Run, record: JournalRecord) -> None:
        run.records.append(record)
        run.claims = 0 if gets_on(record) else run.claims
        if record.kind is RecordKind.WAIT:
            self._asked.append((run.number, record.path))

    @rule(target=claims, run_id=_IDS, key=_KEYS, at=_TIMES)
    def create(self, run_id: str, key: str | None, at: float) -> Any:
        taken = [other for other, run in self._runs.items() if key is not None and run.key == key]
        refused = RunKeyTaken if taken else StateError if run_id in self._runs else None
        done = self._do(self._backend.create_run(new_run(self._backend, run_id, key=key, created_at=at)), refused)
        if refused:
            assert not taken or done.run_id == taken[0]
            return multiple()
        assert done.number > max([claim.number for claim in self._given], default=0)
        self._runs[run_id] = _Run(done.number, at, key)
        self._given.append(done)
        return done

    @rule(target=claims, run_id=_IDS, force=st.booleans())
    def claim(self, run_id: str, *, force: bool) -> Any:
        run = self._runs.get(run_id)
        refused: type[StateError] | None = None
        if run is None:
            refused = RunNotFound
        elif not force and (run.owned or run.claims >= MAX_CLAIMS):
            refused = RunOwnedElsewhere if run.owned else RunPoisoned
        done = self._do(self._backend.claim(run_id, force=force), refused)
        if run is None or refused:
            return multiple()
        run.epoch += 1
        run.claims = 1 if force else run.claims + 1
        run.owned, run.status, run.cancelled, run.ended_at = True, RunStatus.RUNNING, False, None
        assert done == Claim(run_id, run.number, run.epoch)
        self._given.append(done)
        return done

    @rule(claim=claims, path=st.sampled_from(sorted(_RECORDS)), sync=st.sampled_from(Sync))
    def append(self, claim: Claim, path: str, sync: Sync) -> None:
        refused = self._why_not(claim)
        if refused is None and path in self._runs[claim.run_id].paths:
            refused = StateError
        record = JournalRecord(path, _RECORDS[path], sync=sync)
        self._do(self._backend.append(claim, record), refused)
        if refused is None:
            self._note(self._runs[claim.run_id], record)

    @rule(claim=claims, status=st.sampled_from(_ENDS), at=_TIMES)
    def finish(self, claim: Claim, status: RunStatus, at: float) -> None:
        refused = self._why_not(claim)
        self._do(self._backend.finish(claim, status, at=at), refused)
        if refused is None:
            run = self._runs[claim.run_id]
            granted = run.cancelled and status not in _ENDED
            run.owned, run.ended_at, run.claims = False, at, 0
            run.status = RunStatus.CANCELLED if granted else status

    @rule(run_id=_IDS, path=st.sampled_from(["a!1", "a!2", "b!1"]), racers=st.integers(1, 4))
    def answer(self, run_id: str, path: str, racers: int) -> None:
        answers = [
            JournalRecord(path, RecordKind.ANSWER, out=stored(self._backend, number), sync=Sync.FULL)
            for number in range(racers)
        ]
        run = self._runs.get(run_id)
        taken = self._do(self._all(run_id, answers), None if run else RunNotFound)
        if run is None:
            return
        expected = path not in run.paths and run.status not in _FOR_GOOD
        assert taken.count(True) == int(expected)
        if expected:
            self._note(run, answers[taken.index(True)])

    async def _all(self, run_id: str, answers: Sequence[JournalRecord]) -> list[bool]:
        return await asyncio.gather(*(self._backend.answer(run_id, answer) for answer in answers))

    @rule(run_id=_IDS, at=_TIMES)
    def cancel(self, run_id: str, at: float) -> None:
        run = self._runs.get(run_id)
        done = self._do(self._backend.cancel(run_id, at=at), None if run else RunNotFound)
        if run is None:
            return
        if run.owned:
            run.cancelled, run.asked_at = True, at
        elif run.status not in _ENDED:
            run.status, run.ended_at = RunStatus.CANCELLED, at
        assert done is run.status

    @rule(run_id=_IDS)
    def delete(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        refused = RunNotFound if run is None else RunOwnedElsewhere if run.owned else None
        self._do(self._backend.delete(run_id), refused)
        if refused is None:
            del self._runs[run_id]

    @rule(before=_TIMES, limit=st.integers(1, 2), trust_clock=st.booleans())
    def gc(self, before: float, limit: int, *, trust_clock: bool) -> None:
        forgetting = self._backend.gc(ended_before=before, limit=limit, trust_clock=trust_clock)
        old = {}
        for run_id, run in self._runs.items():
            if run.created_at >= before:
                trust_clock = True
                break
            if run.status in _ENDED and run.ended_at is not None and run.ended_at < before:
                old[run_id] = run.ended_at
        gone = sorted(old, key=old.__getitem__)[: limit if trust_clock else 0]
        assert self._do(forgetting) == len(gone)
        for run_id in gone:
            del self._runs[run_id]

    @precondition(lambda self: self._durable)
    @rule(tidily=st.booleans())
    def end(self, *, tidily: bool) -> None:
        """The process ends, or the backend is dropped as by its death, and there is another one."""
        if tidily:
            self._do(self._backend.close())
        del self._backend
        gc.collect()
        self._backend = self._open()
        for run in self._runs.values():
            if run.owned:
                run.owned, run.status = False, RunStatus.CANCELLED if run.cancelled else RunStatus.INTERRUPTED
                run.ended_at = run.asked_at if run.cancelled else None

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        rows = {row.run_id: row for row in self._do(self._backend.list())}
        assert list(rows) == list(reversed(self._runs))
        for run_id, run in self._runs.items():
            row, kinds = rows[run_id], [record.kind for record in run.records]
            shown = (row.status, row.epoch, row.owner is not None, row.claims, row.cancelled, row.ended_at, row.key)
            should = (run.status, run.epoch, run.owned, run.claims, run.cancelled, run.ended_at, run.key)
            assert (*shown, row.recorded) == (*should, kinds.count(RecordKind.RESULT))
            assert list(self._do(self._backend.load(run_id))) == run.records
        numbers = {run.number: run for run in self._runs.values()}
        waits = [wait.record.path for wait in self._do(self._backend.waits())]
        assert waits == [path for number, path in self._asked if number in numbers and numbers[number].is_open(path)]
        for claim in self._given:
            run_now = numbers.get(claim.number)
            stop = run_now is None or run_now.epoch != claim.epoch or run_now.cancelled
            assert self._do(self._backend.is_cancelled(claim)) is stop

    def teardown(self) -> None:
        self._do(self._backend.close())
        self._loop.close()


class RuleTests(StateTests):
    """Histories that nobody has thought of."""

    #: How many histories are tried, of how many steps.
    histories: ClassVar[int] = 10
    steps: ClassVar[int] = 25

    def test_any_history_is_as_a_plain_model_says(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Runs, claims by force or not, records, answers by racers, ends, wishes to cancel, removals and deaths."""

        def begin() -> _History:
            gc.freeze()  # each death collects garbage, and need not look at what was there before its history
            return _History(partial(self.open, tmp_path_factory.mktemp("history")), durable=self.durable)

        chosen = settings(
            max_examples=self.histories,
            stateful_step_count=self.steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(begin, settings=chosen)  # type: ignore[arg-type] # any factory will do
        finally:
            gc.unfreeze()
