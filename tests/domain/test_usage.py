"""Usage adds up exactly."""

from decimal import Decimal, localcontext
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.domain.usage import NO_USAGE, Usage, amount_text

COUNTS = st.integers(0, 10**12)
COSTS = st.decimals(0, 10**9, places=18)
USAGES = st.builds(Usage, COUNTS, COUNTS, COUNTS, COSTS)


@given(USAGES, USAGES, USAGES)
def test_the_order_of_addition_does_not_matter(a, b, c):
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a


@given(USAGES)
def test_nothing_used_changes_nothing(usage):
    assert usage + NO_USAGE == NO_USAGE + usage == usage + Usage() == usage


@given(st.lists(USAGES, max_size=20))
def test_a_sum_is_the_sum_of_every_part(usages):
    total = reduce(Usage.__add__, usages, NO_USAGE)
    assert total.calls == sum(usage.calls for usage in usages)
    assert total.tokens == sum(usage.tokens_in + usage.tokens_out for usage in usages)
    places = 10**18
    assert int(total.cost_usd * places) == sum(int(usage.cost_usd * places) for usage in usages)


def test_a_program_s_own_precision_does_not_touch_the_sum():
    with localcontext(prec=3):
        total = Usage(cost_usd=Decimal("1000.01")) + Usage(cost_usd=Decimal("0.001"))
    assert total.cost_usd == Decimal("1000.011")


@pytest.mark.parametrize("cost", [0.1, "0.1", Decimal("0.1")])
def test_a_tenth_is_a_tenth_however_it_is_given(cost):
    assert reduce(Usage.__add__, [Usage(cost_usd=cost)] * 10).cost_usd == 1


def test_usage_cannot_be_changed():
    with pytest.raises(AttributeError):
        NO_USAGE.calls = 1


@pytest.mark.parametrize(
    ("amount", "text"),
    [(Decimal("2.50"), "2.5"), (Decimal("1E-7"), "0.0000001"), (Decimal("0E-9"), "0"), (1200, "1200")],
)
def test_an_amount_is_written_as_people_write_it(amount, text):
    assert amount_text(amount) == text


@given(USAGES, USAGES)
def test_what_was_added_can_be_taken_away(a, b):
    assert (a + b) - b == a
