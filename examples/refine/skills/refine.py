"""Check a notice against the house's rules, and mend one thing at a time."""

import re
from dataclasses import dataclass

LONGEST = 120
#: Words that say nothing or too much, and what stands in their place.
WORDS = {"utilise": "use", "in order to": "to", "very": "", "leverage": "use", "prior to": "before", "!": "."}


@dataclass(frozen=True)
class Draft:
    """The text so far, what is wrong with it, and how often it was mended."""

    text: str
    complaints: list[str]
    rounds: int = 0


def check(text: str) -> Draft:
    """The first draft: the text as it came."""
    return Draft(text.strip(), complaints_of(text.strip()))


def mend(draft: Draft) -> Draft:
    """The draft with its first complaint mended."""
    complaint, text = draft.complaints[0], draft.text
    if complaint in WORDS:
        text = re.sub(re.escape(complaint), WORDS[complaint], text, count=1, flags=re.IGNORECASE)
        text = re.sub(r" +([ .,])", r"\1", text)
        text = re.sub(r"(^|\. )([a-z])", lambda found: found[1] + found[2].upper(), text)
    else:
        text = f"{text[:-1].rpartition('. ')[0]}."
    return Draft(text, complaints_of(text), draft.rounds + 1)


def complaints_of(text: str) -> list[str]:
    """The words that should not be there, each as often as it is, then whether the text is too long."""
    words = [word for word in WORDS for _ in range(text.lower().count(word))]
    return [*words, f"{len(text)} characters"] if len(text) > LONGEST else words
