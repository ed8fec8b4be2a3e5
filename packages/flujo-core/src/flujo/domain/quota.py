"""Budgets: what a run may use, and a ledger from which nothing disappears."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from flujo.domain.usage import MONEY, NO_USAGE, Usage, amount_text, check_usage, dollars
from flujo.exceptions import ConfigurationError, UsageLimitExceededError

__all__ = ["UNPRICED", "Quota", "Reservation", "Unpriced", "UsageLimits"]

T = TypeVar("T", Decimal, int)

#: What to do about a call whose price nobody knows, under a limit of cost: refuse it, tell of it, or only count it.
Unpriced: TypeAlias = Literal["deny", "warn", "count"]

#: The same, the strictest first.
UNPRICED: tuple[Unpriced, ...] = ("deny", "warn", "count")

_ONE_CALL = Usage(calls=1)

#: A share of money is cut this fine, or as fine as the whole is.
_FINE = -9


@dataclass(frozen=True, slots=True, init=False)
class UsageLimits:
    """What a run may use at most: US dollars, tokens in both directions, calls. None is no limit.

    `unpriced` says what happens under a limit of cost to a call whose price nobody knows: it is refused ("deny"),
    made and told of ("warn"), or made and counted without a cost ("count"). None is "deny", unless other limits
    that hold as well say something.

    Raises `ConfigurationError` for a limit below zero or of another type.
    """

    total_cost_usd_limit: Decimal | None
    total_tokens_limit: int | None
    max_calls: int | None
    unpriced: Unpriced | None

    def __init__(
        self,
        total_cost_usd_limit: Decimal | float | str | None = None,
        total_tokens_limit: int | None = None,
        max_calls: int | None = None,
        unpriced: Unpriced | None = None,
    ) -> None:
        if unpriced is not None and unpriced not in UNPRICED:
            raise ConfigurationError(f"unpriced can't be {unpriced!r}, expected 'deny', 'warn' or 'count'")
        cost = None if total_cost_usd_limit is None else dollars(total_cost_usd_limit, "total_cost_usd_limit")
        object.__setattr__(self, "total_cost_usd_limit", cost)
        object.__setattr__(self, "total_tokens_limit", _count(total_tokens_limit, "total_tokens_limit"))
        object.__setattr__(self, "max_calls", _count(max_calls, "max_calls"))
        object.__setattr__(self, "unpriced", unpriced)

    def tightest(self, other: "UsageLimits") -> "UsageLimits":
        """The limits that keep to both: the lower one of each, and the stricter `unpriced`."""
        said = [mode for mode in UNPRICED if mode in (self.unpriced, other.unpriced)]
        return UsageLimits(
            _lower(self.total_cost_usd_limit, other.total_cost_usd_limit),
            _lower(self.total_tokens_limit, other.total_tokens_limit),
            _lower(self.max_calls, other.max_calls),
            said[0] if said else None,
        )

    @property
    def amounts(self) -> Usage:
        """The limits as a usage, nothing where there is none; tokens of both directions count as `tokens_in`."""
        return Usage(self.max_calls or 0, self.total_tokens_limit or 0, 0, self.total_cost_usd_limit or Decimal(0))

    @property
    def given(self) -> "tuple[_Limit, ...]":
        """Each limit that there is."""
        every = (
            ("total_cost_usd_limit", self.total_cost_usd_limit, _cost),
            ("total_tokens_limit", self.total_tokens_limit, _tokens),
            ("max_calls", self.max_calls, _calls),
        )
        return tuple(_Limit(name, limit, of) for name, limit, of in every if limit is not None)


def _count(value: int | None, what: str) -> int | None:
    if value is None or (type(value) is int and value >= 0):
        return value
    raise ConfigurationError(f"{what} can't be {value!r}, expected a whole number from 0")


def _lower(one: T | None, other: T | None) -> T | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _cost(usage: Usage) -> Decimal | int:
    return usage.cost_usd


def _tokens(usage: Usage) -> Decimal | int:
    return usage.tokens


def _calls(usage: Usage) -> Decimal | int:
    return usage.calls


class _Limit(NamedTuple):
    """One limit: its name, how high it is, and what of a usage counts against it."""

    name: str
    limit: Decimal | int
    of: Callable[[Usage], Decimal | int]


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """A part of a quota that is kept for one call until the call is settled or released."""

    amount: Usage


class Quota:
    """What may be used under `limits`, and what has been: `spent` by now, also before this process.

    A call reserves what it may use at most, and is settled with what it has used, or released. What was used counts,
    also when it was more than was reserved: the quota may be `overdrawn` then. A quota can be split into parts, which
    hold what was left of it until they are absorbed. Nothing appears or disappears: for every limit,
    `limit == spent + reserved + what the parts hold + remaining`, unless the quota is overdrawn.

    A call counts one in `calls` at least. Everything here raises `ConfigurationError` for a usage that can't be, or a
    reservation or part that is used twice, after its end, or with another quota.
    """

    __slots__ = ("_is_open", "_lent", "_parts", "_reservations", "limits", "reserved", "spent")

    def __init__(self, limits: UsageLimits, spent: Usage = NO_USAGE) -> None:
        self.limits = limits
        self.spent = spent
        #: What open reservations keep.
        self.reserved = NO_USAGE
        self._reservations: set[Reservation] = set()
        self._parts: set[Quota] = set()
        self._lent = NO_USAGE
        self._is_open = True

    @property
    def remaining(self) -> UsageLimits:
        """What can still be reserved; None where there is no limit."""
        left = self._left()
        kept = {each.name: max(each.of(left), 0) for each in self.limits.given}
        return UsageLimits(**kept, unpriced=self.limits.unpriced)  # type: ignore[arg-type]

    @property
    def overdrawn(self) -> bool:
        """Whether more was used than one of the limits allows."""
        return self.overdraft() is not None

    def overdraft(self) -> UsageLimitExceededError | None:
        """Why nothing more may be started, when the quota is overdrawn."""
        over = next((each for each in self.limits.given if each.of(self.spent) > each.limit), None)
        return None if over is None else self._refusal(over, NO_USAGE)

    def reserve(self, estimate: Usage) -> Reservation:
        """Keep `estimate` for a call. Raises `UsageLimitExceededError` when there is less left of any limit."""
        check_usage(estimate, "an estimate")
        self._check_open()
        asked, left = _as_call(estimate), self._left()
        for each in self.limits.given:
            if each.of(asked) > each.of(left):
                raise self._refusal(each, asked)
        reservation = Reservation(asked)
        self._reservations.add(reservation)
        self.reserved += asked
        return reservation

    def settle(self, reservation: Reservation, actual: Usage) -> None:
        """Count what the call has used, in place of what was reserved for it."""
        check_usage(actual, "a usage")
        self.release(reservation)
        self.charge(actual)

    def release(self, reservation: Reservation) -> None:
        """Give back what was reserved for a call that used nothing."""
        if reservation not in self._reservations:
            raise ConfigurationError("a reservation can be settled or released once, by the quota that it is of")
        self._reservations.remove(reservation)
        self.reserved -= reservation.amount

    def charge(self, actual: Usage) -> None:
        """Count what a call has used for which nothing was reserved."""
        check_usage(actual, "a usage")
        self._check_open()
        self.spent += _as_call(actual)

    def split(self, n: int) -> "tuple[Quota, ...]":
        """`n` parts that together hold exactly what remains; nothing is left here until they are absorbed."""
        if n < 1:
            raise ConfigurationError(f"a quota can't be split into {n} parts, expected at least 1")
        self._check_open()
        left = self.remaining
        shares = zip(
            _shares(left.total_cost_usd_limit, n),
            _whole_shares(left.total_tokens_limit, n),
            _whole_shares(left.max_calls, n),
            strict=True,
        )
        parts = tuple(Quota(UsageLimits(*share, left.unpriced)) for share in shares)
        self._parts.update(parts)
        self._lent += left.amounts
        return parts

    def absorb(self, parts: Iterable["Quota"]) -> None:
        """Take back what parts have not spent, and count what they have. They can't be used any more."""
        ended = list(parts)
        if len(set(ended)) < len(ended) or not self._parts.issuperset(ended):
            raise ConfigurationError("a part can be absorbed once, by the quota that was split")
        if any(part._reservations or part._parts for part in ended):
            raise ConfigurationError("a part with open reservations or parts can't be absorbed")
        for part in ended:
            self._parts.remove(part)
            self._lent -= part.limits.amounts
            self.spent += part.spent
            part._is_open = False

    def _check_open(self) -> None:
        if not self._is_open:
            raise ConfigurationError("a part that was absorbed can't be used any more")

    def _left(self) -> Usage:
        """What is left of each limit there is: less than nothing where more was used than was reserved."""
        return self.limits.amounts - self.spent - self.reserved - self._lent

    def _refusal(self, limit: _Limit, asked: Usage) -> UsageLimitExceededError:
        amounts = {"spent": self.spent, "reserved": self.reserved + self._lent, "asked": asked, "left": self._left()}
        shown = ", ".join(f"{name} {amount_text(limit.of(amount))}" for name, amount in amounts.items())
        how = "is not enough" if limit.of(self._left()) > 0 else "is used up"
        return UsageLimitExceededError(
            f"{limit.name} of {amount_text(limit.limit)} {how}: {shown}",
            limit=limit.name,
            enough=limit.of(self.limits.amounts + self.limits.amounts - self._left() + asked),
            suggestion=f"go on with a higher {limit.name}",
        )


def _as_call(usage: Usage) -> Usage:
    return usage if usage.calls else usage + _ONE_CALL


def _shares(amount: Decimal | None, n: int) -> Sequence[Decimal | None]:
    """`amount` in `n` parts that differ by no more than its smallest unit, and add up to it."""
    if amount is None:
        return [None] * n
    unit = min(int(amount.as_tuple().exponent), _FINE)
    return [MONEY.scaleb(Decimal(share), unit) for share in _whole(int(MONEY.scaleb(amount, -unit)), n)]


def _whole_shares(amount: int | None, n: int) -> Sequence[int | None]:
    return [None] * n if amount is None else _whole(amount, n)


def _whole(amount: int, n: int) -> list[int]:
    share, rest = divmod(amount, n)
    return [share + (number < rest) for number in range(n)]
