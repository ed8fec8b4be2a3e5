"""Who answers a request, and with what."""

#: The first letters of words that a desk listens for.
DESKS = {
    "billing": ("invoice", "refund", "charged"),
    "shipping": ("parcel", "deliver", "courier"),
    "access": ("password", "log in", "locked"),
}


def desks(request: str) -> list[str]:
    """The desks that the request is for: all whose words are in it, else the one for everything."""
    text = request.lower()
    return [desk for desk, words in DESKS.items() if any(word in text for word in words)] or ["other"]


def due(request: str) -> str:
    """When billing answers."""
    return "today" if "twice" in request else "this week"


def letter(answers: dict[str, str]) -> str:
    """The answers of all desks in one letter."""
    return " ".join(answers.values())
