"""docs/specification.md names tests that exist, and a file of tests for every part."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/specification.md").read_text(encoding="utf-8")


def test_the_tests_that_are_named_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file, _ in named if (ROOT / file).is_file()}
    assert [file for file, _ in named if file not in texts] == []
    assert [name for file, name in named if name and f"def {name}(" not in texts[file]] == []


def test_every_line_is_shown_by_something():
    rows = re.findall(r"^\| (?!what|part)([^|]+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 25
    assert [what for what, shown in rows if "`tests/" not in shown and "](#" not in shown] == []
