"""Check and price one order. Plain functions: nothing here knows how many orders there are."""

from collections import Counter
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field, ValidationError

PRICES = {"lamp": Decimal("39.90"), "bulb": Decimal("4.25"), "shade": Decimal("12.00")}


class Order(BaseModel):
    """A line of the file that is in order."""

    id: str = Field(pattern=r"^O-\d{3}$")
    item: str
    quantity: int = Field(gt=0)


def price(line: dict[str, Any]) -> dict[str, str]:
    """The order's item and what it costs. Raises `ValueError` for an order that can't be filled."""
    try:
        order = Order.model_validate(line)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{line.get('id', '?')}: {first['loc'][0]}: {first['msg']}") from None
    if order.item not in PRICES:
        raise ValueError(f"{order.id}: there is no {order.item!r}")
    return {"item": order.item, "total": str(order.quantity * PRICES[order.item])}


def summarise(results: list[dict[str, str]]) -> dict[str, Any]:
    """What was sold and for how much, and every order that was rejected."""
    sold = [result for result in results if "total" in result]
    return {
        "accepted": len(sold),
        "total": str(sum((Decimal(each["total"]) for each in sold), Decimal(0))),
        "orders": dict(sorted(Counter(each["item"] for each in sold).items())),
        "rejected": [result["error"] for result in results if "error" in result],
    }
