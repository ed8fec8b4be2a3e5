"""Figures of sales."""


def by_month(rows: list[dict[str, str]]) -> list[dict[str, str | int]]:
    """The amount of each month, in the order of the rows."""
    amounts: dict[str, int] = {}
    for row in rows:
        amounts[row["month"]] = amounts.get(row["month"], 0) + int(row["amount"])
    return [{"month": month, "amount": amount} for month, amount in amounts.items()]
