"""What a state keeps of runs, and shows of them."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from flujo.domain.interfaces import Claim, JournalRecord, RecordKind, StateBackend
from flujo.domain.outcomes import RunStatus
from flujo.domain.usage import Usage
from flujo.exceptions import FlujoError, RunKeyTaken, RunNotFound, RunOwnedElsewhere, StateError, StateUnavailable
from flujo.testing.state_base import ERROR, START, Reopen, StateTests, journal_of, new_run, row_of, stored

__all__ = ["RunTests"]

_CALLS: dict[str, Callable[[StateBackend, Claim], Awaitable[Any]]] = {
    "create_run": lambda backend, claim: backend.create_run(new_run(backend, "other")),
    "claim": lambda backend, claim: backend.claim(claim.run_id),
    "load": lambda backend, claim: backend.load(claim.run_id),
    "append": lambda backend, claim: backend.append(claim, JournalRecord("late", out=stored(backend, 1))),
    "finish": lambda backend, claim: backend.finish(claim, RunStatus.FAILED, at=START),
    "get": lambda backend, claim: backend.get(claim.run_id),
    "list": lambda backend, claim: backend.list(),
    "answer": lambda backend, claim: backend.answer(claim.run_id, JournalRecord("a!1", out=stored(backend, 1))),
    "waits": lambda backend, claim: backend.waits(),
    "cancel": lambda backend, claim: backend.cancel(claim.run_id, at=START),
    "is_cancelled": lambda backend, claim: backend.is_cancelled(claim),
    "delete": lambda backend, claim: backend.delete(claim.run_id),
    "gc": lambda backend, claim: backend.gc(ended_before=START),
}


class RunTests(StateTests):
    """A run is found, listed and ended as it was told."""

    async def test_run_row_holds_what_the_run_was_created_with(self, backend: StateBackend) -> None:
        """Every field of a new run is read back, and the run is running and owned."""
        run = new_run(backend)
        claim = await backend.create_run(run)
        row = await row_of(backend)
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
        assert (await row_of(backend)).pipeline == "tickets"

    async def test_key_belongs_to_one_run(self, backend: StateBackend) -> None:
        """A second run with it is refused and names the first; without a key there is nothing to share."""
        await backend.create_run(new_run(backend, "run-1", key="k"))
        for run_id in ("run-2", "run-1"):
            with pytest.raises(RunKeyTaken) as caught:
                await backend.create_run(new_run(backend, run_id, key="k"))
            assert caught.value.run_id == "run-1"
        for run_id, key in (("run-3", "K"), ("run-4", None), ("run-5", None)):
            await backend.create_run(new_run(backend, run_id, key=key))
        assert [row.key for row in await backend.list()] == [None, None, "K", "k"]

    async def test_one_of_many_runs_of_one_key_is_begun(self, backend: StateBackend) -> None:
        """All others are told which one it is."""
        runs = [new_run(backend, f"run-{n}", key="k") for n in range(10)]
        begun = await asyncio.gather(*(backend.create_run(run) for run in runs), return_exceptions=True)
        (row,) = await backend.list()
        told = [error.run_id for error in begun if isinstance(error, RunKeyTaken)]
        assert told == [row.run_id] * 9

    async def test_files_are_read_back_in_their_order(self, backend: StateBackend) -> None:
        """The texts of the pipeline, the main one first; a list of runs leaves them out."""
        files = {"z.yaml": "version: '0.1'\r\n# ü 🜂", "a.yaml": "", "sub/b.yaml": "x" * 100_000}
        await backend.create_run(new_run(backend, files=files))
        assert list((await row_of(backend)).files.items()) == list(files.items())
        assert [dict(row.files) for row in await backend.list()] == [{}]

    async def test_run_begins_with_the_records_it_is_given(self, backend: StateBackend) -> None:
        """Lines of another run's journal stand before its own, in their order and with every field."""
        given = [
            JournalRecord("b", out=stored(backend, "x" * 200_000), fingerprint=b"f" * 16),
            JournalRecord("a#a1", RecordKind.FAILED, started_at=1.0, ended_at=2.5),
            JournalRecord("a", out=stored(backend, 1), delta=stored(backend, [])),
        ]
        claim = await backend.create_run(new_run(backend, records=given))
        await backend.append(claim, JournalRecord("c"))
        assert await journal_of(backend) == [*given, JournalRecord("c")]
        assert (await row_of(backend)).recorded == 3

    async def test_run_that_goes_on_with_another_pipeline_says_which(self, backend: StateBackend) -> None:
        """Its definition and its files are the new ones, all else is as it was."""
        claim = await backend.create_run(new_run(backend, files={"p.yaml": "steps: []\n"}))
        await backend.redefine(claim, '{"steps":[1]}', b"other", {"p.yaml": "steps: [1]\n", "q.yaml": ""})
        await backend.finish(claim, RunStatus.INTERRUPTED, at=START)
        row = await row_of(backend)
        assert (row.definition, row.digest) == ('{"steps":[1]}', b"other")
        assert dict(row.files) == {"p.yaml": "steps: [1]\n", "q.yaml": ""}
        assert (row.pipeline, row.input) == ("tickets", stored(backend, {"text": "in"}))

    async def test_who_lost_a_run_gives_it_no_other_pipeline(self, backend: StateBackend) -> None:
        """An outdated claim is refused, and the pipeline stays."""
        old = await backend.create_run(new_run(backend))
        await backend.claim("run-1", force=True)
        with pytest.raises(RunOwnedElsewhere):
            await backend.redefine(old, "{}", b"other", {})
        assert (await row_of(backend)).digest == new_run(backend).digest

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

    async def test_row_counts_results_and_adds_up_all_usage(self, backend: StateBackend) -> None:
        """`recorded` counts results only; failed attempts have cost something, too, and money adds up exactly."""
        claim = await backend.create_run(new_run(backend))
        spent = Usage(1, 10, 20, Decimal("0.1"))
        await backend.append(claim, JournalRecord("a#a1", RecordKind.ATTEMPT, usage=spent))
        await backend.append(claim, JournalRecord("a", attempt=2, usage=spent))
        await backend.append(claim, JournalRecord("b#a1", RecordKind.FAILED, usage=spent))
        for row in (await row_of(backend), (await backend.list())[0]):
            assert (row.recorded, row.usage) == (1, Usage(3, 30, 60, Decimal("0.3")))

    @pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.RUNNING])
    async def test_finished_run_shows_how_it_ended(self, backend: StateBackend, status: RunStatus) -> None:
        """Status, output, error and time are those that `finish` was given."""
        claim = await backend.create_run(new_run(backend))
        output = stored(backend, ["out"])
        await backend.finish(claim, status, output=output, error=ERROR, at=START + 9)
        row = await row_of(backend)
        assert (row.status, row.output, row.error) == (status, output, ERROR)
        assert (row.created_at, row.updated_at, row.ended_at) == (START, START + 9, START + 9)

    async def test_list_is_newest_first_and_without_values(self, backend: StateBackend) -> None:
        """The run created last comes first, whatever the ids and the clock say; values are left out."""
        for age, run_id in enumerate(("run-2", "zeta", "run-3", "run-1")):
            claim = await backend.create_run(new_run(backend, run_id, created_at=START - age))
            await backend.finish(claim, RunStatus.COMPLETED, output=stored(backend, 1), at=START)
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

    async def test_everything_outlives_the_backend(self, backend: StateBackend, reopen: Reopen) -> None:
        """What was acknowledged before `close` is read back by another backend."""
        claim = await backend.create_run(new_run(backend))
        record = JournalRecord("a", out=stored(backend, {"n": 1}), error=ERROR, started_at=START)
        await backend.append(claim, record)
        await backend.finish(claim, RunStatus.COMPLETED, output=stored(backend, 1), at=START)
        row = await row_of(backend)
        await backend.close()
        again = reopen()
        assert await again.get("run-1") == row
        assert await journal_of(again) == [record]
