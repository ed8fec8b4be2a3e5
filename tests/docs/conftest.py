"""The pages of the reference, their tables and their examples."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs/reference"


@dataclass(frozen=True)
class Page:
    text: str

    def since(self, heading):
        """The page from the line `heading` on."""
        return Page(self.text[self.text.index(f"\n{heading}\n") :])

    def tables(self, head):
        """The tables whose first column's name begins with `head`: the rows of each by the names in that column."""
        head = rf"^\| {re.escape(head)}.*\n\|[-|]+\|\n((?:\|.*\n)+)"
        for found in re.finditer(head, self.text, re.MULTILINE):
            rows = {}
            for line in found[1].splitlines():
                first, *rest = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
                names = re.findall(r"`([^`]+)`", first) or [first]
                rows |= {name.replace("\\|", "|"): [cell.replace("\\|", "|") for cell in rest] for name in names}
            yield rows

    def table(self, head):
        """The rows of the table whose first column is called `head`, by the names in that column."""
        found = next(self.tables(f"{head} |"), None)
        assert found, f"there is no table of {head!r}"
        return found

    def names(self, head):
        """The names in the first column of the table called `head`."""
        return set(self.table(head))

    def blocks(self, language):
        """The code blocks in `language`."""
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def page():
    """A page of the reference, by its name."""
    return lambda name: Page((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
