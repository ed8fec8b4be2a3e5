"""What running costs: calls, tokens and money."""

from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation

from flujo.exceptions import ConfigurationError

__all__ = ["MONEY", "NO_USAGE", "Usage", "amount_text", "check_usage", "dollars"]

#: Enough digits for any sum of money, and independent of the precision a program sets for itself.
MONEY = Context(prec=100)

#: What an amount of money may be at most, and its last digit at least: sums of such amounts are exact.
_MOST, _LAST = Decimal(10**15), -60


@dataclass(frozen=True, slots=True)
class Usage:
    """What one attempt, step or run has used. Adds up exactly: money is a `Decimal` in US dollars.

    A cost given as another number counts as what it prints as: 0.1 is a tenth.
    """

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        if type(self.cost_usd) is not Decimal:
            object.__setattr__(self, "cost_usd", Decimal(str(self.cost_usd)))

    def __add__(self, other: "Usage") -> "Usage":
        if other is NO_USAGE:
            return self
        if self is NO_USAGE:
            return other
        return Usage(
            self.calls + other.calls,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            MONEY.add(self.cost_usd, other.cost_usd),
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls - other.calls,
            self.tokens_in - other.tokens_in,
            self.tokens_out - other.tokens_out,
            MONEY.subtract(self.cost_usd, other.cost_usd),
        )

    @property
    def tokens(self) -> int:
        """Tokens in both directions."""
        return self.tokens_in + self.tokens_out


NO_USAGE = Usage()


def dollars(value: object, what: str) -> Decimal:
    """`value` as an exact amount of US dollars; a number counts as what it prints as.

    Raises `ConfigurationError`, naming `what`, for anything but a number from 0 to 10^15.
    """
    try:
        amount = Decimal(str(value)) if isinstance(value, Decimal | float | int | str) else None
    except InvalidOperation:
        amount = None
    if amount is None or isinstance(value, bool) or not _is_exact(amount):
        raise ConfigurationError(f"{what} can't be {value!r}, expected US dollars from 0 to 10^15")
    return amount


def _is_exact(amount: Decimal) -> bool:
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= _LAST and 0 <= amount <= _MOST


def amount_text(amount: Decimal | int) -> str:
    """An amount as people write it: without an exponent, and without zeros at its end."""
    return f"{MONEY.normalize(Decimal(amount)):f}"


def check_usage(usage: Usage, what: str) -> None:
    """Raise `ConfigurationError`, naming `what`, for a usage that nothing can have used: less than nothing, or NaN."""
    for name, count in (("calls", usage.calls), ("tokens_in", usage.tokens_in), ("tokens_out", usage.tokens_out)):
        if type(count) is not int or count < 0:
            raise ConfigurationError(f"{what}: {name} can't be {count!r}, expected a whole number from 0")
    dollars(usage.cost_usd, f"{what}: cost_usd")
