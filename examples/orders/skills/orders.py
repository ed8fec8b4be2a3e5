"""What happens to an order in each of its states."""

from typing import Any

STOCK = {"lamp": 12, "bulb": 40}
PRICES = {"lamp": 40, "bulb": 4}


def check(order: dict[str, Any]) -> dict[str, Any]:
    """The order, with whether there is enough of it. Raises `ValueError` for what we do not sell."""
    if order["item"] not in STOCK:
        raise ValueError(f"we sell no {order['item']}")
    return {**order, "in_stock": order["quantity"] <= STOCK[order["item"]]}


def pay(order: dict[str, Any]) -> dict[str, Any]:
    """The order, with what was paid. Raises `ValueError` for a card that is declined."""
    if order["card"] == "0000":
        raise ValueError("the card was declined")
    return {**order, "paid": order["quantity"] * PRICES[order["item"]]}
