"""Budgets: what a run may use, and a ledger from which nothing disappears."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from flujo.domain.usage import MONEY, NO_USAGE, Usage, amount_text, check_usage, dollars
from flujo.exceptions import ConfigurationError, UsageLimitExceededError

__all__ = ["UNPRICED", "Excess", "Quota", "Reservation", "Unpriced", "UsageLimits"]

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

    #: US dollars. A number counts as what it prints as: 0.1 is a tenth.
    total_cost_usd_limit: Decimal | None
    #: Tokens in both directions.
    total_tokens_limit: int | None
    #: Calls of models.
    max_calls: int | None
    #: Under a limit of cost, a call whose cost nobody knows: `deny`, as is done by default, refuses it, `warn` makes it
    #: and says so, `count` counts it without a cost.
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
        said: list[Unpriced] = [mode for mode in UNPRICED if mode in (self.unpriced, other.unpriced)]
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
    def bound_use(self) -> bool:
        """Whether there is a limit of money or tokens, which a call can pass by what it turns out to use."""
        return self.total_cost_usd_limit is not None or self.total_tokens_limit is not None

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


class Excess(NamedTuple):
    """A limit, how much was used of what it bounds, and how much it allows: US dollars, tokens or calls."""

    limit: str
    spent: Decimal | int
    allowed: Decimal | int


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """A part of a quota that is kept for one call until that is settled or released; `rest`: all that was left."""

    amount: Usage
    rest: bool = False


class Quota:
    """What may be used under `limits`, and what has been: `spent` by now, also before this process.

    A call reserves what it may use at most, and is settled with what it has used, or released. What was used counts,
    also when it was more than was reserved: the quota may be `overdrawn` then. A quota can be split into parts, which
    hold what was left of it until they are absorbed. Nothing appears or disappears: for every limit,
    `limit == spent + reserved + what the parts hold + remaining`, unless the quota is overdrawn.

    A part that was absorbed draws on the quota that it came from: what is open there is settled here, and so is what
    is asked of it later. A call counts one in `calls` at least. Everything here raises `ConfigurationError` for a usage
    that can't be, or a reservation or part that is used twice or with another quota.
    """

    __slots__ = (
        "__weakref__",
        "_home",
        "_is_open",
        "_lent",
        "_parts",
        "_reservations",
        "_ways",
        "limits",
        "reserved",
        "spent",
    )

    def __init__(self, limits: UsageLimits, spent: Usage = NO_USAGE) -> None:
        self.limits = limits
        self.spent = spent
        #: What open reservations keep.
        self.reserved = NO_USAGE
        self._reservations: set[Reservation] = set()
        self._parts: set[Quota] = set()
        self._lent = NO_USAGE
        self._is_open = True
        #: Of a part: the quota that was split, and into how many.
        self._home: Quota | None = None
        self._ways = 1

    @property
    def remaining(self) -> UsageLimits:
        """What can still be reserved; None where there is no limit."""
        left = self._book._left()
        kept = {each.name: max(each.of(left), 0) for each in self.limits.given}
        return UsageLimits(**kept, unpriced=self.limits.unpriced)  # type: ignore[arg-type]

    @property
    def overdrawn(self) -> bool:
        """Whether more was used than one of the limits allows."""
        return bool(self.excess())

    def excess(self) -> tuple["Excess", ...]:
        """Each limit of which more was used than it allows."""
        spent, given = self._book.spent, self._book.limits.given
        return tuple(Excess(each.name, each.of(spent), each.limit) for each in given if each.of(spent) > each.limit)

    def overdraft(self) -> UsageLimitExceededError | None:
        """Why nothing more may be started, when the quota is overdrawn."""
        book = self._book
        over = next((each for each in book.limits.given if each.of(book.spent) > each.limit), None)
        return None if over is None else book._refusal(over, NO_USAGE)

    def pending(self, estimate: Usage = NO_USAGE, *, rest: bool = False) -> bool:
        """Whether a call had better wait: what others keep now may come back, and would be enough.

        One that takes the `rest` waits for any other that has, so that only one of them at a time can use too much.
        """
        book, asked = self._book, _as_call(estimate)
        left = book._left()
        if book._lacks(asked, left + book.reserved + book._lent):
            return False
        return bool(book._lacks(asked, left)) or (rest and any(each.rest for each in book._reservations))

    @property
    def is_lent(self) -> bool:
        """Whether nothing is left of a limit, but something may come back: it is not the time to split the quota."""
        book = self._book
        left, back = book._left(), book._left() + book.reserved + book._lent
        return any(each.of(left) <= 0 < each.of(back) for each in book.limits.given)

    def reserve(self, estimate: Usage, *, rest: bool = False) -> Reservation:
        """Keep `estimate` for a call, with `rest` all that is left of money and tokens.

        Raises `UsageLimitExceededError` when there is less left of any limit.
        """
        check_usage(estimate, "an estimate")
        book, asked = self._book, _as_call(estimate)
        left = book._left()
        if lacking := book._lacks(asked, left):
            raise book._refusal(lacking[0], asked)
        if rest:
            asked = Usage(asked.calls, max(asked.tokens, left.tokens), 0, max(asked.cost_usd, left.cost_usd))
        reservation = Reservation(asked, rest)
        book._reservations.add(reservation)
        book.reserved += asked
        return reservation

    def settle(self, reservation: Reservation, actual: Usage) -> None:
        """Count what the call has used, in place of what was reserved for it."""
        check_usage(actual, "a usage")
        self.release(reservation)
        self.charge(actual)

    def release(self, reservation: Reservation) -> None:
        """Give back what was reserved for a call that used nothing."""
        book = self._book
        if reservation not in book._reservations:
            raise ConfigurationError("a reservation can be settled or released once, by the quota that it is of")
        book._reservations.remove(reservation)
        book.reserved -= reservation.amount

    def charge(self, actual: Usage) -> None:
        """Count what a call has used for which nothing was reserved."""
        check_usage(actual, "a usage")
        self._book.spent += _as_call(actual)

    def split(self, n: int) -> "tuple[Quota, ...]":
        """`n` parts that together hold exactly what remains; nothing is left here until they are absorbed."""
        if n < 1:
            raise ConfigurationError(f"a quota can't be split into {n} parts, expected at least 1")
        book, left = self._book, self.remaining
        shares = zip(
            _shares(left.total_cost_usd_limit, n),
            _whole_shares(left.total_tokens_limit, n),
            _whole_shares(left.max_calls, n),
            strict=True,
        )
        parts = tuple(Quota(UsageLimits(*share, left.unpriced)) for share in shares)
        for part in parts:
            part._home, part._ways = book, n
        book._parts.update(parts)
        book._lent += left.amounts
        return parts

    def absorb(self, parts: Iterable["Quota"]) -> None:
        """Take back what parts have not spent, and count what they have.

        What is still open in them, calls and parts of their own, is open here from now on.
        """
        book, ended = self._book, list(parts)
        if len(set(ended)) < len(ended) or not book._parts.issuperset(ended):
            raise ConfigurationError("a part can be absorbed once, by the quota that was split")
        for part in ended:
            book._parts.remove(part)
            book._lent += part._lent - part.limits.amounts
            book.spent += part.spent
            book.reserved += part.reserved
            book._reservations |= part._reservations
            book._parts |= part._parts
            part._is_open = False

    @property
    def _book(self) -> "Quota":
        """The quota that keeps the account of this one now."""
        book = self
        while not book._is_open:
            assert book._home is not None
            book = book._home
        return book

    def _left(self) -> Usage:
        """What is left of each limit there is: less than nothing where more was used than was reserved."""
        return self.limits.amounts - self.spent - self.reserved - self._lent

    def _lacks(self, asked: Usage, left: Usage) -> "list[_Limit]":
        return [each for each in self.limits.given if each.of(asked) > each.of(left)]

    def _total(self) -> Usage:
        """What was spent here and in the parts."""
        return sum((part._total() for part in self._parts), self.spent)

    def _whole(self) -> "tuple[Quota, int]":
        """The quota that is no part, and into how many such parts it is split."""
        whole, ways = self, self._ways
        while whole._home is not None:
            whole = whole._home._book
            ways *= whole._ways
        return whole, ways

    def _refusal(self, limit: _Limit, asked: Usage) -> UsageLimitExceededError:
        """What is to be known of a limit that is used up; of a share, how the whole stands as well."""
        amounts = {"spent": self.spent, "reserved": self.reserved + self._lent, "asked": asked, "left": self._left()}
        shown = ", ".join(f"{name} {amount_text(limit.of(amount))}" for name, amount in amounts.items())
        whole, ways = self._whole()
        full, total = limit.of(whole.limits.amounts), limit.of(whole._total())
        how = "is not enough" if limit.of(self._left()) > 0 else "is used up"
        what = f"{limit.name} of {amount_text(full)} {how}: "
        advice = f"go on with a higher {limit.name}"
        if whole is not self:
            what, shown = (
                f"a share of {what}share {amount_text(limit.limit)}, ",
                f"{shown}, all have spent {amount_text(total)}",
            )
            advice += ", or let the branches share one pool"
        return UsageLimitExceededError(
            what + shown,
            limit=limit.name,
            enough=full + max(full - limit.of(whole._left()), total) + ways * limit.of(asked),
            suggestion=advice,
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
