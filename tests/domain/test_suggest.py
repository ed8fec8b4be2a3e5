"""Advice about unknown names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.domain.suggest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("stpe", ["step", "loop"], "step"),
        ("STEP", ["step", "loop"], "step"),
        ("concurrncy", ["concurrency", "condition"], "concurrency"),
        ("zzz", ["step", "loop"], None),
        ("", ["step"], None),
        ("step", [], None),
    ],
)
def test_the_nearest_name_is_one_that_is_like_it(name, known, found):
    assert nearest(name, known) == found


@given(st.text(min_size=1), st.lists(st.text(), unique_by=str.casefold))
def test_a_known_name_is_nearest_to_itself(name, others):
    known = [other for other in others if other.casefold() != name.casefold()] + [name]
    assert nearest(name, known) == name


@given(st.text(), st.lists(st.text()))
def test_the_nearest_name_is_always_a_known_one(name, known):
    assert nearest(name, iter(known)) in {None, *known}


def test_the_nearest_name_is_advised():
    assert did_you_mean("stpe", ["step", "loop"]) == "did you mean 'step'?"


def test_without_a_near_name_what_there_is_is_listed():
    assert did_you_mean("zzz", iter(["step", "loop"])) == "known names are loop, step"
    assert did_you_mean("zzz", ["step"], what="kinds are") == "kinds are step"
    assert did_you_mean("zzz", []) == "there are none"


def test_a_long_list_is_cut_after_twelve():
    advice = did_you_mean("zzz", [f"n{i:02}" for i in range(13)])
    assert advice.endswith("n11, ...")
    assert "n12" not in advice
    assert did_you_mean("zzz", [f"n{i:02}" for i in range(12)]).endswith("n11")


def test_of_a_long_list_the_nearest_names_come_first():
    names = [*(f"aa{i:02}" for i in range(20)), "zing"]
    assert did_you_mean("zoo", names).startswith("known names are zing, ")
    assert did_you_mean("qqqqqqq", names, most=100).endswith("zing")
