"""Support tickets: read, classified by rules, paid back once a person agrees where one has to."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from flujo import AgentResult, Usage

#: The first of these that is found in a ticket's text is what it is about.
CATEGORIES = {
    "billing": "charged|refund|invoice|belastet",
    "bug": "crash|freez|error 500",
    "access": "log in|locked|cuenta",
    "shipping": "parcel|tracking",
}

#: Refunds above this many US dollars need a person.
LIMIT_USD = 100


class Triage(BaseModel):
    """What a ticket is about, and what is to be paid back."""

    category: Literal["billing", "bug", "access", "shipping", "other"]
    refund: float
    suspicious: bool
    needs_human: bool


def read(text: str) -> dict[str, list[dict[str, str]]]:
    """The tickets of a CSV file, and the rows that are none, each with the reason."""
    valid: list[dict[str, str]] = []
    rejected: list[dict[str, str]] = []
    seen: set[str] = set()
    for row in csv.DictReader(io.StringIO(text)):
        reason = _wrong(row, seen)
        seen.add(row["ticket_id"])
        if reason:
            rejected.append({"ticket_id": row["ticket_id"], "reason": reason})
        else:
            valid.append(row)
    return {"valid": valid, "rejected": rejected}


def _wrong(row: dict[str, str], seen: set[str]) -> str | None:
    if row["ticket_id"] in seen:
        return "the id stands in a row before"
    if not re.match(r"\d{4}-", row["opened_at"]):
        return "opened_at is no date"
    if not row["body"]:
        return "there is no text"
    return None if re.fullmatch(r"\d+\.\d\d", row["order_total_usd"]) else "order_total_usd is no amount"


def rejected_csv(rows: list[dict[str, str]]) -> str:
    """The rows that are no tickets, as a CSV file."""
    out = io.StringIO()
    writer = csv.DictWriter(out, ["ticket_id", "reason"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def classify(ticket: dict[str, str]) -> AgentResult[Triage]:
    """What a model would say of a ticket, by rules, and what it would have used."""
    text = ticket["body"].lower()
    category: Any = next((name for name, words in CATEGORIES.items() if re.search(words, text)), "other")
    asks_back = re.search("refund|charged twice|geld zur", text)
    refund = float(ticket["order_total_usd"]) if asks_back else 0.0
    suspicious = "ignore all previous instructions" in text
    important = ticket["tier"] == "enterprise" and category in ("bug", "access")
    needs_human = suspicious or refund > LIMIT_USD or important
    answer = Triage(category=category, refund=refund, suspicious=suspicious, needs_human=needs_human)
    usage = Usage(calls=1, tokens_in=_tokens(ticket["body"]), tokens_out=_tokens(answer.model_dump_json()))
    return AgentResult(answer, usage=usage)


def _tokens(text: str) -> int:
    return math.ceil(len(text.encode()) / 4)


def decide(data: dict[str, Any]) -> dict[str, Any]:
    """What is paid back after a person has had their say."""
    answer = data["answer"]
    refund = 0.0 if answer["decision"] == "reject" else answer.get("refund", data["refund"])
    return {"refund": refund, "decision": answer["decision"]}


def pay(data: dict[str, Any], *, run: Any) -> dict[str, Any]:
    """Write a refund into the ledger, which takes each key once: a second try after a crash changes nothing."""
    paid = {"ticket": data["ticket"], "usd": data["refund"], "key": run.idempotency_key}
    ledger = Path(run.root) / "ledger.jsonl"
    if data["refund"] > 0 and not (ledger.exists() and paid["key"] in ledger.read_text()):
        with ledger.open("a") as file:
            file.write(json.dumps(paid) + "\n")
    return {"ticket": data["ticket"], "category": data["category"], "decision": data["decision"], "usd": data["refund"]}


def summary(data: dict[str, Any]) -> dict[str, Any]:
    """The figures of the whole."""
    done = data["done"]
    paid = [each["usd"] for each in done if each["usd"] > 0]
    return {
        "valid": len(done),
        "rejected_rows": len(data["rejected"]),
        "by_category": _count(each["category"] for each in done),
        "decisions": _count(each["decision"] for each in done if each["decision"]),
        "refund_lines": len(paid),
        "refund_total_usd": round(sum(paid), 2),
    }


def _count(names: Any) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items()))
