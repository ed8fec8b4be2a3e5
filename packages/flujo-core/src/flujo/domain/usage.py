"""What running costs: calls, tokens and money."""

from dataclasses import dataclass
from decimal import Context, Decimal

__all__ = ["NO_USAGE", "Usage"]

#: Enough digits for any sum of money, and independent of the precision a program sets for itself.
_MONEY = Context(prec=100)


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
            _MONEY.add(self.cost_usd, other.cost_usd),
        )

    @property
    def tokens(self) -> int:
        """Tokens in both directions."""
        return self.tokens_in + self.tokens_out


NO_USAGE = Usage()
