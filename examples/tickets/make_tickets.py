"""Write tickets.csv: three hundred support tickets of a lamp shop, the same ones every time.

`python make_tickets.py` writes the file beside this one. Fourteen rows are broken on purpose; every other row is
made from a subject matter and a tone that a test can compare the pipeline's answer with.
"""

import csv
import io
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

COLUMNS = ("id", "created_at", "customer", "email", "channel", "language", "subject", "body", "order_total")
ROWS = 300
START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)

# Row number -> what is wrong with it.
BROKEN = {
    17: "date", 88: "date", 171: "date", 250: "date",
    23: "body", 110: "body", 199: "body", 287: "body",
    41: "total", 133: "total", 268: "total",
    66: "twice", 154: "twice", 231: "twice",
}  # fmt: skip

NAMES = {
    "en": ("Ada Byrne", "Grace Holt", "Omar Reid", "Priya Nair", 'Tom "TJ" Jarvis', "Wren, Lucy"),
    "es": ("Lucía Ortega", "Íñigo Peña", "Marta Núñez", "José Luis Gil"),
    "de": ("Jürgen Weiß", "Anke Schröder", "Käthe Böhm", "Uwe Groß"),
}
GREETINGS = {"en": "Hi,", "es": "Buenos días:", "de": "Guten Tag,"}
ENDINGS = {
    "urgent": {"en": "Please treat this as urgent.", "es": "Es urgente, por favor.", "de": "Es ist dringend."},
    "calm": {"en": "No hurry at all.", "es": "No corre prisa.", "de": "Es eilt nicht."},
    "plain": {"en": "Thanks in advance!", "es": "Gracias de antemano.", "de": "Vielen Dank im Voraus."},
}

# Subject matter -> language -> (subject, body).
TEXTS = {
    "billing": {
        "en": (
            ("Charged twice", "My card was charged twice for one order, and the bank can't tell me why."),
            ("Wrong amount on invoice", "The invoice says 2 shades, I bought one. Can I have a corrected invoice?"),
            ("Refund still missing", "I sent the floor lamp back, three weeks ago, and the refund never came."),
        ),
        "es": (("Factura incorrecta", "La factura lleva un importe que no es mío; quiero el reembolso."),),
        "de": (("Rechnung falsch", "Auf der Rechnung steht ein falscher Betrag, bitte um Erstattung."),),
    },
    "shipping": {
        "en": (
            ("Where is my parcel?", 'Tracking has said "out for delivery" since Monday, but no parcel came.'),
            ("Late delivery", "The courier missed me twice. Can the delivery go to my office, please?"),
            ("Damaged in transit", "The box arrived crushed, so the parcel was opened on the way."),
        ),
        "es": (("Pedido sin llegar", "El paquete no llega y el envío no se mueve desde el lunes."),),
        "de": (("Paket verloren", "Das Paket ist laut Sendungsverfolgung seit Tagen in der Lieferung."),),
    },
    "access": {
        "en": (
            ("Can't log in", "I can't log in since the password reset; the page just reloads."),
            ("Locked out", "My account is locked after three tries, and the code never reaches me."),
        ),
        "es": (("No puedo entrar", "He olvidado la contraseña y la cuenta está bloqueada."),),
        "de": (("Anmeldung geht nicht", "Mein Konto ist gesperrt, das Passwort wird nicht angenommen."),),
    },
    "bug": {
        "en": (
            ("Basket crashes", "The basket page crashes, with error 500, when I change the quantity."),
            ("Search is broken", 'Search shows an error for "desk lamp, brass" and a blank page.'),
        ),
        "es": (("La página falla", "La página da un error al guardar la dirección y se cuelga."),),
        "de": (("Fehler im Warenkorb", "Der Warenkorb zeigt einen Fehler und stürzt dann ab."),),
    },
    "other": {
        "en": (
            ("A question", "Do you sell the green shade without the base?"),
            ("Opening hours", "Is the shop in Mill Lane open on Sundays, and is there parking?"),
        ),
        "es": (("Una pregunta", "¿Tienen la lámpara verde también en azul?"),),
        "de": (("Eine Frage", "Gibt es die Lampe auch in Blau?"),),
    },
}


@dataclass(frozen=True)
class Made:
    """One row, and what it was made from: `fault` is empty for a sound row."""

    row: dict[str, str]
    matter: str
    tone: str
    fault: str


def make_tickets(seed: int = 20260105) -> list[Made]:
    """The tickets in the order of the file."""
    source = random.Random(seed)
    made: list[Made] = []
    for number in range(1, ROWS + 1):
        fault = BROKEN.get(number, "")
        matter = source.choice(("billing", "billing", "shipping", "shipping", "shipping", "access", "bug", "other"))
        tone = source.choice(("urgent", "plain", "plain", "plain", "calm"))
        row = _sound_row(number, matter, tone, source)
        if fault == "twice":
            row["id"] = made[-5].row["id"]
        elif fault:
            row.update(
                {"date": {"created_at": "31/02/2026"}, "body": {"body": " "}, "total": {"order_total": "n/a"}}[fault]
            )
        made.append(Made(row, matter, tone, fault))
    return made


def _sound_row(number: int, matter: str, tone: str, source: random.Random) -> dict[str, str]:
    language = source.choice(("en", "en", "en", "en", "es", "de"))
    customer = source.choice(NAMES[language])
    subject, body = source.choice(TEXTS[matter][language])
    return {
        "id": f"T-{number:04d}",
        "created_at": (START + timedelta(minutes=97 * number + source.randrange(60))).isoformat(),
        "customer": customer,
        "email": f"customer{source.randrange(1000, 9999)}@example.com",
        "channel": source.choice(("email", "chat", "phone")),
        "language": language,
        "subject": subject,
        "body": f"{GREETINGS[language]}\n{body}\n{ENDINGS[tone][language]}",
        "order_total": "" if matter in {"access", "other"} else f"{source.randrange(900, 90000) / 100:.2f}",
    }


def as_csv(tickets: list[Made]) -> str:
    """The text of the file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(made.row for made in tickets)
    return text.getvalue()


if __name__ == "__main__":
    (Path(__file__).parent / "tickets.csv").write_text(as_csv(make_tickets()), encoding="utf-8", newline="")
