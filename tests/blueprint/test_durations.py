"""Durations as files write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.blueprint.durations import seconds


@pytest.mark.parametrize(
    ("written", "expected"),
    [(90, 90.0), (0.5, 0.5), ("90s", 90.0), ("15m", 900.0), ("2h", 7200.0), ("7 d", 604800.0), ("1.5h", 5400.0)],
)
def test_a_duration_is_seconds_or_a_number_with_a_unit(written, expected):
    assert seconds(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        0,
        -1,
        "0s",
        "15",
        "15x",
        "",
        "m",
        "-2h",
        True,
        float("inf"),
        float("nan"),
        "\u0661\u0665m",
        10**400,
        "99999d",
        "1h30m",
    ],
)
def test_anything_else_is_refused_with_what_is_expected(written):
    with pytest.raises(ValueError, match="is no duration, expected more than 0 seconds, or text like '90s'") as caught:
        seconds(written)
    assert repr(written)[:60] in str(caught.value)


def test_what_is_no_number_and_no_text_is_told_by_its_type():
    with pytest.raises(ValueError, match=r"^list is no duration"):
        seconds(["15m"])


@given(st.integers(1, 36_500), st.sampled_from("smhd"))
def test_a_unit_multiplies(number, unit):
    assert seconds(f"{number}{unit}") == number * seconds(f"1{unit}")
