"""What the calls of one run cost, and whether its limits let them be made."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary

from flujo.domain.pricing import PriceTable, no_price
from flujo.domain.quota import Quota, Reservation, UsageLimits
from flujo.domain.usage import NO_USAGE, Usage, check_usage
from flujo.engine.shield import halted
from flujo.exceptions import PricingNotConfiguredError

__all__ = ["Call", "QuotaManager"]

#: What a call asks for of which nothing is known: it is refused where a limit it would count against is used up.
_UNKNOWN = Usage(calls=1, tokens_in=1)


class Call(NamedTuple):
    """A call that may be made: settle or release it afterwards, or `lose` it.

    `quota` is the one that it counts against, `estimate` what it was to use at most, as far as anybody knew.
    """

    model: str
    quota: Quota | None = None
    reservation: Reservation | None = None
    estimate: Usage = Usage(calls=1)


class QuotaManager:
    """Prices the calls of one run, and counts them against the quota that a frame carries.

    `spent` is what the run has used before, as its journal says. `notice` is told once of each model that is called
    without a price under a limit of cost, where the limits say so. Without limits it keeps nothing of any run.
    """

    __slots__ = ("_given_back", "_lines", "_notice", "_noticed", "_prices", "quota")

    def __init__(
        self,
        prices: PriceTable | None = None,
        limits: UsageLimits | None = None,
        spent: Usage = NO_USAGE,
        *,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._prices = PriceTable() if prices is None else prices
        #: The run's own quota; None where nothing is limited.
        self.quota = None if limits is None else Quota(limits, spent)
        self._notice = notice
        self._noticed: set[str] = set()
        self._lines: WeakKeyDictionary[Quota, asyncio.Lock] = WeakKeyDictionary()
        self._given_back = asyncio.Event()

    async def reserve(
        self, quota: Quota | None, model: str, estimate: Usage | None = None, *, timer: asyncio.Timeout | None = None
    ) -> Call:
        """Ask for a call of `model` before it is made; `estimate` is what it may use at most.

        Without one, and under a limit of money or tokens, the call is given all that is left. Who asks for what others
        keep waits until they have ended, first come, first served; `timer` stands still meanwhile.

        Raises `UsageLimitExceededError` when the quota has less left, and `PricingNotConfiguredError` when a limit of
        cost holds and nobody knows what the call will cost.
        """
        asked = _UNKNOWN if estimate is None else _as_call(estimate, model)
        known = Usage(calls=1) if estimate is None else asked
        if quota is None:
            return Call(model, estimate=known)
        if refusal := self.refusal(quota, model, asked):
            raise refusal
        asked = self._prices.price(model, asked) or asked
        rest = estimate is None and quota.limits.bound_use
        with halted(timer):
            async with self._turn(quota, lambda: not quota.pending(asked, rest=rest)):
                return Call(model, quota, quota.reserve(asked, rest=rest), known)

    @asynccontextmanager
    async def split(self, quota: Quota, n: int) -> AsyncIterator[tuple[Quota, ...]]:
        """Exact parts of the quota, whose rest comes back in the end; waits while all of it is kept by others."""
        async with self._turn(quota, lambda: not quota.is_lent):
            parts = quota.split(n)
        try:
            yield parts
        finally:
            quota.absorb(parts)
            self._given_back.set()

    @asynccontextmanager
    async def _turn(self, quota: Quota, is_time: Callable[[], bool]) -> AsyncIterator[None]:
        """Hold the quota's line of those who ask from when it is one's turn and `is_time`, until one has asked."""
        async with self._lines.setdefault(quota, asyncio.Lock()):
            while not is_time():
                self._given_back.clear()
                await self._given_back.wait()
            yield

    def settle(self, call: Call, usage: Usage, model: str | None = None) -> Usage:
        """Count what the call has used, and give it back with its cost.

        `model` is who answered, where that is told: its price counts if it has one, else that of the model that was
        asked. A call that nobody can price costs what was estimated. Raises `ConfigurationError` for a usage
        that can't be; the call is still to be settled then.
        """
        used = _as_call(usage, call.model)
        priced = (model and self._prices.price(model, used)) or self._prices.price(call.model, used)
        if call.quota is None or call.reservation is None:
            return priced or used
        if priced is None:
            priced = used + Usage(cost_usd=call.estimate.cost_usd)
        call.quota.settle(call.reservation, priced)
        self._given_back.set()
        return priced

    def at_most(self, call: Call) -> Usage:
        """What the call was to use at most, as far as anybody knew, with its cost."""
        return self._prices.price(call.model, call.estimate) or call.estimate

    def lose(self, call: Call) -> Usage:
        """Count a call of which nobody will tell what it has used, as much as it was to use at most."""
        return self.settle(call, call.estimate)

    def release(self, call: Call) -> None:
        """Give back what was reserved for a call that used nothing."""
        if call.quota is not None and call.reservation is not None:
            call.quota.release(call.reservation)
            self._given_back.set()

    def charge(self, quota: Quota | None, model: str, usage: Usage) -> Usage:
        """Count a call that was made without asking, and give its usage back with its cost; see `refusal`."""
        used = _as_call(usage, model)
        used = self._prices.price(model, used) or used
        if quota is not None:
            quota.charge(used)
        return used

    def refusal(self, quota: Quota | None, model: str, usage: Usage) -> PricingNotConfiguredError | None:
        """The error of a call whose cost nobody knows, where the limits refuse it; where they warn, the notice."""
        if quota is None or quota.limits.total_cost_usd_limit is None or quota.limits.unpriced == "count":
            return None
        if self._prices.price(model, usage) is not None:
            return None
        if quota.limits.unpriced != "warn":
            return no_price(model)
        if model not in self._noticed:
            self._noticed.add(model)
            self._notice(model)
        return None


def _as_call(usage: Usage, model: str) -> Usage:
    """`usage` of one call at least. Raises `ConfigurationError` for one that can't be."""
    check_usage(usage, f"the usage that {model!r} tells")
    return usage if usage.calls else usage + Usage(calls=1)
