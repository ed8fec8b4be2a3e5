"""What a state keeps of records: each whole, once, and in order."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from flujo.domain.interfaces import JournalRecord, RecordKind, StateBackend, Sync
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.usage import Usage
from flujo.exceptions import StateError
from flujo.testing.state_base import ERROR, START, StateTests, journal_of, new_run, row_of, stored

__all__ = ["RecordTests"]


class RecordTests(StateTests):
    """A journal holds what was appended to it."""

    async def test_record_is_read_back_in_every_field(self, backend: StateBackend) -> None:
        """A record with all its fields set comes back equal; `sync` is an instruction and is not kept."""
        claim = await backend.create_run(new_run(backend))
        record = JournalRecord(
            path="loop:refine[3]/sub:review/draft",
            kind=RecordKind.RESULT,
            attempt=3,
            out=stored(backend, {"text": "out"}),
            delta=stored(backend, {"scratchpad.n": 1}),
            error=ERROR,
            fallback="plan_b",
            usage=Usage(2, 1_000, 2**40, Decimal("0.000123456")),
            fingerprint=b"\x00\x01\xfe\xff",
            started_at=START,
            ended_at=START + 0.5,
            sync=Sync.FULL,
        )
        await backend.append(claim, record)
        assert [r._replace(sync=Sync.FULL) for r in await journal_of(backend)] == [record]

    async def test_record_with_nothing_but_a_path_is_read_back(self, backend: StateBackend) -> None:
        """What was left out stays left out: None is not an empty value."""
        claim = await backend.create_run(new_run(backend))
        await backend.append(claim, JournalRecord("a"))
        assert await journal_of(backend) == [JournalRecord("a")]

    @pytest.mark.parametrize(
        "fields",
        [
            {"kind": RecordKind.WAIT},
            {"attempt": 0},
            {"error": ERROR},
            {"fallback": "plan_b"},
            {"usage": Usage(calls=1)},
            {"usage": Usage(tokens_in=1)},
            {"usage": Usage(tokens_out=1)},
            {"usage": Usage(cost_usd=Decimal("0.5"))},
            {"fingerprint": b"\x01"},
        ],
    )
    async def test_record_of_another_kind_stands_among_the_others(
        self, backend: StateBackend, fields: dict[str, Any]
    ) -> None:
        """A record with one field of its own comes back whole and in its place."""
        claim = await backend.create_run(new_run(backend))
        records = [JournalRecord("a", out=stored(backend, 1)), JournalRecord("b", **fields), JournalRecord("c")]
        for record in records:
            await backend.append(claim, record)
        assert await journal_of(backend) == records

    @pytest.mark.parametrize("field", ["out", "delta"])
    async def test_large_record_stands_among_the_others(self, backend: StateBackend, field: str) -> None:
        """A record with a value of 200,000 characters comes back whole and in its place."""
        claim = await backend.create_run(new_run(backend))
        large: dict[str, Any] = {field: stored(backend, "x" * 200_000)}
        records = [JournalRecord("a", out=stored(backend, 1)), JournalRecord("b", **large), JournalRecord("c")]
        for record in records:
            await backend.append(claim, record)
        assert await journal_of(backend) == records

    async def test_journal_keeps_the_order_of_writing(self, backend: StateBackend) -> None:
        """Records come back in the order of their appends, whatever their paths and times."""
        claim = await backend.create_run(new_run(backend))
        paths = [f"step-{n * 7919 % 101}" for n in range(101)]
        for number, path in enumerate(paths):
            await backend.append(claim, JournalRecord(path, ended_at=START - number))
        assert [record.path for record in await journal_of(backend)] == paths

    async def test_second_result_at_one_path_is_refused(self, backend: StateBackend) -> None:
        """A path is recorded once: the first result stands and the run goes on."""
        claim = await backend.create_run(new_run(backend))
        first = JournalRecord("a", out=stored(backend, 1))
        await backend.append(claim, first)
        with pytest.raises(StateError):
            await backend.append(claim, JournalRecord("a", out=stored(backend, 2)))
        await backend.append(claim, JournalRecord("b"))
        assert await journal_of(backend) == [first, JournalRecord("b")]

    async def test_failed_attempts_stand_beside_the_result(self, backend: StateBackend) -> None:
        """Attempts have paths of their own and keep their errors."""
        claim = await backend.create_run(new_run(backend))
        records = [
            JournalRecord("a#a1", RecordKind.ATTEMPT, 1, error=ERROR),
            JournalRecord("a#a2", RecordKind.FAILED, 2, error=ErrorInfo("TimeoutError", "too late")),
            JournalRecord("a", RecordKind.RESULT, 3),
        ]
        for record in records:
            await backend.append(claim, record)
        assert await journal_of(backend) == records

    async def test_runs_do_not_see_each_other(self, backend: StateBackend) -> None:
        """Two runs have the same paths and each its own records."""
        claims = [await backend.create_run(new_run(backend, run_id)) for run_id in ("run-1", "run-10")]
        for number, claim in enumerate(claims):
            await backend.append(claim, JournalRecord("a", out=stored(backend, number)))
        assert [r.out for r in await journal_of(backend)] == [stored(backend, 0)]
        assert [r.out for r in await journal_of(backend, "run-10")] == [stored(backend, 1)]

    @pytest.mark.parametrize("text", ["", "a\x00b", "🜂 שלום \u202e", "\r\n\t\x7f", "'; DROP TABLE run; --"])
    async def test_odd_text_is_read_back(self, backend: StateBackend, text: str) -> None:
        """Values keep every character."""
        value = stored(backend, text)
        claim = await backend.create_run(new_run(backend, input=value))
        await backend.append(claim, JournalRecord("a", out=value))
        await backend.finish(claim, RunStatus.COMPLETED, output=value, at=START)
        row = await row_of(backend)
        assert (row.input, row.output, (await journal_of(backend))[0].out) == (value, value, value)

    async def test_large_values_are_read_back(self, backend: StateBackend) -> None:
        """Five megabytes are an ordinary value for an input, a result and an output."""
        value = stored(backend, "0123456789abcdef" * (5 * 2**16))
        claim = await backend.create_run(new_run(backend, input=value))
        await backend.append(claim, JournalRecord("a", out=value, delta=value))
        await backend.finish(claim, RunStatus.COMPLETED, output=value, at=START)
        (record,) = await journal_of(backend)
        row = await row_of(backend)
        assert all(kept == value for kept in (row.input, row.output, record.out, record.delta))

    async def test_records_appended_at_once_are_all_there(self, backend: StateBackend) -> None:
        """Branches of one run append side by side: each record is there, once."""
        claim = await backend.create_run(new_run(backend))
        records = [JournalRecord(f"branch-{n}", out=stored(backend, n)) for n in range(100)]
        await asyncio.gather(*(backend.append(claim, record) for record in records))
        assert sorted(await journal_of(backend), key=lambda r: int(r.path[7:])) == records

    async def test_one_of_many_results_at_one_path_wins(self, backend: StateBackend) -> None:
        """Of results appended at once at one path one is written and every other is refused."""
        claim = await backend.create_run(new_run(backend))
        results = [backend.append(claim, JournalRecord("a", out=stored(backend, n))) for n in range(10)]
        refused = [error for error in await asyncio.gather(*results, return_exceptions=True) if error]
        assert [type(error) for error in refused if not isinstance(error, StateError)] == []
        assert (len(refused), len(await journal_of(backend))) == (9, 1)

    async def test_cancelled_append_leaves_the_run_usable(self, backend: StateBackend) -> None:
        """A record whose append was cancelled is there whole or not at all, and the run goes on."""
        claim = await backend.create_run(new_run(backend))
        record = JournalRecord("a", out=stored(backend, "whole"))
        task = asyncio.ensure_future(backend.append(claim, record))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await backend.append(claim, JournalRecord("b"))
        assert await journal_of(backend) in ([record, JournalRecord("b")], [JournalRecord("b")])
