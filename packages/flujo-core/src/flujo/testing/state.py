"""What every state backend has to keep, as tests to subclass."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from flujo.domain.interfaces import Claim, JournalRecord, NewRun, RecordKind, RunRow, StateBackend, Sync
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.usage import Usage
from flujo.exceptions import FlujoError, RunNotFound, RunOwnedElsewhere, StateError, StateUnavailable

__all__ = ["StateBackendConformance", "new_run", "stored"]

# Times are binary fractions: they survive a column of whole milliseconds as well as one of floats.
_START = 1_700_000_000.25

_ERROR = ErrorInfo(
    type="ValueError",
    message="no 'ü', no \x00, no 🜂\nsecond line",
    code="X-1",
    suggestion="try the other one",
    path="outer/inner",
    location="/somewhere/steps.py:12",
)

_CALLS: dict[str, Callable[[StateBackend, Claim], Awaitable[Any]]] = {
    "create_run": lambda backend, claim: backend.create_run(new_run(backend, "other")),
    "claim": lambda backend, claim: backend.claim(claim.run_id),
    "load": lambda backend, claim: backend.load(claim.run_id),
    "append": lambda backend, claim: backend.append(claim, JournalRecord("late", out=stored(backend, 1))),
    "finish": lambda backend, claim: backend.finish(claim, RunStatus.FAILED, at=_START),
    "get": lambda backend, claim: backend.get(claim.run_id),
    "list": lambda backend, claim: backend.list(),
}


def stored(backend: StateBackend, value: Any) -> Any:
    """`value` in the form in which `backend` is handed values: bytes if it encodes, else as it is."""
    return json.dumps(value, ensure_ascii=False).encode() if backend.encodes else value


def new_run(backend: StateBackend, run_id: str = "run-1", **fields: Any) -> NewRun:
    """A run to create, with any field replaced by one of `fields`."""
    run = NewRun(
        run_id=run_id,
        pipeline="tickets",
        version="3",
        definition='{"steps":[]}',
        digest=b"\x00\xff" * 8,
        input=stored(backend, {"text": "in"}),
        base=stored(backend, {"scratchpad": {}}),
        created_at=_START,
        source="pipelines/tickets.yaml",
        tags={"team": "support", "ünï": ""},
    )
    return run._replace(**fields)


class StateBackendConformance:
    """Tests of the `StateBackend` contract: subclass it as `Test...` and override the fixture `backend`.

    A backend whose runs outlive it sets `durable` and overrides `reopen`; the tests of that are skipped
    otherwise. The tests are coroutines, for pytest-asyncio or anyio in their automatic modes. For readable
    failures call `pytest.register_assert_rewrite("flujo.testing.state")` in your conftest.
    """

    #: Whether a run can be read through another backend object after the first one was closed.
    durable: ClassVar[bool] = False

    @pytest.fixture
    def backend(self) -> StateBackend:
        """A fresh, empty backend; close it after the test, it may have been closed already."""
        raise TypeError("override the fixture 'backend'")

    def reopen(self, backend: StateBackend) -> StateBackend:
        """A new backend on what `backend`, closed before, has stored."""
        raise TypeError("override 'reopen', or leave 'durable' false")

    async def test_run_row_holds_what_the_run_was_created_with(self, backend: StateBackend) -> None:
        """Every field of a new run is read back, and the run is running and owned."""
        run = new_run(backend)
        claim = await backend.create_run(run)
        row = await _row(backend)
        for name in ("run_id", "pipeline", "version", "definition", "digest", "input", "base", "created_at", "source"):
            assert getattr(row, name) == getattr(run, name), name
        assert dict(row.tags) == dict(run.tags)
        assert (row.status, row.output, row.error, row.ended_at) == (RunStatus.RUNNING, None, None, None)
        assert (row.epoch, row.recorded, row.usage) == (claim.epoch, 0, Usage())

    async def test_second_run_of_one_id_is_refused(self, backend: StateBackend) -> None:
        """An id that is taken stays with the first run, which is not changed."""
        claim = await backend.create_run(new_run(backend))
        with pytest.raises(StateError):
            await backend.create_run(new_run(backend, pipeline="other"))
        await backend.append(claim, JournalRecord("a"))
        assert (await _row(backend)).pipeline == "tickets"

    async def test_unknown_run_is_not_found(self, backend: StateBackend) -> None:
        """`get` answers None; what needs the run raises, even with a claim that was made up."""
        assert await backend.get("nobody") is None
        with pytest.raises(RunNotFound):
            await backend.load("nobody")
        with pytest.raises(RunNotFound):
            await backend.claim("nobody", force=True)
        with pytest.raises(StateError):
            await backend.append(Claim("nobody", 4711, 1), JournalRecord("a"))

    async def test_id_is_matched_as_a_whole(self, backend: StateBackend) -> None:
        """A prefix, another case or a wildcard is another id."""
        await backend.create_run(new_run(backend, "run-1"))
        for other in ("run", "RUN-1", "run-%", "run_1", "run-1 ", ""):
            assert await backend.get(other) is None

    async def test_record_is_read_back_in_every_field(self, backend: StateBackend) -> None:
        """A record with all its fields set comes back equal; `sync` is an instruction and is not kept."""
        claim = await backend.create_run(new_run(backend))
        record = JournalRecord(
            path="loop:refine[3]/sub:review/draft",
            kind=RecordKind.RESULT,
            attempt=3,
            out=stored(backend, {"text": "out"}),
            delta=stored(backend, {"scratchpad.n": 1}),
            error=_ERROR,
            fallback="plan_b",
            usage=Usage(2, 1_000, 2**40, Decimal("0.000123456")),
            fingerprint=b"\x00\x01\xfe\xff",
            started_at=_START,
            ended_at=_START + 0.5,
            sync=Sync.FULL,
        )
        await backend.append(claim, record)
        assert [r._replace(sync=Sync.FULL) for r in await _journal(backend)] == [record]

    async def test_record_with_nothing_but_a_path_is_read_back(self, backend: StateBackend) -> None:
        """What was left out stays left out: None is not an empty value."""
        claim = await backend.create_run(new_run(backend))
        await backend.append(claim, JournalRecord("a"))
        assert await _journal(backend) == [JournalRecord("a")]

    async def test_journal_keeps_the_order_of_writing(self, backend: StateBackend) -> None:
        """Records come back in the order of their appends, whatever their paths and times."""
        claim = await backend.create_run(new_run(backend))
        paths = [f"step-{n * 7919 % 101}" for n in range(101)]
        for number, path in enumerate(paths):
            await backend.append(claim, JournalRecord(path, ended_at=_START - number))
        assert [record.path for record in await _journal(backend)] == paths

    async def test_second_result_at_one_path_is_refused(self, backend: StateBackend) -> None:
        """A path is recorded once: the first result stands and the run goes on."""
        claim = await backend.create_run(new_run(backend))
        first = JournalRecord("a", out=stored(backend, 1))
        await backend.append(claim, first)
        with pytest.raises(StateError):
            await backend.append(claim, JournalRecord("a", out=stored(backend, 2)))
        await backend.append(claim, JournalRecord("b"))
        assert await _journal(backend) == [first, JournalRecord("b")]

    async def test_failed_attempts_stand_beside_the_result(self, backend: StateBackend) -> None:
        """Attempts have paths of their own and keep their errors."""
        claim = await backend.create_run(new_run(backend))
        records = [
            JournalRecord("a#a1", RecordKind.ATTEMPT, 1, error=_ERROR),
            JournalRecord("a#a2", RecordKind.FAILED, 2, error=ErrorInfo("TimeoutError", "too late")),
            JournalRecord("a", RecordKind.RESULT, 3),
        ]
        for record in records:
            await backend.append(claim, record)
        assert await _journal(backend) == records

    async def test_row_counts_results_and_adds_up_all_usage(self, backend: StateBackend) -> None:
        """`recorded` counts results only; failed attempts have cost something, too, and money adds up exactly."""
        claim = await backend.create_run(new_run(backend))
        spent = Usage(1, 10, 20, Decimal("0.1"))
        await backend.append(claim, JournalRecord("a#a1", RecordKind.ATTEMPT, usage=spent))
        await backend.append(claim, JournalRecord("a", attempt=2, usage=spent))
        await backend.append(claim, JournalRecord("b#a1", RecordKind.FAILED, usage=spent))
        for row in (await _row(backend), (await backend.list())[0]):
            assert (row.recorded, row.usage) == (1, Usage(3, 30, 60, Decimal("0.3")))

    async def test_runs_do_not_see_each_other(self, backend: StateBackend) -> None:
        """Two runs have the same paths and each its own records."""
        claims = [await backend.create_run(new_run(backend, run_id)) for run_id in ("run-1", "run-10")]
        for number, claim in enumerate(claims):
            await backend.append(claim, JournalRecord("a", out=stored(backend, number)))
        assert [r.out for r in await _journal(backend)] == [stored(backend, 0)]
        assert [r.out for r in await _journal(backend, "run-10")] == [stored(backend, 1)]

    @pytest.mark.parametrize("text", ["", "a\x00b", "🜂 שלום \u202e", "\r\n\t\x7f", "'; DROP TABLE run; --"])
    async def test_odd_text_is_read_back(self, backend: StateBackend, text: str) -> None:
        """Values keep every character."""
        value = stored(backend, text)
        claim = await backend.create_run(new_run(backend, input=value))
        await backend.append(claim, JournalRecord("a", out=value))
        await backend.finish(claim, RunStatus.COMPLETED, output=value, at=_START)
        row = await _row(backend)
        assert (row.input, row.output, (await _journal(backend))[0].out) == (value, value, value)

    async def test_large_values_are_read_back(self, backend: StateBackend) -> None:
        """Five megabytes are an ordinary value for an input, a result and an output."""
        value = stored(backend, "0123456789abcdef" * (5 * 2**16))
        claim = await backend.create_run(new_run(backend, input=value))
        await backend.append(claim, JournalRecord("a", out=value, delta=value))
        await backend.finish(claim, RunStatus.COMPLETED, output=value, at=_START)
        (record,) = await _journal(backend)
        row = await _row(backend)
        assert all(kept == value for kept in (row.input, row.output, record.out, record.delta))

    @pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.RUNNING])
    async def test_finished_run_shows_how_it_ended(self, backend: StateBackend, status: RunStatus) -> None:
        """Status, output, error and time are those that `finish` was given."""
        claim = await backend.create_run(new_run(backend))
        output = stored(backend, ["out"])
        await backend.finish(claim, status, output=output, error=_ERROR, at=_START + 9)
        row = await _row(backend)
        assert (row.status, row.output, row.error) == (status, output, _ERROR)
        assert (row.created_at, row.updated_at, row.ended_at) == (_START, _START + 9, _START + 9)

    async def test_claim_that_was_given_up_writes_nothing_more(self, backend: StateBackend) -> None:
        """`finish` lets go of the run: neither a late record nor a second end is written."""
        claim = await backend.create_run(new_run(backend))
        await backend.finish(claim, RunStatus.COMPLETED, at=_START)
        with pytest.raises(StateError):
            await backend.append(claim, JournalRecord("late"))
        with pytest.raises(StateError):
            await backend.finish(claim, RunStatus.FAILED, at=_START)
        assert (await _row(backend)).status is RunStatus.COMPLETED
        assert await _journal(backend) == []

    async def test_finished_run_can_be_claimed_again(self, backend: StateBackend) -> None:
        """The next owner finds the journal, writes on, and the run is running again."""
        first = await backend.create_run(new_run(backend))
        await backend.append(first, JournalRecord("a"))
        await backend.finish(first, RunStatus.FAILED, error=_ERROR, at=_START)
        second = await backend.claim("run-1")
        row = await _row(backend)
        assert second.epoch > first.epoch
        assert (row.status, row.epoch, row.error, row.ended_at) == (RunStatus.RUNNING, second.epoch, None, None)
        await backend.append(second, JournalRecord("b"))
        await backend.finish(second, RunStatus.COMPLETED, at=_START)
        assert [record.path for record in await _journal(backend)] == ["a", "b"]

    async def test_owned_run_can_not_be_claimed(self, backend: StateBackend) -> None:
        """A run that somebody works on is refused, and its owner goes on undisturbed."""
        claim = await backend.create_run(new_run(backend))
        with pytest.raises(RunOwnedElsewhere):
            await backend.claim("run-1")
        await backend.append(claim, JournalRecord("a"))
        assert (await _row(backend)).epoch == claim.epoch

    async def test_forced_claim_fences_off_the_old_owner(self, backend: StateBackend) -> None:
        """After a forced claim the old owner's record and end are refused and change nothing."""
        old = await backend.create_run(new_run(backend))
        await backend.append(old, JournalRecord("a"))
        new = await backend.claim("run-1", force=True)
        with pytest.raises(RunOwnedElsewhere):
            await backend.append(old, JournalRecord("b", out=stored(backend, "old")))
        with pytest.raises(RunOwnedElsewhere):
            await backend.finish(old, RunStatus.FAILED, error=_ERROR, at=_START)
        row = await _row(backend)
        assert (row.status, row.error, row.recorded) == (RunStatus.RUNNING, None, 1)
        await backend.append(new, JournalRecord("b", out=stored(backend, "new")))
        assert [r.out for r in await _journal(backend)] == [None, stored(backend, "new")]

    async def test_every_claim_has_a_higher_epoch(self, backend: StateBackend) -> None:
        """Epochs of one run only grow, by force or not, and claims of one run have one number."""
        claims = [await backend.create_run(new_run(backend))]
        claims.append(await backend.claim("run-1", force=True))
        await backend.finish(claims[-1], RunStatus.INTERRUPTED, at=_START)
        claims.append(await backend.claim("run-1"))
        epochs = [claim.epoch for claim in claims]
        assert epochs == sorted(set(epochs))
        assert len({(claim.run_id, claim.number) for claim in claims}) == 1

    async def test_list_is_newest_first_and_without_values(self, backend: StateBackend) -> None:
        """The run created last comes first, whatever the ids and the clock say; values are left out."""
        for age, run_id in enumerate(("run-2", "zeta", "run-3", "run-1")):
            claim = await backend.create_run(new_run(backend, run_id, created_at=_START - age))
            await backend.finish(claim, RunStatus.COMPLETED, output=stored(backend, 1), at=_START)
        rows = await backend.list()
        assert [row.run_id for row in rows] == ["run-1", "run-3", "zeta", "run-2"]
        assert [row.run_id for row in await backend.list(prefix="run", limit=2, offset=1)] == ["run-3", "run-2"]
        assert {(row.input, row.base, row.output) for row in rows} == {(None, None, None)}
        assert {(row.pipeline, row.status) for row in rows} == {("tickets", RunStatus.COMPLETED)}

    async def test_list_selects_by_prefix(self, backend: StateBackend) -> None:
        """A prefix is plain text with its case: no character in it is a wildcard."""
        for run_id in ("a_1", "ab1", "a%1", "A_1", "a*1", "a[1", "a\\1"):
            await backend.create_run(new_run(backend, run_id))
        for prefix in ("a_", "a%", "a*", "a[", "a\\", "A_"):
            assert [row.run_id for row in await backend.list(prefix=prefix)] == [f"{prefix}1"]
        assert list(await backend.list(prefix="z")) == []

    async def test_list_comes_in_pages(self, backend: StateBackend) -> None:
        """Pages of `limit` runs from `offset` on put together give the whole list."""
        ids = [f"run-{n:02}" for n in range(7)]
        for run_id in ids:
            await backend.create_run(new_run(backend, run_id))
        pages = [await backend.list(prefix="run", limit=3, offset=offset) for offset in (0, 3, 6, 9)]
        assert [len(page) for page in pages] == [3, 3, 1, 0]
        assert [row.run_id for page in pages for row in page] == ids[::-1]

    async def test_records_appended_at_once_are_all_there(self, backend: StateBackend) -> None:
        """Branches of one run append side by side: each record is there, once."""
        claim = await backend.create_run(new_run(backend))
        records = [JournalRecord(f"branch-{n}", out=stored(backend, n)) for n in range(100)]
        await asyncio.gather(*(backend.append(claim, record) for record in records))
        assert sorted(await _journal(backend), key=lambda r: int(r.path[7:])) == records

    async def test_one_of_many_results_at_one_path_wins(self, backend: StateBackend) -> None:
        """Of results appended at once at one path one is written and every other is refused."""
        claim = await backend.create_run(new_run(backend))
        results = [backend.append(claim, JournalRecord("a", out=stored(backend, n))) for n in range(10)]
        refused = [error for error in await asyncio.gather(*results, return_exceptions=True) if error]
        assert [type(error) for error in refused if not isinstance(error, StateError)] == []
        assert (len(refused), len(await _journal(backend))) == (9, 1)

    async def test_one_of_many_claims_wins(self, backend: StateBackend) -> None:
        """Of claims made at once one owns the run and every other is refused."""
        await backend.finish(await backend.create_run(new_run(backend)), RunStatus.INTERRUPTED, at=_START)
        claims = await asyncio.gather(*(backend.claim("run-1") for _ in range(10)), return_exceptions=True)
        assert sorted(type(claim).__name__ for claim in claims) == ["Claim", *["RunOwnedElsewhere"] * 9]

    async def test_cancelled_append_leaves_the_run_usable(self, backend: StateBackend) -> None:
        """A record whose append was cancelled is there whole or not at all, and the run goes on."""
        claim = await backend.create_run(new_run(backend))
        record = JournalRecord("a", out=stored(backend, "whole"))
        task = asyncio.ensure_future(backend.append(claim, record))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await backend.append(claim, JournalRecord("b"))
        assert await _journal(backend) in ([record, JournalRecord("b")], [JournalRecord("b")])

    async def test_closing_twice_does_nothing(self, backend: StateBackend) -> None:
        """A backend can be closed again, and one that was never used as well."""
        await backend.close()
        await backend.close()

    @pytest.mark.parametrize("call", sorted(_CALLS))
    async def test_closed_backend_refuses_to_work(self, backend: StateBackend, call: str) -> None:
        """After `close` every method says that the state is unavailable."""
        claim = await backend.create_run(new_run(backend))
        await backend.close()
        with pytest.raises(StateUnavailable):
            await _CALLS[call](backend, claim)

    async def test_errors_have_a_code(self, backend: StateBackend) -> None:
        """What a backend raises is in the tree of `FlujoError`, with the code of its class."""
        with pytest.raises(FlujoError) as caught:
            await backend.load("nobody")
        assert caught.value.code == RunNotFound.default_code
        assert "'nobody'" in str(caught.value)

    async def test_everything_outlives_the_backend(self, backend: StateBackend) -> None:
        """What was acknowledged before `close` is read back by another backend."""
        self._needs_durability()
        claim = await backend.create_run(new_run(backend))
        record = JournalRecord("a", out=stored(backend, {"n": 1}), error=_ERROR, started_at=_START)
        await backend.append(claim, record)
        await backend.finish(claim, RunStatus.COMPLETED, output=stored(backend, 1), at=_START)
        row = await _row(backend)
        await backend.close()
        again = self.reopen(backend)
        assert await again.get("run-1") == row
        assert await _journal(again) == [record]
        await again.close()

    async def test_closing_lets_go_of_every_run(self, backend: StateBackend) -> None:
        """A run that was open when its backend closed can be claimed without force, and goes on."""
        self._needs_durability()
        old = await backend.create_run(new_run(backend))
        await backend.append(old, JournalRecord("a"))
        await backend.close()
        again = self.reopen(backend)
        new = await again.claim("run-1")
        await again.append(new, JournalRecord("b"))
        assert new.epoch > old.epoch
        assert [record.path for record in await _journal(again)] == ["a", "b"]
        await again.close()

    def _needs_durability(self) -> None:
        if not self.durable:
            pytest.skip("the backend is not durable")


async def _row(backend: StateBackend, run_id: str = "run-1") -> RunRow:
    row = await backend.get(run_id)
    assert row is not None
    return row


async def _journal(backend: StateBackend, run_id: str = "run-1") -> list[JournalRecord]:
    return list(await backend.load(run_id))
