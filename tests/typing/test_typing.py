"""Types as a user's type checker sees them."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

SNIPPETS = Path(__file__).with_name("snippets.py")
EXPECTED = {
    number: text.group(1)
    for number, line in enumerate(SNIPPETS.read_text().splitlines(), 1)
    if (text := re.search(r"# [NE]: (.+)$", line))
}


@pytest.fixture(scope="module")
def said():
    """What mypy says, by line; installed packages are seen as a user's project sees them."""
    cache = Path(__file__).parents[2] / ".mypy_cache" / "typing"
    options = ["--strict", "--config-file=", f"--cache-dir={cache}", "--no-error-summary"]
    command = [sys.executable, "-m", "mypy", *options, SNIPPETS.name]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SNIPPETS.parent, check=False)
    assert done.stderr == ""
    by_line = defaultdict(str)
    for line in done.stdout.splitlines():
        _, number, text = line.split(":", 2)
        by_line[int(number)] += text.replace("flujo.domain.steps.", "")
    return by_line


@pytest.mark.parametrize("number", EXPECTED, ids=EXPECTED.get)
def test_a_type_is_what_the_snippet_says(said, number):
    assert EXPECTED[number] in said[number]


def test_nothing_else_is_wrong(said):
    assert {number: text for number, text in said.items() if number not in EXPECTED} == {}
