"""Check, classify and sum up support tickets. Plain functions: nothing here knows what runs them."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypedDict

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

Category = Literal["billing", "shipping", "access", "bug", "other"]
Urgency = Literal["high", "normal", "low"]

# The category with the most of its words in a ticket wins; at a tie, the one that stands first.
WORDS: dict[Category, tuple[str, ...]] = {
    "billing": ("charged", "invoice", "refund", "factura", "importe", "reembolso", "rechnung", "betrag", "erstattung"),
    "shipping": ("parcel", "delivery", "courier", "tracking", "paquete", "envío", "pedido", "paket", "lieferung"),
    "access": ("log in", "password", "account", "locked", "contraseña", "cuenta", "konto", "passwort", "anmeldung"),
    "bug": ("crash", "error", "broken", "falla", "cuelga", "fehler", "stürzt"),
}
HIGH = ("urgent", "dringend")
LOW = ("no hurry", "no corre prisa", "eilt nicht")
LARGE_ORDER = Decimal(500)


class Ticket(BaseModel):
    """A row that is in order. `order_total` is in euros."""

    id: str = Field(pattern=r"^T-\d{4}$")
    created_at: datetime
    customer: str = Field(min_length=1)
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    channel: Literal["email", "chat", "phone"]
    language: Literal["en", "es", "de"]
    subject: str
    body: str
    order_total: Decimal | None = Field(ge=0)

    @field_validator("body")
    @classmethod
    def _says_something(cls, body: str) -> str:
        if not body.strip():
            raise PydanticCustomError("empty", "is empty")
        return body

    @field_validator("order_total", mode="before")
    @classmethod
    def _no_order_is_none(cls, total: object) -> object:
        return None if total == "" else total


class Rejected(BaseModel):
    """A row that can't be used, by its number in the file (the header is row 1), and why."""

    row: int
    id: str
    field: str
    reason: str


class Checked(BaseModel):
    """Every row of the file, on one side or the other."""

    accepted: list[Ticket]
    rejected: list[Rejected]


class Classified(BaseModel):
    """A ticket and what it is about."""

    ticket: Ticket
    category: Category
    urgency: Urgency


class Parts(TypedDict):
    """What the summary is made of."""

    tickets: list[Classified]
    rejected: list[Rejected]


class Summary(BaseModel):
    """The figures of one file."""

    accepted: int
    rejected: int
    categories: dict[str, int]
    urgency: dict[str, int]
    languages: dict[str, int]
    disputed: Decimal
    rejections: list[Rejected]
    urgent: list[str]


def check(rows: list[dict[str, str]]) -> Checked:
    """Tell the rows that are in order from those that are not; the first of two rows with one id counts."""
    accepted: dict[str, Ticket] = {}
    rejected: list[Rejected] = []
    for number, row in enumerate(rows, start=2):
        try:
            ticket = Ticket.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            rejected.append(Rejected(row=number, id=row.get("id", ""), field=str(first["loc"][0]), reason=first["msg"]))
            continue
        if ticket.id in accepted:
            rejected.append(Rejected(row=number, id=ticket.id, field="id", reason="stands in an earlier row"))
            continue
        accepted[ticket.id] = ticket
    return Checked(accepted=list(accepted.values()), rejected=rejected)


def classify(tickets: list[Ticket]) -> list[Classified]:
    """Give every ticket its category and urgency."""
    return [_classified(ticket) for ticket in tickets]


def _classified(ticket: Ticket) -> Classified:
    text = f"{ticket.subject}\n{ticket.body}".casefold()
    category = category_of(text)
    return Classified(ticket=ticket, category=category, urgency=urgency_of(text, category, ticket.order_total))


def category_of(text: str) -> Category:
    """The category of a ticket's text, in lower case."""
    hits = {category: _count(words, text) for category, words in WORDS.items()}
    best = max(hits, key=hits.__getitem__)
    return best if hits[best] else "other"


def urgency_of(text: str, category: Category, total: Decimal | None) -> Urgency:
    """High when the customer says so or a large order's money is in dispute, low when there is no hurry."""
    if _count(HIGH, text) or (category == "billing" and total is not None and total >= LARGE_ORDER):
        return "high"
    return "low" if _count(LOW, text) else "normal"


def _count(words: Iterable[str], text: str) -> int:
    return sum(word in text for word in words)


def summarise(parts: Parts) -> Summary:
    """Count what there is; `disputed` is the money of the orders in billing tickets."""
    tickets = parts["tickets"]
    totals = (item.ticket.order_total for item in tickets if item.category == "billing")
    return Summary(
        accepted=len(tickets),
        rejected=len(parts["rejected"]),
        categories=_counted((item.category for item in tickets), [*WORDS, "other"]),
        urgency=_counted((item.urgency for item in tickets), ["high", "normal", "low"]),
        languages=_counted((item.ticket.language for item in tickets), ["en", "es", "de"]),
        disputed=sum((total for total in totals if total is not None), Decimal(0)),
        rejections=parts["rejected"],
        urgent=[item.ticket.id for item in tickets if item.urgency == "high"],
    )


def _counted(values: Iterable[str], order: Iterable[str]) -> dict[str, int]:
    counts = Counter(values)
    return {key: counts[key] for key in order}


def as_markdown(summary: Summary) -> str:
    """The summary as a page."""
    lines = [
        "# Support tickets",
        "",
        f"{summary.accepted} tickets, {summary.rejected} rows rejected, {summary.disputed} EUR in dispute.",
    ]
    for title, counts in (("Category", summary.categories), ("Urgency", summary.urgency)):
        lines += ["", f"| {title} | Tickets |", "|---|---:|", *(f"| {key} | {n} |" for key, n in counts.items())]
    lines += ["", "## Rejected rows", ""]
    lines += [f"- row {item.row}, {item.id}: {item.field}: {item.reason}" for item in summary.rejections]
    return "\n".join(lines) + "\n"
