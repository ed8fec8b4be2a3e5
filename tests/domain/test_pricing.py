"""What a call costs: exactly, and by the price that is meant for the model."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flujo.domain.pricing import Price, PriceTable, no_price
from flujo.domain.usage import Usage
from flujo.exceptions import ConfigurationError

TABLE = PriceTable(
    {"openai:*": Price(1), "openai:gpt-4o": Price(2), "openai:gpt-4o*": Price(3), "*": Price(4), "odd[1]": Price(5)}
)


@pytest.mark.parametrize(
    ("model", "price"),
    [("openai:gpt-4o", 2), ("openai:gpt-4o-mini", 3), ("openai:o1", 1), ("else", 4), ("OPENAI:o1", 4), ("odd[1]", 5)],
)
def test_an_exact_name_beats_a_pattern_and_a_longer_pattern_a_shorter_one(model, price):
    assert TABLE.find(model) == Price(price)


def test_a_table_is_a_mapping_of_what_it_was_given():
    assert dict(TABLE)["*"] == TABLE["*"] == Price(4)
    assert (len(TABLE), len(PriceTable())) == (5, 0)


def test_a_cost_is_exact_whatever_precision_the_program_has_set():
    price = Price(2.5, "10", usd_per_call=Decimal("0.001"))
    with localcontext(prec=2):
        priced = PriceTable({"m": price}).price("m", Usage(2, 1_000_001, 3))
    assert priced == Usage(2, 1_000_001, 3, Decimal("2.5020325"))


def test_a_usage_that_has_a_cost_keeps_it():
    usage = Usage(1, 10, 10, Decimal("0.5"))
    assert TABLE.price("openai:gpt-4o", usage) is usage
    assert PriceTable().price("unknown", usage) is usage


def test_a_model_that_nobody_knows_has_no_price():
    assert PriceTable({"a": Price(1)}).price("b", Usage(1, 5)) is None


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=10))
def test_many_calls_cost_what_one_call_of_their_sum_costs(tokens):
    price = Price("2.5", "10.01")
    parts = sum((price.of(Usage(1, *each)) for each in tokens), Decimal(0))
    assert parts == price.of(Usage(len(tokens), sum(each[0] for each in tokens), sum(each[1] for each in tokens)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_usd_per_million": -1}, "input_usd_per_million can't be -1, expected US dollars"),
        ({"output_usd_per_million": "x"}, "output_usd_per_million can't be 'x', expected US dollars"),
        ({"usd_per_call": None}, "usd_per_call can't be None, expected US dollars"),
    ],
)
def test_a_price_that_can_not_be_is_refused(fields, message):
    with pytest.raises(ConfigurationError, match=message):
        Price(**fields)


def test_the_error_for_a_missing_price_says_what_to_write():
    error = no_price('a"b')
    assert (str(error), error.code) == ("model 'a\"b' has no price, and a limit of cost holds", "FLUJO-102")
    assert '[pricing."a\\"b"]' in error.suggestion
