"""Calls are priced, counted and refused as the limits say."""

import asyncio
from decimal import Decimal

import pytest

from flujo.domain.pricing import Price, PriceTable
from flujo.domain.quota import Quota, UsageLimits
from flujo.domain.usage import NO_USAGE, Usage
from flujo.engine.quota_manager import Call, QuotaManager
from flujo.exceptions import ConfigurationError, PricingNotConfiguredError, UsageLimitExceededError

PRICES = PriceTable({"m": Price(1_000_000, 2_000_000), "dear": Price(10_000_000), "flat": Price(usd_per_call=2)})


def manager(*limits, **options):
    return QuotaManager(PRICES, UsageLimits(*limits, **options))


async def test_without_limits_calls_are_priced_and_nothing_is_refused():
    quotas = QuotaManager(PRICES)
    call = await quotas.reserve(quotas.quota, "m", Usage(1, 10**9))
    assert (quotas.quota, call) == (None, Call("m", estimate=Usage(1, 10**9)))
    assert quotas.settle(call, Usage(1, 2, 3)) == Usage(1, 2, 3, Decimal(8))
    assert quotas.charge(None, "flat", NO_USAGE) == Usage(1, cost_usd=Decimal(2))
    quotas.release(call)


async def test_without_prices_calls_and_tokens_are_counted():
    quotas = QuotaManager()
    assert quotas.settle(await quotas.reserve(None, "m"), Usage(0, 2, 3)) == Usage(1, 2, 3)
    assert quotas.charge(None, "m", Usage(2, 2)) == Usage(2, 2)


async def test_a_priced_call_is_counted_against_its_quota():
    quotas = manager(20)
    call = await quotas.reserve(quotas.quota, "m", Usage(1, 5, 5))
    assert quotas.quota.reserved.cost_usd == 15
    assert quotas.settle(call, Usage(1, 1, 1)) == Usage(1, 1, 1, Decimal(3))
    assert (quotas.quota.spent.cost_usd, quotas.quota.reserved) == (3, NO_USAGE)


async def test_a_call_that_could_cost_more_than_is_left_is_refused():
    quotas = QuotaManager(PRICES, UsageLimits(20), spent=Usage(1, cost_usd=Decimal(15)))
    with pytest.raises(UsageLimitExceededError, match="of 20 is not enough: spent 15, reserved 0, asked 10"):
        await quotas.reserve(quotas.quota, "m", Usage(1, 10))


@pytest.mark.parametrize("limits", [UsageLimits(5), UsageLimits(None, 5), UsageLimits(None, None, 5)])
async def test_a_call_of_which_nothing_is_known_needs_something_left_of_each_limit(limits):
    quotas = QuotaManager(PRICES, limits, spent=Usage(4, 4, 0, Decimal(4)))
    quotas.settle(await quotas.reserve(quotas.quota, "m"), Usage(1, 1))
    with pytest.raises(UsageLimitExceededError):
        await quotas.reserve(quotas.quota, "m")


async def test_a_failed_call_gives_back_what_was_reserved_for_it():
    quotas = manager(None, None, 1)
    quotas.release(await quotas.reserve(quotas.quota, "m"))
    assert quotas.quota.remaining.max_calls == 1


async def test_a_frame_s_quota_is_the_one_that_counts():
    quotas = manager(None, None, 10)
    part, _ = quotas.quota.split(2)
    quotas.settle(await quotas.reserve(part, "m"), NO_USAGE)
    assert (part.spent.calls, quotas.quota.spent.calls) == (1, 0)


async def test_the_price_of_the_model_that_answered_counts():
    quotas = manager(100)
    assert quotas.settle(await quotas.reserve(quotas.quota, "m"), Usage(1, 1), "dear").cost_usd == 10
    assert quotas.settle(await quotas.reserve(quotas.quota, "m"), Usage(1, 1), "m-2024").cost_usd == 1


@pytest.mark.parametrize("unpriced", [None, "deny"])
async def test_under_a_limit_of_cost_a_call_without_a_price_is_not_made(unpriced):
    quotas = manager(1, unpriced=unpriced)
    with pytest.raises(PricingNotConfiguredError, match="model 'x' has no price, and a limit of cost holds"):
        await quotas.reserve(quotas.quota, "x", Usage(1, 5))
    assert quotas.quota.reserved == NO_USAGE


async def test_an_agent_that_tells_what_a_call_will_cost_needs_no_price():
    quotas = manager(1)
    call = await quotas.reserve(quotas.quota, "x", Usage(1, cost_usd=Decimal("0.5")))
    assert quotas.settle(call, Usage(1, 7)) == Usage(1, 7, cost_usd=Decimal("0.5"))
    call = await quotas.reserve(quotas.quota, "x", Usage(1, cost_usd=Decimal("0.5")))
    assert quotas.settle(call, Usage(1, cost_usd=Decimal("0.2"))).cost_usd == Decimal("0.2")


async def test_limits_of_tokens_and_calls_need_no_price():
    quotas = manager(None, 5, 5)
    assert quotas.settle(await quotas.reserve(quotas.quota, "x"), Usage(1, 5)) == Usage(1, 5)


async def test_warn_tells_once_of_each_model_without_a_price():
    told = []
    quotas = QuotaManager(PRICES, UsageLimits(1, unpriced="warn"), notice=told.append)
    for model in ("x", "x", "y"):
        assert quotas.settle(await quotas.reserve(quotas.quota, model), Usage(1, 5)).cost_usd == 0
    assert quotas.refusal(quotas.quota, "x", quotas.charge(quotas.quota, "x", Usage(1))) is None
    assert (told, quotas.quota.spent) == (["x", "y"], Usage(4, 15))


async def test_nobody_has_to_listen():
    quotas = manager(1, unpriced="warn")
    quotas.settle(await quotas.reserve(quotas.quota, "x"), Usage(1))
    assert quotas.quota.spent == Usage(1)


async def test_count_says_nothing_of_a_call_without_a_price():
    told = []
    quotas = QuotaManager(PRICES, UsageLimits(1, unpriced="count"), notice=told.append)
    quotas.settle(await quotas.reserve(quotas.quota, "x"), Usage(1, 5))
    assert (told, quotas.quota.spent) == ([], Usage(1, 5))


def test_a_call_that_nobody_announced_is_counted_and_may_overdraw():
    quotas = manager(5)
    assert quotas.charge(quotas.quota, "m", Usage(1, 6)).cost_usd == 6
    assert quotas.quota.overdrawn


def test_a_call_that_nobody_announced_and_nobody_can_price_is_counted_and_refused():
    quotas = manager(5)
    used = quotas.charge(quotas.quota, "x", Usage(0, 6))
    assert isinstance(quotas.refusal(quotas.quota, "x", used), PricingNotConfiguredError)
    assert used == quotas.quota.spent == Usage(1, 6)


async def test_a_usage_that_can_not_be_leaves_the_call_to_be_settled():
    quotas = manager(20)
    call = await quotas.reserve(quotas.quota, "m", Usage(1, 5))
    with pytest.raises(ConfigurationError, match="the usage that 'm' tells: tokens_in can't be -5"):
        quotas.settle(call, Usage(1, -5))
    assert (quotas.quota.spent, quotas.quota.reserved.tokens) == (NO_USAGE, 5)
    assert quotas.settle(call, Usage(1)) == quotas.quota.spent == Usage(1)
    with pytest.raises(ConfigurationError, match="the usage that 'm' tells: calls can't be -1"):
        quotas.settle(await quotas.reserve(None, "m"), Usage(-1))


async def test_a_call_is_settled_once():
    quotas = manager(20)
    call = await quotas.reserve(quotas.quota, "m")
    quotas.settle(call, Usage(1, 1))
    with pytest.raises(ConfigurationError, match="a reservation can be settled or released once"):
        quotas.settle(call, Usage(1, 1))


async def test_limits_without_a_number_count_and_refuse_nothing():
    quotas = manager()
    quotas.settle(await quotas.reserve(quotas.quota, "m"), Usage(1, 1))
    assert isinstance(quotas.quota, Quota)
    assert quotas.quota.spent.calls == 1


async def begun(quotas, *calls):
    """Tasks that ask for calls in this order: of a model, with an estimate."""
    tasks = [asyncio.ensure_future(quotas.reserve(quotas.quota, *call)) for call in calls]
    for _ in range(9):
        await asyncio.sleep(0)
    return tasks


def done(tasks):
    return [task.done() for task in tasks]


@pytest.mark.parametrize("limits", [UsageLimits(20), UsageLimits(None, 20)])
async def test_a_call_without_an_estimate_takes_all_that_is_left_and_others_wait_for_it(limits):
    quotas = QuotaManager(PRICES, limits)
    first, second, third = await begun(quotas, ("m",), ("m", Usage(1, 5)), ("m",))
    assert done([first, second, third]) == [True, False, False]
    left = quotas.quota.remaining
    assert 0 in (left.total_cost_usd_limit, left.total_tokens_limit)
    quotas.settle(first.result(), Usage(1, 4))
    two = await second
    await asyncio.sleep(0)
    assert third.done()
    quotas.settle(two, Usage(1, 1))
    quotas.settle(third.result(), Usage(1, 30))
    assert (quotas.quota.spent.tokens, quotas.quota.overdrawn) == (35, True)


async def test_calls_without_an_estimate_wait_for_nobody_under_a_limit_of_calls():
    quotas = manager(max_calls=3)
    assert done(await begun(quotas, ("m",), ("m",), ("m",))) == [True] * 3


async def test_who_waits_in_vain_is_refused_in_the_end():
    quotas = manager(max_calls=2)
    one, two, three = await begun(quotas, ("m",), ("m",), ("m",))
    quotas.settle(one.result(), NO_USAGE)
    await asyncio.sleep(0)
    assert not three.done()
    quotas.settle(two.result(), NO_USAGE)
    with pytest.raises(
        UsageLimitExceededError, match="max_calls of 2 is used up: spent 2, reserved 0, asked 1, left 0"
    ):
        await three


async def test_what_can_never_be_enough_is_refused_at_once():
    quotas = manager(None, 20)
    one, two = await begun(quotas, ("m", Usage(1, 15)), ("m", Usage(1, 21)))
    assert one.done()
    with pytest.raises(UsageLimitExceededError):
        await two


async def test_who_is_cancelled_while_waiting_holds_nobody_up():
    quotas = manager(20)
    one, two, three = await begun(quotas, ("m",), ("m",), ("m",))
    two.cancel()
    await asyncio.wait([two])
    quotas.release(one.result())
    quotas.settle(await three, NO_USAGE)
    assert (two.cancelled(), quotas.quota.reserved) == (True, NO_USAGE)


async def test_the_time_of_who_waits_stands_still():
    quotas = manager(20)
    first = await quotas.reserve(quotas.quota, "m")
    async with asyncio.timeout(0.01) as timer:
        waiting = asyncio.ensure_future(quotas.reserve(quotas.quota, "m", timer=timer))
        await asyncio.sleep(0)
        assert timer.when() is None
        quotas.release(first)
        await waiting
        assert timer.when() is not None
    async with asyncio.timeout(None) as timer:
        quotas.release(waiting.result())
        await quotas.reserve(quotas.quota, "m", timer=timer)
        assert timer.when() is None


async def test_parts_are_made_when_what_others_keep_has_come_back():
    quotas = manager(max_calls=4)
    gate = asyncio.Event()

    async def halves():
        async with quotas.split(quotas.quota, 2) as parts:
            await gate.wait()
            return [part.limits.max_calls for part in parts]

    tasks = [asyncio.ensure_future(halves()) for _ in range(2)]
    (asked,) = await begun(quotas, ("m",))
    assert not asked.done()
    gate.set()
    assert await asyncio.gather(*tasks) == [[2, 2], [2, 2]]
    assert (await asked).reservation is not None


async def test_a_call_that_is_lost_counts_what_it_was_to_use_at_most():
    quotas = manager(20)
    assert quotas.lose(await quotas.reserve(quotas.quota, "m", Usage(1, 5))) == Usage(1, 5, cost_usd=Decimal(5))
    assert quotas.lose(await quotas.reserve(quotas.quota, "flat")) == Usage(1, cost_usd=Decimal(2))
    assert quotas.lose(await quotas.reserve(None, "x", Usage(1, 5))) == Usage(1, 5)
