"""Budgets: nothing appears or disappears, and a limit is kept by whoever keeps to what was reserved."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from flujo.domain.quota import Quota, UsageLimits
from flujo.domain.usage import NO_USAGE, Usage
from flujo.exceptions import ConfigurationError, UsageLimitExceededError

COSTS = st.decimals(0, 100, places=9)
LIMITS = st.builds(
    UsageLimits, st.none() | COSTS, st.none() | st.integers(0, 1000), st.none() | st.integers(0, 20), st.none()
)
USAGES = st.builds(Usage, st.integers(1, 3), st.integers(0, 50), st.integers(0, 50), st.decimals(0, 5, places=12))


def held(limits):
    return (limits.total_cost_usd_limit, limits.total_tokens_limit, limits.max_calls)


def used(usage):
    return (usage.cost_usd, usage.tokens, usage.calls)


@pytest.mark.parametrize("given", [0.1, "0.1", Decimal("0.1")])
def test_a_limit_of_cost_is_the_number_that_it_prints_as(given):
    assert UsageLimits(given).total_cost_usd_limit == Decimal("0.1")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"total_cost_usd_limit": -1}, "total_cost_usd_limit can't be -1, expected US dollars from 0 to 10^15"),
        ({"total_cost_usd_limit": "nan"}, "total_cost_usd_limit can't be 'nan', expected US dollars from 0 to 10^15"),
        ({"total_cost_usd_limit": float("inf")}, "total_cost_usd_limit can't be inf, expected US dollars from 0 to"),
        ({"total_cost_usd_limit": "much"}, "total_cost_usd_limit can't be 'much', expected US dollars"),
        ({"total_cost_usd_limit": True}, "total_cost_usd_limit can't be True, expected US dollars"),
        ({"total_cost_usd_limit": [1]}, r"total_cost_usd_limit can't be \[1\], expected US dollars"),
        ({"total_cost_usd_limit": "1e-61"}, "total_cost_usd_limit can't be '1e-61', expected US dollars"),
        ({"total_tokens_limit": -1}, "total_tokens_limit can't be -1, expected a whole number from 0"),
        ({"max_calls": 1.0}, "max_calls can't be 1.0, expected a whole number from 0"),
        ({"max_calls": True}, "max_calls can't be True, expected a whole number from 0"),
        ({"unpriced": "allow"}, "unpriced can't be 'allow', expected 'deny', 'warn' or 'count'"),
    ],
)
def test_a_limit_that_can_not_be_is_refused(fields, message):
    with pytest.raises(ConfigurationError, match=message.replace("^", r"\^")):
        UsageLimits(**fields)


@given(LIMITS, LIMITS)
def test_the_tightest_limits_keep_to_both(one, other):
    both = one.tightest(other)
    assert both == other.tightest(one)
    for each, first, second in zip(held(both), held(one), held(other), strict=True):
        assert each == min((limit for limit in (first, second) if limit is not None), default=None)


@pytest.mark.parametrize(
    ("one", "other", "both"), [(None, None, None), ("count", None, "count"), ("count", "warn", "warn")]
)
def test_the_stricter_word_about_calls_without_a_price_holds(one, other, both):
    assert UsageLimits(unpriced=one).tightest(UsageLimits(unpriced=other)).unpriced == both
    assert UsageLimits(unpriced=other).tightest(UsageLimits(unpriced=one)).unpriced == both


def test_a_settled_reservation_counts_what_was_used_and_gives_the_rest_back():
    quota = Quota(UsageLimits("1.00", 100, 2))
    reservation = quota.reserve(Usage(1, 40, 40, Decimal("0.30")))
    assert held(quota.remaining) == (Decimal("0.70"), 20, 1)
    quota.settle(reservation, Usage(1, 10, 5, Decimal("0.1")))
    assert (quota.spent, quota.reserved) == (Usage(1, 10, 5, Decimal("0.1")), NO_USAGE)
    assert held(quota.remaining) == (Decimal("0.9"), 85, 1)


def test_a_released_reservation_leaves_no_trace():
    quota = Quota(UsageLimits(max_calls=1))
    quota.release(quota.reserve(Usage()))
    assert (quota.spent, quota.remaining.max_calls) == (NO_USAGE, 1)


def test_a_call_counts_one_whatever_it_says():
    quota = Quota(UsageLimits(max_calls=1))
    quota.settle(quota.reserve(NO_USAGE), NO_USAGE)
    assert quota.spent.calls == 1
    with pytest.raises(UsageLimitExceededError):
        quota.reserve(NO_USAGE)


def test_a_refused_reservation_says_which_limit_and_how_it_stands():
    quota = Quota(UsageLimits("1.00"), spent=Usage(3, cost_usd=Decimal("0.95")))
    quota.reserve(Usage(cost_usd=Decimal("0.02")))
    with pytest.raises(UsageLimitExceededError) as caught:
        quota.reserve(Usage(cost_usd=Decimal("0.05")))
    assert str(caught.value) == (
        "total_cost_usd_limit of 1 is not enough: spent 0.95, reserved 0.02, asked 0.05, left 0.03"
    )
    assert caught.value.suggestion == "go on with a higher total_cost_usd_limit"
    assert (caught.value.limit, caught.value.enough) == ("total_cost_usd_limit", Decimal("2.02"))


@pytest.mark.parametrize("limits", [UsageLimits("0.5"), UsageLimits(None, 3), UsageLimits(max_calls=1)])
def test_what_was_used_beyond_a_limit_is_counted_and_nothing_more_is_given(limits):
    quota = Quota(limits)
    assert quota.overdraft() is None
    quota.settle(quota.reserve(Usage(1, 1)), Usage(2, 2, 2, Decimal("0.6")))
    assert quota.overdrawn
    assert set(held(quota.remaining)) <= {None, 0}
    assert "is used up: spent" in str(quota.overdraft())
    with pytest.raises(UsageLimitExceededError, match="left -"):
        quota.reserve(NO_USAGE)


def test_a_quota_that_is_used_up_exactly_is_not_overdrawn():
    quota = Quota(UsageLimits(max_calls=1))
    quota.charge(Usage(1))
    assert not quota.overdrawn


def test_what_only_others_have_reserved_overdraws_nothing():
    quota = Quota(UsageLimits(max_calls=2))
    quota.reserve(Usage(2))
    quota.charge(Usage(2))
    assert not quota.overdrawn


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        (Usage(-1), "an estimate: calls can't be -1, expected a whole number from 0"),
        (Usage(tokens_in=1.5), "an estimate: tokens_in can't be 1.5, expected a whole number from 0"),
        (Usage(tokens_out=-2), "an estimate: tokens_out can't be -2, expected a whole number from 0"),
        (Usage(cost_usd=Decimal("-0.1")), r"an estimate: cost_usd can't be Decimal\('-0.1'\), expected US dollars"),
        (Usage(cost_usd=Decimal("NaN")), r"an estimate: cost_usd can't be Decimal\('NaN'\), expected US dollars"),
    ],
)
def test_a_usage_that_can_not_be_is_refused_and_changes_nothing(usage, message):
    quota = Quota(UsageLimits(max_calls=2))
    with pytest.raises(ConfigurationError, match=message):
        quota.reserve(usage)
    reservation = quota.reserve(Usage())
    for refused in (lambda: quota.settle(reservation, usage), lambda: quota.charge(usage)):
        with pytest.raises(ConfigurationError, match="a usage: "):
            refused()
    assert (quota.spent, quota.reserved) == (NO_USAGE, Usage(1))


def test_a_reservation_is_used_once_and_by_its_own_quota():
    quota, other = Quota(UsageLimits()), Quota(UsageLimits())
    reservation = quota.reserve(Usage())
    with pytest.raises(ConfigurationError, match="a reservation can be settled or released once, by the quota that"):
        other.release(reservation)
    quota.release(reservation)
    for again in (lambda: quota.release(reservation), lambda: quota.settle(reservation, Usage())):
        with pytest.raises(ConfigurationError, match="a reservation can be settled or released once"):
            again()
    assert quota.spent == NO_USAGE


@given(LIMITS, st.integers(1, 9))
def test_the_parts_of_a_quota_add_up_to_it_to_the_last_digit(limits, n):
    parts = [held(part.limits) for part in Quota(limits).split(n)]
    assert len(parts) == n
    for whole, *shares in zip(held(limits), *parts, strict=True):
        assert (sum(shares) if whole is not None else None) == whole
        assert whole is None or max(shares) - min(shares) <= 1
        assert whole is not None or set(shares) == {None}


@pytest.mark.parametrize("amount", ["0.01", "1", "0.000000000001", "1000000000000000"])
def test_money_is_split_whatever_precision_the_program_has_set(amount):
    with localcontext(prec=3):
        parts = Quota(UsageLimits(amount)).split(3)
    assert sum(part.limits.total_cost_usd_limit for part in parts) == Decimal(amount)
    assert all(part.limits.total_cost_usd_limit for part in parts) or amount == "0.000000000001"


def test_a_quota_that_was_split_has_nothing_left_until_its_parts_come_back():
    quota = Quota(UsageLimits("1.00", max_calls=3, unpriced="warn"))
    one, two = quota.split(2)
    assert (held(one.limits), held(two.limits)) == ((Decimal("0.5"), None, 2), (Decimal("0.5"), None, 1))
    assert one.limits.unpriced == "warn"
    with pytest.raises(UsageLimitExceededError, match="spent 0, reserved 3, asked 1, left 0"):
        quota.reserve(Usage())
    one.charge(Usage(2, cost_usd=Decimal("0.1")))
    quota.absorb([one, two])
    assert held(quota.remaining) == (Decimal("0.9"), None, 1)
    assert quota.spent == Usage(2, cost_usd=Decimal("0.1"))


def test_a_part_that_used_more_than_its_share_takes_it_from_the_whole():
    quota = Quota(UsageLimits(max_calls=4))
    one, two = quota.split(2)
    one.charge(Usage(3))
    assert one.overdrawn
    quota.absorb([one, two])
    assert (quota.overdrawn, quota.remaining.max_calls) == (False, 1)


def test_what_is_left_of_an_overdrawn_quota_is_split_into_nothing():
    quota = Quota(UsageLimits(max_calls=1), spent=Usage(5))
    assert [part.limits.max_calls for part in quota.split(2)] == [0, 0]


def test_a_quota_is_split_into_one_part_at_least():
    with pytest.raises(ConfigurationError, match="a quota can't be split into 0 parts, expected at least 1"):
        Quota(UsageLimits()).split(0)


def test_a_part_is_absorbed_once_and_by_the_quota_that_was_split():
    quota, other = Quota(UsageLimits(max_calls=4)), Quota(UsageLimits(max_calls=4))
    one, two = quota.split(2)
    (inner,) = two.split(1)
    for parts in ([one, one], other.split(1), [inner], [quota]):
        with pytest.raises(ConfigurationError, match="a part can be absorbed once, by the quota that was split"):
            quota.absorb(parts)
    quota.absorb([one])
    with pytest.raises(ConfigurationError, match="a part can be absorbed once"):
        quota.absorb([one])
    assert quota.remaining.max_calls == 2


def test_what_is_open_in_a_part_that_is_absorbed_is_open_in_the_whole():
    quota = Quota(UsageLimits(max_calls=8))
    one, two = quota.split(2)
    reservation = one.reserve(Usage(2))
    (inner,) = two.split(1)
    inner.charge(Usage(1))
    quota.absorb([one, two])
    assert (quota.reserved.calls, quota.remaining.max_calls) == (2, 2)
    one.settle(reservation, Usage(1))
    two.absorb([inner])
    assert (quota.spent.calls, quota.remaining.max_calls) == (2, 6)


def test_a_part_that_was_absorbed_draws_on_the_whole():
    quota = Quota(UsageLimits(max_calls=8))
    part, _ = parts = quota.split(2)
    (inner,) = part.split(1)
    part.absorb([inner])
    quota.absorb(parts)
    for each in (part, inner):
        each.charge(Usage(1))
        each.release(each.reserve(Usage(5)))
        assert each.remaining == quota.remaining
    quota.absorb(inner.split(2))
    assert (part.overdrawn, quota.spent.calls) == (False, 2)
    with pytest.raises(
        UsageLimitExceededError, match="max_calls of 8 is not enough: spent 2, reserved 0, asked 7, left 6"
    ):
        inner.reserve(Usage(7))


def test_a_call_may_take_the_rest_of_money_and_tokens():
    quota = Quota(UsageLimits(5, 100, 3))
    first = quota.reserve(Usage(1, 1), rest=True)
    assert held(quota.remaining) == (0, 0, 2)
    assert [quota.pending(Usage(1, 1)), quota.pending(rest=True), quota.pending()] == [True, True, False]
    quota.settle(first, Usage(1, 10))
    assert held(quota.remaining) == (5, 90, 2)


def test_a_share_that_is_used_up_tells_how_the_whole_stands_and_what_would_be_enough():
    quota = Quota(UsageLimits(max_calls=9), spent=Usage(1))
    part, other = quota.split(2)
    (inner, *_) = part.split(3)
    other.charge(Usage(3))
    inner.charge(Usage(2))
    with pytest.raises(UsageLimitExceededError) as caught:
        inner.reserve(Usage(1))
    assert str(caught.value) == (
        "a share of max_calls of 9 is used up: share 2, spent 2, reserved 0, asked 1, left 0, all have spent 6"
    )
    assert caught.value.suggestion == "go on with a higher max_calls, or let the branches share one pool"
    assert (caught.value.limit, caught.value.enough) == ("max_calls", 24)


class Ledger(RuleBasedStateMachine):
    """Random trees of splits, reservations, calls and absorbs. `honest` calls keep to what they reserved."""

    honest = True
    quotas = Bundle("quotas")
    reservations = Bundle("reservations")

    @rule(target=quotas, limits=LIMITS, spent=st.just(NO_USAGE) | USAGES)
    def begin(self, limits, spent):
        root = Quota(limits)
        if self.honest:
            spent = NO_USAGE
        elif spent is not NO_USAGE:
            root.charge(spent)
        self.trees.append((root, [spent]))
        self.parents[root] = None
        return root

    def __init__(self):
        super().__init__()
        self.trees = []
        self.parents = {}
        self.heirs = {}
        self.open = {}

    def book(self, quota):
        """The quota that keeps the account: itself, until it is absorbed."""
        while quota in self.heirs:
            quota = self.heirs[quota]
        return quota

    def root_of(self, quota):
        quota = self.book(quota)
        while self.parents[quota] is not None:
            quota = self.parents[quota]
        return next(told for root, told in self.trees if root is quota)

    def children(self, quota):
        return [child for child, parent in self.parents.items() if parent is quota]

    def left(self, quota):
        """What is left of each limit: less than nothing where a call used what parts hold, or more than there is."""
        lent = [held(child.limits) for child in self.children(quota)]
        rows = zip(held(quota.limits), used(quota.spent), used(quota.reserved), strict=True)
        return [
            None if limit is None else limit - spent - reserved - sum(each[at] for each in lent)
            for at, (limit, spent, reserved) in enumerate(rows)
        ]

    @rule(target=reservations, quota=quotas, usage=USAGES, rest=st.booleans())
    def reserve(self, quota, usage, rest):
        left = self.left(self.book(quota))
        lacks = any(each is not None and asked > each for asked, each in zip(used(usage), left, strict=True))
        try:
            reservation = quota.reserve(usage, rest=rest)
        except UsageLimitExceededError:
            assert lacks
            return multiple()
        assert not lacks
        self.open[reservation] = quota
        return reservation

    @rule(reservation=consumes(reservations), share=st.integers(0, 100), more=USAGES)
    def settle(self, reservation, share, more):
        quota, kept = self.open.pop(reservation), reservation.amount
        actual = Usage(kept.calls, kept.tokens_in * share // 100, kept.tokens_out, kept.cost_usd * share / 100)
        if not self.honest:
            actual += more
        quota.settle(reservation, actual)
        self.root_of(quota).append(actual)

    @rule(reservation=consumes(reservations))
    def fail(self, reservation):
        self.open.pop(reservation).release(reservation)

    @rule(target=quotas, quota=quotas, n=st.integers(1, 4))
    def split(self, quota, n):
        before = held(quota.remaining)
        parts = quota.split(n)
        for whole, *shares in zip(before, *(held(part.limits) for part in parts), strict=True):
            assert whole is None or sum(shares) == whole
        self.parents.update(dict.fromkeys(parts, self.book(quota)))
        return multiple(*parts)

    @rule(quota=quotas, keep=st.integers(0, 3))
    def absorb(self, quota, keep):
        """Parts are absorbed whether they are in use or not: what is open in them moves."""
        ended = self.children(self.book(quota))[keep:]
        quota.absorb(ended)
        for part in ended:
            home = self.heirs[part] = self.parents.pop(part)
            self.parents.update(dict.fromkeys(self.children(part), home))

    @invariant()
    def nothing_appears_or_disappears(self):
        for quota in self.parents:
            for left, remaining in zip(self.left(quota), held(quota.remaining), strict=True):
                assert remaining == (None if left is None else max(left, 0))
                assert not self.honest or (remaining == left and not quota.overdrawn)

    @invariant()
    def every_use_is_counted_once(self):
        for root, told in self.trees:
            total, open_parts = root.spent, self.children(root)
            while open_parts:
                part = open_parts.pop()
                total += part.spent
                open_parts += self.children(part)
            assert total == sum(told, NO_USAGE)


class Overdrawing(Ledger):
    honest = False


TestLedger = Ledger.TestCase
TestOverdrawing = Overdrawing.TestCase
TestLedger.settings = TestOverdrawing.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
