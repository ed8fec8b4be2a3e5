"""How runs are named."""

import pytest

from flujo.domain.interfaces import NewRun
from flujo.domain.outcomes import RunStatus
from flujo.exceptions import RunNotFound
from flujo.infra.memory import InMemoryBackend
from flujo_cli.references import find_run
from flujo_cli.streams import CommandError


@pytest.fixture
async def backend():
    state = InMemoryBackend()
    for number, run_id in enumerate(["aa1", "ab1", "ab2", "b"]):
        await state.create_run(NewRun(run_id, "p", "", "{}", b"", b'"in"', b"{}", float(number)))
    yield state
    await state.close()


@pytest.mark.parametrize(
    ("reference", "run_id"),
    [("ab1", "ab1"), ("aa", "aa1"), ("b", "b"), ("@last", "b"), ("@{1}", "b"), ("@{2}", "ab2"), ("@{4}", "aa1")],
)
async def test_a_run_is_found_by_id_prefix_or_place(backend, reference, run_id):
    row = await find_run(backend, reference)
    assert (row.run_id, row.input) == (run_id, b'"in"')


@pytest.mark.parametrize("reference", ["x", "@{5}", "aa11"])
async def test_a_run_that_is_not_there_is_not_found(backend, reference):
    with pytest.raises(RunNotFound, match="no run"):
        await find_run(backend, reference)


@pytest.mark.parametrize("reference", ["", " "])
async def test_an_empty_reference_names_no_run_though_there_is_only_one(reference):
    state = InMemoryBackend()
    await state.create_run(NewRun("only", "p", "", "{}", b"", b'"in"', b"{}", 0.0))
    with pytest.raises(CommandError, match="names no run"):
        await find_run(state, reference)
    await state.close()


async def test_a_prefix_of_several_runs_is_refused_with_their_ids(backend):
    with pytest.raises(CommandError, match="'a' is the beginning of several runs: ab2, ab1, aa1"):
        await find_run(backend, "a")


@pytest.mark.parametrize("reference", ["@", "@first", "@{0}", "@{-1}", "@{x}", "@{9999999999}"])
async def test_other_words_with_an_at_sign_name_no_run(backend, reference):
    with pytest.raises(CommandError, match="is no way to name a run"):
        await find_run(backend, reference)


async def test_a_run_that_is_removed_after_it_was_listed_is_not_found():
    class Removing(InMemoryBackend):
        async def get(self, run_id):
            await self.delete(run_id)

    state = Removing()
    claim = await state.create_run(NewRun("only", "p", "", "{}", b"", b'"in"', b"{}", 0.0))
    await state.finish(claim, RunStatus.COMPLETED, at=1.0)
    with pytest.raises(RunNotFound, match="run 'only' was removed just now"):
        await find_run(state, "@last")
    await state.close()
