"""Run ids: short, and in the order the runs began."""

import re

from hypothesis import given
from hypothesis import strategies as st

from flujo.runner.ids import new_run_id

moments = st.integers(0, 10**12).map(lambda milliseconds: milliseconds / 1000)


@given(moments, moments)
def test_ids_sort_by_the_time_they_were_made(earlier, later):
    if int(earlier * 1000) < int(later * 1000):
        assert new_run_id(earlier) < new_run_id(later)


@given(moments)
def test_an_id_is_short_and_plain(moment):
    assert re.fullmatch(r"[0-9a-hjkmnp-tv-z]{14}", new_run_id(moment))


def test_ids_of_one_moment_differ():
    assert len({new_run_id(1.0) for _ in range(100)}) == 100
