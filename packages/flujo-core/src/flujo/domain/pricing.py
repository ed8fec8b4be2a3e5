"""What calls cost: prices by the model's name."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase

from flujo.domain.usage import MONEY, Usage, dollars
from flujo.exceptions import PricingNotConfiguredError

__all__ = ["Price", "PriceTable", "no_price"]


@dataclass(frozen=True, slots=True, init=False)
class Price:
    """What a model costs, in US dollars: per million tokens in and out, and per call.

    A number counts as what it prints as. Raises `ConfigurationError` for a price below zero or of another type.
    """

    #: For a million tokens that the model reads.
    input_usd_per_million: Decimal
    #: For a million tokens that it writes.
    output_usd_per_million: Decimal
    #: For each call, whatever its length.
    usd_per_call: Decimal

    def __init__(
        self,
        input_usd_per_million: Decimal | float | str = 0,
        output_usd_per_million: Decimal | float | str = 0,
        usd_per_call: Decimal | float | str = 0,
    ) -> None:
        for name, value in (
            ("input_usd_per_million", input_usd_per_million),
            ("output_usd_per_million", output_usd_per_million),
            ("usd_per_call", usd_per_call),
        ):
            object.__setattr__(self, name, dollars(value, name))

    def of(self, usage: Usage) -> Decimal:
        """The cost of `usage`, to the last digit."""
        tokens = MONEY.add(
            MONEY.multiply(self.input_usd_per_million, Decimal(usage.tokens_in)),
            MONEY.multiply(self.output_usd_per_million, Decimal(usage.tokens_out)),
        )
        return MONEY.add(MONEY.scaleb(tokens, -6), MONEY.multiply(self.usd_per_call, Decimal(usage.calls)))


class PriceTable(Mapping[str, Price]):
    """Prices by the name of the model, "openai:gpt-4o", or by a pattern of names, "openai:*".

    A name's own price counts before any pattern's, and a longer pattern before a shorter one. `others` is asked what a
    usage of any other model costs, and gives None where it doesn't know.
    """

    __slots__ = ("_others", "_patterns", "_prices")

    def __init__(
        self,
        prices: Mapping[str, Price] | None = None,
        others: Callable[[str, Usage], Decimal | None] = lambda _model, _usage: None,
    ) -> None:
        self._others = others
        self._prices = dict(prices or {})
        self._patterns = sorted(self._prices, key=lambda pattern: (-len(pattern), pattern))

    def __getitem__(self, name: str) -> Price:
        return self._prices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._prices)

    def __len__(self) -> int:
        return len(self._prices)

    def find(self, model: str) -> Price | None:
        """The price of `model`, if it has one."""
        if model in self._prices:
            return self._prices[model]
        pattern = next((pattern for pattern in self._patterns if fnmatchcase(model, pattern)), None)
        return None if pattern is None else self._prices[pattern]

    def price(self, model: str, usage: Usage) -> Usage | None:
        """`usage` with its cost: the one it has, else by the price of `model`; None when that isn't known."""
        if usage.cost_usd:
            return usage
        price = self.find(model)
        cost = self._others(model, usage) if price is None else price.of(usage)
        return None if cost is None else Usage(usage.calls, usage.tokens_in, usage.tokens_out, cost)


def no_price(model: str) -> PricingNotConfiguredError:
    """The error for a call of `model` under a limit of cost."""
    return PricingNotConfiguredError(
        f"model {model!r} has no price, and a limit of cost holds",
        suggestion=f"write [pricing.{json.dumps(model)}] with input_usd_per_million, output_usd_per_million or "
        'usd_per_call into flujo.toml, or set unpriced to "warn" or "count" for the budget',
    )
