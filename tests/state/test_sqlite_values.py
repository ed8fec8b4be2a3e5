"""Where values lie, how large they may be, and what errors and money look like when they are read back."""

import sqlite3
from contextlib import closing
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.domain.interfaces import JournalRecord
from flujo.domain.outcomes import ErrorInfo, RunStatus
from flujo.domain.usage import Usage
from flujo.exceptions import PayloadTooLarge, StateError, ValueNotStorable
from flujo_state_sqlite.schema import INLINE_LIMIT, INPUT_LIMIT, VALUE_LIMIT
from flujo_state_sqlite.values import check_size, error_from_text, error_to_text

TEXT = st.text(st.characters(exclude_categories=()))


def rows(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


async def test_small_values_stand_in_their_row_and_large_ones_once_beside_it(path, backend, run):
    """The same large value in two steps, the context and the run's output takes its space once."""
    large, small = b"x" * (INLINE_LIMIT + 1), b"x" * INLINE_LIMIT
    claim = await backend.create_run(run(input=small, base=large))
    await backend.append(claim, JournalRecord("a", out=large, delta=small))
    await backend.append(claim, JournalRecord("b", out=small, delta=large))
    await backend.finish(claim, RunStatus.COMPLETED, output=large, at=2.0)
    assert rows(path, "SELECT size FROM blob") == [(len(large),)]
    assert rows(path, "SELECT length(out), length(delta) FROM journal") == [(None, len(small)), (len(small), None)]
    first, second = await backend.load("run-1")
    assert (first.out, first.delta, second.out, second.delta) == (large, small, small, large)
    row = await backend.get("run-1")
    assert (row.input, row.base, row.output) == (small, large, large)


async def test_value_above_the_limit_is_refused_whole(path, backend, run):
    """Nothing of it is written, and the run goes on."""
    claim = await backend.create_run(run())
    largest = bytes(VALUE_LIMIT)
    for record in (JournalRecord("a/b", out=largest + b"x"), JournalRecord("a/b", delta=largest + b"x")):
        with pytest.raises(PayloadTooLarge, match=r"'a/b' has 16,777,217 bytes, expected at most 16,777,216"):
            await backend.append(claim, record)
    with pytest.raises(PayloadTooLarge, match="'output'"):
        await backend.finish(claim, RunStatus.COMPLETED, output=largest + b"x", at=2.0)
    assert rows(path, "SELECT (SELECT COUNT(*) FROM journal), (SELECT COUNT(*) FROM blob)") == [(0, 0)]
    await backend.append(claim, JournalRecord("a/b", out=largest))


@pytest.mark.parametrize("field", ["input", "base"])
async def test_input_above_the_limit_makes_no_run(path, backend, run, field):
    with pytest.raises(PayloadTooLarge):
        await backend.create_run(run(**{field: bytes(INPUT_LIMIT + 1)}))
    assert not path.exists()


def test_no_value_has_no_size():
    assert check_size(None, "input", 0) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "lone \ud800 surrogate"},
        {"attempt": 2**63},
        {"usage": Usage(tokens_in=2**64)},
        {"out": "not bytes"},
        {"started_at": float("nan")},
    ],
)
async def test_record_that_no_column_takes_is_refused(backend, run, fields):
    """The writer goes on with the others."""
    claim = await backend.create_run(run())
    with pytest.raises(StateError):
        await backend.append(claim, JournalRecord("odd")._replace(**fields))
    await backend.append(claim, JournalRecord("even"))
    assert [record.path for record in await backend.load("run-1")] == ["even"]


async def test_run_that_no_column_takes_is_refused(backend, run):
    with pytest.raises(ValueNotStorable, match="surrogates not allowed"):
        await backend.create_run(run("\udcff"))
    with pytest.raises(StateError):
        await backend.create_run(run(created_at=float("nan")))
    assert await backend.list() == []


async def test_money_adds_up_exactly(backend, run):
    """Prices of a token are far below a billionth of a dollar, and a thousand of them are a thousand times as much."""
    claim = await backend.create_run(run())
    price = Decimal("0.0000000000125")
    for number in range(100):
        await backend.append(claim, JournalRecord(f"step-{number}", usage=Usage(1, 3, 4, price)))
    assert (await backend.get("run-1")).usage == Usage(100, 300, 400, price * 100)
    assert (await backend.load("run-1"))[7].usage == Usage(1, 3, 4, price)


@given(st.builds(ErrorInfo, TEXT, TEXT, st.none() | TEXT, st.none() | TEXT, TEXT, st.none() | TEXT, st.none() | TEXT))
def test_errors_of_any_text_are_read_back(error):
    text = error_to_text(error)
    assert text.isascii()
    assert error_from_text(text) == error


def test_an_error_that_was_written_before_plugins_were_told_is_read_back():
    text = '{"type": "E", "message": "m", "code": null, "suggestion": null, "path": "a", "location": null}'
    assert error_from_text(text) == ErrorInfo("E", "m", path="a")


def test_endless_message_is_cut():
    kept = error_from_text(error_to_text(ErrorInfo("E", "x" * 1_000_000)))
    assert kept.message.endswith("x… (983,616 more characters)")
    assert len(kept.message) < 20_000
